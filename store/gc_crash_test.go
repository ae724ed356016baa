package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

// A gcRun backs up, deletes, collects, is damaged and repairs until the power goes for all its places, and knows what must be there afterwards.
type gcRun struct {
	t      *testing.T
	shape  shape
	away   int // the place that is away while it deletes and collects; -1 for none
	disks  []*place.Mem
	chunks [][]byte
	must   map[string][]int // committed versions, and the chunks they are made of
	may    map[string][]int // those whose commit or deletion was under way
	lost   map[int]bool     // chunks that were damaged beyond repair
	harmed bool             // files were damaged
	begin  int              // operations before the first deletion
	more   int              // versions made after the crash
}

func (c *gcRun) options(disks []*place.Mem) Options {
	o := Options{Log: slog.New(slog.DiscardHandler), Reserve: 1, Survive: c.shape.survive}
	for _, d := range disks {
		o.Places = append(o.Places, d)
	}
	return o
}

func (c *gcRun) open(disks []*place.Mem) (*Vault, error) {
	return Open(c.t.Context(), c.options(disks))
}

// work returns nil when the power stayed on.
func (c *gcRun) work() error {
	if err := Init(c.t.Context(), c.options(c.disks)); err != nil {
		return err
	}
	v, err := c.open(c.disks)
	if err != nil {
		return err
	}
	defer v.Close()
	for i, of := range [][]int{{0, 1, 2, 3}, {2, 3, 4, 5}, {4, 5, 6, 7}, {1, 8, 9}} {
		if err := c.backup(v, fmt.Sprint("v", i), of); err != nil {
			return err
		}
	}
	c.begin = operations(c.disks)
	c.leave(syscall.ESTALE)
	for _, version := range []string{"v0", "v2"} {
		if err := c.delete(v, version); err != nil {
			return err
		}
	}
	if _, err := v.Collect(c.t.Context(), CollectOptions{Mark: flat}); err != nil {
		return err
	}
	if c.leave(nil); c.away >= 0 {
		if err := v.Mend(c.t.Context()); err != nil {
			return err
		}
		if _, err := v.Collect(c.t.Context(), CollectOptions{Mark: flat}); err != nil {
			return err
		}
	}
	c.harm(v)
	_, err = v.Repair(c.t.Context(), RepairOptions{Mark: flat})
	return err
}

// leave has a place go away, or be back for a nil error.
func (c *gcRun) leave(err error) {
	if c.away >= 0 {
		c.disks[c.away].FailReads(err)
		c.disks[c.away].FailWrites(err)
	}
}

func (c *gcRun) backup(v *Vault, version string, of []int) error {
	w, err := v.Writer(machine, WriterOptions{Encoding: pack.LZ4})
	if err != nil {
		return err
	}
	defer w.Close()
	var ids []ID
	for _, i := range of {
		kind := pack.KindFile
		if i%2 == 0 {
			kind = pack.KindTree
		}
		id, _, err := w.Put(c.t.Context(), kind, c.chunks[i])
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	c.may[version] = of
	if err := errors.Join(w.Commit(c.t.Context(), key(version), flatRecord(ids)), dead(c.disks)); err != nil {
		return err
	}
	delete(c.may, version)
	c.must[version] = of
	return nil
}

func (c *gcRun) delete(v *Vault, version string) error {
	c.may[version] = c.must[version]
	delete(c.must, version)
	if err := errors.Join(v.Delete(c.t.Context(), key(version)), dead(c.disks)); err != nil {
		return err
	}
	delete(c.may, version)
	return nil
}

// harm flips a byte in each pack and each record, in one place, and destroys one chunk if there is but one.
func (c *gcRun) harm(v *Vault) {
	if dead(c.disks[:1]) != nil {
		return // perhaps not all places took what they should have
	}
	c.harmed = true
	flip := func(b []byte) []byte { b[pack.BlockSize+7] ^= 1; return b }
	if !v.place.layout().alone() {
		for i, name := range slices.Sorted(slices.Values(namesOf(v))) {
			_ = c.disks[i%len(c.disks)].Damage(name, flip)
		}
		return
	}
	destroyed := -1
	for _, number := range slices.Sorted(maps.Keys(v.packs)) {
		p := v.packs[number]
		change := flip
		if i := c.lastChunk(v, number); destroyed < 0 && i >= 0 && p.data > 3*pack.BlockSize {
			destroyed = i
			l, _, _ := v.locate(v.hash.id(c.chunks[i]))
			change = func(b []byte) []byte {
				clear(b[int(p.meta)*pack.BlockSize+int(l.frame.Offset) : len(b)-int(p.meta)*pack.BlockSize])
				return b
			}
		}
		if c.disks[0].Damage(packName(p.instance, p.id), change) != nil {
			return // the power is gone
		}
	}
	for k := range v.versions {
		_ = c.disks[0].Damage(k.file(), flip)
	}
	if destroyed >= 0 {
		c.lost[destroyed] = true
	}
}

// lastChunk is the last of our chunks in a pack, -1 if there is none.
func (c *gcRun) lastChunk(v *Vault, number uint32) int {
	last, end := -1, uint32(0)
	for i := range c.chunks {
		l, p, err := v.lookUp(v.hash.id(c.chunks[i]))
		if err == nil && p != nil && l.pack == number && l.frame.Offset >= end {
			last, end = i, l.frame.Offset
		}
	}
	return last
}

// namesOf are the names of all packs and records.
func namesOf(v *Vault) (names []string) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, p := range v.packs {
		names = append(names, packName(p.instance, p.id))
	}
	for k := range v.versions {
		names = append(names, k.file())
	}
	return names
}

// crash returns one of the outcomes of cutting the power.
func (c *gcRun) crash() (left []*place.Mem) {
	for _, d := range c.disks {
		left = append(left, d.Crash())
	}
	return left
}

// check opens what a crash left, looks at everything, and goes on.
func (c *gcRun) check(left []*place.Mem) {
	c.t.Helper()
	v, err := c.open(left)
	if err != nil {
		c.t.Errorf("does not open: %v", err)
		return
	}
	defer v.Close()
	c.holds(v)
	for _, step := range []func() error{
		func() error { return c.after(v) },
		func() error { _, err := v.Repair(c.t.Context(), RepairOptions{Mark: flat}); return err },
		func() error { return c.after(v) },
		func() error { _, err := v.Collect(c.t.Context(), CollectOptions{Mark: flat}); return err },
	} {
		if err := step(); err != nil {
			c.t.Errorf("after the crash: %v", err)
		}
	}
	c.holds(v)
	c.clean(v)
}

func (c *gcRun) clean(v *Vault) {
	c.t.Helper()
	checked, err := v.Check(c.t.Context(), CheckOptions{Mark: flat, ReadData: 1})
	if err != nil || len(checked.Problems) > 0 {
		c.t.Errorf("in the end: %v, %v", checked.Problems, err)
	}
	if v.place.layout().alone() {
		return
	}
	s, err := v.survey(c.t.Context())
	if err != nil || len(s.packs) != len(v.known()) {
		c.t.Errorf("%d packs lie in the places, %d are known, %v", len(s.packs), len(v.known()), err)
	}
}

// reopensWithout opens what was brought in order with places missing.
func (c *gcRun) reopensWithout(left []*place.Mem, r *rand.Rand) {
	c.t.Helper()
	some := slices.Clone(left)
	r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	v, err := c.open(some[c.shape.survive:])
	if err != nil {
		c.t.Errorf("does not open with places missing: %v", err)
		return
	}
	defer v.Close()
	c.holds(v)
	checked, err := v.Check(c.t.Context(), CheckOptions{Mark: flat, ReadData: 1})
	if err != nil || len(checked.Problems) != c.shape.survive {
		c.t.Errorf("with places missing: %v, %v", checked.Problems, err)
	}
}

// checkWithout opens what a crash left with places missing, collects, and goes on when they are back.
func (c *gcRun) checkWithout(left []*place.Mem, r *rand.Rand) {
	c.t.Helper()
	some := slices.Clone(left)
	r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	v, err := c.open(some[c.shape.survive:])
	if err != nil {
		c.t.Errorf("does not open with places missing: %v", err)
		return
	}
	c.holds(v)
	if _, err := v.Collect(c.t.Context(), CollectOptions{Mark: flat}); err != nil {
		c.t.Errorf("collect with places missing: %v", err)
	}
	if _, err := v.Repair(c.t.Context(), RepairOptions{Mark: flat}); err != nil {
		c.t.Errorf("repair with places missing: %v", err)
	}
	if err := c.after(v); err != nil {
		c.t.Error(err)
	}
	c.holds(v)
	if err := v.Close(); err != nil {
		c.t.Error(err)
	}
	c.check(left)
}

// after makes a backup that has everything, which heals what is lost.
func (c *gcRun) after(v *Vault) error {
	w, err := v.Writer(machine, WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Close()
	var ids []ID
	for i := range c.chunks {
		id, _, err := w.Put(c.t.Context(), pack.KindFile, c.chunks[i])
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	c.more++
	name := fmt.Sprint("after", c.more)
	return w.Commit(c.t.Context(), key(name), flatRecord(ids))
}

func (c *gcRun) holds(v *Vault) {
	c.t.Helper()
	v.cache = newCache(1)
	there := map[string]bool{}
	for _, k := range v.Versions(machine) {
		there[k.Version] = true
		of, known := c.must[k.Version]
		if !known {
			of = c.may[k.Version]
		}
		if _, err := v.Record(c.t.Context(), k); err != nil && v.Remains(k) { // its deletion may be made up for just now
			c.t.Errorf("record of %s: %v", k.Version, err)
		}
		for _, i := range of {
			b, err := v.Get(c.t.Context(), v.hash.id(c.chunks[i]))
			if (err != nil || !bytes.Equal(b, c.chunks[i])) && !c.lost[i] {
				c.t.Errorf("version %s: chunk %d: %d bytes, %v", k.Version, i, len(b), err)
			}
		}
	}
	for version := range c.must {
		if !there[version] {
			c.t.Errorf("version %s is missing", version)
		}
	}
}

func TestPowerLossInCollectAndRepairLosesNothing(t *testing.T) {
	seed := newSeed(t)
	chunks := someChunks(seed, 10, 30_000)
	run := func(cut int) *gcRun {
		c := &gcRun{
			t: t, shape: shape{1, 0}, away: -1, disks: []*place.Mem{place.NewMem(seed + uint64(cut))}, chunks: chunks,
			must: map[string][]int{}, may: map[string][]int{}, lost: map[int]bool{},
		}
		c.disks[0].CrashAfter(cut)
		if err := c.work(); err != nil && !errors.Is(err, place.ErrCrashed) {
			t.Fatalf("cut after %d operations: %v", cut, err)
		}
		return c
	}
	whole := run(1 << 30)
	tryMoments(t, rand.New(rand.NewPCG(seed, 0)), moments(0, whole.begin, operations(whole.disks)), 5, func(m moment) {
		c := run(m.cut)
		c.check(c.crash())
	})
}

func TestPowerLossInCollectInSeveralPlacesLosesNothing(t *testing.T) {
	seed := newSeed(t)
	chunks := someChunks(seed, 10, 30_000)
	r := rand.New(rand.NewPCG(seed, 0))
	type work struct {
		shape
		away int
	}
	run := func(w work, cut int) *gcRun {
		c := &gcRun{
			t: t, shape: w.shape, away: w.away, chunks: chunks,
			must: map[string][]int{}, may: map[string][]int{}, lost: map[int]bool{},
		}
		power := place.NewPower(cut)
		for i := range w.places {
			c.disks = append(c.disks, place.NewMem(seed+uint64(100*max(cut, 0)+i)))
			c.disks[i].Plug(power)
		}
		err := c.work()
		if err != nil && (cut < 0 || !errors.Is(err, place.ErrCrashed) && !errors.Is(err, ErrMissing)) {
			t.Fatalf("%+v, cut after %d operations: %v", w, cut, err)
		}
		return c
	}
	var works []work
	var all []moment
	for _, s := range several {
		for _, away := range []int{-1, s.places - 1} {
			w := work{s, away}
			whole := run(w, -1)
			all = append(all, moments(len(works), whole.begin, operations(whole.disks))...)
			works = append(works, w)
		}
	}
	tryMoments(t, r, all, 160, func(m moment) {
		c := run(works[m.of], m.cut)
		left := c.crash()
		c.check(left)
		c.reopensWithout(left, r)
		if !c.harmed {
			c.checkWithout(c.crash(), r)
		}
		if t.Failed() {
			t.Logf("%+v", works[m.of])
		}
	})
}
