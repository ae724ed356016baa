package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

// A crashRun makes a vault and works on it until the power goes, and knows what must be there afterwards.
type crashRun struct {
	t    *testing.T
	disk *place.Mem

	chunks [][]byte
	must   map[string][]int // versions whose commit returned, and the chunks they are made of
	may    map[string][]int // versions whose commit or deletion was under way
}

func (c *crashRun) options(disk *place.Mem) Options {
	return Options{Places: []place.Place{disk}, Log: slog.New(slog.DiscardHandler), Reserve: 1}
}

// work returns nil when the disk died.
func (c *crashRun) work() error {
	if err := Init(c.t.Context(), c.options(c.disk)); err != nil {
		return err
	}
	v, err := Open(c.t.Context(), c.options(c.disk))
	if err != nil {
		return err
	}
	defer v.Close()
	for n := range 3 {
		if err := c.backup(v, fmt.Sprintf("v%d", n), []int{n, n + 1, n + 2}); err != nil {
			return err
		}
	}
	c.may["v1"] = c.must["v1"]
	delete(c.must, "v1")
	if err := v.Delete(c.t.Context(), key("v1")); err != nil {
		return err
	}
	delete(c.may, "v1")
	return nil
}

func (c *crashRun) backup(v *Vault, version string, of []int) error {
	w, err := v.Writer(machine, WriterOptions{Encoding: pack.LZ4})
	if err != nil {
		return err
	}
	defer w.Close()
	for _, i := range of {
		kind := pack.KindFile
		if i%2 == 0 {
			kind = pack.KindTree
		}
		if _, _, err := w.Put(c.t.Context(), kind, c.chunks[i]); err != nil {
			return err
		}
	}
	c.may[version] = of
	if err := w.Commit(c.t.Context(), key(version), []byte(version)); err != nil {
		return err
	}
	delete(c.may, version)
	c.must[version] = of
	return nil
}

// check opens what a crash left.
func (c *crashRun) check(disk *place.Mem, initialised bool) {
	c.t.Helper()
	v, err := Open(c.t.Context(), c.options(disk))
	if err != nil {
		if initialised {
			c.t.Errorf("does not open: %v", err)
		}
		return
	}
	defer v.Close()
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
		if record, err := v.Record(c.t.Context(), k); err != nil || string(record) != k.Version {
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
	c.goesOn(v)
}

// goesOn makes one more backup.
func (c *crashRun) goesOn(v *Vault) {
	c.t.Helper()
	if err := c.backup(v, "after", []int{0, 1, 2, 3}); err != nil {
		c.t.Errorf("backup after the crash: %v", err)
	}
	delete(c.must, "after")
}

func TestPowerLossAfterAnyOperationLosesNothing(t *testing.T) {
	seed := newSeed(t)
	chunks := someChunks(1, 8, 30_000)
	run := func(cut int) *crashRun {
		c := &crashRun{t: t, disk: place.NewMem(seed + uint64(cut)), chunks: chunks, must: map[string][]int{}, may: map[string][]int{}}
		c.disk.CrashAfter(cut)
		if err := c.work(); err != nil && !errors.Is(err, place.ErrCrashed) {
			t.Fatalf("cut after %d operations: %v", cut, err)
		}
		return c
	}
	tryMoments(t, rand.New(rand.NewPCG(seed, 0)), moments(0, 1, run(1<<30).disk.Ops()+1), 5, func(m moment) {
		c := run(m.cut)
		initialised := len(c.must)+len(c.may) > 0
		for range 3 {
			c.check(c.disk.Crash(), initialised)
		}
	})
}
