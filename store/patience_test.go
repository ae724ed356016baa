package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"yester/store/pack"
	"yester/store/place"
)

// An unswept is a place that does not end its being swept while it stalls.
type unswept struct{ stalling }

func (p *unswept) Sweep(ctx context.Context) error {
	p.wait()
	return p.Mem.Sweep(ctx)
}

// Another disk that is mounted where one does not answer is asked.
func TestNewFolderIsNotTakenForTheOneThatDoesNotAnswer(t *testing.T) {
	dir, all := filepath.Join(t.TempDir(), "place"), &patience{}
	open := func() *patient {
		p, err := place.NewDir(dir)
		must(t, err)
		return all.with(p).(*patient)
	}
	must(t, os.Mkdir(dir, 0o700))
	dead := open()
	if open().manner != dead.manner {
		t.Error("the same folder is taken for another")
	}
	must(t, errors.Join(os.Rename(dir, dir+".away"), os.Mkdir(dir, 0o700)))
	if open().manner == dead.manner {
		t.Error("another folder is taken for the same")
	}
}

// A place whose writes hang is waited for as when a file is written, when the vault is opened, and when it is tried again.
func TestPlaceThatCannotBeSweptIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, all := &unswept{stalling{Mem: place.NewMem(1)}}, &patience{}
		l := &layout{shape: pack.Shape{Data: 2, Parity: 1}}
		for i, p := range []place.Place{slow, place.NewMem(2), place.NewMem(3)} {
			l.members = append(l.members, newMember(placeInVault{}, i, all.with(p)))
		}
		s := newSpread(Options{Log: slog.New(slog.DiscardHandler)}, l, all)
		s.poke = func() {}
		free := slow.stall()
		start := time.Now()
		must(t, s.Sweep(t.Context()))
		if d := time.Since(start); d != graceTime || l.members[0].well() || !l.members[1].well() || !l.members[2].well() {
			t.Errorf("swept in %v, %v", d, s.trouble())
		}
		start = time.Now()
		err := new(Vault).tryOut(t.Context(), l.members[0], all.with(slow))
		if d := time.Since(start); d != answerTime || !errors.Is(err, errSlow) {
			t.Errorf("tried in %v: %v", d, err)
		}
		free()
		synctest.Wait()
		must(t, s.Sweep(t.Context()))
	})
}

// A place that takes some time to say how much space it has, as a disk that was asleep, is not told as one that fails.
func TestPlaceThatIsSlowForAMomentIsNoFailingOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, all := &silent{stalling: stalling{Mem: place.NewMem(1)}}, &patience{}
		all.several.Store(true)
		p, free := all.with(slow), slow.stall()
		defer free()
		for start := time.Now(); time.Since(start) < answerTime; time.Sleep(time.Minute) {
			if free, total, err := spaceSoon(t.Context(), p); free != 0 || total != 0 || err != nil {
				t.Errorf("after %v: %d, %d, %v", time.Since(start), free, total, err)
			}
		}
		if _, _, err := spaceSoon(t.Context(), p); !errors.Is(err, errSlow) {
			t.Errorf("after its time: %v", err)
		}
		free()
		synctest.Wait()
		if _, total, err := spaceSoon(t.Context(), p); total == 0 || err != nil {
			t.Errorf("when it answers: %d, %v", total, err)
		}
	})
}
