package daemon

import (
	"context"
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

// stop cancels what runs, lets nothing start any more, and waits for the end; it fails if that does not come before ctx ends.
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
	for _, j := range all {
		select {
		case <-j.done:
		case <-ctx.Done():
			return fmt.Errorf("task %s does not stop: %w", j.look(ts.now()).ID, ctx.Err())
		}
	}
	if err := ts.keepEnds(); err != nil {
		ts.log.Error("keep the ends of tasks", "err", err) // the next daemon takes them for cut off
	}
	return nil
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
