package store

import (
	"context"
	"fmt"
	"path"
	"strings"
	"syscall"
	"testing"

	"yester/store/place"
)

// A deletion that failed half-way is made up for as one.
func TestDeletionThatFailedHalfWayIsCompleted(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2)
	sv.backup("v2", 3, 4)
	gone := make(chan VersionKey, 10)
	defer sv.Watch(func(k VersionKey, there bool) {
		if !there {
			gone <- k
		}
	})()
	halfDeleted["gone from one place"](sv)
	sv.mend.later.Store(true)
	sv.mendAll()
	if sv.left.Load() != 1 {
		t.Errorf("leave to delete it was given back %d times", sv.left.Load())
	}
	delete(sv.versions, "v1")
	sv.holds()
	select {
	case k := <-gone:
		if k != key("v1") {
			t.Errorf("%v is gone", k)
		}
	default:
		t.Error("nobody is told")
	}
	sv.collect()
	sv.holds()
	sv.whole()
}

// halfDeleted are ways in which the deletion of v1 may have failed.
var halfDeleted = map[string]func(sv *spreadVault){
	"noted in every place": func(sv *spreadVault) {
		for _, m := range sv.mems {
			must(sv.t, m.Write(sv.t.Context(), stone(key("v1").file())))
		}
	},
	"gone from one place": func(sv *spreadVault) {
		for _, m := range sv.mems {
			must(sv.t, m.Write(sv.t.Context(), stone(key("v1").file())))
		}
		must(sv.t, sv.mems[len(sv.mems)-1].Remove(sv.t.Context(), key("v1").file()))
	},
}

func TestDeletionThatFailedHalfWayIsCompletedAfterARestart(t *testing.T) {
	for name, fail := range halfDeleted {
		t.Run(name, func(t *testing.T) {
			sv := newSpreadVault(t, shape{3, 1})
			sv.backup("v1", 0, 1, 2)
			sv.backup("v2", 3, 4)
			fail(sv)
			sv.reopen(sv.mems...)
			sv.mendAll()
			delete(sv.versions, "v1")
			sv.holds()
			if c := sv.collect(); c.Dropped != 1 {
				t.Errorf("collected %+v", c)
			}
			sv.whole()
		})
	}
}

// A version that is needed after all is listed after a restart too, stays, as whole as any, and does not go when it is not needed any more.
func TestDeletionThatFailedHalfWayIsOffIfTheVersionIsNeeded(t *testing.T) {
	for name, fail := range halfDeleted {
		t.Run(name, func(t *testing.T) {
			sv := newSpreadVault(t, shape{3, 1})
			sv.backup("v1", 0, 1, 2)
			sv.backup("v2", 3, 4)
			sv.needed.Store(true)
			fail(sv)
			sv.reopen(sv.mems[:2]...) // the place that lacks has the note, or not
			sv.holds()
			sv.mendAll()
			if sv.place.stones.any() {
				t.Error("it is still noted as deleted")
			}
			sv.reopen(sv.mems...)
			sv.mendAll()
			sv.holds()
			sv.whole()
			sv.needed.Store(false)
			for i := range sv.mems {
				sv.reopen(sv.without([]int{i})...)
				sv.mendAll()
				sv.holds()
				if c := sv.collect(); c.Versions != 2 || c.Dropped > 0 {
					t.Errorf("collected %+v", c)
				}
			}
			sv.remove("v1")
			sv.reopen(sv.mems...)
			sv.mendAll()
			sv.collect()
			sv.holds()
			sv.whole()
		})
	}
}

// Where it cannot be told just now whether a version is needed, it is there, and its deletion is neither completed nor off.
func TestDeletionThatFailedHalfWayWaitsUntilItCanBeToldWhetherTheVersionIsNeeded(t *testing.T) {
	for name, fail := range halfDeleted {
		t.Run(name, func(t *testing.T) {
			sv := newSpreadVault(t, shape{3, 1})
			sv.backup("v1", 0, 1, 2)
			sv.backup("v2", 3, 4)
			sv.unsure.Store(true)
			fail(sv)
			sv.reopen(sv.mems...)
			for range 2 {
				sv.mendAll()
				sv.holds()
				if !sv.place.stones.any() {
					t.Error("its deletion is off")
				}
			}
			sv.unsure.Store(false)
			sv.mendAll()
			delete(sv.versions, "v1")
			sv.holds()
			if c := sv.collect(); c.Dropped != 1 {
				t.Errorf("collected %+v", c)
			}
			sv.whole()
		})
	}
}

// A deletion that was noted in too few places to begin is off, whoever gives leave for it later.
func TestDeletionThatFailedInMostPlacesIsOff(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for _, s := range several[1:] {
			sv := newSpreadVault(t, s)
			sv.backup("v1", 0, 1, 2)
			sv.backup("v2", 3, 4)
			for _, m := range sv.mems {
				m.FailWrites(syscall.EIO)
			}
			sv.mems[0].FailWrites(nil)
			if sv.Delete(t.Context(), key("v1")) == nil {
				t.Fatalf("%v: deleted", s)
			}
			for _, m := range sv.mems {
				m.FailWrites(nil)
			}
			if restart {
				sv.reopen(sv.mems...)
			}
			sv.mendAll()
			sv.holds()
			sv.collect()
			sv.holds()
			sv.whole()
			if sv.place.stones.any() || len(sv.Versions(machine)) != 2 {
				t.Errorf("%v: it is still noted as deleted, versions %v", s, sv.Versions(machine))
			}
		}
	}
}

// A deletion that went well stays so when the place that was away is there alone for a while, and has the version, and then the one with the note comes back.
func TestDeletionThatOnePlaceSawStaysDone(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	sv.backup("v1", 0, 1, 2)
	sv.backup("v2", 3, 4)
	sv.reopen(sv.mems[0])
	sv.remove("v1")
	must(t, sv.Close())
	o, back := sv.options(sv.mems[1]), []place.Place(nil)
	o.Look = func() []place.Place { return back }
	v, err := Open(t.Context(), o)
	must(t, err)
	v.mend.every = 0
	sv.Vault = v
	if got := len(sv.Versions(machine)); got != 2 {
		t.Errorf("alone it has %d versions", got)
	}
	back = []place.Place{sv.mems[0]}
	sv.mendAll()
	sv.holds()
	sv.collect()
	sv.holds()
	sv.whole()
}

// A place that was away when a deletion was called off, and still has a note of it, does not bring it about.
func TestDeletionThatWasCalledOffStaysSo(t *testing.T) {
	for _, s := range several[1:] { // of two places one alone cannot tell that it failed
		for name, fail := range halfDeleted {
			t.Run(fmt.Sprint(s, name), func(t *testing.T) {
				sv := newSpreadVault(t, s)
				sv.backup("v1", 0, 1, 2)
				sv.backup("v2", 3, 4)
				sv.needed.Store(true)
				fail(sv)
				sv.reopen(sv.mems[:s.places-s.survive]...)
				sv.mendAll()
				sv.needed.Store(false)
				sv.reopen(sv.mems...)
				sv.mendAll()
				sv.holds()
				sv.whole()
				if sv.left.Load() > 0 || sv.place.stones.any() || len(sv.Versions(machine)) != 2 {
					t.Errorf("versions %v", sv.Versions(machine))
				}
			})
		}
	}
}

// A pack that was collected while a place was away, and is used again when that is back, is spread also while another place is missing that has a note of its removal.
func TestCollectedPackThatIsUsedAgainIsSpread(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 2})
	sv.backup("v0", 9)
	sv.backup("v1", 0, 1, 2, 3)
	sv.reopen(sv.mems[:2]...)
	sv.remove("v1")
	if c := sv.collect(); c.Dropped != 1 {
		t.Fatalf("collected %+v", c)
	}
	sv.reopen(sv.mems[0], sv.mems[2])
	sv.backup("v2", 0, 1, 2, 3)
	sv.mendAll()
	sv.holds()
	sv.reopen(sv.mems[0])
	sv.holds()
	sv.reopen(sv.mems...)
	sv.mendAll()
	sv.mendAll()
	sv.holds()
	sv.whole()
}

func TestDeletionWhileAwayHolds(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	sv.backup("v1", 0, 1)
	sv.backup("v2", 1, 2)
	sv.reopen(sv.mems[0]) // each place for itself
	sv.remove("v1")
	sv.backup("v3", 3)
	sv.reopen(sv.mems[1])
	if sv.versions["v1"] != nil || len(sv.Versions(machine)) != 2 {
		t.Fatalf("versions %v", sv.Versions(machine))
	}
	delete(sv.versions, "v3")
	sv.versions["v1"] = []int{0, 1}
	sv.remove("v2")
	sv.backup("v4", 0, 4)
	sv.reopen(sv.mems...)
	sv.versions = map[string][]int{"v3": {3}, "v4": {0, 4}}
	sv.mendAll()
	sv.holds()
	sv.whole()
	sv.reopen(sv.mems...)
	sv.holds()
}

// Whoever can write in one place, or puts an old state of it back, removes no key by a note that it was removed, nor what else the vault is opened with.
func TestNoteInOnePlaceRemovesNoKey(t *testing.T) {
	for _, s := range several {
		t.Run(s.String(), func(t *testing.T) {
			sv := newSpreadVault(t, s)
			sv.backup("v1", 0, 1, 2)
			must(t, sv.PutInstance(t.Context(), Instance{ID: machine}))
			names := append(keyNames(t, sv.mems[0]), vaultFile, vaultFile+copySuffix, instanceName(machine), instanceName(machine)+copySuffix)
			note := func() {
				for _, name := range names {
					must(t, sv.mems[0].Write(t.Context(), stone(name)))
				}
			}
			note()
			sv.mend.later.Store(true)
			sv.mendAll()
			sv.whole()
			note()
			sv.reopen(sv.mems...)
			sv.mendAll()
			sv.holds()
			sv.whole()
			for i, m := range sv.mems {
				for _, name := range names {
					fileOf(t, m, name)
					if t.Failed() {
						t.Fatalf("place %d has no %s", i, name)
					}
				}
			}
		})
	}
}

// The removal of a key that failed, as was told, is off, and the key is as whole as any; it can be removed then.
func TestRemovalOfAKeyThatFailedIsOff(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.o.work = testWork
	first := keysOf(t, sv.Vault)[0]
	add(t, sv.Vault, KeyPassphrase, "one")
	name := path.Join(keyFolder, first.ID)
	for _, m := range sv.mems {
		must(t, m.Write(t.Context(), stone(name)))
	}
	must(t, sv.mems[2].Remove(t.Context(), name))
	sv.reopen(sv.mems...)
	sv.mendAll()
	sv.whole()
	sv.o.work = testWork
	must(t, sv.RemoveKey(t.Context(), first.ID))
	sv.whole()
	if left := keysOf(t, sv.Vault); len(left) != 1 {
		t.Errorf("keys %v", left)
	}
}

// A closed place lets nothing in its folder of keys be opened.
type closed struct{ *place.Mem }

func (p closed) Open(ctx context.Context, name string) (place.File, error) {
	if strings.HasPrefix(name, keyFolder+"/") {
		return nil, syscall.ELOOP
	}
	return p.Mem.Open(ctx, name)
}

// A place that drops out while it is read what was removed is done without.
func TestPlaceThatDropsOutWhileNotesAreReadIsDoneWithout(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2)
	must(t, sv.mems[0].Write(t.Context(), stone(path.Join(keyFolder, "gone"))))
	sv.reopenWith(closed{sv.mems[2]}, sv.mems[:2]...)
	sv.holds()
}
