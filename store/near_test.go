package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

func (v *Vault) nearTables() (n int) {
	for i := range v.near.tables {
		if v.near.tables[i].Load() != nil {
			n++
		}
	}
	return n
}

func TestPackThatIsReadChunkByChunkIsLearnt(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 600, 2000)
	ids := tv.version("v1", chunks)
	few := tv.version("v2", chunks[:100])
	tv.uncached(ids[:nearAfter-1], chunks)
	if n := tv.nearTables(); n != 0 {
		t.Errorf("%d packs learnt after %d chunks", n, nearAfter-1)
	}
	tv.uncached(ids, chunks)
	if n := tv.nearTables(); n != 1 {
		t.Errorf("%d packs learnt", n)
	}
	for i, id := range ids {
		near, ok := tv.near.find(&id)
		index, found, err := tv.index.find(id)
		if !ok || !found || err != nil || near.pack != index.pack || near.num != index.num || near.frame.Offset != index.frame.Offset || near.frame.Stored != index.frame.Stored {
			t.Fatalf("chunk %d: %+v, in the index %+v, %v", i, near, index, err)
		}
	}
	if id := (ID{1}); tv.hasNear(id) {
		t.Error("a chunk that there is not")
	}

	tv.delete("v1")
	if c := tv.collect(); c.Repacked != 1 {
		t.Fatalf("collected %+v", c)
	}
	for range 2 { // the second time from the new pack
		tv.uncached(few, chunks[:100])
	}
	tv.lacks(ids[100:])
	tv.quiet()
}

func (v *Vault) hasNear(id ID) bool {
	_, ok := v.near.find(&id)
	return ok
}

// What was learnt of a pack must not hide that what it has lost lies in another by now.
func TestWhatALearntPackLostIsReadFromElsewhere(t *testing.T) {
	tv, m := memVault(t)
	chunks := someChunks(1, 60, 50_000)
	ids := tv.version("v1", chunks)
	tv.uncached(ids, chunks)
	if n := tv.nearTables(); n != 1 {
		t.Fatalf("%d packs learnt", n)
	}
	p := tv.packs[0]
	if err := m.BadRange(packName(p.instance, p.id), 10*pack.BlockSize, 200*pack.BlockSize); err != nil {
		t.Fatal(err)
	}
	if r := tv.repair(RepairOptions{}); len(r.Lost) == 0 {
		t.Fatalf("repaired %+v", r)
	}
	tv.version("v2", chunks)
	tv.uncached(ids, chunks)
}

// Nor must a pack of which a part cannot be read, and that was kept, hide from who reads without a daemon what was stored again.
func TestWhatAKeptPackLostIsReadFromElsewhere(t *testing.T) {
	for _, size := range []int{500, 50_000} { // in groups, and not
		tv, m := memVault(t)
		chunks := someChunks(1, 60, size)
		ids := tv.version("v1", chunks)
		p := tv.packs[0]
		must(t, m.BadRange(packName(p.instance, p.id), int64(p.meta)*pack.BlockSize, int64(p.data)*2/3))
		if r := tv.repair(RepairOptions{}); len(r.Lost) == 0 {
			t.Fatalf("repaired %+v", r)
		}
		tv.version("v2", chunks)
		for range 5 { // packs are entered in any order
			v, err := Open(t.Context(), Options{Places: []place.Place{m}, ReadOnly: true, Cache: 1, Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			for i, id := range ids {
				if b, err := v.Get(t.Context(), id); err != nil || !bytes.Equal(b, chunks[i]) {
					t.Errorf("chunk %d of at most %d bytes: %d bytes, %v", i, size, len(b), err)
				}
			}
			must(t, v.Close())
		}
	}
}

func TestOnlyPacksThatAreReadOftenAreLearnt(t *testing.T) {
	var n near
	for i := range uint32(10_000) {
		if n.saw(i % 100) {
			t.Fatalf("pack %d, asked for as often as 99 others", i%100)
		}
	}
	learnt := map[uint32]int{}
	for i := range uint32(300) {
		if n.saw(1000 + i%3) {
			learnt[i%3]++
		}
	}
	if !maps.Equal(learnt, map[uint32]int{0: 1, 1: 1, 2: 1}) {
		t.Errorf("learnt %v times", learnt)
	}
	for i := 1; !n.saw(1000); i++ {
		if i == 2*nearAgain {
			t.Fatal("a pack that was replaced is never learnt again")
		}
	}
}

func BenchmarkLocate(b *testing.B) {
	v := benchVault(b)
	w, _ := v.Writer(machine, WriterOptions{Encoding: pack.LZ4})
	var ids []ID
	for i := range 8000 {
		id, _, err := w.Put(b.Context(), pack.KindFile, fmt.Appendf(nil, "chunk %d", i))
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("index", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, p, err := v.lookUp(ids[i%len(ids)]); p == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("near", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, p, err := v.locate(ids[i%len(ids)]); p == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
}
