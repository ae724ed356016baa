package sched

import (
	"fmt"
	"time"
)

// A Plan says when a daily job runs.
type Plan struct {
	Start   Daily
	Window  time.Duration // how late it may begin
	CatchUp bool          // begin as soon as possible, however late
}

// DefaultWindow is how late a job may begin unless something else is said.
const DefaultWindow = 6 * time.Hour

// CheckWindow refuses a window that is none: it must be open for a minute, and closed before the next day's turn.
func CheckWindow(w time.Duration) error {
	if w < time.Minute || w > 24*time.Hour {
		return fmt.Errorf("the window %v is not between a minute and 24 hours", w)
	}
	return nil
}

// A History is what a calendar must remember. Kept before what was decided is done, it lets no turn come twice and none be forgotten, whenever the
// process is killed.
type History struct {
	Since time.Time // turns up to this moment do not count: the job began then, or went on after a pause
	Last  time.Time // the turn that was decided last, as it was due; zero: none was
	Ran   bool      // it was run, and not skipped
	Cut   time.Time // the turn that is to be decided again, as the daemon stopped meanwhile: it was begun, or is Last and was skipped for one that was
}

// memory is how far back missed turns are told one by one.
const memory = 90 * 24 * time.Hour

// At is h as it must be now: of a clock that was set back, or forward by far, nothing is left that would silence the calendar or flood it.
func (h History) At(now time.Time) History {
	now = now.Round(0) // by the clock on the wall, which is what may be set
	h.Since, h.Last = h.Since.Round(0), h.Last.Round(0)
	if h.Since.After(now) {
		h.Since = now
	}
	if h.Last.After(now.Add(24 * time.Hour)) {
		h = History{Since: now}
	}
	if old := now.Add(-memory); h.Since.Before(old) && h.Last.Before(old) {
		h.Since = old
	}
	return h
}

// An Action is what is to be done about a turn.
type Action int

// The actions.
const (
	Wait Action = iota // until the turn
	Run
	Skip
)

// A Decision is what a calendar says.
type Decision struct {
	Do     Action
	Turn   time.Time // which turn it is about, as it is or was due
	Reason string    // why it is skipped
}

// Done is the history after a decision other than Wait.
func (h History) Done(d Decision) History {
	h.Last, h.Ran, h.Cut = d.Turn, d.Do == Run, time.Time{}
	return h
}

// Decide says what to do now about the first turn that was not decided. running is the task that is still at work, "" for none. Several turns
// may have been missed, so it is asked again with the history of each decision until it says Wait.
func (p Plan) Decide(h History, now time.Time, zone *time.Location, running string) Decision {
	turn := p.turn(h, zone)
	if again := h.Last; !again.IsZero() && again.Equal(h.Cut) && !again.After(now) && turn.After(now) && (p.CatchUp || now.Sub(again) <= p.Window) && running == "" {
		return Decision{Do: Run, Turn: again} // else it stays skipped
	}
	d := Decision{Do: Skip, Turn: turn}
	at := turn.In(zone).Format("15:04")
	missed := "its time " + at + " passed while the daemon was not running or the machine slept"
	if turn.Equal(h.Cut) {
		missed = "the one of " + at + " was cut off when the daemon stopped"
	}
	switch next := p.turn(h.Done(d), zone); {
	case turn.After(now):
		d.Do = Wait
	case !next.After(now):
		d.Reason = missed + ", and the next day's time has passed too"
	case !p.CatchUp && now.Sub(turn) > p.Window:
		d.Reason = fmt.Sprintf("%s, and its window of %s is over", missed, spanText(p.Window))
	case running != "":
		d.Reason = "at " + at + " task " + running + " was still running"
	default:
		d.Do = Run
	}
	return d
}

// Next is the turn that comes next: one that is due already comes now.
func (p Plan) Next(h History, now time.Time, zone *time.Location) time.Time {
	h = h.At(now)
	for {
		d := p.Decide(h, now, zone, "")
		switch d.Do {
		case Wait:
			return d.Turn
		case Run:
			return now
		}
		h = h.Done(d)
	}
}

// turn is the first one that was not decided: there is one a day.
func (p Plan) turn(h History, zone *time.Location) time.Time {
	year, month, day := h.Since.In(zone).Date()
	if last := h.Last.In(zone); !h.Last.IsZero() && !last.Before(startOfDay(h.Since, zone)) {
		year, month, day = last.Date()
		day++
	}
	for ; ; day++ {
		if t := p.Start.on(year, month, day, zone); t.After(h.Since) && t.After(h.Last) {
			return t
		}
	}
}

// Change gives the history for another plan, and the turn of today that is lost by it; Wait for none. While today's turn did not run, a start
// later today is today's, and one that has passed is tomorrow's. After it ran, the next one is tomorrow's whatever the plan.
func (p Plan) Change(to Plan, h History, now time.Time, zone *time.Location) (History, Decision) {
	h = h.At(now)
	if p.Start == to.Start {
		return h, Decision{}
	}
	year, month, day := now.In(zone).Date()
	decided := !h.Last.IsZero() && sameDay(h.Last, now, zone)
	if decided && h.Ran {
		return h, Decision{}
	}
	h.Cut = time.Time{}
	old, today := p.turn(h, zone), to.Start.on(year, month, day, zone)
	if today.After(now) {
		h.Since, h.Last, h.Ran = now, time.Time{}, false
		return h, Decision{}
	}
	h.Since = now
	if decided || !sameDay(old, now, zone) {
		return h, Decision{}
	}
	d := Decision{
		Do: Skip, Turn: old,
		Reason: fmt.Sprintf("its start was changed from %v to %v, which had passed", p.Start, to.Start),
	}
	return h.Done(d), d
}

func sameDay(a, b time.Time, zone *time.Location) bool {
	return a.In(zone).Format(time.DateOnly) == b.In(zone).Format(time.DateOnly)
}

func startOfDay(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, zone)
}

// spanText writes a window: 6 h, 1 h 30 min.
func spanText(d time.Duration) string {
	h, m := d/time.Hour, d%time.Hour/time.Minute
	switch {
	case m == 0:
		return fmt.Sprintf("%d h", h)
	case h == 0:
		return fmt.Sprintf("%d min", m)
	}
	return fmt.Sprintf("%d h %d min", h, m)
}
