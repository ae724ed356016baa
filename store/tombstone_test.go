package store

import (
	"syscall"
	"testing"
)

// A deletion that failed in most places, and is noted in one, is made up for as one.
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
	for _, m := range sv.mems[1:] {
		m.FailWrites(syscall.EIO)
	}
	if err := sv.Delete(t.Context(), key("v1")); err == nil {
		t.Fatal("deleted")
	}
	for _, m := range sv.mems[1:] {
		m.FailWrites(nil)
	}
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
	"noted in one place": func(sv *spreadVault) {
		must(sv.t, sv.mems[0].Write(sv.t.Context(), stone(key("v1").file())))
	},
	"gone from one place": func(sv *spreadVault) {
		for _, m := range sv.mems {
			must(sv.t, m.Write(sv.t.Context(), stone(key("v1").file())))
		}
		must(sv.t, sv.mems[2].Remove(sv.t.Context(), key("v1").file()))
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
