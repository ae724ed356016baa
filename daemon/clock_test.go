package daemon

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
)

// openClock are the open messages about the clock.
func (s *still) openClock() (texts []string) {
	s.t.Helper()
	for _, m := range mustNot[control.MessageList](s.t)(s.messages(s.t.Context(), control.MessagesRequest{Open: "true"})).Messages {
		if m.Kind == control.MessageClock {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// By a clock that is years ahead all but the newest have expired. They stay until it has gone on so for three days.
func TestClockThatLeapsAheadLetsVersionsStay(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	s.swept("2026-11-26 12:00")
	s.leap("2036-11-26 12:00")
	s.swept("2036-11-26 12:00")
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317", "2026-11-26T0317")
	const text = "the clock went ahead by 3653 days while the daemon did not see them pass; 2 versions have expired by it and stay until 2036-11-29 12:00, in case"
	if got := s.openClock(); len(got) != 1 || !strings.HasPrefix(got[0], text) {
		t.Errorf("got %q", got)
	}
	if st := mustNot[control.Status](t)(s.status(t.Context(), control.None{})); !slices.ContainsFunc(st.Attention, func(l string) bool { return strings.HasPrefix(l, text) }) {
		t.Errorf("attention: %q", st.Attention)
	}
	s.again() // what is known outlives the daemon
	s.swept("2036-11-29 11:59")
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317", "2026-11-26T0317")
	s.swept("2036-11-29 12:00")
	s.wantVersions("2026-11-26T0317")
	if got := s.openClock(); got != nil {
		t.Errorf("still open: %q", got)
	}
}

func TestClockThatLeapsAheadForgetsNoTasksAndMessages(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	s.kept(s.alerts.Note(control.MessageDamage, "healed/p", "healed"))
	s.swept("2026-11-24 12:00")
	s.leap("2036-11-26 12:00")
	many := func(when string, want int) {
		t.Helper()
		s.kept(s.alerts.Note(control.MessageDamage, "healed/"+when, "healed"))
		wait(t, s.tasks, mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{})).ID)
		messages := 0
		for _, m := range s.alerts.List(false) {
			if m.Kind == control.MessageDamage {
				messages++
			}
		}
		if tasks := mustNot[[]control.Task](t)(s.tasks.list()); len(tasks) != want || messages != want {
			t.Errorf("%s: %d tasks and %d messages", when, len(tasks), messages)
		}
	}
	many("it leapt", 2)
	s.swept("2036-11-26 13:00")
	many("it goes on so", 3)
	s.swept("2036-11-29 13:00")
	many("it is believed", 3) // and the first ones are old
}

func TestClockThatIsSetRightLosesNothing(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	s.swept("2026-11-25 12:00")
	s.leap("2036-11-26 12:00")
	s.swept("2036-11-27 12:00")
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317")
	s.leap("2026-11-26 12:00")
	s.swept("2026-11-26 13:00")
	if got := s.openClock(); got != nil {
		t.Errorf("still open: %q", got)
	}
	s.swept("2026-12-24 03:18") // and then they expire as always
	s.wantVersions("2026-11-25T0317")
}

// As of a machine whose own clock has lost its battery, until it has asked the network. The names of its versions come after those of before.
func TestVersionsOfAClockThatWasBehindStayAsLongAsOthers(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	s.swept("2026-11-25 12:00")
	s.leap("2024-01-01 00:00")
	s.backedUp()
	s.swept("2024-01-01 12:00")
	s.backedUp()
	s.leap("2026-11-26 12:00")
	s.swept("2026-11-26 12:00")
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317", "2026-11-25T0317", "2026-11-25T0317")
	s.swept("2026-12-25 03:18")
	s.wantVersions("2026-11-25T0317")
}

// A start of such a machine would have made a new calendar, which takes all days since then for missed once the clock is right, had all of the vault be read, and told what is late to be over.
func TestClockThatIsBehindDecidesNothingForAnHour(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	s.to("2026-11-26 12:00")
	s.endBackup("2026-11-26 12:00", control.Failed)
	if got := s.late("2026-11-26 12:00"); len(got) != 1 {
		t.Fatalf("late: %q", got)
	}
	chores := func() {
		t.Helper()
		s.turn()
		if err := s.chores(t.Context()); err != nil {
			t.Error(err)
		}
	}
	chores()
	if err := s.changeUpkeep(func(u *upkeepState) { u.Collect = true }); err != nil {
		t.Fatal(err)
	}
	kept := func() (state.Schedule, state.Upkeep, state.Drill, []control.Message) {
		t.Helper()
		late := slices.DeleteFunc(s.alerts.List(false), func(m control.Message) bool { return m.Kind != control.MessageLate })
		return mustNot[state.Schedule](t)(s.db.Schedule()), mustNot[state.Upkeep](t)(s.db.Upkeep()), mustNot[state.Drill](t)(s.db.Drill()), late
	}
	schedule, upkeep, drill, late := kept()
	unchanged := func(when string) {
		t.Helper()
		nowSchedule, nowUpkeep, nowDrill, nowLate := kept()
		if nowSchedule != schedule || !reflect.DeepEqual(nowUpkeep, upkeep) || !reflect.DeepEqual(nowDrill, drill) || len(nowLate) != 1 || nowLate[0].ID != late[0].ID || nowLate[0].Resolved != nil {
			t.Errorf("%s: got %+v, %+v, %+v, %+v", when, nowSchedule, nowUpkeep, nowDrill, nowLate)
		}
		if is, err := s.collectsNow(s.vault, &upkeep); is || err != nil {
			t.Errorf("%s: it is to collect: %v, %v", when, is, err)
		}
		s.want("24 03:17 completed", "25 03:17 completed", "26 03:17 skipped")
	}
	if schedule.Last.IsZero() || upkeep.Scrubbed.IsZero() || drill.Since.IsZero() {
		t.Fatalf("got %+v, %+v, %+v", schedule, upkeep, drill)
	}
	s.leap("2024-01-01 00:00")
	s.again()
	chores()
	unchanged("it is behind")
	s.at("2024-01-01 00:59")
	chores()
	unchanged("it is behind still")
	s.leap("2026-11-26 13:00")
	chores()
	unchanged("it was set right")
	s.leap("2024-01-01 00:00")
	s.again()
	s.to("2024-01-01 01:01") // and if nobody sets it right, that is how late it is
	s.to("2024-01-01 03:17")
	s.want("01 03:17 partial", "24 03:17 completed", "25 03:17 completed", "26 03:17 skipped")
}

// What is due then may have a window that is over in an hour.
func TestClockThatWasAheadAndIsSetRightIsNotBehind(t *testing.T) {
	for _, ahead := range []string{"2026-11-28 12:00", "2036-11-25 12:00"} {
		t.Run(ahead, func(t *testing.T) {
			s := newStill(t)
			s.days("2026-11-24")
			s.change(control.ActivateRequest{WindowSeconds: ptr(300)})
			s.swept("2026-11-25 02:00")
			s.leap(ahead)
			s.swept(ahead)
			s.leap("2026-11-25 03:16")
			s.turn()
			s.to("2026-11-25 03:17")
			s.want("24 03:17 completed", "25 03:17 completed")
		})
	}
}

// Those of a clock that was ahead, and those that were made since and are named after them, stay no longer for that.
func TestVersionsOfAClockThatWasAheadExpireByTheirEnd(t *testing.T) {
	s := newStill(t)
	s.leap("2036-11-26 12:00")
	s.backedUp()
	s.leap("2026-11-24 12:00")
	s.backedUp()
	s.backedUp()
	s.swept("2026-12-24 11:59")
	s.wantVersions("2036-11-26T1200", "2036-11-26T1200", "2036-11-26T1200")
	s.swept("2026-12-24 12:01")
	s.wantVersions("2036-11-26T1200", "2036-11-26T1200")
}

// What has expired by the time that is known goes as always, whatever the clock says.
func TestVersionsGoOnToExpireByWhatIsKnown(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	s.swept("2026-12-24 00:00")
	s.leap("2036-01-01 00:00")
	s.swept("2036-01-01 04:00") // 2026-12-24 04:00 is known
	s.wantVersions("2026-11-25T0317", "2026-11-26T0317")
}

func TestSlackIsAQuarterOfTheRetention(t *testing.T) {
	for days, want := range map[int]int{1: 24, 4: 24, 7: 42, 30: 180, 365: 192} {
		if got := slack(days); got != time.Duration(want)*time.Hour {
			t.Errorf("%d days: %v", days, got)
		}
	}
}

func TestBootTimeIsTheKernels(t *testing.T) {
	look := bootTime()
	boot, up := look()
	again, later := look()
	if len(boot) != 36 || again != boot || up <= 0 || later < up {
		t.Errorf("got %s %v, %s %v", boot, up, again, later)
	}
}
