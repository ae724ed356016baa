package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/snapshot"
	"yester/store"
)

// mustNot fails the test if a call failed.
func mustNot[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// names are the versions there are.
func (s *still) names() (names []string) {
	for _, k := range s.vault.Versions(s.instance.ID) {
		names = append(names, k.Version[:len("2026-11-24T0317")])
	}
	return names
}

func (s *still) wantVersions(names ...string) {
	s.t.Helper()
	if got := s.names(); !slices.Equal(got, names) {
		s.t.Errorf("versions %v, want %v", got, names)
	}
}

// swept sets the clock and deletes what has expired.
func (s *still) swept(clock string) {
	s.t.Helper()
	s.at(clock)
	if err := s.sweep(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *still) change(r control.ActivateRequest) control.Activation {
	s.t.Helper()
	return mustNot[control.Activation](s.t)(s.Daemon.set(s.t.Context(), r))
}

func (s *still) wantState(state string) {
	s.t.Helper()
	if got := s.serviceState(); got != state {
		s.t.Errorf("state %s, want %s", got, state)
	}
}

func ptr[T any](v T) *T { return &v }

func TestActivateDefaults(t *testing.T) {
	s := newStill(t)
	p := *s.policy
	want := control.Policy{
		Start: "03:17", Priority: "max", Paths: p.Paths, ActivatedAt: s.o.Now(), WindowSeconds: 6 * 3600,
		RetentionDays: 30, KeepLatest: true,
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v", p)
	}
	drawn := map[string]bool{}
	for range 50 {
		p := mustNot[control.Policy](t)(s.newPolicy(nil, &control.ActivateRequest{}, mounts()))
		if p.Priority != "low" || p.Start >= "06:00" || p.Partitions != nil {
			t.Errorf("got %+v", p)
		}
		drawn[p.Start] = true
	}
	if len(drawn) < 10 {
		t.Errorf("drawn were only %v", drawn)
	}
	if start := mustNot[control.Policy](t)(s.newPolicy(&p, &control.ActivateRequest{}, mounts())).Start; start != p.Start {
		t.Errorf("a start that was drawn became %s", start)
	}
}

func TestKeepLatestOffIsWarnedOf(t *testing.T) {
	s := newStill(t)
	a := s.change(control.ActivateRequest{KeepLatest: ptr(false)})
	if len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "pausing for 30 days deletes every version and leaves no recovery point") {
		t.Errorf("got %q", a.Warnings)
	}
	if l := mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{})); len(l.Warnings) != 1 {
		t.Errorf("got %+v", l)
	}
	if a := s.change(control.ActivateRequest{KeepMonthly: ptr(1)}); len(a.Warnings) != 0 { // it keeps the newest
		t.Errorf("got %q", a.Warnings)
	}
}

func TestSetChangesEveryFieldAndEmptiesLists(t *testing.T) {
	s := newStill(t)
	s.change(control.ActivateRequest{
		Start: "04:00", Priority: "high", Compression: "lz4", Excludes: []string{"*.iso"}, IncludeSystem: ptr(true), WindowSeconds: ptr(3600), CatchUp: ptr(true),
		ExcludeCaches: ptr(true), ExcludeNodump: ptr(true), RetentionDays: ptr(7), KeepLatest: ptr(false), KeepDaily: ptr(1), KeepWeekly: ptr(2), KeepMonthly: ptr(3), KeepYearly: ptr(4),
	})
	s.again()
	p := *s.policy
	want := control.Policy{
		Start: "04:00", Priority: "high", Compression: "lz4", Excludes: []string{"*.iso"}, IncludeSystem: true, WindowSeconds: 3600, CatchUp: true,
		ExcludeCaches: true, ExcludeNodump: true, RetentionDays: 7, KeepDaily: 1, KeepWeekly: 2, KeepMonthly: 3, KeepYearly: 4, Paths: p.Paths, ActivatedAt: p.ActivatedAt,
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v", p)
	}
	s.change(control.ActivateRequest{
		Paths: []string{}, Excludes: []string{}, IncludeSystem: ptr(false), ExcludeCaches: ptr(false), ExcludeNodump: ptr(false), Compression: "auto",
	})
	if p := s.policy; p.Compression != "" || p.Paths != nil || p.Excludes != nil || p.IncludeSystem || p.ExcludeCaches || p.ExcludeNodump {
		t.Errorf("got %+v", p)
	}
}

func TestRefusedSettingChangesNothing(t *testing.T) {
	s := newStill(t)
	before, history := *s.policy, s.history
	for _, tt := range []struct {
		r    control.ActivateRequest
		want string
	}{
		{control.ActivateRequest{Start: "25:61"}, `"25:61" is no time of day`},
		{control.ActivateRequest{Priority: "fast"}, `no priority is called "fast"; there are low, high, max`},
		{control.ActivateRequest{Compression: "gzip"}, `there is no compression "gzip"`},
		{control.ActivateRequest{RetentionDays: ptr(-3)}, "versions cannot be kept for -3 days; give 1 to 36500"},
		{control.ActivateRequest{RetentionDays: ptr(0)}, "versions cannot be kept for 0 days"},
		{control.ActivateRequest{WindowSeconds: ptr(59)}, "the window 59s is not between a minute and 24 hours"},
		{control.ActivateRequest{KeepWeekly: ptr(-1)}, "-1 weekly versions cannot be kept"},
		{control.ActivateRequest{Partitions: []string{"nope"}}, `there is no partition "nope"`},
		{control.ActivateRequest{Start: "04:00", Excludes: []string{"["}}, "is no pattern"},
		{control.ActivateRequest{Start: "04:00", Excludes: []string{"/"}}, "is no pattern"},
		{control.ActivateRequest{Start: "04:00", Excludes: []string{`x\/`}}, "is no pattern"},
	} {
		_, err := s.Daemon.set(t.Context(), tt.r)
		if !errors.Is(err, control.BadRequest) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.r, err)
		}
	}
	if !reflect.DeepEqual(*s.policy, before) || s.history != history {
		t.Errorf("got %+v, %+v", s.policy, s.history)
	}
}

func TestPausedInstanceGetsNoScheduledBackupsAndOneByHand(t *testing.T) {
	s := newStill(t)
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	s.again()
	s.wantState(control.StatePaused)
	s.to("2026-11-24 03:17")
	s.to("2026-11-25 12:00")
	s.want()
	if _, ok := s.next(); ok {
		t.Error("there is a next one")
	}
	task := mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{}))
	if end := wait(t, s.tasks, task.ID); end.State != control.Completed {
		t.Errorf("got %+v", end)
	}
	l := mustNot[control.Lifecycle](t)(s.resume(t.Context(), control.None{}))
	if l.State != control.StateReady || l.Next == nil || l.Next.Format("02 15:04") != "26 03:17" {
		t.Errorf("got %+v", l)
	}
	s.to("2026-11-25 12:01")
	s.want() // what was missed while it was paused is not made up for
	s.to("2026-11-26 03:17")
	s.want("26 03:17 completed")
}

func TestPauseLetsWhatRunsGoOn(t *testing.T) {
	s := newStill(t)
	id := begin(t, s.tasks, untilCancelled).ID
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	if got := s.tasks.atWork(control.KindBackup); got != id {
		t.Errorf("%q runs, want %s", got, id)
	}
}

func TestResumeIsFromPausedOnlyAndPauseFromReady(t *testing.T) {
	s := newStill(t)
	if _, err := s.resume(t.Context(), control.None{}); !errors.Is(err, control.Conflict) || !strings.Contains(err.Error(), "is ready, not paused") {
		t.Errorf("got %v", err)
	}
	s.wantState(control.StateReady)
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	if _, err := s.pause(t.Context(), control.None{}); !errors.Is(err, control.Conflict) {
		t.Errorf("got %v", err)
	}
	s.wantState(control.StatePaused)
}

func TestPauseIsToldAfterAWeek(t *testing.T) {
	s := newStill(t)
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	told := func() bool {
		attention := mustNot[control.Status](t)(s.status(t.Context(), control.None{})).Attention
		return slices.Contains(attention, "paused since 2026-11-23 12:00, and no scheduled backups are made before `yester resume`")
	}
	metric := func() (since float64) {
		all, err := s.metrics.registry.Gather()
		if err != nil {
			t.Error(err)
		}
		for _, m := range all {
			if m.GetName() == "yester_paused_timestamp_seconds" {
				since = m.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return since
	}
	if s.to("2026-11-30 11:59"); told() {
		t.Error("told before")
	}
	s.again()
	if s.to("2026-11-30 12:00"); !told() || metric() != float64(s.o.Now().Add(-7*24*time.Hour).Unix()) {
		t.Errorf("it is not told, and the metric is %v", metric())
	}
	if mustNot[control.Lifecycle](t)(s.resume(t.Context(), control.None{})); told() || metric() != 0 {
		t.Error("told of one that is over")
	}
}

func TestNewInstanceCanOnlyBeActivated(t *testing.T) {
	d, err := newDaemon(options(t).withDefaults(), newState(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, pause := d.pause(ctx, control.None{})
	_, resume := d.resume(ctx, control.None{})
	_, cancel := d.cancel(ctx, control.None{})
	_, set := d.set(ctx, control.ActivateRequest{Start: "04:00"})
	for what, err := range map[string]error{"pause": pause, "resume": resume, "cancel": cancel, "set": set} {
		if !errors.Is(err, control.NotActive) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// days takes a version on each of some mornings.
func (s *still) days(days ...string) {
	s.t.Helper()
	for _, day := range days {
		s.to(day + " 03:17")
	}
}

func TestExpiredVersionsGoAndTheNewestStays(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	s.swept("2026-12-24 03:16")
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317", "2026-11-26T0317")
	s.swept("2026-12-24 03:18")
	s.wantVersions("2026-11-25T0317", "2026-11-26T0317")
	s.swept("2027-12-24 03:18")
	s.wantVersions("2026-11-26T0317")
	if u, err := s.upkeepState(); err != nil || !u.Collect {
		t.Errorf("no gc follows: %+v, %v", u, err)
	}
}

func TestKeepLatestTurnedOnHoldsAtOnceForAVersionThatHasExpired(t *testing.T) {
	s := newStill(t)
	s.change(control.ActivateRequest{KeepLatest: ptr(false)})
	s.days("2026-11-24")
	s.at("2027-11-24 12:00") // expired, and not yet deleted
	s.change(control.ActivateRequest{KeepLatest: ptr(true)})
	s.swept("2027-11-24 12:00")
	s.wantVersions("2026-11-24T0317")
}

func TestKeepLatestTurnedOffDeletesAnExpiredNewestVersionAtTheNextSweep(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	s.swept("2027-11-24 12:00")
	s.wantVersions("2026-11-24T0317")
	<-s.sweeping // of the backup's end
	s.change(control.ActivateRequest{KeepLatest: ptr(false)})
	select {
	case <-s.sweeping:
	default:
		t.Error("no sweep is asked for")
	}
	s.swept("2027-11-24 12:00")
	s.wantVersions()
}

func TestPinnedVersionSurvivesExpiryForgetAndTheLossOfTheState(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	k := s.vault.Versions(s.instance.ID)[0]
	pin := control.PinRequest{Partition: k.Partition, Version: k.Version}
	mustNot[control.None](t)(s.pin(t.Context(), pin))
	s.change(control.ActivateRequest{KeepWeekly: ptr(5)})
	s.swept("2027-11-24 12:00")
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317")
	if _, err := s.forget(t.Context(), control.ForgetRequest{Partition: k.Partition, Version: k.Version}); !errors.Is(err, control.Conflict) || !strings.Contains(err.Error(), "is pinned") {
		t.Errorf("got %v", err)
	}
	if _, err := s.pin(t.Context(), control.PinRequest{Partition: k.Partition, Version: "nope"}); !errors.Is(err, control.NotFound) {
		t.Errorf("got %v", err)
	}

	if err := s.end(); err != nil { // the state is lost
		t.Fatal(err)
	}
	s.begin(s.o, newState(t))
	s.swept("2027-11-24 12:00") // nobody says what may expire
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317")
	a := mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{}))
	if a.Outcome != control.Activated || a.Policy.KeepWeekly != 5 || a.Policy.Start != "03:17" {
		t.Errorf("the copy in the vault was not used: %+v", a)
	}
	s.swept("2027-11-25 12:00")
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317")
	s.change(control.ActivateRequest{KeepWeekly: ptr(0)})
	if _, err := s.unpin(t.Context(), pin); err != nil {
		t.Error(err)
	}
	if _, err := s.unpin(t.Context(), pin); !errors.Is(err, control.NotFound) {
		t.Errorf("twice: %v", err)
	}
	s.swept("2027-11-25 12:00")
	s.wantVersions("2026-11-25T0317")
}

// While it cannot be read what is pinned, nothing expires, nothing is overwritten, and somebody is told.
func TestUnreadablePinsLetNothingExpire(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	s.swept("2026-11-25 04:00")
	files, err := filepath.Glob(filepath.Join(s.o.Home.Vault, "instances", s.instance.ID, "policy.json*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("got %v, %v", files, err)
	}
	for _, f := range files {
		damageFile(t, f, 10, 20)
	}
	s.at("2027-11-24 12:00")
	if err := s.sweep(t.Context()); err == nil {
		t.Error("swept all the same")
	}
	s.wantVersions("2026-11-24T0317", "2026-11-25T0317")
	told := func(m control.Message) bool {
		return m.Kind == control.MessageDamage && strings.Contains(m.Text, "pinned")
	}
	if all := mustNot[control.MessageList](t)(s.messages(t.Context(), control.MessagesRequest{})); !slices.ContainsFunc(all.Messages, told) {
		t.Errorf("got %+v", all)
	}
}

// Of a machine that was lost for longer than versions are kept all but the newest have expired, and the newest need not be the best.
func TestActivationOfOldVersionsLeavesADayToKeepThem(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	s.swept("2026-11-26 04:00")
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.at("2027-03-24 12:00")
	s.begin(s.o, newState(t))
	k := s.vault.Versions(s.instance.ID)[0]
	mustNot[control.None](t)(s.pin(t.Context(), control.PinRequest{Partition: k.Partition, Version: k.Version}))
	a := mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{}))
	if len(a.Warnings) == 0 || !strings.HasPrefix(a.Warnings[0], "1 version has expired by these settings and will be deleted from 2027-03-25 12:00 on; `yester pin VERSION` keeps one") {
		t.Errorf("got %q", a.Warnings)
	}
	for _, clock := range []string{"2027-03-24 12:00", "2027-03-25 11:59"} {
		s.swept(clock)
		s.wantVersions("2026-11-24T0317", "2026-11-25T0317", "2026-11-26T0317")
	}
	s.swept("2027-03-25 12:00")
	s.wantVersions("2026-11-24T0317", "2026-11-26T0317")
	if a := s.change(control.ActivateRequest{RetentionDays: ptr(20)}); len(a.Warnings) > 0 {
		t.Errorf("got %q", a.Warnings)
	}
}

// That day is one which passed: a machine that was lost begins with whatever its clock says, and has it set right later.
func TestDayToKeepOldVersionsIsOneThatPassed(t *testing.T) {
	for _, tt := range []struct{ begin, right, almost, over string }{
		{"2027-03-21", "2027-03-24 13:00", "2027-03-25 11:59", "2027-03-25 12:00"}, // an hour later
		{"2027-03-26", "2027-03-24 13:00", "2027-03-25 11:59", "2027-03-25 12:00"},
		{"2020-01-01", "2027-03-24 13:00", "2027-03-25 11:59", "2027-03-27 13:00"}, // that is believed after three days only
	} {
		s := newStill(t)
		s.days("2026-11-24", "2026-11-25", "2026-11-26")
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		s.leap("2020-01-01 12:00")
		s.begin(s.o, newState(t)) // some days, or years, before
		s.at(tt.begin + " 12:00")
		mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{}))
		s.swept(tt.begin + " 13:00")
		s.leap(tt.right)
		for _, clock := range []string{tt.right, tt.almost} {
			s.swept(clock)
			s.again() // what has passed outlives the daemon
			s.wantVersions("2026-11-24T0317", "2026-11-25T0317", "2026-11-26T0317")
		}
		s.swept(tt.over)
		s.wantVersions("2026-11-26T0317")
	}
}

// A machine that is never on for long comes to the end of that day too, and one that was active long before what passed was kept has had it.
func TestDayToKeepOldVersionsComesToItsEnd(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.leap("2027-03-24 12:00")
	boot, booted := "first", s.o.Now()
	s.o.Boot = func() (string, time.Duration) { return boot, s.o.Now().Sub(booted) }
	s.begin(s.o, newState(t))
	mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{}))
	for range 3 * 24 {
		s.at(s.o.Now().Add(20 * time.Minute).Format("2006-01-02 15:04"))
		s.keepClock() // as the daemon does when it ends
		boot, booted = s.o.Now().String(), s.o.Now()
		s.again()
	}
	s.swept("2027-03-25 12:10")
	s.wantVersions("2026-11-26T0317")

	s = newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	w := mustNot[state.Watch](t)(s.db.Watch())
	w.Passed = 0
	if err := s.db.PutWatch(w); err != nil {
		t.Fatal(err)
	}
	s.again()
	s.swept("2026-12-25 04:00")
	s.wantVersions("2026-11-26T0317")
}

// A machine that lost its state goes on with the settings of which the vault has a copy, or not at all: by others versions would go that these keep.
func TestLostStateGoesOnWithTheSettingsInTheVaultOrNotAtAll(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	move := func(from, to string) func(*still, []string) {
		return func(s *still, _ []string) {
			if err := os.Rename(s.o.Home.Vault+from, s.o.Home.Vault+to); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	damage := func(s *still, files []string) {
		for _, f := range files {
			damageFile(s.t, f, 10, 20) // twice is not at all
		}
	}
	nothing := func(*still, []string) {}
	for name, tt := range map[string]struct {
		before, begun, refused func(s *still, policy []string)
		ctx                    context.Context // of the call that is refused
	}{
		"the vault's disk comes after the daemon began": {before: move("", ".away"), begun: move(".away", "")},
		"whoever asked is gone":                         {before: nothing, begun: nothing, refused: nothing, ctx: gone},
		"the copy is unreadable for a moment":           {before: damage, begun: nothing, refused: damage, ctx: t.Context()},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStill(t)
			s.days("2026-11-24", "2026-11-25")
			s.change(control.ActivateRequest{RetentionDays: ptr(365)})
			s.swept("2026-11-25 04:00")
			files := mustNot[[]string](t)(filepath.Glob(filepath.Join(s.o.Home.Vault, "instances", s.instance.ID, "policy.json*")))
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			tt.before(s, files)
			s.begin(s.o, newState(t))
			tt.begun(s, files)
			if tt.refused != nil {
				if _, err := s.activate(tt.ctx, control.ActivateRequest{}); err == nil || !strings.Contains(err.Error(), "cannot be read") || !strings.Contains(err.Error(), "nothing was changed") {
					t.Errorf("got %v", err)
				}
				s.wantState(control.StateNew)
				tt.refused(s, files)
			}
			a := mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{}))
			if a.Outcome != control.Activated || a.Policy.RetentionDays != 365 || a.Policy.Start != "03:17" || a.VaultMade != "" {
				t.Errorf("got %+v", a)
			}
			s.swept("2027-03-24 12:00")
			s.wantVersions("2026-11-24T0317", "2026-11-25T0317")
		})
	}
}

func TestVersionsOfAnInstanceThatIsNotActivatedAreToldOfUntilItIs(t *testing.T) {
	id := filepath.Join(t.TempDir(), "machine-id")
	if err := os.WriteFile(id, []byte(strings.Repeat("7a", 16)), 0o444); err != nil {
		t.Fatal(err)
	}
	s := newStill(t, func(o *Options) { o.MachineID = id })
	s.days("2026-11-24")
	at := func(when string, want int) {
		t.Helper()
		if err := s.chores(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := s.open(control.MessageInstance)
		status := mustNot[control.Status](t)(s.status(t.Context(), control.None{})).Attention
		if len(got) != want || want == 1 && (!strings.Contains(got[0], "which is not activated") || !slices.Contains(status, got[0]) || s.health().Status == "ok") {
			t.Errorf("%s: %q, status %q, %+v", when, got, status, s.health())
		}
	}
	at("active", 0)
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.begin(s.o, newState(t))
	s.wantState(control.StateNew)
	at("its state is lost", 1)
	other := store.Owner{Instance: s.instance.ID, Holder: "other", Run: "other"}
	if err := s.vault.PutOwner(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	at("another daemon's", 0)
	mustNot[control.Adoption](t)(s.adopt(t.Context(), control.AdoptRequest{AsInstance: s.instance.ID}))
	at("adopted", 1)
	mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{}))
	at("activated", 0)
	if _, err := s.cancelAndWait(); err != nil {
		t.Fatal(err)
	}
	at("cancelled", 0)
}

func TestVersionsTellWhenTheyExpire(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	k := s.vault.Versions(s.instance.ID)[0]
	mustNot[control.None](t)(s.pin(t.Context(), control.PinRequest{Partition: k.Partition, Version: k.Version}))
	vs := mustNot[control.VersionList](t)(s.versions(t.Context(), control.VersionsRequest{})).Versions
	if len(vs) != 2 || !vs[0].Pinned || vs[0].Kept != "pinned" || vs[1].Kept != "latest" || vs[1].Pinned ||
		vs[1].Expires.Format("2006-01-02 15:04") != "2026-12-25 03:17" {
		t.Errorf("got %+v", vs)
	}
}

// takenAt adds a version that is a copy of another, but of another mount point and time.
func (s *still) takenAt(k store.VersionKey, point, clock string) {
	s.t.Helper()
	r := mustNot[*snapshot.Version](s.t)(record(s.t.Context(), s.vault, k))
	start := mustNot[time.Time](s.t)(time.Parse("2006-01-02 15:04", clock))
	r.Partition.MountPoint, r.Name, r.Start, r.End = point, snapshot.Name(start), start, start
	w := mustNot[*store.Writer](s.t)(s.vault.Writer(s.instance.ID, store.WriterOptions{}))
	if err := errors.Join(w.Commit(s.t.Context(), r.Key(), mustNot[[]byte](s.t)(r.Encode())), w.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// One name may have been that of several disks, some of which are not always there.
func TestNewestVersionOfEachDiskOfANameStays(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	s.takenAt(s.vault.Versions(s.instance.ID)[0], "/other", "2026-11-26 03:17")
	s.swept("2027-03-24 12:00")
	s.wantVersions("2026-11-25T0317", "2026-11-26T0317")
}

// Two who change things at once: each change is whole, and one after the other.
func TestTwoClientsAtOnce(t *testing.T) {
	s := newStill(t)
	done := make(chan error, 2)
	for _, r := range []control.ActivateRequest{{Start: "04:00", RetentionDays: ptr(4)}, {Start: "05:00", RetentionDays: ptr(5)}} {
		go func() {
			_, err := s.Daemon.set(context.Background(), r)
			done <- err
		}()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Error(err)
	}
	if p := s.policy; p.Start == "04:00" != (p.RetentionDays == 4) || p.Start == "03:17" {
		t.Errorf("got %+v", p)
	}
}
