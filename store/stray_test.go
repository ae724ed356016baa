package store

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"yester/store/pack"
)

// A strayVault is a vault in several places whose records say what their versions are made of.
type strayVault struct{ *spreadVault }

func newStrayVault(t *testing.T) *strayVault {
	t.Helper()
	sv := &strayVault{newSpreadVault(t, shape{3, 1})}
	sv.marker = func(*Vault) Mark { return flat }
	sv.reopen(sv.mems...)
	return sv
}

func (sv *strayVault) commit(version string, of ...int) {
	sv.t.Helper()
	w, err := sv.Writer(machine, WriterOptions{})
	must(sv.t, err)
	var ids []ID
	for _, i := range of {
		id, _, err := w.Put(sv.t.Context(), pack.KindFile, sv.chunks[i])
		must(sv.t, err)
		ids = append(ids, id)
	}
	must(sv.t, errors.Join(w.Commit(sv.t.Context(), key(version), flatRecord(ids)), w.Close()))
}

func (sv *strayVault) collects() Collected {
	sv.t.Helper()
	c, err := sv.Collect(sv.t.Context(), CollectOptions{Mark: flat})
	must(sv.t, err)
	return c
}

func (sv *strayVault) lists(versions ...string) {
	sv.t.Helper()
	var there []string
	for _, k := range sv.Versions(machine) {
		there = append(there, k.Version)
	}
	if !slices.Equal(there, versions) {
		sv.t.Fatalf("there are %v, not %v\n%s", there, versions, sv.log.String())
	}
}

// onlyInLast has the record of v2 lie in the last place only, by a power cut or by way of an old copy of the place.
var onlyInLast = map[string]func(sv *strayVault){
	"never committed": func(sv *strayVault) {
		for _, m := range sv.mems[:2] {
			must(sv.t, m.Remove(sv.t.Context(), key("v2").file()))
		}
	},
	"deleted long ago": func(sv *strayVault) {
		old := contentOf(sv.t, sv.mems[2], key("v2").file())
		must(sv.t, sv.Delete(sv.t.Context(), key("v2")))
		must(sv.t, sv.mems[2].Write(sv.t.Context(), key("v2").file(), old))
	},
}

// A record that comes with a place without what it is made of is no version, and stands in the way of nothing.
func TestRecordWithoutItsChunksIsNotTakenIn(t *testing.T) {
	for name, do := range onlyInLast {
		for _, later := range []bool{false, true} {
			sv := newStrayVault(t)
			sv.commit("v1", 0, 1)
			sv.commit("v2", 2, 3)
			do(sv)
			sv.mems[2].FailReads(syscall.ESTALE)
			sv.reopen(sv.mems...)
			sv.lists("v1")
			if c := sv.collects(); c.Dropped != 1 {
				t.Fatalf("%s: collected %+v", name, c)
			}
			if !later {
				must(t, sv.Close())
			}
			sv.mems[2].FailReads(nil)
			if !later {
				sv.open(sv.mems...)
				sv.lists("v1")
			}
			for range 2 {
				sv.mendAll()
				sv.lists("v1")
				if sv.told(Stray, false) == 0 {
					t.Errorf("%s: told %+v", name, sv.troubles)
				}
				for i, m := range sv.mems {
					if _, err := m.Open(t.Context(), key("v2").file()); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s: it was spread, or not removed, in place %d: %v", name, i, err)
					}
				}
				if sv.someBehind() {
					t.Errorf("%s: there is still something to make up for", name)
				}
				sv.commit("v3", 4, 5)
				must(t, sv.Delete(t.Context(), key("v3")))
				if c := sv.collects(); c.Dropped != 1 || c.Versions != 1 {
					t.Errorf("%s: collected %+v", name, c)
				}
				sv.reopen(sv.mems...)
			}
		}
	}
}

// A record that few places have, and that has all it is made of, is one of the vault's.
func TestRecordInOnePlaceIsTakenInIfWhole(t *testing.T) {
	sv := newStrayVault(t)
	sv.commit("v1", 0, 1)
	sv.commit("v2", 2, 3)
	onlyInLast["never committed"](sv)
	sv.reopen(sv.mems...)
	sv.mendAll()
	sv.lists("v1", "v2")
	sv.whole()

	sv.reopen(sv.mems[0], sv.mems[2])
	sv.commit("v3", 4, 5)
	sv.reopen(sv.mems[0], sv.mems[1]) // too little of it is here
	sv.lists("v1", "v2", "v3")
	sv.mendQuietly()
	sv.lists("v1", "v2", "v3")
	if _, err := sv.mems[1].Open(t.Context(), key("v3").file()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was spread: %v", err)
	}
	if c := sv.collects(); c.Versions != 3 || c.Missing != 2 {
		t.Errorf("collected %+v", c)
	}
	sv.reopen(sv.mems...)
	sv.mendAll()
	sv.lists("v1", "v2", "v3")
	sv.whole()
	if sv.told(Stray, false) > 0 {
		t.Errorf("told %+v", sv.troubles)
	}
}

// newCollectedStray is a vault, closed, with a v1, and a v2 that was never committed and whose record lies in the last place; that was away while its chunks were collected.
func newCollectedStray(t *testing.T) *strayVault {
	t.Helper()
	sv := newStrayVault(t)
	sv.commit("v1", 0, 1)
	sv.commit("v2", 2, 3)
	onlyInLast["never committed"](sv)
	sv.mems[2].FailReads(syscall.ESTALE)
	sv.reopen(sv.mems...)
	sv.collects()
	must(t, sv.Close())
	sv.mems[2].FailReads(nil)
	return sv
}

// What a missing place may have is listed until it comes, and is no version then if it had not.
func TestRecordThatAMissingPlaceMayHaveIsListedUntilItComes(t *testing.T) {
	sv := newCollectedStray(t)
	sv.open(sv.mems[0], sv.mems[2])
	for range 2 {
		sv.lists("v1", "v2")
		if sv.IsStray(key("v1")) || !sv.IsStray(key("v2")) {
			t.Error("the wrong one is to be relied on")
		}
		sv.mendQuietly()
	}
	if _, err := sv.mems[0].Open(t.Context(), key("v2").file()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was spread: %v", err)
	}
	sv.reopen(sv.mems...)
	sv.mendAll()
	sv.lists("v1")
	if sv.told(Stray, false) == 0 {
		t.Errorf("told %+v", sv.troubles)
	}
}

// Who deletes all of an instance need not wait until its records are vouched for: they do not come back.
func TestStraysThatAreListedCanBeDeleted(t *testing.T) {
	sv := newStrayVault(t)
	sv.commit("v1", 0, 1)
	sv.commit("v2", 2, 3)
	onlyInLast["never committed"](sv)
	goOn := make(chan struct{})
	sv.marker = func(*Vault) Mark { <-goOn; return flat }
	sv.reopen(sv.mems...)
	sv.lists("v1")
	sv.ListStrays("another")
	sv.lists("v1")
	sv.ListStrays(machine)
	sv.lists("v1", "v2")
	must(t, sv.Delete(t.Context(), key("v2")))
	close(goOn)
	sv.mendAll()
	sv.lists("v1")
	if _, err := sv.mems[2].Open(t.Context(), key("v2").file()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it came back: %v", err)
	}
}

// A version that is not whole may be deleted before that is found out.
func TestStrayThatIsDeletedWhileItIsVouchedForStaysAway(t *testing.T) {
	sv := newCollectedStray(t)
	asked, goOn := make(chan struct{}), make(chan struct{})
	sv.marker = func(*Vault) Mark {
		return func(ctx context.Context, record []byte, visit Visit) error {
			asked <- struct{}{}
			<-goOn
			return flat(ctx, record, visit)
		}
	}
	sv.open(sv.mems[0], sv.mems[2])
	sv.lists("v1", "v2")
	mended := make(chan struct{})
	go func() {
		defer close(mended)
		sv.mendQuietly()
	}()
	<-asked
	must(t, sv.Delete(t.Context(), key("v2")))
	close(goOn)
	<-mended
	sv.lists("v1")
}
