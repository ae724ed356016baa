package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/store"
	"yester/store/pack"
)

// breakIndex has the index be able to make no next file, as a disk that fails has it, or one that others fill at that moment, and stores packs until it needs one.
func breakIndex(t *testing.T, s *still) {
	t.Helper()
	for i := range 50 {
		if err := os.Mkdir(filepath.Join(s.o.Home.Index, fmt.Sprintf("%05d.mem", i)), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	w := mustNot[*store.Writer](t)(s.vault.Writer(s.instance.ID, store.WriterOptions{Encoding: pack.LZ4}))
	defer w.Close()
	var err error
	for n := 0; err == nil && n < 100_000; {
		for range 1000 {
			if n++; err == nil {
				_, _, err = w.Put(t.Context(), pack.KindFile, fmt.Appendf(nil, "chunk %d", n))
			}
		}
		if err == nil {
			err = w.Flush(t.Context())
		}
	}
	if err == nil || !strings.Contains(err.Error(), "enter pack in index") {
		t.Fatalf("the index is not broken: %v", err)
	}
}

// Every backup would fail, until somebody starts the daemon again.
func TestDaemonBeginsAnewForAnIndexThatBreaks(t *testing.T) {
	s := newStill(t)
	var why error
	s.Daemon.anew = func(err error) { why = err }
	if err := s.chores(t.Context()); err != nil || why != nil {
		t.Fatalf("at once: %v, %v", err, why)
	}
	breakIndex(t, s)
	backUp := func() control.Task {
		return wait(t, s.tasks, mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{})).ID)
	}
	if task := backUp(); task.State != control.Failed {
		t.Fatalf("it works: %+v", task)
	}
	if err := s.chores(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, is := errors.AsType[*anew](why)
	if !is || !again.mended.Equal(s.o.Now()) {
		t.Fatalf("got %v", why)
	}
	s.again()
	if task := backUp(); task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
	if s.vault.IndexBroken() {
		t.Error("it is broken still")
	}
}

func TestDaemonBeginsNotAnewAgainForAnIndexWithinAnHour(t *testing.T) {
	s := newStill(t)
	s.o.mended = s.o.Now()
	for after, may := range map[time.Duration]bool{0: false, 59 * time.Minute: false, time.Hour: true, -time.Hour: true} {
		now := s.o.mended.Add(after)
		s.clock.Store(&now)
		if got := s.mayMendIndex(); got != may {
			t.Errorf("after %v: %v", after, got)
		}
	}
	if s.o.mended = (time.Time{}); !s.mayMendIndex() {
		t.Error("never before")
	}
}
