package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newState(t *testing.T) *state.DB {
	t.Helper()
	db, err := state.Open("", quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newTasks(t *testing.T) *tasks {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 11, 23, 3, 17, 0, 0, time.UTC) }
	return &tasks{db: newState(t), log: quiet(), now: now}
}

// begin starts a task and fails the test if that fails.
func begin(t *testing.T, ts *tasks, work func(context.Context, *job) error) control.Task {
	t.Helper()
	task, err := ts.start(control.KindBackup, false, work)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// wait returns the task when it has ended.
func wait(t *testing.T, ts *tasks, id string) (task control.Task) {
	t.Helper()
	if err := ts.watch(t.Context(), id, func(now control.Task) error { task = now; return nil }); err != nil {
		t.Fatal(err)
	}
	return task
}

func untilCancelled(ctx context.Context, _ *job) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestOneTaskAtATime(t *testing.T) {
	ts := newTasks(t)
	first := begin(t, ts, untilCancelled)
	if first.ID != "b-20261123-0001" || first.State != control.Running || first.Progress == nil {
		t.Errorf("got %+v", first)
	}
	_, err := ts.start(control.KindBackup, false, untilCancelled)
	if !errors.Is(err, control.Busy) || !strings.Contains(err.Error(), "already running (b-20261123-0001)") {
		t.Errorf("got %v", err)
	}
	ended, err := ts.cancel(t.Context(), first.ID)
	if err != nil || ended.State != control.Cancelled || ended.Error != "stopped on request" || ended.End == nil {
		t.Errorf("got %+v, %v", ended, err)
	}
	if second := begin(t, ts, func(context.Context, *job) error { return nil }); second.ID != "b-20261123-0002" {
		t.Errorf("got %s", second.ID)
	}
	if _, err := ts.cancel(t.Context(), first.ID); !errors.Is(err, control.BadRequest) {
		t.Errorf("cancelled twice: %v", err)
	}
	if _, err := ts.cancel(t.Context(), "b-7"); !errors.Is(err, control.NotFound) {
		t.Errorf("no such task: %v", err)
	}
}

func TestTasksEndAsTheirWorkDoes(t *testing.T) {
	tests := []struct {
		name, state, message string
		work                 func(context.Context, *job) error
	}{
		{"done", control.Completed, "", func(context.Context, *job) error { return nil }},
		{"with warnings", control.Partial, "", func(_ context.Context, j *job) error {
			j.update(func(t *control.Task) { warn(t, 3, []control.Warning{{Path: "a"}}) })
			return nil
		}},
		{"failed", control.Failed, "no luck", func(context.Context, *job) error { return errors.New("no luck") }},
		{"panicked", control.Failed, "internal error: oops", func(context.Context, *job) error { panic("oops") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTasks(t)
			task := wait(t, ts, begin(t, ts, tt.work).ID)
			if task.State != tt.state || task.Error != tt.message || task.Progress != nil {
				t.Errorf("got %+v", task)
			}
			kept, err := ts.db.Task(task.ID)
			if err != nil || kept.State != tt.state || kept.Error != tt.message {
				t.Errorf("kept is %+v, %v", kept, err)
			}
		})
	}
}

func TestTaskOfAKilledDaemonHasFailed(t *testing.T) {
	ts := newTasks(t)
	end := ts.now()
	for _, task := range []control.Task{
		{ID: "b-20261122-0001", State: control.Completed, End: &end},
		{ID: "b-20261123-0001", State: control.Running, Hooks: []control.HookRun{{Output: "frozen"}}},
	} {
		if err := ts.db.PutTask(task); err != nil {
			t.Fatal(err)
		}
	}
	if err := ts.recover(ts.db.PutTask); err != nil {
		t.Fatal(err)
	}
	if task, err := ts.get("b-20261122-0001"); err != nil || task.State != control.Completed {
		t.Errorf("got %+v, %v", task, err)
	}
	if task, err := ts.get("b-20261123-0001"); err != nil || task.State != control.Failed || task.Error != "the daemon was killed" || task.End == nil || task.Hooks[0].Output != "frozen" {
		t.Errorf("got %+v, %v", task, err)
	}
}

func TestStopCancelsAndLetsNothingBegin(t *testing.T) {
	ts := newTasks(t)
	id := begin(t, ts, untilCancelled).ID
	if err := ts.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if task, err := ts.get(id); err != nil || task.State != control.Cancelled || task.Error != "the daemon was stopped" {
		t.Errorf("got %+v, %v", task, err)
	}
	if _, err := ts.start(control.KindBackup, false, untilCancelled); !errors.Is(err, control.Stopping) {
		t.Errorf("got %v", err)
	}
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	ts := newTasks(t)
	release := make(chan struct{})
	id := begin(t, ts, func(context.Context, *job) error { <-release; return nil }).ID
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ts.stop(ctx); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("got %v", err)
	}
	if task := mustNot[control.Task](t)(ts.db.Task(id)); task.State != control.Cancelled || task.Error != "the daemon was stopped" || task.Hint != goesOn(control.KindBackup) || task.End == nil || task.Progress != nil {
		t.Errorf("kept %+v", task)
	}
	close(release)
	wait(t, ts, id)
	if task := mustNot[control.Task](t)(ts.db.Task(id)); task.State != control.Completed {
		t.Errorf("kept %+v", task)
	}
}

func TestStopNamesOnlyWhatDoesNotStop(t *testing.T) {
	for range 10 { // in whatever order it looks at them
		ts := newTasks(t)
		release := make(chan struct{})
		stuck := begin(t, ts, func(context.Context, *job) error { <-release; return nil }).ID
		var others []*job
		for _, kind := range []string{control.KindCheck, control.KindDrill, control.KindGC} {
			others = append(others, ts.find(mustNot[control.Task](t)(ts.start(kind, false, untilCancelled)).ID))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- ts.stop(ctx) }()
		for _, j := range others {
			<-j.done
		}
		cancel()
		if err, want := <-ended, "task "+stuck+" does not stop: context canceled"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		close(release)
		wait(t, ts, stuck)
	}
}

// smallState is a state on a file system of its own, and a file there that takes what is free but for 8 MiB, which is too little to write.
func smallState(t *testing.T) (db *state.DB, full string, most int64) {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if err := syscall.Mount("yester-test", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	db = mustNot[*state.DB](t)(state.Open(filepath.Join(dir, "state"), quiet()))
	full = filepath.Join(dir, "full")
	t.Cleanup(func() {
		os.Remove(full) // or it cannot be closed
		db.Close()
	})
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return db, full, int64(st.Bavail)*st.Bsize - 8<<20
}

func TestEndThatCannotBeKeptIsKeptLater(t *testing.T) {
	ts := newTasks(t)
	db, full, most := smallState(t)
	ts.db = db
	fills := func(context.Context, *job) error { return os.WriteFile(full, make([]byte, most), 0o600) }
	var ids []string
	wantEnded := func() {
		t.Helper()
		all, err := ts.list()
		if err != nil || len(all) != len(ids) {
			t.Errorf("got %+v, %v", all, err)
		}
		for _, task := range all {
			if task.State != control.Completed {
				t.Errorf("got %+v", task)
			}
		}
	}
	for range 2 { // the second one takes the place of the first
		id := wait(t, ts, begin(t, ts, fills).ID).ID
		ids = append(ids, id)
		if kept, err := db.Task(id); err != nil || kept.Ended() {
			t.Fatalf("kept is %+v, %v", kept, err)
		}
		if _, err := ts.start(control.KindBackup, false, untilCancelled); !errors.Is(err, state.ErrNoSpace) {
			t.Errorf("got %v", err)
		}
		wantEnded()
		if err := os.Remove(full); err != nil {
			t.Fatal(err)
		}
	}
	if err := ts.keepEnds(); err != nil {
		t.Error(err)
	}
	ts.jobs = nil // those that are kept count
	wantEnded()
}

// A kill between the two must not lose the alert: a task that is kept as ended is told by nobody any more.
func TestEndIsToldBeforeItIsKept(t *testing.T) {
	ts := newTasks(t)
	var told []string
	ts.ended = func(task *control.Task) {
		told = append(told, task.State)
		if kept, err := ts.db.Task(task.ID); err == nil && kept.Ended() {
			t.Errorf("%s is kept as %s, and was not told", task.ID, kept.State)
		}
	}
	wait(t, ts, begin(t, ts, func(context.Context, *job) error { return errors.New("no luck") }).ID)
	if err := ts.db.PutTask(control.Task{ID: "c-20261123-0001", Kind: control.KindCheck, State: control.Running}); err != nil {
		t.Fatal(err)
	}
	if err := ts.recover(ts.db.PutTask); err != nil {
		t.Error(err)
	}
	if want := []string{control.Failed, control.Failed}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	for _, task := range mustNot[[]control.Task](t)(ts.db.Tasks()) {
		if !task.Ended() {
			t.Errorf("the end of %s is not kept", task.ID)
		}
	}
}

func TestSkippedTaskIsRecorded(t *testing.T) {
	ts := newTasks(t)
	if err := ts.skip(control.KindBackup, ts.now().Add(-time.Hour), "the machine slept", ts.db.PutTask); err != nil {
		t.Fatal(err)
	}
	r, err := ts.recent()
	if last := r.last; err != nil || r.running != nil || last == nil || last.State != control.Skipped || !last.Scheduled || !last.Start.Equal(ts.now().Add(-time.Hour)) || last.Error != "the machine slept" {
		t.Errorf("got %+v, %v", r, err)
	}
}

// On a full disk nothing is decided, and so nothing skipped: it is tried again.
func TestSkipThatCannotBeKeptIsNotTold(t *testing.T) {
	ts := newTasks(t)
	db, full, most := smallState(t)
	ts.db = db
	told := 0
	ts.ended = func(*control.Task) { told++ }
	if err := os.WriteFile(full, make([]byte, most), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ts.skip(control.KindBackup, ts.now(), "the machine slept", ts.db.PutTask); !errors.Is(err, state.ErrNoSpace) || told > 0 {
		t.Errorf("told %d times, %v", told, err)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := ts.skip(control.KindBackup, ts.now(), "the machine slept", ts.db.PutTask); err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
}

// A kill between keeping and telling must not lose the alert.
func TestSkipThatWasNotToldIsToldAfterTheNextStart(t *testing.T) {
	s := newStill(t)
	now := s.o.Now()
	if err := s.db.PutTask(control.Task{ID: "b-20261123-0001", Kind: control.KindBackup, State: control.Skipped, Start: now, End: &now, Error: "the machine slept"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.again()
		if all := s.alerts.List(true); len(all) != 1 || all[0].Cause != skippedBackup || all[0].Count != 1 || !strings.HasSuffix(all[0].Text, "skipped: the machine slept") {
			t.Errorf("told %+v", all)
		}
	}
}

// What is skipped before its time, by a start that was changed, or ended by a clock that was ahead, is not the last one after others have ended.
func TestTaskThatEndsInTheFutureIsNotTheLastOne(t *testing.T) {
	ts := newTasks(t)
	now := ts.now()
	ts.now = func() time.Time { return now }
	if err := ts.skip(control.KindBackup, now.Add(9*time.Hour), "its start was changed", ts.db.PutTask); err != nil {
		t.Fatal(err)
	}
	wantLast := func(want string) {
		t.Helper()
		if r, err := ts.recent(); err != nil || r.last == nil || r.last.State != want || r.last.End.After(now) {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	wantLast(control.Skipped)
	later := now.Add(240 * time.Hour)
	for _, task := range []control.Task{
		{ID: "b-20991231-0001", Kind: control.KindBackup, State: control.Failed, Start: later, End: &later},
		{ID: "c-20991231-0001", Kind: control.KindCheck, State: control.Partial, Start: later, End: &later},
		{ID: "r-20261123-0001", Kind: control.KindRepair, State: control.Completed, Start: now, End: &now},
	} {
		if err := ts.db.PutTask(task); err != nil {
			t.Fatal(err)
		}
	}
	wantLast(control.Skipped)
	now = now.Add(time.Hour)
	wait(t, ts, begin(t, ts, func(context.Context, *job) error { return nil }).ID)
	wantLast(control.Completed)
}

// A task keeps as many warnings as fit, and counts all.
func TestWarningsDoNotGrowWithoutBounds(t *testing.T) {
	var task control.Task
	many := make([]control.Warning, 1000)
	for i := range many {
		many[i].Path = strings.Repeat("x", 4096)
	}
	warn(&task, 5000, many)
	warn(&task, 1, many[:1])
	if n := len(task.Warnings); task.WarningCount != 5001 || n == 0 || n*4096 > maxWarningBytes {
		t.Errorf("%d warnings, %d kept", task.WarningCount, n)
	}
}
