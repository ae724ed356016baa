package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// branching makes folders of files and folders, some of them hard links to each other.
func branching(t *testing.T, dir string, rnd *rand.Rand, depth int) {
	must(t, os.MkdirAll(dir, 0o755))
	for i := range 1 + rnd.IntN(12) {
		name := fmt.Sprintf("%s/%02d", dir, i)
		switch {
		case depth > 0 && rnd.IntN(2) == 0:
			branching(t, name, rnd, depth-1)
		case rnd.IntN(6) == 0 && os.Link(filepath.Dir(dir)+"/00", name) == nil:
		default:
			write(t, name, strings.Repeat(name, rnd.IntN(50)))
		}
	}
}

// As many walkers as there may be make the version that one makes: of a new tree, and of one that was changed.
func TestAnyNumberOfWalkersMakesTheSameVersion(t *testing.T) {
	one, dir := emptyRig(t)
	many := *one // in one vault, so that equal pages are of one id
	many.o.Instance.ID = strings.Repeat("cd", 16)
	one.o.Walkers, many.o.Walkers = 1, 7
	rnd := rand.New(rand.NewPCG(1, 2))
	hostile(t, dir+"/hostile")
	branching(t, dir+"/tree", rnd, 4)
	for day := range 4 {
		a, b := one.run(), many.run()
		if a.Added != b.Added || a.Changed != b.Changed || a.Deleted != b.Deleted || a.Skipped != b.Skipped || a.ReadBytes != b.ReadBytes {
			t.Errorf("day %d: one walker counts %+v, many %+v", day, a, b)
		}
		want, got := one.entries(a), many.entries(b)
		for path, e := range want {
			if g := got[path]; !identical(&e, &g) {
				t.Errorf("day %d: %q is %+v, want %+v", day, path, g, e)
			}
		}
		if !slices.Equal(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))) {
			t.Errorf("day %d: there are %d entries, want %d", day, len(got), len(want))
		}
		disturb(t, dir+"/tree", rnd)
		branching(t, fmt.Sprintf("%s/tree/%02d-new", dir, day), rnd, 2)
	}
}

// disturb removes, replaces and changes a part of what is below dir.
func disturb(t *testing.T, dir string, rnd *rand.Rand) {
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range list {
		name := filepath.Join(dir, e.Name())
		switch x := rnd.IntN(10); {
		case x == 0:
			must(t, os.RemoveAll(name))
		case x == 1:
			must(t, os.RemoveAll(name))
			branching(t, name, rnd, 1)
		case e.IsDir():
			disturb(t, name, rnd)
		case x == 2:
			write(t, name, "changed")
		}
	}
}

// A capture that is stopped ends with all its walkers, and with why.
func TestStoppedCaptureLeavesNoWalker(t *testing.T) {
	r, dir := emptyRig(t)
	branching(t, dir+"/tree", rand.New(rand.NewPCG(3, 4)), 5)
	for _, after := range []int64{1, 10, 100} {
		ctx, stop := context.WithCancel(t.Context())
		var opens atomic.Int64
		r.o.trace = func(string, string) {
			if opens.Add(1) == after {
				stop()
			}
		}
		if _, err := r.try(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped after %d: %v", after, err)
		}
		if n := opens.Load(); n > after+300*int64(r.o.Walkers) {
			t.Errorf("stopped after %d files, and %d were opened", after, n)
		}
		stop()
	}
	r.o.trace = nil
	compare(t, r, r.run(), dir)
}

// The vault's error is told, whichever walker met it.
func TestErrorOfTheVaultStopsAllWalkers(t *testing.T) {
	r, dir := emptyRig(t)
	branching(t, dir+"/tree", rand.New(rand.NewPCG(5, 6)), 6)
	big := make([]byte, 80<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(big)
	must(t, os.WriteFile(dir+"/tree/00-big", big, 0o600))
	full := errors.New("full")
	r.mem.FailWrites(full)
	if _, err := r.try(t.Context()); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}
