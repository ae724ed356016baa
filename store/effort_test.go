package store

import (
	"fmt"
	"syscall"
	"testing"
)

// A place that is back while something is being written in the others gets that too.
func TestPlaceThatIsBackMissesNothingUnderWay(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	must(t, sv.Close())
	a, b := &stalling{Mem: sv.mems[0], met: make(chan struct{}, 1)}, &stalling{Mem: sv.mems[1], met: make(chan struct{}, 1)}
	o := sv.options(sv.mems[2])
	o.Places = append(o.Places, a, b)
	v, err := Open(t.Context(), o)
	must(t, err)
	sv.Vault = v
	sv.mend.stop() // it is done here what it would do
	sv.mems[2].FailWrites(syscall.EIO)
	sv.backup("v1", 0, 1)
	freeA, freeB := a.stall(), b.stall()
	defer freeA()
	defer freeB()
	ended := make(chan error, 1)
	go func() { ended <- sv.tryBackup("v2", 2, 3) }()
	<-a.met
	<-b.met
	sv.mems[2].FailWrites(nil)
	sv.mendAll()
	if sv.told(PlaceBack, false) != 1 {
		t.Errorf("told %+v", sv.troubles)
	}
	<-sv.mend.wake
	freeA()
	freeB()
	must(t, <-ended)
	if len(sv.mend.wake) == 0 {
		t.Error("nobody is told that there is something to make up for")
	}
	sv.mendAll()
	sv.holds()
	sv.whole()
}

// A place that fails for a moment while the vault is repaired, or another is replaced, is not left alone until that ends, and misses nothing.
func TestPlaceThatFailsForAMomentIsBackBeforeALongTaskEnds(t *testing.T) {
	for _, task := range []string{"repair", "replace"} {
		sv := newSpreadVault(t, shape{3, 1})
		sv.mend.stop() // it is done here what it would do
		sv.mend.retry = 0
		last := sv.mems[2]
		for i := range 3 {
			sv.backup(fmt.Sprint("v", i), 2*i, 2*i+1)
		}
		last.FailWrites(syscall.EIO)
		sv.backup("missed", 6, 7)
		progress := func(step string, done, total int) {
			if done == total-1 && (step == "packs" || step == "fill") {
				last.FailWrites(nil)
			}
		}
		switch task {
		case "repair":
			_, err := sv.Repair(t.Context(), RepairOptions{Progress: progress})
			must(t, err)
		case "replace":
			by := sv.fresh()
			must(t, sv.ReplacePlace(t.Context(), sv.mems[0].String(), by, PlaceOptions{Progress: progress}))
			sv.mems[0] = by
		}
		if !sv.place.layout().complete() {
			t.Errorf("%s: it is left alone: %v", task, sv.place.trouble())
		}
		sv.holds()
		sv.whole()
	}
}

// Nor is a place that is back to be read from, and full: another that is filled gets what it has.
func TestPlaceThatIsBackFullFillsAnother(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.mend.stop() // it is done here what it would do
	sv.mend.retry = 0
	for i := range 3 {
		sv.backup(fmt.Sprint("v", i), 2*i, 2*i+1)
	}
	old, last, by := sv.mems[0], sv.mems[2], sv.fresh()
	for _, name := range sv.packNames() {
		must(t, old.Remove(t.Context(), name))
	}
	last.FailWrites(syscall.ENOSPC)
	last.FailReads(syscall.ESTALE)
	sv.backup("missed", 6, 7)
	must(t, sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{Progress: func(_ string, done, total int) {
		if done == total-1 {
			last.FailReads(nil)
		}
	}}))
	sv.mems[0] = by
	last.FailWrites(nil)
	sv.mendAll()
	sv.holds()
	sv.whole()
}
