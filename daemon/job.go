package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"yester/control"
)

// stopped is why a job of a kind does not go on.
func stopped(kind, why string) error {
	return control.Errorf(control.Stopping, "%s", why).WithHint("%s", goesOn(kind))
}

// A cutOff is why a job does not go on when the daemon stops: the next daemon may do its work.
type cutOff struct{ error }

func (c cutOff) Unwrap() error { return c.error }

// isCutOff tells whether the context of a job ended because the daemon stops.
func isCutOff(ctx context.Context) bool {
	_, is := errors.AsType[cutOff](context.Cause(ctx))
	return is
}

// restoreAgain says how a restore that was broken off goes on. What was to be overwritten, and is not yet, would stay if files in the way were skipped.
const restoreAgain = "the same command goes on with the rest (name the version, if the latest is another by now)"

// goesOn says what becomes of the work of a task that was cut off.
func goesOn(kind string) string {
	switch kind {
	case control.KindBackup:
		return "the next backup uses what was stored"
	case control.KindRestore:
		return "files that are done stay; " + restoreAgain
	case control.KindCheck, control.KindDrill:
		return "it changed nothing"
	case control.KindCancel:
		return "the daemon goes on with it when it is started again"
	}
	return "what it did stays, the next one does the rest"
}

// A job is a task at work.
type job struct {
	progress progress
	cancel   context.CancelCauseFunc
	done     chan struct{} // closed after the task has ended, and was kept if that was possible

	keeping sync.Mutex // held while the end is kept; taken before mu
	isKept  bool       // the end, as it came

	mu   sync.Mutex
	task control.Task
	keep func(control.Task) error // keeps the end
}

// isDone tells whether the task has ended, and was kept if that was possible.
func (j *job) isDone() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// keepBy has the end be kept in another way.
func (j *job) keepBy(keep func(control.Task) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep = keep
}

// keepAs keeps the end as it is told. j.keeping is held.
func (j *job) keepAs(t control.Task) error {
	j.mu.Lock()
	keep := j.keep
	j.mu.Unlock()
	return keep(t)
}

// update changes the task.
func (j *job) update(f func(*control.Task)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.task)
}

// look returns the task as it is, with its progress while it runs.
func (j *job) look(now time.Time) control.Task {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.task
	if !t.Ended() {
		t.Progress = j.progress.report(now)
	}
	return t
}

// finish ends the task with the error of its work; ctx is the one the work had.
func (j *job) finish(ctx context.Context, err error, now time.Time) {
	j.update(func(t *control.Task) {
		t.End = &now
		t.State = outcome(ctx, t, err)
		if err == nil {
			return
		}
		if t.State == control.Cancelled {
			err = context.Cause(ctx)
		}
		e := explain(err)
		t.Error, t.Hint = e.Message, e.Hint
	})
}

// outcome is the state of a task that ended with err.
func outcome(ctx context.Context, t *control.Task, err error) string {
	switch {
	case err != nil && ctx.Err() != nil:
		return control.Cancelled
	case err != nil:
		return control.Failed
	case t.WarningCount > 0 || !t.Report.Clean() || !t.Restored.Clean():
		return control.Partial
	}
	return control.Completed
}

// maxWarningBytes is how many bytes of warnings a task keeps; the version's record has more.
const maxWarningBytes = 256 << 10

// warn adds warnings to the task: all to the count, those that fit to the list.
func warn(t *control.Task, count uint64, ws []control.Warning) {
	t.WarningCount += count
	size := 0
	for _, w := range t.Warnings {
		size += len(w.Path) + len(w.What)
	}
	for _, w := range ws {
		if size += len(w.Path) + len(w.What); size > maxWarningBytes {
			return
		}
		t.Warnings = append(t.Warnings, w)
	}
}

// safely runs a job's work and makes an error of a panic, so that one bad task does not take the mount down.
func safely(log *slog.Logger, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("a task met a bug of ours", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = control.Errorf(control.Internal, "internal error: %v", p).WithHint("please report it")
		}
	}()
	return work()
}
