package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"yester/store/pack"
)

// smallFiles are n chunks that have much in common, from empty to max bytes.
func smallFiles(seed uint64, n, max int) [][]byte {
	r := rand.New(rand.NewPCG(seed, 2))
	files := make([][]byte, n)
	for i := range files {
		b := fmt.Appendf(nil, "%d of %d\n", i, seed)
		for size := r.IntN(max + 1); len(b) < size; {
			b = fmt.Appendf(b, "all our yesterdays have lighted fools %d ways\n", r.IntN(1000))
		}
		files[i] = b
	}
	files[0] = nil
	return files
}

// whereabouts counts the chunks that lie in groups, and the groups.
func (tv *testVault) whereabouts(ids []ID) (in, groups int) {
	tv.t.Helper()
	seen := map[[2]uint32]bool{}
	for _, id := range ids {
		l, found, err := tv.index.find(id)
		if err != nil || !found {
			tv.t.Fatalf("chunk %v: %v, %v", id, found, err)
		}
		if l.frame.Group != 0 {
			in++
			seen[[2]uint32{l.pack, l.frame.Offset}] = true
		}
	}
	return in, len(seen)
}

// everyWay reads chunks in every way there is.
func (tv *testVault) everyWay(ids []ID, chunks [][]byte) {
	tv.t.Helper()
	tv.uncached(ids, chunks)
	tv.cache = newCache(1 << 20)
	buf := make([]byte, 0, 64<<10)
	for i, id := range ids {
		into, err := tv.GetInto(tv.t.Context(), id, buf)
		read, err2 := tv.Read(tv.t.Context(), id, nil)
		if err = errors.Join(err, err2); err != nil || !bytes.Equal(into, chunks[i]) || !bytes.Equal(read, chunks[i]) {
			tv.t.Fatalf("chunk %d of %d bytes: %d and %d bytes, %v", i, len(chunks[i]), len(into), len(read), err)
		}
		if len(into) > 0 && &into[0] != &buf[:1][0] {
			tv.t.Fatalf("chunk %d is not where it should be", i)
		}
		clear(into) // it is the caller's
	}
	tv.holds(ids, chunks)
	for i, id := range ids {
		if b, ok := tv.Cached(id); ok && !bytes.Equal(b, chunks[i]) {
			tv.t.Fatalf("chunk %d in the cache: %d bytes", i, len(b))
		}
	}
}

func TestSmallChunksAreStoredInGroups(t *testing.T) {
	files := smallFiles(1, 300, 9000)
	for _, enc := range []Encoding{pack.LZ4, pack.Zstd, pack.Raw} {
		for _, workers := range []int{0, 3} {
			t.Run(fmt.Sprint(enc, workers), func(t *testing.T) {
				tv := newVault(t)
				ids, s := tv.store("v", WriterOptions{Encoding: enc, Workers: workers}, files)
				in, groups := tv.whereabouts(ids)
				full := int(s.Raw) / groupSize(enc)
				if enc == pack.Raw && in != 0 || enc != pack.Raw && (in != len(files) || groups < full || groups > full+4) {
					t.Errorf("%d of %d chunks are in %d groups", in, len(files), groups)
				}
				if enc != pack.Raw && s.Stored > s.Raw/5 {
					t.Errorf("%d bytes stored of %d", s.Stored, s.Raw)
				}
				tv.everyWay(ids, files)
				tv.reopen()
				tv.everyWay(ids, files)
				if _, err := tv.RebuildIndex(t.Context(), nil); err != nil {
					t.Error(err)
				}
				tv.everyWay(ids, files)
				tv.quiet()
			})
		}
	}
}

func TestChunksThatDoNotShrinkAreNotGrouped(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var noise [][]byte
	for range 40 {
		b := make([]byte, 5000)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		noise = append(noise, b)
	}
	tv := newVault(t)
	ids, _ := tv.store("v", WriterOptions{Encoding: pack.Zstd}, noise)
	if in, _ := tv.whereabouts(ids); in != 0 {
		t.Errorf("%d are", in)
	}
	one, _ := tv.store("alone", WriterOptions{Encoding: pack.Zstd}, smallFiles(5, 2, 2000)[1:])
	if in, _ := tv.whereabouts(one); in != 0 {
		t.Error("one by itself is")
	}
	tv.everyWay(ids, noise)
}

// The cache keeps a group once, and none of its chunks beside it.
func TestGroupIsDecodedOnceForAllItsChunks(t *testing.T) {
	tv := newVault(t)
	files := smallFiles(1, 100, 2000)
	ids, _ := tv.store("v", WriterOptions{Encoding: pack.LZ4}, files)
	tv.cache = newCache(1 << 20)
	_, groups := tv.whereabouts(ids)
	for range 3 {
		tv.holds(ids, files)
	}
	s := tv.CacheStats()
	if s.Misses != uint64(groups) || s.Bytes > int64(groups*(groupSize(pack.LZ4)+10_000)) {
		t.Errorf("%d groups; %+v", groups, s)
	}
	for i, id := range ids { // all, for the pack was learnt
		if b, ok := tv.Cached(id); !ok || !bytes.Equal(b, files[i]) {
			t.Errorf("chunk %d: %v", i, ok)
		}
	}
}

// A group is brought into the cache in stages, and not at all if there is no time for it.
func TestGroupIsWarmedInStages(t *testing.T) {
	tv := newVault(t)
	files := smallFiles(1, 100, 2000)
	ids, _ := tv.store("v", WriterOptions{Encoding: pack.LZ4}, files)
	for most := range 3 {
		tv.cache = newCache(1 << 20)
		stages := 0
		tv.Warm(ids[0], func() bool { stages++; return stages <= most })
		if got := tv.CacheStats(); stages != min(most+1, 2) || (got.Bytes > 0) != (most == 2) || (got.Misses == 1) != (most == 2) {
			t.Errorf("after %d pauses, of which %d were granted: %+v", stages, most, got)
		}
	}
	if b, ok := tv.Cached(ids[0]); ok && !bytes.Equal(b, files[0]) {
		t.Error("other bytes")
	}
	tv.Warm(ids[0], func() bool { t.Error("it is there already"); return true })
	tv.Warm(ID{1}, func() bool { t.Error("there is no such chunk"); return true })
	before := tv.CacheStats()
	tv.cache.offer(groupIDOf(tv, ids[0]), []byte("again"))
	if after := tv.CacheStats(); after.Bytes != before.Bytes {
		t.Errorf("%+v, %+v", before, after)
	}
	tv.holds(ids, files)
	_, groups := tv.whereabouts(ids)
	if s := tv.CacheStats(); s.Misses != uint64(groups)+1 { // and that of what was offered
		t.Errorf("%d groups, %+v", groups, s)
	}
}

func groupIDOf(tv *testVault, id ID) ID {
	l, p, err := tv.locate(id)
	if err != nil {
		tv.t.Fatal(err)
	}
	return groupID(p, &l.frame)
}

// A pack lives as long as one byte of it is needed, be its share of what is stored none.
func TestCollectKeepsAPackForOneByte(t *testing.T) {
	tv := newVault(t)
	files := append(smallFiles(1, 100, 9000), []byte("1"))
	tv.version("v1", files)
	one := tv.version("v2", files[100:])
	empty := tv.version("v3", files[:1])
	tv.delete("v1")
	for range 2 {
		c := tv.collect()
		if c.Missing != 0 || c.Kept != 0 {
			t.Errorf("collected %+v", c)
		}
		tv.everyWay(one, files[100:])
		tv.everyWay(empty, files[:1])
		tv.lacks(idsAt(tv, files[1:100]))
		tv.reopen()
	}
	tv.quiet()
}

// Whatever versions come and go, what the others need comes back, and what none needs is gone in the end.
func TestGroupsAreCollectedChunkByChunk(t *testing.T) {
	for _, enc := range []Encoding{pack.LZ4, pack.Zstd} {
		t.Run(fmt.Sprint(enc), func(t *testing.T) {
			tv := newVault(t)
			r := rand.New(rand.NewPCG(uint64(enc), 7))
			files := smallFiles(2, 1500, 4000)
			type version struct {
				ids   []ID
				files [][]byte
			}
			versions := map[string]version{}
			repacked := 0
			for day := range 25 {
				var of [][]byte
				for _, f := range files[day*30 : day*30+700] {
					if r.IntN(3) > 0 {
						of = append(of, f)
					}
				}
				name := fmt.Sprintf("v%02d", day)
				w := tv.writer(WriterOptions{Encoding: enc, Workers: day % 3})
				ids := tv.put(w, of)
				if err := errors.Join(w.Commit(t.Context(), key(name), flatRecord(ids)), w.Close()); err != nil {
					t.Fatal(err)
				}
				versions[name] = version{ids, of}
				for name := range versions { // in no order
					if len(versions) > 3 {
						tv.delete(name)
						delete(versions, name)
					}
				}
				if day%4 == 3 {
					c := tv.collect()
					if c.Missing+c.Kept > 0 {
						t.Fatalf("collected %+v", c)
					}
					repacked += c.Repacked
				}
				for _, v := range versions {
					tv.uncached(v.ids, v.files)
				}
			}
			if repacked == 0 {
				t.Error("nothing was repacked")
			}
			r2 := tv.repair(RepairOptions{})
			if len(r2.Problems)+len(r2.Lost) > 0 {
				t.Errorf("repaired %+v", r2)
			}
			tv.reopen()
			kept := map[ID]bool{}
			for _, v := range versions {
				tv.everyWay(v.ids, v.files)
				for _, id := range v.ids {
					kept[id] = true
				}
			}
			tv.collect()
			info, err := tv.Info(t.Context())
			if err != nil || info.Dead > info.Data*3/10 {
				t.Errorf("info %+v, %v", info, err)
			}
			tv.quiet()
		})
	}
}

// Of a pack that is damaged beyond parity the groups that can be read are saved, and the chunks of those that cannot are lost, no others.
func TestDamagedGroupLosesItsChunksOnly(t *testing.T) {
	tv := newVault(t)
	files := smallFiles(1, 2000, 9000)
	ids := tv.version("v1", files)
	p := tv.packs[0]
	l, _, err := tv.index.find(ids[700])
	if err != nil || l.frame.Group == 0 {
		t.Fatal(l, err)
	}
	block := int(l.frame.Offset)/pack.BlockSize + 1
	lost := IDs{}
	for _, id := range ids {
		l, _, err := tv.index.find(id)
		if err != nil {
			t.Fatal(err)
		}
		if from, to := block*pack.BlockSize, (block+1)*pack.BlockSize; int(l.frame.Offset) < to && int(l.frame.Offset+l.frame.Stored) > from {
			lost[id] = struct{}{}
		}
	}
	h := pack.Header{Shape: p.shape, DataLen: p.data}
	rows := h.ShardBlocks()
	edit(t, tv.packPaths()[0], func(b []byte) []byte {
		parity := h.DataBlocks() + block%rows
		for _, n := range []int{block, parity, parity + rows} {
			clear(b[(int(p.meta)+n)*pack.BlockSize:][:pack.BlockSize])
		}
		return b
	})
	tv.cold()
	r := tv.repair(RepairOptions{})
	if len(r.Salvaged) != 1 || len(lost) < 20 || !maps.Equal(r.Lost, lost) {
		t.Fatalf("salvaged %v, lost %d, want %d", r.Salvaged, len(r.Lost), len(lost))
	}
	for i, id := range ids {
		b, err := tv.Get(t.Context(), id)
		if _, isLost := lost[id]; isLost != errors.Is(err, ErrNotFound) || err == nil && !bytes.Equal(b, files[i]) {
			t.Errorf("chunk %d: lost %v, %v", i, isLost, err)
		}
	}
	again := tv.version("v2", files) // heals it
	tv.everyWay(again, files)
}

// A chunk in a group may take fewer bytes than a seal does. A pack of such is one like any other.
func TestPacksOfTinyChunksAreReadAndMaintained(t *testing.T) {
	for _, enc := range []Encoding{pack.LZ4, pack.Zstd} {
		t.Run(fmt.Sprint(enc), func(t *testing.T) {
			tv := newVault(t)
			var tiny [][]byte
			for i := range 3000 {
				tiny = append(tiny, fmt.Appendf(nil, "%d\n", i))
			}
			tiny = append(tiny, bytes.Repeat([]byte("all our yesterdays "), 500))
			put := func(name string, files [][]byte) []ID {
				w := tv.writer(WriterOptions{Encoding: enc})
				ids := tv.put(w, files)
				if err := errors.Join(w.Commit(t.Context(), key(name), flatRecord(ids)), w.Close()); err != nil {
					t.Fatal(err)
				}
				return ids
			}
			ids := put("v1", tiny)
			most := put("v2", append(tiny[:10:10], tiny[11:]...))
			few := put("v3", tiny[:300])
			look := func() {
				t.Helper()
				tv.clean()
				tv.everyWay(few, tiny[:300])
				tv.reopen()
				if _, err := tv.RebuildIndex(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				tv.everyWay(few, tiny[:300])
				if r := tv.repair(RepairOptions{}); len(r.Problems)+len(r.Lost) > 0 {
					t.Errorf("repaired %+v", r)
				}
			}
			tv.everyWay(ids, tiny)
			look()
			tv.delete("v1")
			if c := tv.collect(); c.Repacked != 0 || c.Dead > 100 {
				t.Errorf("with one of 3001 chunks dead: %+v", c)
			}
			tv.everyWay(most, append(tiny[:10:10], tiny[11:]...))
			tv.delete("v2")
			if c := tv.collect(); c.Repacked != 1 {
				t.Errorf("with most of them dead: %+v", c)
			}
			look()
			tv.quiet()
		})
	}
}

func TestPackHasNoMoreChunksThanItMay(t *testing.T) {
	tv := newVault(t)
	files := make([][]byte, maxPackFrames+5000)
	for i := range files {
		files[i] = fmt.Appendf(nil, "%d", i)
	}
	ids, _ := tv.store("v", WriterOptions{Encoding: pack.LZ4}, files)
	for _, p := range tv.packs {
		if p.frames > maxPackFrames {
			t.Errorf("a pack has %d", p.frames)
		}
	}
	tv.uncached(ids, files)
}
