package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

// A copied is a vault in one place, in which a pack was kept because its medium does not let all of it be read. A later backup stored again what was lost there.
type copied struct {
	*testVault
	mem    *watched
	ids    []ID
	chunks [][]byte

	kept, again *packInfo // the pack, and the one that has the chunks since
	lost        []location
}

// A watched place tells of each read.
type watched struct {
	*place.Mem
	read func(name string, off int64)
}

type watchedFile struct {
	place.File
	in   *watched
	name string
}

func (p *watched) Open(ctx context.Context, name string) (place.File, error) {
	f, err := p.Mem.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return watchedFile{f, p, name}, nil
}

func (f watchedFile) ReadAt(b []byte, off int64) (int, error) {
	if f.in.read != nil {
		f.in.read(f.name, off)
	}
	return f.File.ReadAt(b, off)
}

func newCopied(t *testing.T) *copied {
	m := &watched{Mem: place.NewMem(1)}
	tv := &testVault{Vault: openNew(t, Options{Places: []place.Place{m}, Log: slog.New(slog.DiscardHandler), Reserve: 1, Cache: 1}), t: t}
	t.Cleanup(func() {
		if err := tv.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &copied{testVault: tv, mem: m, chunks: someChunks(1, 60, 50_000)}
	c.ids = tv.version("v1", c.chunks)
	c.kept = tv.packs[0]
	must(t, m.BadRange(packName(c.kept.instance, c.kept.id), 10*pack.BlockSize, 200*pack.BlockSize))
	lost := tv.repair(RepairOptions{}).Lost
	tv.version("v2", c.chunks)
	frames, err := tv.tableOf(t.Context(), c.kept)
	must(t, err)
	for i, f := range frames {
		if lost.Has(f.Chunk) {
			c.lost = append(c.lost, location{num: uint32(i), frame: f})
		}
	}
	if _, c.again, err = tv.lookUp(c.lost[0].frame.Chunk); err != nil || len(c.lost) < 2 || c.again == c.kept {
		t.Fatalf("%d chunks are lost, and found in pack %+v, %v", len(c.lost), c.again, err)
	}
	c.uncached(c.ids, c.chunks)
	return c
}

// number returns the number that a pack has now.
func (c *copied) number(p *packInfo) uint32 {
	for number, q := range c.packs {
		if q.id == p.id {
			return number
		}
	}
	c.t.Fatalf("pack %v is gone", p.id)
	return 0
}

func TestOfTwoCopiesThatCanBeReadIsFound(t *testing.T) {
	c := newCopied(t)
	s, err := c.survey(t.Context())
	must(t, err)
	for range 8 { // the packs are entered in any order
		must(t, c.rebuild(t.Context(), s.packs))
		c.uncached(c.ids, c.chunks)
	}
	for _, first := range []pack.ID{c.again.id, c.kept.id} {
		must(t, c.rebuild(t.Context(), map[pack.ID]packSeen{first: s.packs[first]}))
		must(t, c.reconcileWith(t.Context(), s))
		c.uncached(c.ids, c.chunks)
	}
	must(t, c.index.removeChunks(c.number(c.again), c.ids))
	if _, err := c.RebuildIndex(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, l := range c.lost { // near would know where they lay before
		if _, p, err := c.lookUp(l.frame.Chunk); err != nil || p.id != c.again.id {
			t.Errorf("chunk %v is found in pack %v, %v", l.frame.Chunk, p.id, err)
		}
	}
}

// tables is up to where, from its front, a pack is read for its table.
const tables = 16 * pack.BlockSize

// The medium is asked once for what it does not let be read of a pack, and not for each chunk.
func TestPackThatCannotBeReadIsTriedOnce(t *testing.T) {
	c := newCopied(t)
	s, err := c.survey(t.Context())
	must(t, err)
	bad := 0
	c.mem.read = func(name string, off int64) {
		if name == packName(c.kept.instance, c.kept.id) && off >= tables && off < 200*pack.BlockSize {
			bad++
		}
	}
	for _, first := range []pack.ID{c.again.id, c.kept.id} {
		bad = 0
		must(t, c.rebuild(t.Context(), map[pack.ID]packSeen{first: s.packs[first]}))
		must(t, c.reconcileWith(t.Context(), s))
		if bad > 1 {
			t.Errorf("it is asked %d times", bad)
		}
	}
	bad = 0
	c.foundInKept(0)
	if _, err := c.RebuildIndex(t.Context(), nil); err != nil || bad > 1 {
		t.Errorf("it is asked %d times, %v", bad, err)
	}
	c.mem.read = nil
	c.uncached(c.ids, c.chunks)
}

// A backup that begins while the index is made anew, and finds a chunk where it cannot be read, relies on it where it is found from then on.
func TestBackupBesideRebuildReliesOnTheCopyThatIsFound(t *testing.T) {
	c := newCopied(t)
	c.foundInKept(0)
	var w *Writer
	c.mem.read = func(name string, off int64) {
		if name == packName(c.again.instance, c.again.id) && off >= tables && w == nil {
			w = c.writer(WriterOptions{})
			c.put(w, c.chunks)
		}
	}
	if _, err := c.RebuildIndex(t.Context(), nil); err != nil || w == nil {
		t.Fatalf("writer %v, %v", w, err)
	}
	c.mem.read = nil
	c.delete("v1")
	c.delete("v2")
	c.holding.deleted = nil // they would be held for the writer, and all of them marked
	c.collect()
	must(t, errors.Join(w.Commit(t.Context(), key("v3"), flatRecord(c.ids)), w.Close()))
	c.uncached(c.ids, c.chunks)
}

// A new index can be broken off while it looks which copies can be read, and is no broken one then.
func TestChoiceOfCopiesIsBrokenOff(t *testing.T) {
	c := newCopied(t)
	s, err := c.survey(t.Context())
	must(t, err)
	must(t, c.rebuild(t.Context(), map[pack.ID]packSeen{c.kept.id: s.packs[c.kept.id]}))
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	c.mem.read = func(_ string, off int64) {
		if off >= tables && off < int64(c.again.data) {
			cancel()
			reads++
		}
	}
	err = c.reconcileWith(ctx, s)
	if !errors.Is(err, context.Canceled) || errors.Is(err, errIndex) || reads > 4 {
		t.Errorf("%d reads, %v", reads, err)
	}
	c.mem.read = nil
	must(t, c.reconcileWith(t.Context(), s))
	c.uncached(c.ids, c.chunks)
}

// What goes is never the only copy that can be read, whatever the index says.
func TestCopyThatCanBeReadStays(t *testing.T) {
	for _, work := range []func(*copied){
		func(c *copied) { c.collect() },
		func(c *copied) { must(t, c.AddPlace(t.Context(), place.NewMem(2), PlaceOptions{})) },
	} {
		for _, few := range []int{0, 1} {
			c := newCopied(t)
			c.foundInKept(few)
			work(c)
			c.uncached(c.ids, c.chunks)
		}
	}
}

// foundInKept has the index say of what was lost, but for some, that it lies where it cannot be read, as one of before would.
func (c *copied) foundInKept(but int) {
	for _, l := range c.lost[but:] {
		l.pack = c.number(c.kept)
		must(c.t, c.index.enterChunk(l))
	}
}

// What a backup under way relies on and cannot be read where it is found does not go from where it can.
func TestCopyThatABackupNeedsStays(t *testing.T) {
	c := newCopied(t)
	c.foundInKept(0)
	c.delete("v1")
	c.delete("v2")
	w := c.writer(WriterOptions{})
	ids := c.put(w, c.chunks)
	c.collect()
	must(t, errors.Join(w.Commit(t.Context(), key("v3"), flatRecord(ids)), w.Close()))
	c.uncached(ids, c.chunks)
	c.collect()
	c.uncached(ids, c.chunks)
}

// What nobody needs keeps no pack, whether it can be read or not.
func TestCopiesThatNobodyNeedsGo(t *testing.T) {
	c := newCopied(t)
	c.delete("v1")
	c.delete("v2")
	must(t, c.mem.BadRange(packName(c.again.instance, c.again.id), int64(c.again.meta)*pack.BlockSize, int64(c.again.data)+40*pack.BlockSize))
	c.cold()
	if r := c.collect(); r.Kept > 0 || len(c.packs) > 0 {
		t.Errorf("collected %+v", r)
	}
}

// A passage is a limiter that counts the bytes that pass.
type passage struct{ bytes int }

func (p *passage) WaitN(ctx context.Context, n int) error {
	p.bytes += n
	return ctx.Err()
}

// The copy of each chunk of a group is looked at when a pack goes, and the group is read once for all of them.
func TestGroupsAreTriedOnce(t *testing.T) {
	tv, _ := memVault(t)
	files := smallFiles(1, 60, 1000)
	w1, w2 := tv.writer(WriterOptions{Encoding: pack.Zstd}), tv.writer(WriterOptions{Encoding: pack.Zstd})
	ids := tv.put(w1, files)
	tv.put(w2, files)
	must(t, errors.Join(w1.Commit(t.Context(), key("v1"), flatRecord(ids)), w2.Commit(t.Context(), key("v2"), flatRecord(ids)), w1.Close(), w2.Close()))
	if in, groups := tv.whereabouts(ids); in != len(files) || groups != 1 || len(tv.packs) != 2 {
		t.Fatalf("%d chunks in %d groups, %d packs", in, groups, len(tv.packs))
	}
	at, p, err := tv.lookUp(ids[0])
	must(t, err)
	frames, err := tv.tableOf(t.Context(), p)
	must(t, err)
	var passed passage
	m := &mover{v: tv.Vault, limiter: &passed}
	if wanted, err := m.foundIn(t.Context(), at.pack+1, frames); err != nil || !wanted.within(nil) || passed.bytes != int(at.frame.Stored) {
		t.Errorf("%d bytes of a group of %d are read, wanted %v, %v", passed.bytes, at.frame.Stored, wanted, err)
	}
	passed.bytes = 0
	c, err := tv.Collect(t.Context(), CollectOptions{Mark: flat, Limiter: &passed})
	if want := int(p.meta)*pack.BlockSize + int(at.frame.Stored); err != nil || c.Dropped != 1 || passed.bytes != want {
		t.Errorf("%d bytes are read, not %d, collected %+v, %v", passed.bytes, want, c, err)
	}
	tv.uncached(ids, files)
}

// Two packs that were given each other's names count as lost, and are found when each has its own again.
func TestRepairKeepsPacksUnderOthersNames(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 40, 50_000)
	ids := append(tv.version("v1", chunks[:20]), tv.version("v2", chunks[20:])...)
	swap := func() {
		one, two := tv.packPaths()[0], tv.packPaths()[1]
		must(t, errors.Join(os.Rename(one, one+"aside"), os.Rename(two, one), os.Rename(one+"aside", two)))
		tv.cold()
	}
	swap()
	for range 2 {
		if r := tv.repair(RepairOptions{}); len(r.Lost) != len(chunks) || len(tv.packPaths()) != 2 {
			t.Errorf("repaired %+v", r)
		}
		tv.collectNothing()
		tv.reopen()
	}
	swap()
	if _, err := tv.RebuildIndex(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	tv.uncached(ids, chunks)
	tv.clean()
}

// collectNothing collects where nothing may go.
func (tv *testVault) collectNothing() {
	tv.t.Helper()
	before := tv.packPaths()
	_, err := tv.Collect(tv.t.Context(), CollectOptions{Mark: flat})
	if after := tv.packPaths(); !slices.Equal(before, after) {
		tv.t.Errorf("%d packs were there, %d are, %v", len(before), len(after), err)
	}
}
