package sched

import (
	"testing"
	"time"
)

// A machine whose clock is looked at each hour that it is on.
type watched struct {
	t      *testing.T
	w      Watch
	now    time.Time
	boot   string
	up     time.Duration
	doubts int // looks at which the clock was not believed
}

const slack = 7 * day

const day = 24 * time.Hour

func newWatched(t *testing.T) *watched {
	m := &watched{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), boot: "a"}
	m.look()
	return m
}

func (m *watched) look() {
	m.w = m.w.Look(m.now, m.boot, m.up, slack)
	if m.w.Doubt {
		m.doubts++
	}
}

// on has the machine run.
func (m *watched) on(d time.Duration) *watched {
	for ; d > 0; d -= time.Hour {
		step := min(d, time.Hour)
		m.now, m.up = m.now.Add(step), m.up+step
		m.look()
	}
	return m
}

// off has it be off, and started again.
func (m *watched) off(d time.Duration) *watched {
	m.now, m.up, m.boot = m.now.Add(d), time.Minute, m.boot+"a"
	m.look()
	return m
}

// set sets its clock.
func (m *watched) set(d time.Duration) *watched {
	m.now = m.now.Add(d)
	m.look()
	return m
}

// want looks how far the clock is ahead of what is known.
func (m *watched) want(ahead time.Duration) *watched {
	m.t.Helper()
	if got := m.w.Ahead().Round(time.Hour); got != ahead || m.w.Doubt != (ahead > 0) {
		m.t.Errorf("at %v: ahead by %v, want %v; in doubt: %v", m.now, got, ahead, m.w.Doubt)
	}
	return m
}

func TestClockIsBelievedAsLongAsItGoes(t *testing.T) {
	m := newWatched(t).on(100 * day).off(8 * time.Hour).on(40 * day).off(6 * day).on(time.Hour).set(-time.Hour).on(day).set(3 * day).on(day)
	if m.want(0); m.doubts > 0 {
		t.Errorf("%d doubts", m.doubts)
	}
}

func TestClockThatLeapsAheadIsBelievedAfterThreeDays(t *testing.T) {
	m := newWatched(t).on(day).set(3650 * day).want(3650 * day).on(3*day - time.Hour).want(3650 * day)
	if till := m.w.Believed().Sub(m.now); till != time.Hour {
		t.Errorf("it is to be believed in %v", till)
	}
	m.on(time.Hour).want(0)
}

func TestClockThatIsSetRightAgainIsBelievedAtOnce(t *testing.T) {
	newWatched(t).on(day).set(3650 * day).on(2 * day).want(3650 * day).set(-3650 * day).want(0)
	newWatched(t).on(day).off(3650 * day).want(3650 * day).off(-3650 * day).want(0)
}

// After a machine was off for long, nobody can tell whether its clock is right.
func TestMachineThatWasOffForLongIsNotBelievedForAWhile(t *testing.T) {
	newWatched(t).on(day).off(60 * day).want(60 * day).on(3 * day).want(0)
}

// A clock that leaps again and again is not one to be believed.
func TestEachLeapBeginsTheTrialAnew(t *testing.T) {
	m := newWatched(t).on(day)
	for range 5 {
		m.set(100 * day).on(2 * day)
	}
	m.want(500 * day).on(day).want(0)
}

// Nor does being off for years make a doubtful clock right.
func TestTimeOffCountsADayOfTheTrial(t *testing.T) {
	newWatched(t).on(day).off(60 * day).off(3650 * day).want(3710 * day).on(time.Hour).off(3650 * day).want(7360 * day)
}

// A machine that is on for an hour every other week gets on all the same.
func TestMachineThatIsSeldomOnIsBelievedNowAndThen(t *testing.T) {
	m, looks := newWatched(t), 0
	for range 40 {
		m.off(14 * day).on(time.Hour)
		looks += 2
		if m.w.Ahead() > 60*day {
			t.Fatalf("at %v: ahead by %v", m.now, m.w.Ahead())
		}
	}
	if m.doubts == 0 || m.doubts == looks {
		t.Errorf("%d doubts of %d looks", m.doubts, looks)
	}
}

// A machine without a clock of its own begins each time in 1970 until it has asked the network.
func TestMachineWithoutAClockIsBelieved(t *testing.T) {
	m := newWatched(t).on(day)
	for range 10 {
		right := m.now
		m.off(time.Unix(0, 0).Sub(right))
		if !m.w.Behind() {
			t.Error("it is not behind")
		}
		if m.on(time.Hour); m.w.Behind() {
			t.Error("it is behind for good")
		}
		m.now = right.Add(2 * time.Hour)
		m.look()
		if m.w.Behind() {
			t.Error("it was set right, and is behind")
		}
		m.want(0).on(day)
	}
}

// One that starts with the time of its last days, as from a file, is believed, for nothing expires by it, but what it did since then is not over.
func TestMachineThatStartsWithAnEarlierTimeIsBehind(t *testing.T) {
	m := newWatched(t).on(10 * day)
	right := m.now
	m.off(-2 * day)
	if !m.w.Behind() {
		t.Error("it is not behind")
	}
	m.now = right.Add(time.Hour)
	m.look()
	if m.w.Behind() {
		t.Error("it was set right, and is behind")
	}
	m.set(20 * day).off(-20 * day)
	if m.w.Behind() {
		t.Error("it was ahead, started with the right time, and is behind")
	}
}

// A clock that was believed and was wrong all the same does not blunt the watch for ever.
func TestClockThatIsSetBackIsBelievedAfterThreeDays(t *testing.T) {
	newWatched(t).on(day).set(3650 * day).on(3 * day).want(0).set(-3650 * day).on(3 * day).want(0).set(100 * day).want(100 * day)
}

func TestStartThatCountsAnewIsAnother(t *testing.T) {
	m := newWatched(t).on(30 * day)
	m.up = 0 // a container that was started again
	m.now = m.now.Add(time.Minute)
	m.look()
	m.want(0)
}

// What has passed is counted whatever becomes of the clock: sleep is in it, and what the machine was off is not.
func TestWhatPassedIsCountedWhateverTheClockIsSetTo(t *testing.T) {
	m := newWatched(t).on(day).set(3 * day).on(day).set(3650 * day).on(day).set(-3653 * day).on(day).off(30 * day).on(day)
	if want := 5*day + time.Minute; m.w.Passed != want {
		t.Errorf("%v passed, want %v", m.w.Passed, want)
	}
}

func TestClockThatLeaptByMoreThanADaySettlesInAnHour(t *testing.T) {
	m := newWatched(t).on(day)
	for _, leap := range []func(){
		func() { m.set(25 * time.Hour) }, func() { m.set(-25 * time.Hour) }, func() { m.off(2 * day) }, func() { m.set(3650 * day) },
	} {
		if m.on(time.Hour); m.w.Settles != 0 {
			t.Errorf("at %v: %v to go", m.now, m.w.Settles)
		}
		if leap(); m.w.Settles != time.Hour {
			t.Errorf("at %v: %v to go", m.now, m.w.Settles)
		}
		m.now, m.up = m.now.Add(time.Minute), m.up+time.Minute
		if m.look(); m.w.Settles != 59*time.Minute {
			t.Errorf("at %v: %v to go", m.now, m.w.Settles)
		}
	}
	if m := newWatched(t).on(day).set(23 * time.Hour).off(23 * time.Hour); m.w.Settles != 0 {
		t.Errorf("after a day off: %v to go", m.w.Settles)
	}
}
