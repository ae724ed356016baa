package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"yester/control"
	"yester/daemon/state"
)

// watchInterval is how often a watched task is sent.
const watchInterval = 250 * time.Millisecond

// find returns the job of a task if it is the last one of its lane.
func (ts *tasks) find(id string) *job {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, j := range ts.jobs {
		if j.look(ts.now()).ID == id {
			return j
		}
	}
	return nil
}

// get returns a task. NotFound.
func (ts *tasks) get(id string) (control.Task, error) {
	if j := ts.find(id); j != nil {
		return j.look(ts.now()), nil
	}
	t, err := ts.db.Task(id)
	if errors.Is(err, state.ErrNotFound) {
		return t, control.Errorf(control.NotFound, "there is no task %q", id).WithHint("`yester tasks` lists those there are")
	}
	return t, err
}

// list returns all tasks in brief, oldest first.
func (ts *tasks) list() ([]control.Task, error) {
	all, err := ts.db.Tasks()
	if err != nil {
		return nil, err
	}
	for i := range all {
		if j := ts.find(all[i].ID); j != nil {
			t := j.look(ts.now())
			all[i] = t.Brief()
		}
	}
	return all, nil
}

// recent are the tasks that say how things are; nil where there is none.
type recent struct {
	running, last *control.Task  // backups; last is the one that ended last
	others        []control.Task // running, no backups
}

func (ts *tasks) recent() (r recent, err error) {
	all, err := ts.list()
	now := ts.now()
	rank := func(t *control.Task) int {
		if t.End != nil && t.End.After(now) {
			return 0 // by a clock that was ahead: all others are newer
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b control.Task) int { return rank(&a) - rank(&b) })
	for i := range all {
		t := &all[i]
		switch {
		case t.Kind != control.KindBackup && !t.Ended():
			r.others = append(r.others, *t)
		case t.Kind != control.KindBackup:
		case !t.Ended():
			r.running = t
		case r.last == nil || rank(t) > rank(r.last) || !t.End.Before(*r.last.End): // a day that was skipped beside a long one begins after it, and ends before
			r.last = t
		}
	}
	return r, err
}

// watch sends a task again and again until it has ended.
func (ts *tasks) watch(ctx context.Context, id string, send func(control.Task) error) error {
	j := ts.find(id)
	if j == nil {
		t, err := ts.get(id)
		if err != nil {
			return err
		}
		return send(t)
	}
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-j.done:
			return send(j.look(ts.now()))
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := send(j.look(ts.now())); err != nil {
				return err
			}
		}
	}
}
