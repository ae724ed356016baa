package store

import (
	"context"
	"errors"
	"syscall"
	"testing"
)

// A record that is met in one place while it is written, and that too few then take, leaves no version that is listed.
func TestCommitThatFailsWhileAPlaceIsBroughtUpToDateListsNothing(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v0", 0, 1)
	sv.marker = func(*Vault) Mark { // nothing of the version is stored yet
		return func(context.Context, []byte, Visit) error { return ErrLost }
	}
	b := &stalling{Mem: sv.mems[1], met: make(chan struct{}, 1)}
	sv.reopenWith(b, sv.mems[0])
	free := b.stall()
	defer free()
	ended := make(chan error, 1)
	go func() { ended <- sv.tryBackup("v1") }()
	<-b.met
	for there := false; !there; {
		f, err := sv.mems[0].Open(t.Context(), key("v1").file())
		if there = err == nil; there {
			f.Close()
		}
	}
	sv.mend.later.Store(true)
	sv.mendAll()
	if !sv.hasVersion(key("v1")) {
		t.Error("nobody met it")
	}
	b.FailOp(b.Ops()+1, syscall.EIO)
	free()
	if err := <-ended; !errors.Is(err, syscall.EIO) {
		t.Errorf("committed, with %v", err)
	}
	sv.holds()
	sv.collect()
}

// A version that cannot be read, and whose deletion fails, is no deleted one that cannot be read, which would keep everything from being collected.
func TestDeletionThatFailsHoldsNothingThatCannotBeRead(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v1", 0, 1)
	sv.backup("v2", 2)
	w, err := sv.Writer(machine, WriterOptions{})
	must(t, err)
	defer w.Close()
	record := contentOf(t, sv.mems[0], key("v1").file())
	must(t, sv.mems[0].Damage(key("v1").file(), func(b []byte) []byte { clear(b); return b }))
	sv.mems[0].SetReadOnly(true)
	if err := sv.Delete(t.Context(), key("v1")); !errors.Is(err, ErrReadOnly) {
		t.Errorf("deleted, with %v", err)
	}
	sv.mems[0].SetReadOnly(false)
	must(t, sv.mems[0].Damage(key("v1").file(), func([]byte) []byte { return record }))
	sv.collect()
	sv.holds()
}
