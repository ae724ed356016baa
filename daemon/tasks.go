package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"yester/control"
	"yester/daemon/state"
)

// history is how long ended tasks are kept.
const history = 90 * 24 * time.Hour

// tasks runs jobs, one of a lane at a time, and keeps what became of all of them.
type tasks struct {
	db  *state.DB
	log *slog.Logger
	now func() time.Time

	believed func() time.Time // by which old ones are forgotten; nil: now

	ended func(*control.Task) // is told of each task that ended, before that is kept; may be nil

	mu     sync.Mutex
	jobs   map[string]*job // by lane, the last one that was started
	closed bool
}

// lane tells which tasks exclude each other: those of one kind, and those that move or remove packs.
func lane(kind string) string {
	switch kind {
	case control.KindRepair, control.KindGC, control.KindRebuild, control.KindPlace:
		return "packs"
	}
	return kind
}

// recover marks what a killed daemon left running. keep keeps the ends.
func (ts *tasks) recover(keep func(control.Task) error) error {
	all, err := ts.db.Tasks()
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Ended() {
			continue
		}
		if t, err = ts.db.Task(t.ID); err != nil {
			return err
		}
		now := ts.now()
		t.State, t.End, t.Error, t.Hint = control.Failed, &now, "the daemon was killed", goesOn(t.Kind)
		t.Progress = nil
		ts.log.Warn("a task was cut off, the daemon was killed", "task", t.ID)
		ts.tell(&t)
		if err := keep(t); err != nil {
			return err
		}
	}
	return nil
}

// start begins a task that does work in the background, and returns it. Busy if another one of its lane runs. The context of work ends when the
// task is cancelled.
func (ts *tasks) start(kind string, scheduled bool, work func(context.Context, *job) error) (control.Task, error) {
	return ts.begin(kind, scheduled, ts.db.PutTask, work)
}

// begin is start for who keeps something together with the new task: either both are kept, and the task begins, or neither.
func (ts *tasks) begin(kind string, scheduled bool, keep func(control.Task) error, work func(context.Context, *job) error) (control.Task, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return control.Task{}, stopped(kind, "the daemon was stopped")
	}
	if j := ts.running(lane(kind)); j != nil {
		t := j.look(ts.now())
		return t, control.Errorf(control.Busy, "a %s is already running (%s)", t.Kind, t.ID).
			WithHint("see `yester tasks watch %s`", t.ID)
	}
	if j := ts.jobs[lane(kind)]; j != nil {
		if err := ts.keepEnd(j); err != nil {
			return control.Task{}, err
		}
	}
	t, err := ts.open(kind, control.Running, scheduled)
	if err == nil {
		err = keep(t)
	}
	if err != nil {
		return t, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	j := &job{cancel: cancel, done: make(chan struct{}), task: t, keep: ts.db.PutTask}
	j.progress.rate(sample{at: ts.now()})
	if ts.jobs == nil {
		ts.jobs = map[string]*job{}
	}
	ts.jobs[lane(kind)] = j
	go ts.run(ctx, j, work)
	return j.look(ts.now()), nil
}

// open makes a new task, which nobody has kept yet.
func (ts *tasks) open(kind, taskState string, scheduled bool) (control.Task, error) {
	now := ts.now()
	forget := now
	if ts.believed != nil {
		forget = ts.believed()
	}
	if err := ts.db.ForgetTasks(forget.Add(-history)); err != nil {
		ts.log.Warn("forget old tasks", "err", err)
	}
	id, err := ts.newID(kind, now)
	if err != nil {
		return control.Task{}, err
	}
	return control.Task{ID: id, Kind: kind, State: taskState, Scheduled: scheduled, Start: now.UTC()}, nil
}

// newID makes the id of a task: "b-20261123-0001".
func (ts *tasks) newID(kind string, now time.Time) (string, error) {
	prefix := fmt.Sprintf("%c-%s-", kind[0], now.UTC().Format("20060102"))
	last, err := ts.db.LastID(prefix)
	if err != nil {
		return "", err
	}
	n := 0
	if last != "" {
		if n, err = strconv.Atoi(last[len(prefix):]); err != nil {
			return "", fmt.Errorf("task %s has a strange id: %w", last, err)
		}
	}
	return fmt.Sprintf("%s%04d", prefix, n+1), nil
}

// run does the work of a job and keeps its end.
func (ts *tasks) run(ctx context.Context, j *job, work func(context.Context, *job) error) {
	defer close(j.done)
	id := j.look(ts.now()).ID
	ts.log.Info("task begins", "task", id)
	err := safely(ts.log, func() error { return work(ctx, j) })
	j.finish(ctx, err, ts.now().UTC())
	t := j.look(ts.now())
	if t.State == control.Failed {
		ts.log.Error("task failed", "task", id, "err", err)
	} else {
		ts.log.Info("task ends", "task", id, "state", t.State)
	}
	ts.tell(&t)
	if err := ts.keepEnd(j); err != nil {
		ts.log.Error("keep the end of a task", "task", id, "err", err) // it is tried again
	}
	j.cancel(nil)
}

// keepEnd keeps the end of a job, unless that was done.
func (ts *tasks) keepEnd(j *job) error {
	j.keeping.Lock()
	defer j.keeping.Unlock()
	if j.isKept {
		return nil
	}
	err := j.keepAs(j.look(ts.now()))
	j.isKept = err == nil
	return err
}

// keepEnds keeps the ends that could not be kept when they came. Meanwhile their jobs tell of them.
func (ts *tasks) keepEnds() error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var errs []error
	for lane, j := range ts.jobs {
		if ts.running(lane) == nil {
			errs = append(errs, ts.keepEnd(j))
		}
	}
	return errors.Join(errs...)
}

// tell tells of a task that ended. Whoever keeps the end of one that ran does so after it: after a kill in between it is told again, which is better than never.
func (ts *tasks) tell(t *control.Task) {
	if ts.ended != nil {
		ts.ended(t)
	}
}

// running returns the job at work in a lane, nil if there is none. ts.mu is held.
func (ts *tasks) running(lane string) *job {
	if j := ts.jobs[lane]; j != nil && !j.isDone() {
		return j
	}
	return nil
}

// stopping tells whether nothing begins any more.
func (ts *tasks) stopping() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.closed
}

// busy tells whether a task of a kind's lane is at work.
func (ts *tasks) busy(kind string) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.running(lane(kind)) != nil
}

// idle tells whether no task is at work.
func (ts *tasks) idle() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for lane := range ts.jobs {
		if ts.running(lane) != nil {
			return false
		}
	}
	return true
}

// kindsAtWork are the kinds of the running tasks.
func (ts *tasks) kindsAtWork() map[string]bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	kinds := map[string]bool{}
	for lane := range ts.jobs {
		if j := ts.running(lane); j != nil {
			kinds[j.look(ts.now()).Kind] = true
		}
	}
	return kinds
}

// atWork is the id of the running task of a kind, "" for none.
func (ts *tasks) atWork(kind string) string {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	j := ts.running(lane(kind))
	if j == nil {
		return ""
	}
	return j.look(ts.now()).ID
}

// skip records a scheduled task that was due at a time and did not run. If it is known before that time that it will not, it was skipped now. It is told once it is
// kept, for if it cannot be it is not skipped; tellLastSkip makes up for a kill in between.
func (ts *tasks) skip(kind string, due time.Time, reason string, keep func(control.Task) error) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, err := ts.open(kind, control.Skipped, true)
	if err != nil {
		return err
	}
	if due.Before(t.Start) {
		t.Start = due.UTC()
	}
	t.End, t.Error = &t.Start, reason
	if err := keep(t); err != nil {
		return err
	}
	ts.tell(&t)
	ts.log.Warn("a scheduled "+kind+" is skipped", "task", t.ID, "due", due, "reason", reason)
	return nil
}
