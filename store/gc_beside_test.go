package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

// A crowd works on one vault at once. Its versions are flat.
type crowd struct {
	t      *testing.T
	v      *Vault
	seed   uint64
	chunks [][]byte
	ids    []ID
	serial atomic.Int64
}

func (c *crowd) rand(who uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, who)) }

// backUp makes versions of some of the chunks: put, or taken over from another version, which may be deleted meanwhile. Some are not
// committed, and some are deleted.
func (c *crowd) backUp(r *rand.Rand, rounds int) {
	for range rounds {
		w, err := c.v.Writer(machine, WriterOptions{Workers: r.IntN(2)})
		if err != nil {
			c.t.Error(err)
			return
		}
		ids := c.takeOver(r)
		for range r.IntN(12) {
			i := r.IntN(len(c.chunks))
			id, _, err := w.Put(c.t.Context(), pack.KindFile, c.chunks[i])
			if err != nil {
				c.t.Error(err)
			}
			ids = append(ids, id)
		}
		k := key(fmt.Sprintf("v%06d", c.serial.Add(1)))
		if r.IntN(4) > 0 {
			if err := w.Commit(c.t.Context(), k, flatRecord(ids)); err != nil {
				c.t.Error(err)
			}
		}
		if err := w.Close(); err != nil {
			c.t.Error(err)
		}
		c.deleteSome(r)
	}
}

// takeOver returns what another version is made of, or nothing.
func (c *crowd) takeOver(r *rand.Rand) (ids []ID) {
	keys := c.v.Versions(machine)
	if len(keys) == 0 || r.IntN(2) == 0 {
		return nil
	}
	k := keys[r.IntN(len(keys))]
	record, err := c.v.Record(c.t.Context(), k)
	if err != nil {
		return nil
	}
	if r.IntN(2) == 0 {
		c.delete(k)
	}
	for id := range slices.Chunk(record, len(ID{})) {
		ids = append(ids, ID(id))
	}
	return ids
}

func (c *crowd) deleteSome(r *rand.Rand) {
	if keys := c.v.Versions(machine); len(keys) > 8 {
		c.delete(keys[r.IntN(len(keys))])
	}
}

func (c *crowd) delete(k VersionKey) {
	if err := c.v.Delete(c.t.Context(), k); err != nil && !errors.Is(err, ErrNotFound) {
		c.t.Error(err)
	}
}

// read reads whole versions. What is not deleted is there.
func (c *crowd) read(r *rand.Rand) {
	keys := c.v.Versions(machine)
	if len(keys) == 0 {
		return
	}
	k := keys[r.IntN(len(keys))]
	record, err := c.v.Record(c.t.Context(), k)
	if errors.Is(err, fs.ErrNotExist) { // it is just being deleted
		return
	}
	for id := range slices.Chunk(record, len(ID{})) {
		if err != nil {
			break
		}
		var b []byte
		if b, err = c.v.Get(c.t.Context(), ID(id)); err == nil && !bytes.Equal(b, c.chunks[slices.Index(c.ids, ID(id))]) {
			err = errors.New("other bytes")
		}
	}
	switch {
	case err == nil:
	case c.v.hasVersion(k):
		c.t.Errorf("version %v: %v", k, err)
	case !errors.Is(err, ErrNotFound):
		c.t.Errorf("deleted version %v: %v", k, err)
	}
}

func TestCollectBesideBackupsAndReaders(t *testing.T) {
	c := &crowd{t: t, seed: newSeed(t), chunks: someChunks(1, 60, 20_000)}
	o := Options{Places: []place.Place{place.NewMem(1)}, Log: slog.New(slog.DiscardHandler), Reserve: 1, Cache: 1}
	v := openNew(t, o)
	c.v, c.ids = v, nil
	for _, b := range c.chunks {
		c.ids = append(c.ids, v.hash.id(b))
	}

	var backups, others sync.WaitGroup
	done := make(chan struct{})
	until := func(step func(r *rand.Rand), who uint64) {
		others.Go(func() {
			for r := c.rand(who); ; step(r) {
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	var sum Collected
	for who := range uint64(3) {
		backups.Go(func() { c.backUp(c.rand(who), 60) })
	}
	until(c.read, 10)
	until(c.read, 11)
	until(func(r *rand.Rand) {
		if r.IntN(8) == 0 {
			if got, err := v.Repair(t.Context(), RepairOptions{Mark: flat}); err != nil || len(got.Lost)+len(got.Problems) > 0 {
				t.Errorf("repair: %+v, %v", got, err)
			}
		}
		got, err := v.Collect(t.Context(), CollectOptions{Mark: flat})
		if err != nil {
			t.Error(err)
		}
		sum.Dropped, sum.Repacked = sum.Dropped+got.Dropped, sum.Repacked+got.Repacked
	}, 12)
	until(func(*rand.Rand) {
		got, err := v.Check(t.Context(), CheckOptions{Mark: flat, ReadData: 0.2})
		if err != nil || len(got.Problems)+len(got.Lost) > 0 {
			t.Errorf("check: %v, %v", got.Problems, err)
		}
	}, 13)
	backups.Wait()
	close(done)
	others.Wait()

	if sum.Dropped == 0 || sum.Repacked == 0 {
		t.Errorf("nothing was collected: %+v", sum)
	}
	for _, k := range v.Versions(machine) {
		if _, err := v.Record(t.Context(), k); err != nil {
			t.Error(err)
		}
		c.delete(k)
	}
	if _, err := v.Collect(t.Context(), CollectOptions{Mark: flat}); err != nil {
		t.Error(err)
	}
	if info, err := v.Info(t.Context()); err != nil || info.Packs != 0 {
		t.Errorf("without versions %d packs stay, %v", info.Packs, err)
	}
}

func openNew(t testing.TB, o Options) *Vault {
	t.Helper()
	if err := Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}
