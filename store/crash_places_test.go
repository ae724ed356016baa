package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

// A placesCrash works on a vault in several places until the power goes for all of them at once.
type placesCrash struct {
	t      *testing.T
	shape  shape
	disks  []*place.Mem // the last two are new ones, of which one takes over from the first and one is added
	chunks [][]byte

	must map[string][]int // versions whose commit returned, and the chunks they are made of
	may  map[string][]int // versions whose commit or deletion was under way
	made bool             // Init returned
	born bool             // the new places may be some of the vault's
}

func (c *placesCrash) options(disks []*place.Mem) Options {
	o := Options{Log: slog.New(slog.DiscardHandler), Reserve: 1, Survive: c.shape.survive}
	for _, d := range disks {
		o.Places = append(o.Places, d)
	}
	return o
}

// work returns nil if the power stayed.
func (c *placesCrash) work() error {
	n := c.shape.places
	if err := Init(c.t.Context(), c.options(c.disks[:n])); err != nil {
		return err
	}
	c.made = true
	v, err := Open(c.t.Context(), c.options(c.disks[:n]))
	if err != nil {
		return err
	}
	defer v.Close()
	for i := range 2 {
		if err := c.backup(v, fmt.Sprintf("v%d", i), i, i+1, i+2); err != nil {
			return err
		}
	}
	if err := c.remove(v, "v0"); err != nil {
		return err
	}
	c.born = true
	if err := v.ReplacePlace(c.t.Context(), c.disks[0].String(), c.disks[n], PlaceOptions{}); err != nil {
		return err
	}
	if err := c.backup(v, "v2", 0, 5); err != nil {
		return err
	}
	if err := v.AddPlace(c.t.Context(), c.disks[n+1], PlaceOptions{}); err != nil {
		return err
	}
	return c.remove(v, "v1")
}

func (c *placesCrash) backup(v *Vault, version string, of ...int) error {
	w, err := v.Writer(machine, WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Close()
	for _, i := range of {
		if _, _, err := w.Put(c.t.Context(), pack.KindFile, c.chunks[i]); err != nil {
			return err
		}
	}
	c.may[version] = of
	if err := errors.Join(w.Commit(c.t.Context(), key(version), []byte(version)), dead(c.disks)); err != nil {
		return err
	}
	delete(c.may, version)
	c.must[version] = of
	return nil
}

func (c *placesCrash) remove(v *Vault, version string) error {
	c.may[version] = c.must[version]
	delete(c.must, version)
	if err := errors.Join(v.Delete(c.t.Context(), key(version)), dead(c.disks)); err != nil {
		return err
	}
	delete(c.may, version)
	return nil
}

// check opens what the crash left on some of the disks.
func (c *placesCrash) check(disks []*place.Mem) *Vault {
	c.t.Helper()
	v, err := Open(c.t.Context(), c.options(disks))
	if err != nil {
		if c.made {
			c.t.Errorf("does not open: %v", err)
		}
		return nil
	}
	c.has(v)
	return v
}

// has tells whether the vault has the versions it must have, and no others than it may.
func (c *placesCrash) has(v *Vault) {
	c.t.Helper()
	there := map[string]bool{}
	for _, k := range v.Versions(machine) {
		there[k.Version] = true
		of, must := c.must[k.Version]
		if !must {
			var may bool
			if of, may = c.may[k.Version]; !may {
				c.t.Errorf("version %s is there and was never committed, or was deleted", k.Version)
			}
		}
		if record, err := v.Record(c.t.Context(), k); (err != nil || string(record) != k.Version) && v.Remains(k) { // its deletion may be made up for just now
			c.t.Errorf("record of %s: %q, %v", k.Version, record, err)
		}
		for _, i := range of {
			if b, err := v.Get(c.t.Context(), v.hash.id(c.chunks[i])); err != nil || !bytes.Equal(b, c.chunks[i]) {
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

// goesOn mends and makes one more backup.
func (c *placesCrash) goesOn(v *Vault) {
	c.t.Helper()
	if err := v.Mend(c.t.Context()); err != nil {
		c.t.Errorf("mend after the crash: %v", err)
	}
	c.has(v)
	if err := c.backup(v, "after", 0, 1, 2, 3); err != nil {
		c.t.Errorf("backup after the crash: %v", err)
	}
	c.has(v)
	delete(c.must, "after")
	for _, p := range v.Places(c.t.Context()) {
		if p.Err != nil || p.Behind {
			c.t.Errorf("place after the crash: %+v", p)
		}
	}
}

// crash cuts the power and looks at what is left: on all disks, and on all but as many as may be lost.
func (c *placesCrash) crash(r *rand.Rand) {
	c.t.Helper()
	var left []*place.Mem
	for _, d := range c.disks {
		left = append(left, d.Crash())
	}
	if n := c.shape.places; !c.born {
		left = left[:n]
	}
	c.disks = left
	v := c.check(left)
	if v != nil && !c.made {
		v.Close()
	} else if v != nil {
		c.goesOn(v)
		if err := v.Close(); err != nil {
			c.t.Error(err)
		}
		used := slices.DeleteFunc(left, func(m *place.Mem) bool {
			_, err := seePlace(c.t.Context(), m)
			return err != nil
		})
		r.Shuffle(len(used), func(i, j int) { used[i], used[j] = used[j], used[i] })
		c.may["after"] = []int{0, 1, 2, 3}
		if v := c.check(used[c.shape.survive:]); v != nil {
			v.Close()
		}
		delete(c.may, "after")
	}
}

func TestPowerLossInSeveralPlacesLosesNothing(t *testing.T) {
	seed := newSeed(t)
	chunks := someChunks(1, 8, 20_000)
	r := rand.New(rand.NewPCG(seed, 0))
	shapes := []shape{{2, 1}, {3, 1}, {5, 2}}
	run := func(s shape, cut int) *placesCrash {
		c := &placesCrash{t: t, shape: s, chunks: chunks, must: map[string][]int{}, may: map[string][]int{}}
		power := place.NewPower(cut)
		for i := range s.places + 2 {
			c.disks = append(c.disks, place.NewMem(seed+uint64(100*cut+i)))
			c.disks[i].Plug(power)
		}
		if err := c.work(); err != nil && !errors.Is(err, place.ErrCrashed) && !errors.Is(err, ErrMissing) {
			t.Fatalf("%v, cut after %d operations: %v", s, cut, err)
		}
		return c
	}
	var all []moment
	for i, s := range shapes {
		all = append(all, moments(i, 1, operations(run(s, 1<<30).disks)+1)...)
	}
	tryMoments(t, r, all, 90, func(m moment) { run(shapes[m.of], m.cut).crash(r) })
}

// dead is place.ErrCrashed if the power is gone. With it would go whoever was just told that something is done, since enough places did it
// before: who looks whether that holds must not believe it.
func dead(disks []*place.Mem) error {
	for _, d := range disks {
		if _, err := d.List(context.Background(), ""); errors.Is(err, place.ErrCrashed) {
			return err
		}
	}
	return nil
}

// operations is how many there were on all disks.
func operations(disks []*place.Mem) (n int) {
	for _, d := range disks {
		n += d.Ops()
	}
	return n
}

// A place that takes over and has everything, but was not told so before the power went, is told when the vault is open again.
func TestPowerLossAtTheEndOfReplacingIsMadeUp(t *testing.T) {
	seed := newSeed(t)
	const window = 40 // operations, in which all the packs are written and vault.json is not
	run := func(cut int) (disks []*place.Mem) {
		c := &placesCrash{t: t, shape: shape{3, 1}, chunks: someChunks(1, 8, 20_000), must: map[string][]int{}, may: map[string][]int{}}
		power := place.NewPower(cut)
		for i := range 4 {
			c.disks = append(c.disks, place.NewMem(seed+uint64(100*cut+i)))
			c.disks[i].Plug(power)
		}
		if err := Init(t.Context(), c.options(c.disks[:3])); err != nil {
			t.Fatal(err)
		}
		v, err := Open(t.Context(), c.options(c.disks[:3]))
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if err := c.backup(v, "v0", 0, 1, 2); err != nil {
			t.Fatal(err)
		}
		_ = v.ReplacePlace(t.Context(), c.disks[0].String(), c.disks[3], PlaceOptions{})
		return c.disks
	}
	end := operations(run(1 << 30))
	for cut := end - window; cut <= end; cut++ {
		var left []*place.Mem
		for _, d := range run(cut) {
			left = append(left, d.Crash())
		}
		v, err := Open(t.Context(), (&placesCrash{shape: shape{3, 1}}).options(left))
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Mend(t.Context()); err != nil {
			t.Error(err)
		}
		for _, p := range v.Places(t.Context()) {
			if p.Err != nil || p.Behind || p.Replaces {
				t.Errorf("cut %d operations before the end: %+v", end-cut, p)
			}
		}
		v.Close()
	}
}
