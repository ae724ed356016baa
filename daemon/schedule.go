package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/sched"
)

// nap is the longest sleep: a clock that was set, or a machine that slept, is noticed after it.
const nap = time.Minute

// A clockwork calls turn, which does what is due and says when there will be something again.
type clockwork struct {
	now     func() time.Time
	timer   func(time.Duration) *time.Timer
	turn    func() (next time.Time, ok bool) // ok is false if nothing will be due before a change
	changed <-chan struct{}                  // has a value when turn would say something else than before
}

// run goes on until ctx ends.
func (c *clockwork) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := nap
		if next, ok := c.turn(); ok {
			wait = min(wait, max(0, next.Sub(c.now())))
		}
		timer := c.timer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-c.changed:
		}
		timer.Stop()
	}
}

// wake has the clockwork look at the policy again.
func (d *Daemon) wake() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// turn starts the backup that is due, records those that are skipped, and returns when the next one is.
func (d *Daemon) turn() (next time.Time, ok bool) {
	d.lookAtZone()
	d.admin.Lock()
	defer d.admin.Unlock()
	next, ok, err := d.decide()
	if err != nil {
		d.log.Error("keep what was decided of the scheduled backup", "err", err)
		d.kept(d.alerts.Hold(control.MessageBackup, unkeptTurn, "a scheduled backup cannot begin: "+sentence(err)))
		return next, false // it is tried again after a nap
	}
	d.resolve(unkeptTurn)
	return next, ok
}

// unkeptTurn is the cause of the message that what was decided of a backup cannot be kept.
const unkeptTurn = "backup/turn"

// decide decides all turns that are due. d.admin is held. Each decision is kept together with its task, so that after a crash the turn neither
// comes again nor is forgotten. By a clock that may be about to be set right, none is made: what was decided would be forgotten, and all days since then be told as missed.
func (d *Daemon) decide() (next time.Time, ok bool, err error) {
	if d.isBehind() {
		return next, false, nil
	}
	p, h, ok := d.calendar()
	for ok && !d.tasks.stopping() {
		now := d.o.Now()
		running := d.tasks.atWork(control.KindBackup)
		s := p.Decide(h, now, d.zone(), running)
		if s.Do == sched.Wait {
			d.full = ""
			return s.Turn, true, d.keepSchedule(h)
		}
		last := !p.CatchUp && now.Add(2*nap).After(s.Turn.Add(p.Window)) // it may be over when it is asked again
		if why := d.awaits(last); s.Do == sched.Run && why != "" {
			d.waits, d.why = s.Turn, why
			return next, false, d.keepSchedule(h) // it is decided when that is there, or its window is over
		}
		switch {
		case s.Do != sched.Skip || running != "":
		case s.Turn.Equal(d.waits):
			s.Reason = d.why
		case d.full != "":
			s.Reason = d.full
		}
		if err := d.do(s, h.Done(s)); err != nil {
			if s.Do == sched.Run && errors.Is(err, state.ErrNoSpace) {
				d.full = "the disk of the daemon's state was full"
				d.waits, d.why = s.Turn, d.full
			}
			return next, true, err
		}
		p, h, ok = d.calendar()
	}
	return next, false, nil
}

// settling is how long after its start a machine may still mount what it does not wait for, as disks with nofail.
const settling = 5 * time.Minute

// awaits says what a backup that is due waits for: the vault, and of a machine that has just started what is to be backed up and not there yet, but not at last, when the window is about to
// be over; "" for nothing.
func (d *Daemon) awaits(last bool) string {
	if away := d.unopenedVault(); len(away) > 0 {
		return away[0].text
	}
	d.mu.Lock()
	policy, v := d.policy, d.vault
	d.mu.Unlock()
	if _, up := d.o.Boot(); last || up >= settling || policy == nil || v == nil {
		return ""
	}
	all, err := d.wanted(context.Background(), v, policy)
	i := slices.IndexFunc(all, func(t target) bool { return t.err != nil })
	if err != nil || i < 0 {
		return ""
	}
	return "the machine had just started, and " + all[i].partition.Name + " was not there yet"
}

// do does what was decided.
func (d *Daemon) do(s sched.Decision, h sched.History) error {
	if s.Do == sched.Run {
		t, err := d.startBackup(&h)
		switch {
		case err == nil:
			d.log.Info("scheduled backup", "task", t.ID)
			return nil
		case errors.Is(err, control.Stopping):
			return nil // the next daemon decides
		case errors.Is(err, state.ErrNoSpace):
			return err
		}
		h.Ran, s.Reason = false, explain(err).Message
	}
	return d.tasks.skip(control.KindBackup, s.Turn, s.Reason, d.keepWith(&h))
}

// keepWith keeps a task and a history, both or neither.
func (d *Daemon) keepWith(h *sched.History) func(control.Task) error {
	if h == nil {
		return d.db.PutTask
	}
	return func(t control.Task) error {
		put := d.db.PutTurn
		if !t.Ended() {
			put = d.putBegun
		}
		if err := put(state.Schedule(*h), t); err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.history = *h
		return nil
	}
}

// putBegun keeps a schedule and its task that begins, which has made nothing yet.
func (d *Daemon) putBegun(s state.Schedule, t control.Task) error {
	last, err := d.db.Begun()
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	b := state.Begun{Task: t.ID, Turn: s}
	if last.Turn.Last.Equal(s.Last) {
		b.Kills = last.Kills
	}
	return d.db.PutBegun(b, s, t)
}

// madeTurn keeps that a scheduled backup runs not again, whatever becomes of it.
func (d *Daemon) madeTurn() {
	if err := d.db.ForgetBegun(); err != nil {
		d.log.Warn("keep that a scheduled backup has made its versions", "err", err) // after a kill before its end it would run again
	}
}

// maxKills is how many kills of the daemon may cut off the backup of a turn until it is begun no more: it may be what they come of.
const maxKills = 3

// keepKilled keeps the end of a task that a kill of the daemon cut off. If it is a scheduled backup that had not made its versions, its turn, or the last one that was skipped for it, may run
// again. After its window it is not told as skipped, for it was told that it failed.
func (d *Daemon) keepKilled(t control.Task) error {
	b, err := d.db.Begun()
	if errors.Is(err, state.ErrNotFound) || err == nil && b.Task != t.ID {
		return d.db.PutTask(t)
	}
	s, scheduleErr := d.db.Schedule()
	if err := errors.Join(err, scheduleErr); err != nil {
		return err
	}
	if isChanged := !s.Since.Equal(b.Turn.Since) || s.Last.Before(b.Turn.Last) || s.Last.After(b.Turn.Last) && s.Ran; isChanged {
		return d.db.PutTask(t)
	}
	if b.Kills++; b.Kills < maxKills {
		s.Ran, s.Cut = false, s.Last
	}
	b.Turn.Last = s.Last
	return d.db.PutBegun(b, s, t)
}

// leaveTurn keeps the end of a scheduled backup that a stop of the daemon cut off with the history before it, so that the next daemon decides the turn
// again; after is the one with it. If it ran into the turns of later days, which were skipped for it, the last of these may still run. What changed the history otherwise counts instead.
func (d *Daemon) leaveTurn(before, after sched.History) func(control.Task) error {
	return func(t control.Task) error {
		d.mu.Lock()
		h := d.history
		d.mu.Unlock()
		again := h.Last
		switch {
		case t.State != control.Cancelled:
			return d.db.PutTask(t)
		case h == after:
			h = before
		case !h.Since.Equal(after.Since) || !h.Last.After(after.Last) || h.Ran:
			return d.db.PutTask(t)
		}
		h.Cut = again
		return d.keepWith(&h)(t)
	}
}

// keepSchedule keeps a history that was changed.
func (d *Daemon) keepSchedule(h sched.History) error {
	d.mu.Lock()
	same := d.history == h
	d.mu.Unlock()
	if same {
		return nil
	}
	if err := d.db.PutSchedule(state.Schedule(h)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.history = h
	return nil
}

// calendar is the plan and what came of it so far; ok is false if no backups are scheduled.
func (d *Daemon) calendar() (p sched.Plan, h sched.History, ok bool) {
	d.mu.Lock()
	policy, service, h := d.policy, d.service, d.history
	d.mu.Unlock()
	if policy == nil || service != control.StateReady {
		return p, h, false
	}
	p, err := planOf(policy)
	if err != nil {
		d.log.Error("the policy's start time is malformed", "err", err)
		return p, h, false
	}
	return p, h.At(d.o.Now()), true
}

// planOf is the plan of a policy.
func planOf(p *control.Policy) (sched.Plan, error) {
	start, err := sched.ParseDaily(p.Start)
	return sched.Plan{Start: start, Window: time.Duration(p.WindowSeconds) * time.Second, CatchUp: p.CatchUp}, err
}

// next is when the next scheduled backup begins; ok is false if there is none.
func (d *Daemon) next() (t time.Time, ok bool) {
	p, h, ok := d.calendar()
	if !ok {
		return t, false
	}
	return p.Next(h, d.o.Now(), d.zone()), true
}

// changePlan keeps a policy in place of an old one, nil for none, with the history that this makes, and records the turn that is lost by it.
// d.admin is held.
func (d *Daemon) changePlan(old, policy *control.Policy) error {
	to, err := planOf(policy)
	if err != nil {
		return err
	}
	now := d.o.Now()
	d.mu.Lock()
	service := d.service
	d.mu.Unlock()
	from, h, ok := d.calendar()
	var lost sched.Decision
	switch {
	case old == nil:
		service, h = control.StateReady, sched.History{Since: now}.At(now)
	case ok:
		h, lost = from.Change(to, h, now, d.zone())
	}
	keep := func(with ...control.Task) error {
		if err := d.db.PutPlan(*policy, service, state.Schedule(h), with...); err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.policy, d.service, d.history = policy, service, h
		return nil
	}
	if lost.Do == sched.Skip {
		return d.tasks.skip(control.KindBackup, lost.Turn, lost.Reason, func(t control.Task) error { return keep(t) })
	}
	return keep()
}

// readSchedule reads the history that was kept; where none was, turns count from now on.
func readSchedule(db *state.DB, now time.Time) (sched.History, error) {
	s, err := db.Schedule()
	if errors.Is(err, state.ErrNotFound) {
		return sched.History{Since: now}, nil
	}
	return sched.History(s), err
}
