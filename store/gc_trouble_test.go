package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"syscall"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

func memVault(t *testing.T) (*testVault, *place.Mem) {
	m := place.NewMem(1)
	o := Options{Places: []place.Place{m}, Log: slog.New(slog.DiscardHandler), Reserve: 1, Cache: 1}
	return &testVault{Vault: openNew(t, o), t: t}, m
}

func TestCollectGivesBackSpaceOnAFullDisk(t *testing.T) {
	tv, m := memVault(t)
	chunks := someChunks(1, 60, 50_000)
	tv.version("v1", chunks[:30])
	ids := tv.version("v2", chunks[30:40])
	tv.delete("v1")
	free, total, err := m.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.SetCapacity(total - free)
	c := tv.collect()
	if c.Dropped != 1 || c.Freed <= 0 {
		t.Errorf("collected %+v", c)
	}
	tv.uncached(ids, chunks[30:40])
}

func TestCollectWithoutRoomToRepackDropsWhatItCan(t *testing.T) {
	tv, m := memVault(t)
	chunks := someChunks(1, 60, 50_000)
	tv.version("v1", chunks)
	ids := tv.version("v2", chunks[:20])
	tv.delete("v1")
	m.SetCapacity(1)
	c, err := tv.Collect(t.Context(), CollectOptions{Mark: flat})
	if !errors.Is(err, ErrNoSpace) || c.Repacked != 0 || c.Dead == 0 {
		t.Errorf("collected %+v, %v", c, err)
	}
	m.SetCapacity(0)
	if c := tv.collect(); c.Repacked != 1 {
		t.Errorf("collected %+v", c)
	}
	tv.uncached(ids, chunks[:20])
}

// A sector that cannot be read today may be read tomorrow: the file stays, and what else it has is moved to safety.
func TestRepairKeepsWhatTheMediumHolds(t *testing.T) {
	tv, m := memVault(t)
	chunks := someChunks(1, 60, 50_000)
	ids := tv.version("v1", chunks)
	p := tv.packs[0]
	name := packName(p.instance, p.id)
	if err := m.BadRange(name, 10*pack.BlockSize, 200*pack.BlockSize); err != nil {
		t.Fatal(err)
	}
	lost := tv.check(CheckOptions{ReadData: 1}).Lost
	r := tv.repair(RepairOptions{})
	if len(lost) == 0 || len(r.Lost) != len(lost) || len(lost) == len(chunks) || len(r.Salvaged) != 1 || len(r.Problems) != 2 {
		t.Errorf("%d lost, repaired %+v", len(lost), r)
	}
	for i, id := range ids {
		if !lost.Has(id) {
			tv.uncached(ids[i:i+1], chunks[i:i+1])
		}
	}
	tv.version("v2", chunks)
	tv.uncached(ids, chunks)
	if n, err := tv.RebuildIndex(t.Context(), nil); err != nil || n != 3 {
		t.Errorf("%d packs, %v", n, err)
	}
	if r := tv.repair(RepairOptions{}); len(r.Lost) > 0 {
		t.Errorf("repaired again: %+v", r)
	}
	tv.uncached(ids, chunks)
	if c := tv.collect(); c.Dropped != 1 {
		t.Errorf("collected %+v", c)
	}
	tv.uncached(ids, chunks)
	tv.clean()
}

// An ailing place lets nothing of its packs be read. Writing to it calls wake first.
type ailing struct {
	*place.Mem
	whole map[string][]byte
	wake  func()
}

func (p *ailing) ail(t *testing.T, tv *testVault) {
	p.whole = map[string][]byte{}
	for _, k := range tv.packs {
		name := packName(k.instance, k.id)
		p.whole[name] = contentOf(t, p.Mem, name)
		must(t, p.BadRange(name, 0, int64(len(p.whole[name]))))
	}
	tv.cold()
}

func (p *ailing) recover(t *testing.T) {
	for name, b := range p.whole {
		must(t, p.Mem.Write(t.Context(), name, b))
	}
}

func (p *ailing) Write(ctx context.Context, name string, parts ...[]byte) error {
	if p.wake != nil {
		p.wake()
	}
	return p.Mem.Write(ctx, name, parts...)
}

// While the disk does not answer, but for what the kernel has of it, no repair takes its packs for lost.
func TestRepairBelievesNoDiskThatIsSilent(t *testing.T) {
	chunks := someChunks(1, 60, 50_000)
	for _, soon := range []bool{false, true} {
		a := &ailing{Mem: place.NewMem(1)}
		o := Options{Places: []place.Place{a}, Log: slog.New(slog.DiscardHandler), Reserve: 1, Cache: 1}
		tv := &testVault{Vault: openNew(t, o), t: t}
		ids := tv.version("v1", chunks[:30])
		ids = append(ids, tv.version("v2", chunks[30:])...)
		a.ail(t, tv)
		if soon {
			a.wake = func() { a.recover(t); a.wake = nil }
			if r := tv.repair(RepairOptions{}); len(r.Lost)+len(r.Problems)+len(r.Salvaged) > 0 || r.Packs != 2 {
				t.Errorf("repaired %+v", r)
			}
		} else {
			a.FailWrites(syscall.EIO)
			if r, err := tv.Repair(t.Context(), RepairOptions{Mark: flat}); !errors.Is(err, syscall.EIO) || r.Packs != 1 || len(r.Lost) > 0 {
				t.Errorf("repaired %+v, %v", r, err)
			}
			a.FailWrites(nil)
			a.recover(t)
		}
		tv.cold()
		tv.uncached(ids, chunks)
		tv.clean()
	}
}

// A file that cannot be read at all on a disk that answers is lost, and a later backup heals that, or that it can be read again one day.
func TestRepairGivesUpASilentPack(t *testing.T) {
	chunks := someChunks(1, 60, 50_000)
	for _, again := range []bool{false, true} {
		tv, m := memVault(t)
		ids := tv.version("v1", chunks)
		a := &ailing{Mem: m}
		a.ail(t, tv)
		for range 3 {
			if r := tv.repair(RepairOptions{}); len(r.Lost) != len(chunks) || len(r.Salvaged) != 1 {
				t.Errorf("repaired %+v", r)
			}
		}
		if again {
			tv.version("v2", chunks)
			tv.uncached(ids, chunks)
			continue
		}
		if len(tv.packs) != 1 {
			t.Fatalf("%d packs are known", len(tv.packs))
		}
		a.recover(t)
		if _, err := tv.RebuildIndex(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		tv.uncached(ids, chunks)
	}
}

// What a backup found stored, or stored itself, and a repair then takes for lost, does not come into its version as if it were there.
func TestBackupDoesNotCountOnWhatARepairLost(t *testing.T) {
	for name, harm := range map[string]func(m *place.Mem, file string, at, n int64) error{
		"a damaged pack that goes": func(m *place.Mem, file string, at, n int64) error {
			return m.Damage(file, func(b []byte) []byte { clear(b[at : at+n]); return b })
		},
		"a bad medium": (*place.Mem).BadRange,
	} {
		t.Run(name, func(t *testing.T) {
			tv, m := memVault(t)
			chunks := someChunks(1, 60, 50_000)
			tv.version("v1", chunks[:30])
			finds, others, puts := tv.writer(WriterOptions{}), tv.writer(WriterOptions{}), tv.writer(WriterOptions{})
			tv.put(finds, chunks[7:11])
			tv.put(others, [][]byte{chunks[0], chunks[28]})
			tv.put(puts, chunks[30:60])
			must(t, puts.Flush(t.Context()))
			for _, i := range []int{7, 40} {
				l, p, err := tv.lookUp(tv.hash.id(chunks[i]))
				must(t, err)
				must(t, harm(m, packName(p.instance, p.id), int64(p.meta)*pack.BlockSize+int64(l.frame.Offset), 40*pack.BlockSize))
			}
			tv.cold()
			if r := tv.repair(RepairOptions{}); len(r.Salvaged) != 2 || !r.Lost.Has(tv.hash.id(chunks[7])) {
				t.Errorf("repaired %+v", r)
			}
			for i, w := range []*Writer{finds, puts} {
				if err := w.Commit(t.Context(), key(fmt.Sprint("v", 2+i)), nil); !errors.Is(err, ErrLost) {
					t.Errorf("committed without what was lost: %v", err)
				}
			}
			must(t, errors.Join(others.Commit(t.Context(), key("v4"), nil), finds.Close(), puts.Close(), others.Close()))
			again := tv.writer(WriterOptions{})
			tv.put(again, chunks)
			must(t, errors.Join(again.Commit(t.Context(), key("v5"), flatRecord(idsAt(tv, chunks))), again.Close()))
			tv.uncached(idsAt(tv, chunks), chunks)
			if len(tv.holding.doubted) > 0 {
				t.Errorf("%d chunks are still doubted", len(tv.holding.doubted))
			}
		})
	}
}

// What was lost and is stored again before the commit is no loss.
func TestBackupCountsOnWhatIsStoredAgain(t *testing.T) {
	tv, m := memVault(t)
	chunks := someChunks(1, 30, 50_000)
	ids := tv.version("v1", chunks)
	w := tv.writer(WriterOptions{})
	tv.put(w, chunks)
	p := tv.packs[0]
	must(t, m.Damage(packName(p.instance, p.id), func(b []byte) []byte { clear(b[100*pack.BlockSize : 140*pack.BlockSize]); return b }))
	tv.cold()
	if r := tv.repair(RepairOptions{}); len(r.Lost) == 0 {
		t.Errorf("repaired %+v", r)
	}
	tv.version("v2", chunks)
	must(t, errors.Join(w.Commit(t.Context(), key("v3"), flatRecord(ids)), w.Close()))
	tv.uncached(ids, chunks)
}

// Nor on what a rebuilt index has in no pack.
func TestBackupDoesNotCountOnWhatARebuildFindsNowhere(t *testing.T) {
	tv, _ := memVault(t)
	chunks := someChunks(1, 10, 50_000)
	tv.version("v1", chunks[:5])
	l, _, err := tv.lookUp(tv.hash.id(chunks[0]))
	must(t, err)
	l.frame.Chunk = tv.hash.id(chunks[7])
	must(t, tv.index.enterChunk(l))
	w := tv.writer(WriterOptions{})
	ids := tv.put(w, chunks)
	if _, err := tv.RebuildIndex(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), key("v2"), flatRecord(ids)); !errors.Is(err, ErrLost) {
		t.Errorf("committed without what was lost: %v", err)
	}
	must(t, w.Close())
}

// Nor on what is lost, and found where it was for a moment longer.
func TestBackupDoesNotCountOnWhatIsStillFoundWhereItWasLost(t *testing.T) {
	tv, _ := memVault(t)
	chunks := someChunks(1, 10, 50_000)
	tv.version("v1", chunks[:5])
	w := tv.writer(WriterOptions{})
	ids := tv.put(w, chunks)
	l, _, err := tv.lookUp(ids[0])
	must(t, err)
	tv.doubt([]location{l})
	if err := w.Commit(t.Context(), key("v2"), flatRecord(ids)); !errors.Is(err, ErrLost) {
		t.Errorf("committed without what was lost: %v", err)
	}
	must(t, w.Close())
}

// A pack that cannot be read keeps a repair of a full disk from no other pack.
func TestRepairOfAFullDiskGoesOn(t *testing.T) {
	tv, m := memVault(t)
	chunks := someChunks(1, 60, 50_000)
	ids := tv.version("v1", chunks[:30])
	a := &ailing{Mem: m}
	a.ail(t, tv)
	tv.version("v2", chunks[30:])
	m.SetCapacity(1)
	r := tv.repair(RepairOptions{})
	if r.Packs != 2 || len(r.Problems) != 1 || !errors.Is(r.Problems[0].Err, ErrNoSpace) || len(r.Lost)+len(r.Salvaged) > 0 {
		t.Errorf("repaired %+v", r)
	}
	m.SetCapacity(0)
	a.recover(t)
	tv.uncached(ids, chunks[:30])
	tv.clean()
}

func TestDamagedPacksAreKeptByCollect(t *testing.T) {
	for name, h := range mishaps {
		if name == "a record" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			chunks := someChunks(1, 60, 50_000)
			tv.version("v1", chunks)
			ids := tv.version("v2", chunks[55:])
			tv.delete("v1")
			h.do(t, tv, tv.packPaths()[0])
			tv.cold()
			got := map[ID]bool{}
			for i, id := range ids {
				b, err := tv.Get(t.Context(), id)
				got[id] = err == nil && string(b) == string(chunks[55+i])
			}
			c := tv.collect()
			if c.Repacked+c.Kept != 1 {
				t.Errorf("collected %+v", c)
			}
			tv.cold()
			for _, id := range ids {
				if _, err := tv.Get(t.Context(), id); (err == nil) != got[id] {
					t.Errorf("could be read before: %v; now: %v", got[id], err)
				}
			}
		})
	}
}

// Of a pack that is too damaged to be moved as a whole, what was moved is relied on where it is now.
func TestCollectSparesWhatAnOpenWriterFoundInADamagedPack(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 30, 50_000)
	tv.version("v1", chunks)
	lost := tv.version("v2", chunks[25:27])
	tv.delete("v1")
	w := tv.writer(WriterOptions{})
	ids := tv.put(w, chunks[2:6])
	l, p, err := tv.lookUp(lost[0])
	if err != nil {
		t.Fatal(err)
	}
	at := int(p.meta)*pack.BlockSize + int(l.frame.Offset)
	blank(t, tv.packPaths()[0], at, at+20*pack.BlockSize)
	tv.cold()
	if c := tv.collect(); c.Kept != 1 {
		t.Errorf("collected %+v", c)
	}
	tv.delete("v2")
	tv.holding.deleted = nil // it would be held for the writer, and all of it marked
	tv.collect()
	if err := errors.Join(w.Commit(t.Context(), key("v3"), flatRecord(ids)), w.Close()); err != nil {
		t.Fatal(err)
	}
	tv.uncached(ids, chunks[2:6])
	tv.collect()
	tv.uncached(ids, chunks[2:6])
}

// markedChunks is how many chunks the vault of BenchmarkMark has.
const markedChunks = 1_000_000

// BenchmarkMark measures the time and the memory of marking a million chunks in packs of 256, each of which is looked at twice.
func BenchmarkMark(b *testing.B) {
	v := openNew(b, Options{Places: []place.Place{place.NewMem(1)}, IndexDir: b.TempDir() + "/index", Log: slog.New(slog.DiscardHandler), Reserve: 1})
	var id ID
	number := func(n int) ID {
		id[0], id[1], id[2] = byte(n), byte(n>>8), byte(n>>16)
		return id
	}
	for first := 0; first < markedChunks; first += 256 {
		frames := make([]pack.Frame, 256)
		for i := range frames {
			frames[i] = pack.Frame{Chunk: number(first + i), Kind: pack.KindFile, Stored: 16, Offset: uint32(16 * i)}
		}
		if _, err := v.enterPack(&packInfo{data: 256 * 16, frames: 256, instance: machine}, frames, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		before := heap()
		c := v.beginCollection(CollectOptions{})
		for n := range 2 * markedChunks {
			if _, err := c.visit(context.Background(), number(n%markedChunks)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before), "B-held")
		if c.marks[0].live != 256*16 {
			b.Error("not marked")
		}
		v.endCollection()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(2*markedChunks), "ns/chunk")
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
