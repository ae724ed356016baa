package daemon

import (
	"context"
	"errors"
	"fmt"

	"yester/control"
)

// cancel stops a task and returns it when it has stopped.
func (ts *tasks) cancel(ctx context.Context, id string) (control.Task, error) {
	t, err := ts.get(id)
	if err != nil {
		return t, err
	}
	j := ts.find(id)
	if t.Kind == control.KindCancel && !t.Ended() {
		return t, control.Errorf(control.Conflict, "what %s deleted cannot come back, so it goes on to the end", id)
	}
	if t.Ended() || j == nil {
		return t, control.Errorf(control.BadRequest, "task %s is not running, it ended %s", id, t.State)
	}
	j.cancel(stopped(t.Kind, "stopped on request"))
	select {
	case <-j.done:
		return j.look(ts.now()), nil
	case <-ctx.Done():
		return t, ctx.Err()
	}
}

// stop cancels what runs, lets nothing start any more, and waits for the end; it fails if that does not come before ctx ends. What does not stop is kept as cancelled all the same: the process ends,
// and the next daemon would take it for cut off by a kill.
func (ts *tasks) stop(ctx context.Context) error {
	ts.mu.Lock()
	ts.closed = true
	var all []*job
	for lane := range ts.jobs {
		if j := ts.running(lane); j != nil {
			j.cancel(cutOff{stopped(j.look(ts.now()).Kind, "the daemon was stopped")})
			all = append(all, j)
		}
	}
	ts.mu.Unlock()
	var stuck, unkept []error
	for _, j := range all {
		select {
		case <-j.done:
		case <-ctx.Done():
		}
		if !j.isDone() {
			stuck = append(stuck, fmt.Errorf("task %s does not stop: %w", j.look(ts.now()).ID, ctx.Err()))
			unkept = append(unkept, ts.keepCutOff(j))
		}
	}
	if err := errors.Join(append(unkept, ts.keepEnds())...); err != nil {
		ts.log.Error("keep the ends of tasks", "err", err) // the next daemon takes them for cut off
	}
	return errors.Join(stuck...)
}

// keepCutOff keeps that a job which does not stop was cancelled, unless its end has come meanwhile. One that comes later is kept instead, if the process is there still.
func (ts *tasks) keepCutOff(j *job) error {
	j.keeping.Lock()
	defer j.keeping.Unlock()
	t := j.look(ts.now())
	if t.Ended() {
		return nil // it is being kept
	}
	now, e := ts.now().UTC(), explain(stopped(t.Kind, "the daemon was stopped"))
	t.End, t.State, t.Error, t.Hint, t.Progress = &now, control.Cancelled, e.Message, e.Hint, nil
	return j.keepAs(t)
}

// stopOthers cancels all tasks but one and waits for their end.
func (ts *tasks) stopOthers(ctx context.Context, but *job) error {
	ts.mu.Lock()
	var all []*job
	for lane := range ts.jobs {
		if j := ts.running(lane); j != nil && j != but {
			j.cancel(stopped(j.look(ts.now()).Kind, "the service was cancelled"))
			all = append(all, j)
		}
	}
	ts.mu.Unlock()
	for _, j := range all {
		select {
		case <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
