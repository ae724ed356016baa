package sched

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A diary drives a calendar with a clock that only the test moves, and notes what is done.
type diary struct {
	t       *testing.T
	zone    *time.Location
	plan    Plan
	history History
	now     time.Time
	running string
	got     []string
}

// newDiary is that of a job that begins at a time in Berlin, to be run at 03:17.
func newDiary(t *testing.T, begin string) *diary {
	t.Helper()
	d := &diary{t: t, zone: zone(t, "Europe/Berlin"), plan: Plan{Start: Daily{3, 17}, Window: DefaultWindow}}
	d.set(begin)
	d.history = History{Since: d.now}
	return d
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// set sets the clock, which nobody notices.
func (d *diary) set(clock string) {
	d.t.Helper()
	now, err := time.ParseInLocation("2006-01-02 15:04", clock, d.zone)
	if err != nil {
		d.t.Fatal(err)
	}
	d.now = now
}

// to sets the clock and has all that is due decided.
func (d *diary) to(clock string) {
	d.t.Helper()
	d.set(clock)
	d.look()
}

func (d *diary) look() {
	for {
		d.history = d.history.At(d.now)
		s := d.plan.Decide(d.history, d.now, d.zone, d.running)
		if s.Do == Wait {
			return
		}
		d.history = d.history.Done(s)
		d.note(s)
	}
}

func (d *diary) note(s Decision) {
	if s.Do == Run {
		d.got = append(d.got, "run "+d.now.Format("02 15:04"))
	} else {
		d.got = append(d.got, "skip "+s.Turn.In(d.zone).Format("02 15:04")+": "+s.Reason)
	}
}

// through lets the clock run, minute by minute, to a time.
func (d *diary) through(clock string) {
	d.t.Helper()
	from := d.now
	d.set(clock)
	end := d.now
	for d.now = from; !d.now.After(end); d.now = d.now.Add(time.Minute) {
		d.look()
	}
	d.now = end
}

// change changes the start time.
func (d *diary) change(start string) {
	d.t.Helper()
	to := d.plan
	var err error
	if to.Start, err = ParseDaily(start); err != nil {
		d.t.Fatal(err)
	}
	h, s := d.plan.Change(to, d.history, d.now, d.zone)
	d.plan, d.history = to, h
	if s.Do == Skip {
		d.note(s)
	}
}

// want compares what was done; of a skip, the beginning is enough.
func (d *diary) want(lines ...string) {
	d.t.Helper()
	ok := len(d.got) == len(lines)
	for i := range min(len(d.got), len(lines)) {
		ok = ok && strings.HasPrefix(d.got[i], lines[i])
	}
	if !ok {
		d.t.Errorf("got\n  %s\nwant\n  %s", strings.Join(d.got, "\n  "), strings.Join(lines, "\n  "))
	}
}

func TestJobRunsOnceADayAtItsTime(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.through("2026-11-26 12:00")
	d.want("run 24 03:17", "run 25 03:17", "run 26 03:17")
}

func TestTimeThatAClockChangeSkipsRunsAtTheNextValidInstant(t *testing.T) {
	d := newDiary(t, "2026-03-28 12:00")
	d.plan.Start = Daily{2, 30}
	d.through("2026-03-30 12:00")
	d.want("run 29 03:00", "run 30 02:30")
}

func TestTimeThatOccursTwiceRunsOnce(t *testing.T) {
	d := newDiary(t, "2026-10-24 12:00")
	d.plan.Start = Daily{2, 30}
	d.through("2026-10-26 12:00")
	d.want("run 25 02:30", "run 26 02:30")
}

func TestTaskStillRunningAtTheNextDaysTimeSkipsThatDayOnly(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.through("2026-11-24 12:00")
	d.running = "b-20261124-0001"
	d.through("2026-11-25 12:00")
	d.running = ""
	d.through("2026-11-26 12:00")
	d.want("run 24 03:17", "skip 25 03:17: at 03:17 task b-20261124-0001 was still running", "run 26 03:17")
}

func TestMissedTimeRunsAtOnceWhileItsWindowIsOpen(t *testing.T) {
	for clock, want := range map[string]string{
		"2026-11-24 03:18": "run 24 03:18",
		"2026-11-24 09:17": "run 24 09:17",
		"2026-11-24 09:18": "skip 24 03:17: its time 03:17 passed while the daemon was not running or the machine slept, and its window of 6 h is over",
	} {
		d := newDiary(t, "2026-11-23 12:00")
		d.to(clock)
		d.want(want)
		d.got = nil
		d.through("2026-11-25 04:00")
		d.want("run 25 03:17")
	}
}

func TestTurnThatWasCutOffSaysSoWhenItIsSkipped(t *testing.T) {
	for clock, want := range map[string]string{
		"2026-11-24 09:18": "skip 24 03:17: the one of 03:17 was cut off when the daemon stopped, and its window of 6 h is over",
		"2026-11-25 04:00": "skip 24 03:17: the one of 03:17 was cut off when the daemon stopped, and the next day's time has passed too; run 25 04:00",
	} {
		d := newDiary(t, "2026-11-23 12:00")
		d.set("2026-11-24 03:17")
		d.history.Cut = d.now
		d.to(clock)
		d.want(strings.Split(want, "; ")...)
	}
}

// It was told that it is skipped when it was, for the one that was cut off.
func TestTurnThatWasSkippedForOneThatWasCutOffMayStillRun(t *testing.T) {
	for clock, want := range map[string]string{
		"2026-11-24 05:00": "run 24 05:00; run 25 03:17",
		"2026-11-24 09:18": "run 25 03:17",
		"2026-11-25 04:00": "run 25 04:00",
	} {
		d := newDiary(t, "2026-11-23 12:00")
		d.set("2026-11-24 03:17")
		d.history.Last, d.history.Cut = d.now, d.now
		d.to(clock)
		d.through("2026-11-25 05:00")
		d.want(strings.Split(want, "; ")...)
	}
	d := newDiary(t, "2026-11-23 12:00")
	d.set("2026-11-24 03:17")
	d.history.Last, d.history.Cut = d.now, d.now
	d.set("2026-11-24 05:00")
	d.change("04:00") // which is tomorrow's
	d.through("2026-11-25 05:00")
	d.want("run 25 04:00")
}

func TestMissedTimeFollowsItsOwnWindow(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.plan.Window = 90 * time.Minute
	d.to("2026-11-24 04:48")
	d.want("skip 24 03:17: its time 03:17 passed while the daemon was not running or the machine slept, and its window of 1 h 30 min is over")
}

func TestEachMissedDayIsSkippedAndTheLastMayStillRun(t *testing.T) {
	d := newDiary(t, "2026-11-20 12:00")
	d.to("2026-11-24 05:00")
	d.want("skip 21", "skip 22", "skip 23", "run 24 05:00")
}

func TestCatchUpRunsTheLastMissedTurnHoweverLate(t *testing.T) {
	d := newDiary(t, "2026-11-20 12:00")
	d.plan.CatchUp = true
	d.to("2026-11-24 02:00")
	d.want("skip 21", "skip 22", "run 24 02:00") // that is the 23rd's
	d.through("2026-11-24 04:00")
	d.want("skip 21", "skip 22", "run 24 02:00", "run 24 03:17")
}

func TestStartChangedToLaterTodayBeforeTodaysRunIsToday(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.through("2026-11-24 01:00")
	d.change("10:00")
	d.through("2026-11-25 12:00")
	d.want("run 24 10:00", "run 25 10:00")
}

func TestStartChangedToAPastTimeBeforeTodaysRunSkipsToday(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.through("2026-11-24 01:00")
	d.change("00:30")
	d.through("2026-11-25 12:00")
	d.want("skip 24 03:17: its start was changed from 03:17 to 00:30, which had passed", "run 25 00:30")
}

func TestStartChangedAfterTodaysRunHoldsFromTomorrow(t *testing.T) {
	for _, start := range []string{"00:30", "10:00"} {
		d := newDiary(t, "2026-11-23 12:00")
		d.through("2026-11-24 05:00")
		d.change(start)
		d.through("2026-11-25 12:00")
		d.want("run 24 03:17", "run 25 "+start)
	}
}

func TestStartChangedAfterTodayWasSkippedMayStillRunToday(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.to("2026-11-24 10:00")
	d.change("11:00")
	d.through("2026-11-25 12:00")
	d.want("skip 24 03:17", "run 24 11:00", "run 25 11:00")
}

func TestStartChangedOnTheDayOfActivation(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.change("11:00") // today's was never to come, so none is skipped
	d.through("2026-11-23 20:00")
	d.change("21:00")
	d.through("2026-11-24 22:00")
	d.want("run 23 21:00", "run 24 21:00")
}

func TestStartChangedManyTimesRunsOnceADay(t *testing.T) {
	d := newDiary(t, "2026-11-22 12:00")
	for h := range 48 {
		d.through(fmt.Sprintf("2026-11-%d %02d:30", 23+h/24, h%24))
		d.change(fmt.Sprintf("%02d:%02d", h*7%24, h*13%60))
	}
	d.through("2026-11-25 23:59")
	ran := map[string]int{}
	for _, line := range d.got {
		if day, ok := strings.CutPrefix(line, "run "); ok {
			ran[day[:2]]++
		}
	}
	if len(ran) < 3 || ran["23"] > 1 || ran["24"] > 1 || ran["25"] > 1 {
		t.Errorf("got %v: %v", ran, d.got)
	}
}

// The clock was wrong, and is set right: it neither silences the calendar nor runs a turn twice.
func TestClockThatIsSetBack(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.through("2026-11-24 04:00")
	d.to("2026-11-24 02:00") // by two hours
	d.through("2026-11-24 12:00")
	d.want("run 24 03:17")
	d.to("2027-11-24 04:00") // a year forward
	d.to("2026-11-25 02:00")
	d.got = nil
	d.through("2026-11-25 12:00")
	d.want("run 25 03:17")
}

func TestClockSetForwardByYearsTellsAQuarter(t *testing.T) {
	d := newDiary(t, "1970-01-01 12:00")
	d.to("2026-11-24 05:00")
	if n := len(d.got); n < 89 || n > 92 || d.got[n-1] != "run 24 05:00" {
		t.Errorf("%d lines, the last %q", n, d.got[n-1])
	}
}

func TestMachineThatTravelsRunsOnceADay(t *testing.T) {
	d := newDiary(t, "2026-11-23 12:00")
	d.through("2026-11-24 04:00")
	d.zone = zone(t, "Pacific/Honolulu") // where it is the evening before
	d.now = d.now.In(d.zone)
	d.through("2026-11-25 12:00")
	d.want("run 24 03:17", "run 24 03:17", "run 25 03:17") // 11 hours behind: the 24th begins there after it began in Berlin
}

// In whatever order it is asked, killed and asked again, every day is decided exactly once.
func TestHistoryKeptLetsNoTurnComeTwiceNorBeForgotten(t *testing.T) {
	whole := newDiary(t, "2026-03-01 12:00")
	whole.through("2026-04-10 12:00")
	cut := newDiary(t, "2026-03-01 12:00")
	for day := 2; day < 41; day++ {
		for _, clock := range []string{"03:16", "03:17", "03:17", "03:18", "23:59"} {
			m := 3 + (day-1)/31
			cut.to(fmt.Sprintf("2026-%02d-%02d %s", m, (day-1)%31+1, clock))
			cut.history = History{Since: cut.history.Since, Last: cut.history.Last.UTC(), Ran: cut.history.Ran} // as it is read back
		}
	}
	cut.through("2026-04-10 12:00")
	if !reflect.DeepEqual(whole.got, cut.got) {
		t.Errorf("got %v, want %v", cut.got, whole.got)
	}
}

func TestWindowThatIsNone(t *testing.T) {
	for _, w := range []time.Duration{-time.Hour, 0, time.Minute - 1, 24*time.Hour + 1} {
		if CheckWindow(w) == nil {
			t.Errorf("%v is taken", w)
		}
	}
	for _, w := range []time.Duration{time.Minute, DefaultWindow, 24 * time.Hour} {
		if err := CheckWindow(w); err != nil {
			t.Error(err)
		}
	}
}
