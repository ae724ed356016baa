package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yester/control"
	"yester/snapshot/capture"
	"yester/store"
)

// Rules of docs/SERVICE.md that no other test is about.

func TestOnlyAReadyInstanceGetsScheduledBackups(t *testing.T) {
	for _, tt := range []struct {
		state string
		into  func(*still)
		want  []string
	}{
		{control.StateReady, func(*still) {}, []string{"24 03:17 completed"}},
		{control.StatePaused, func(s *still) { mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{})) }, nil},
		{control.StateCancelling, func(s *still) {
			if err := s.keepService(control.StateCancelling); err != nil {
				t.Fatal(err)
			}
		}, nil},
	} {
		s := newStill(t)
		tt.into(s)
		s.wantState(tt.state)
		s.to("2026-11-24 03:17")
		s.want(tt.want...)
	}
	d, err := newDaemon(options(t).withDefaults(), newState(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := d.turn(); ok || d.serviceState() != control.StateNew {
		t.Error("a new instance has a next backup")
	}
}

func TestInstanceIsInitializingWhileItIsActivated(t *testing.T) {
	o, dir := options(t), source(t)
	needPartition(t, dir)
	var d *Daemon
	var during string
	o.Discover = func() ([]capture.Mount, error) {
		during = d.serviceState()
		return capture.Discover()
	}
	if err := o.Home.make(); err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(o.withDefaults(), newState(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	mustNot[control.Activation](t)(d.activate(t.Context(), control.ActivateRequest{Paths: []string{dir}}))
	if during != control.StateInitializing || d.serviceState() != control.StateReady {
		t.Errorf("%s, then %s", during, d.serviceState())
	}
}

// A start that was drawn stays, whatever else is set and however often the daemon starts.
func TestStartIsDrawnOnce(t *testing.T) {
	s := newStill(t)
	if _, err := s.cancelAndWait(); err != nil {
		t.Fatal(err)
	}
	a := mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{Paths: []string{s.dir}}))
	s.again()
	s.change(control.ActivateRequest{Priority: "high"})
	s.again()
	if got := s.policy.Start; got != a.Policy.Start || got >= "06:00" {
		t.Errorf("start %s, drawn was %s", got, a.Policy.Start)
	}
}

// cancelAndWait cancels the service.
func (s *still) cancelAndWait() (control.Task, error) {
	s.t.Helper()
	task, err := s.cancel(s.t.Context(), control.None{})
	if err != nil {
		return task, err
	}
	return wait(s.t, s.tasks, task.ID), nil
}

func TestSweepComesEveryHalfHourAndWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		asked, began := make(chan struct{}, 1), time.Now()
		var at []time.Duration
		go sweepAgain(ctx, time.NewTimer, asked, func() { at = append(at, time.Since(began)) })
		time.Sleep(100 * time.Minute)
		asked <- struct{}{}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if want := []time.Duration{0, 30 * time.Minute, time.Hour, 90 * time.Minute, 100 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("swept at %v, want %v", at, want)
		}
	})
}

// Keep-latest is for each partition: a version of one does not let the newest of another go.
func TestNewestOfEachPartitionIsKept(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	mine := s.vault.Versions(s.instance.ID)[1]
	w := mustNot[*store.Writer](t)(s.vault.Writer(mine.Instance, store.WriterOptions{}))
	other := mine
	other.Partition, other.Version = "other", "2026-11-25T120000Z"
	if err := errors.Join(w.Commit(t.Context(), other, mustNot[[]byte](t)(s.vault.Record(t.Context(), mine))), w.Close()); err != nil {
		t.Fatal(err)
	}
	s.swept("2027-11-25 12:00")
	if got := s.vault.Versions(s.instance.ID); len(got) != 2 || !slices.Contains(got, mine) || !slices.Contains(got, other) {
		t.Errorf("left are %v", got)
	}
}

func TestTasksAreKeptForNinetyDays(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	s.to("2027-02-22 03:17") // 90 days later; what was missed in between is told, too
	if lines := s.scheduled(); lines[0] != "24 03:17 completed" {
		t.Errorf("the oldest is %s", lines[0])
	}
	s.to("2027-02-23 03:17")
	if lines := s.scheduled(); lines[0] == "24 03:17 completed" {
		t.Errorf("after 91 days there still is %s", lines[0])
	}
}

// A file that changes each time it is read is kept as read; the task is partial, its version stays, and the warning names the path.
func TestTaskWithWarningsIsPartialAndItsVersionIsKept(t *testing.T) {
	s := newStill(t)
	s.change(control.ActivateRequest{Priority: "low"}) // reading takes a moment
	busy := filepath.Join(s.dir, "busy")
	if err := os.WriteFile(busy, random(3<<19), 0o644); err != nil {
		t.Fatal(err)
	}
	f := mustNot[*os.File](t)(os.OpenFile(busy, os.O_WRONLY, 0))
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		var err error
		for i := 0; ctx.Err() == nil && err == nil; i++ {
			_, err = f.WriteAt([]byte{byte(i)}, 0)
			time.Sleep(time.Millisecond)
		}
		ended <- err
	}()
	task := mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{}))
	end := wait(t, s.tasks, task.ID)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if end.State != control.Partial || end.WarningCount != 1 || !strings.HasSuffix(end.Warnings[0].Path, "busy") {
		t.Errorf("got %+v", end)
	}
	vs := mustNot[control.VersionList](t)(s.versions(t.Context(), control.VersionsRequest{})).Versions
	if len(vs) != 1 || vs[0].State != control.Partial || vs[0].Warnings != 1 {
		t.Errorf("got %+v", vs)
	}
}

// It leaves no trace.
func TestSecondBackupByHandIsRefusedWithTheIDOfTheFirst(t *testing.T) {
	s := newStill(t)
	first := begin(t, s.tasks, untilCancelled)
	_, err := s.backup(t.Context(), control.BackupRequest{})
	if !errors.Is(err, control.Busy) || !strings.Contains(err.Error(), fmt.Sprintf("already running (%s)", first.ID)) {
		t.Errorf("got %v", err)
	}
	if all := mustNot[[]control.Task](t)(s.tasks.list()); len(all) != 1 {
		t.Errorf("tasks: %+v", all)
	}
}
