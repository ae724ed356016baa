package sched

import "time"

// A Watch tells whether the clock on the wall can be believed where a clock that is wrong does harm: by one that is far ahead, everything has expired. It
// compares it with the time since the machine was started, which nobody sets, and of the time that the machine was off it believes so much at once
// and the rest after a while. Its zero value has seen nothing yet.
type Watch struct {
	Known time.Time     // as late as it is known to be
	Wall  time.Time     // what the clock showed when it was looked at last
	Boot  string        // names the start of the machine
	Up    time.Duration // from then on, sleep included
	Doubt bool          // Wall is not what is known
	Trial time.Duration // how long it has gone on so

	Settles time.Duration // until then somebody may be about to set the clock right, as it leapt by more than a day; 0: nobody is
	Back    bool          // that leap was back, and not from where the clock was not believed

	Passed time.Duration // how long it has been at least, whatever the clock was set to: sleep counts, and being off does not
}

// trial is how long a clock that leapt must go on before it is believed. Somebody may have read the message by then. trialOff is how much of the time
// that the machine was off meanwhile counts, for those that are on for an hour a week.
const (
	trial    = 3 * 24 * time.Hour
	trialOff = 24 * time.Hour
)

// settling is how long a machine that came back, or whose clock was set, may take until it has asked the network for the time.
const settling = time.Hour

// Look is w after a look at the clock. slack is how far the clock may leap and be believed at once.
func (w Watch) Look(now time.Time, boot string, up, slack time.Duration) Watch {
	now = now.Round(0)
	if w.Known.IsZero() {
		return Watch{Known: now, Wall: now, Boot: boot, Up: up}
	}
	same := boot == w.Boot && up >= w.Up
	passed := up // of another start it is what passed at least
	if same {
		passed = up - w.Up
	}
	leap := now.Sub(w.Wall) - passed // of the clock, or of the time that the machine was off
	next := Watch{Known: w.Known.Add(passed), Wall: now, Boot: boot, Up: up, Doubt: true, Back: w.Back, Passed: w.Passed + passed}
	if next.Settles = max(0, w.Settles-passed); leap.Abs() > 24*time.Hour {
		// A machine that starts with an earlier time than it had has lost it, and one that runs is set right, unless that goes too far back to be believed.
		wasAhead := w.Doubt && w.Ahead() > 0
		next.Settles, next.Back = settling, leap < 0 && (!same && !wasAhead || now.Before(next.Known.Add(-slack)))
	}
	switch {
	case !w.Doubt, same && leap.Abs() > slack: // it begins, or begins anew
	case same:
		next.Trial = w.Trial + passed
	default:
		next.Trial = w.Trial + passed + min(max(leap, 0), trialOff)
	}
	if now.Sub(next.Known).Abs() <= slack || next.Trial >= trial {
		return Watch{Known: now, Wall: now, Boot: boot, Up: up, Settles: next.Settles, Back: next.Back, Passed: next.Passed}
	}
	return next
}

// Ahead is how far the clock is ahead of what is known; 0: it is not, or is believed.
func (w Watch) Ahead() time.Duration { return max(0, w.Wall.Sub(w.Known)) }

// Behind tells whether the clock leapt back by more than a day, but not from where it was ahead, and somebody may be about to set it right.
func (w Watch) Behind() bool { return w.Back && w.Settles > 0 }

// Believed is when a clock will be believed that is not, if it goes on as it does, by that clock.
func (w Watch) Believed() time.Time { return w.Wall.Add(trial - w.Trial) }
