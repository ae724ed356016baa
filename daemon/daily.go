package daemon

import (
	"context"
	"errors"
	"time"

	"yester/control"
)

const (
	// window is how late a scheduled backup may begin; later, that day is skipped.
	window = 6 * time.Hour
	// nap is the longest sleep: a clock that was set, or a machine that slept, is noticed after it.
	nap = time.Minute
)

// A daily calls turn at each time that next names.
type daily struct {
	now     func() time.Time
	next    func(after time.Time) (t time.Time, ok bool)
	turn    func(due, now time.Time)
	changed <-chan struct{} // has a value when next would say something else than before
}

// run goes on until ctx ends.
func (l *daily) run(ctx context.Context) {
	from := l.now()
	for ctx.Err() == nil {
		now := l.now()
		if now.Before(from) { // the clock was set back
			from = now
		}
		due, ok := l.next(from)
		from = now
		if ok && !due.After(now) {
			l.turn(due, now)
			continue
		}
		l.sleep(ctx, due, ok, now)
	}
}

// sleep waits until due, a nap, or a change, whichever comes first.
func (l *daily) sleep(ctx context.Context, due time.Time, ok bool, now time.Time) {
	wait := nap
	if ok {
		wait = min(wait, due.Sub(now))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.changed:
	}
}

// turn starts the backup that was due, or records why it does not run.
func (d *Daemon) turn(due, now time.Time) {
	if now.Sub(due) > window {
		d.tasks.skip(control.KindBackup, "its time "+due.Format("15:04")+" passed while the machine slept")
		return
	}
	t, err := d.startBackup(true)
	switch {
	case err == nil:
		d.log.Info("scheduled backup", "task", t.ID)
	case errors.Is(err, control.Busy):
		d.tasks.skip(control.KindBackup, "at "+due.Format("15:04")+" task "+t.ID+" was still running")
	case errors.Is(err, control.Stopping):
	default:
		d.tasks.skip(control.KindBackup, explain(err).Message)
	}
}

// wake has the daily loop look at the policy again.
func (d *Daemon) wake() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}
