package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/snapshot/capture"
)

// newMetered is a still daemon on a machine with a disk of so many GiB.
func newMetered(t *testing.T, gib int) *still {
	t.Helper()
	return newStill(t, func(o *Options) {
		o.Sys = t.TempDir()
		disk(t, o.Sys, "vda", gib)
	})
}

// disk gives the machine a disk, or it another size.
func (s *still) disk(name string, gib int) { disk(s.t, s.o.Sys, name, gib) }

func disk(t *testing.T, sys, name string, gib int) {
	t.Helper()
	dir := filepath.Join(sys, "block", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "size"), fmt.Appendln(nil, gib<<21), 0o644); err != nil {
		t.Fatal(err)
	}
}

// looks sets the clock and meters.
func (s *still) looks(clocks ...string) {
	s.t.Helper()
	for _, c := range clocks {
		s.at(c)
		s.look()
	}
}

// wantDays compares the days that were metered: "25 200", "26 200 no daemon".
func (s *still) wantDays(want ...string) control.Usage {
	s.t.Helper()
	u := mustNot[control.Usage](s.t)(s.usage(s.t.Context(), control.UsageRequest{}))
	var got []string
	for _, d := range u.Days {
		line := fmt.Sprintf("%s %d", d.Day[len("2026-11-"):], d.Capacity>>30)
		if !d.Instances[0].Measured {
			line += " no daemon"
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("got %q, want %q", got, want)
	}
	return u
}

func TestEachDayOfServiceCountsWithAllBlockDevices(t *testing.T) {
	s := newMetered(t, 80)
	s.disk("vdb", 70)
	s.looks("2026-11-23 12:01", "2026-11-23 23:59", "2026-11-24 00:01")
	u := s.wantDays("23 150", "24 150")
	if d := u.Days[1]; d.Counted>>30 != 50 || len(d.Instances) != 1 || d.Instances[0].Name != s.instance.Name || len(d.Instances[0].Devices) != 2 {
		t.Errorf("got %+v", d)
	}
	if u.Total.Days != 2 || u.Total.Counted>>30 != 100 {
		t.Errorf("got %+v", u.Total)
	}
}

func TestDiskThatComesCountsFromItsDayOnAndOneThatGoesFromTheNext(t *testing.T) {
	s := newMetered(t, 100)
	s.looks("2026-11-23 13:00")
	s.disk("vda", 300)
	s.looks("2026-11-23 13:01")
	s.disk("vda", 200)
	s.looks("2026-11-23 13:02", "2026-11-24 00:01")
	s.wantDays("23 300", "24 200")
}

func TestDaysThatArePausedThroughoutDoNotCount(t *testing.T) {
	s := newMetered(t, 200)
	s.looks("2026-11-24 00:01")
	s.at("2026-11-25 00:00")
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{})) // nobody looked that day before
	s.disk("vda", 900)                                                  // what comes during a pause
	s.looks("2026-11-25 12:00", "2026-11-26 00:01", "2026-11-27 00:01")
	s.again()
	s.looks("2026-11-28 00:01")
	s.disk("vda", 300)
	s.at("2026-11-28 23:59")
	mustNot[control.Lifecycle](t)(s.resume(t.Context(), control.None{}))
	s.looks("2026-11-29 00:01")
	s.wantDays("23 200", "24 200", "25 200", "28 300", "29 300")
}

func TestDaysWithoutADaemonCountWithWhatThereWas(t *testing.T) {
	s := newMetered(t, 200)
	s.looks("2026-11-23 13:00")
	s.again()
	s.disk("vda", 400)
	s.looks("2026-11-26 00:01")
	s.wantDays("23 200", "24 200 no daemon", "25 200 no daemon", "26 400")
	s.looks("2026-11-24 10:00", "2026-11-26 00:02") // the clock was set back, and forth
	s.wantDays("23 200", "24 400", "25 200 no daemon", "26 400")
}

func TestWrongClockMetersNothingOfConsequence(t *testing.T) {
	s := newMetered(t, 200)
	s.looks("2026-11-23 13:00", "2015-01-01 00:00", "2026-11-24 01:00")
	s.wantDays("23 200", "24 200")
	s.looks("2036-01-01 00:00", "2026-11-25 01:00")
	s.wantDays("23 200", "24 200", "25 200")
	if all := mustNot[[]control.Metered](t)(s.db.AllMetered()); len(all) > 3+maxGapSeen {
		t.Errorf("%d days were kept", len(all))
	}
}

// A clock that was ahead leaves no days that are yet to come and are paused throughout, or after the service was cancelled, whether it was believed or not.
func TestDaysThatAClockWasAheadByDoNotCountWhileTheServiceIsOff(t *testing.T) {
	for _, ahead := range []string{"2026-11-27 13:00", "2026-12-03 13:00", "2027-01-22 13:00"} { // some days are believed at once
		for _, off := range []func(*still){
			func(s *still) { mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{})) },
			func(s *still) { wait(t, s.tasks, mustNot[control.Task](t)(s.cancel(t.Context(), control.None{})).ID) },
		} {
			s := newMetered(t, 200)
			s.looks("2026-11-23 13:00")
			s.leap(ahead)
			s.look()
			s.leap("2026-11-23 13:02")
			s.looks("2026-11-24 12:00", "2026-11-25 12:00")
			off(s)
			s.looks("2026-11-26 12:00", "2026-11-27 12:00", "2027-02-01 00:00")
			s.wantDays("23 200", "24 200", "25 200")
		}
	}
}

// A clock that is set wrong while the service goes off, and right some time after that, neither adds days nor takes any: also not as they come.
func TestWrongClockAtAPauseChangesNoDays(t *testing.T) {
	for _, wrong := range []string{"2026-11-20 13:00", "2026-11-24 13:00", "2026-11-30 13:00"} {
		for _, off := range []func(*still){
			func(s *still) { mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{})) },
			func(s *still) { wait(t, s.tasks, mustNot[control.Task](t)(s.cancel(t.Context(), control.None{})).ID) },
		} {
			s := newMetered(t, 200)
			s.looks("2026-11-23 13:00", "2026-11-24 13:00", "2026-11-25 13:00")
			s.swept("2026-11-25 13:00")
			s.leap(wrong)
			s.look()
			s.swept(wrong) // what is seen of the time is kept
			s.look()
			off(s)
			s.look()
			s.leap("2026-11-25 14:00")
			s.swept("2026-11-25 14:00")
			s.looks("2026-11-26 14:00", "2026-12-05 14:00")
			s.wantDays("23 200", "24 200", "25 200")
		}
	}
}

// After more than a day off a machine has an hour to ask what time it is. Then all counts.
func TestDaysOffCountOnceTheClockHasSettled(t *testing.T) {
	s := newMetered(t, 200)
	s.looks("2026-11-23 13:00")
	s.swept("2026-11-23 13:00")
	s.leap("2026-11-26 13:00")
	s.swept("2026-11-26 13:00")
	s.looks("2026-11-26 13:59")
	s.wantDays("23 200")
	s.looks("2026-11-26 14:00")
	s.wantDays("23 200", "24 200 no daemon", "25 200 no daemon", "26 200")
}

// Nor does it need the vault, whose disk may be away meanwhile.
func TestClockSettlesWithoutTheVault(t *testing.T) {
	s := newMetered(t, 200)
	v := s.vault
	s.vault = nil
	s.looks("2026-11-23 13:00")
	s.leap("2026-11-26 13:00")
	s.swept("2026-11-26 13:00")
	s.looks("2026-11-26 14:00")
	s.wantDays("23 200", "24 200 no daemon", "25 200 no daemon", "26 200")
	s.vault = v
}

// What passed while the clock was not believed, as after a machine was off for long, is metered once it is.
func TestClockThatIsNotBelievedYetLosesNoDays(t *testing.T) {
	s := newMetered(t, 200)
	s.change(control.ActivateRequest{RetentionDays: ptr(1)}) // a clock may leap by a day then
	s.looks("2026-11-23 13:00")
	s.leap("2026-11-26 13:00")
	s.swept("2026-11-26 13:00")
	s.looks("2026-11-29 12:59")
	s.wantDays("23 200")
	s.looks("2026-11-29 13:00")
	s.wantDays("23 200", "24 200 no daemon", "25 200 no daemon", "26 200 no daemon", "27 200 no daemon", "28 200 no daemon", "29 200")
}

// maxGapSeen is how many days a clock that was wrong may leave, none of which is shown.
const maxGapSeen = 91

func TestMeteredHistoryOutlivesTheServiceAndThePrice(t *testing.T) {
	s := newMetered(t, 200)
	s.looks("2026-11-23 13:00")
	s.o.Settings.Metering = Metering{Price: 0.02, Currency: "EUR", Plans: []Plan{{GiB: 40, To: day(t, "2026-11-24")}, {GiB: 10, From: day(t, "2026-11-25")}}}
	s.again()
	s.looks("2026-11-24 13:00", "2026-11-25 13:00")
	wait(t, s.tasks, mustNot[control.Task](t)(s.cancel(t.Context(), control.None{})).ID)
	s.looks("2026-11-26 13:00", "2026-11-27 13:00")
	u := s.wantDays("23 200", "24 200", "25 200")
	var costs []string
	for _, d := range u.Days {
		costs = append(costs, d.Cost.String())
	}
	if got := strings.Join(costs, " "); got != "0.00 1.20 1.80" {
		t.Errorf("costs %s", got)
	}
	if len(u.Total.Costs) != 1 || u.Total.Costs[0].Cost.String() != "3.00" {
		t.Errorf("got %+v", u.Total)
	}
	s.at("2026-11-28 13:00")
	mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{Paths: []string{s.dir}}))
	s.wantDays("23 200", "24 200", "25 200", "28 200")
}

func day(t *testing.T, s string) time.Time {
	t.Helper()
	return mustNot[time.Time](t)(time.Parse(time.DateOnly, s))
}

func TestDaysAreThoseOfTheDaemonsZone(t *testing.T) {
	s := newMetered(t, 200)
	s.o.Zone = time.FixedZone("east", 8*3600)
	s.looks("2026-11-23 15:59", "2026-11-23 16:00")
	s.wantDays("23 200", "24 200")
}

func TestUsageOfSomeDays(t *testing.T) {
	s := newMetered(t, 200)
	s.looks("2026-11-23 13:00", "2026-11-24 13:00", "2026-11-25 13:00", "2026-11-26 13:00")
	u := mustNot[control.Usage](t)(s.usage(t.Context(), control.UsageRequest{From: "2026-11-24", To: "2026-11-25"}))
	if u.Total.Days != 2 || u.Days[0].Day != "2026-11-24" {
		t.Errorf("got %+v", u)
	}
	for _, bad := range []string{"yesterday", "2026-13-01", "2026-1-1"} {
		if _, err := s.usage(t.Context(), control.UsageRequest{From: bad}); err == nil || !strings.Contains(err.Error(), "is no day") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestMachineThatShowsNoDisksIsMeteredByItsPartitions(t *testing.T) {
	s := newMetered(t, 0)
	s.o.Discover = func() ([]capture.Mount, error) {
		ms := []capture.Mount{{}, {}, {Excluded: "network"}}
		for i, device := range []string{"/dev/vda1", "/dev/vda1", "server:/"} {
			ms[i].Device, ms[i].Size = device, 7<<30
		}
		return ms, nil
	}
	s.looks("2026-11-24 13:00")
	u := mustNot[control.Usage](t)(s.usage(t.Context(), control.UsageRequest{From: "2026-11-24"}))
	if len(u.Days) != 1 || u.Days[0].Capacity != 7<<30 {
		t.Errorf("got %+v", u)
	}
}

func TestSettingsOfMetering(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"[metering]\nprice = 0.02\ncurrency = \"EUR\"\nfree_gib = 50\n[[metering.plans]]\ngib = 500\nfrom = 2026-11-01\nto = 2026-11-30\n[[metering.plans]]\ngib = 5\n", ""},
		{"[metering]\nprice = 1", ""},
		{"[metering]\nprice = -1.5", "is no amount"},
		{"[metering]\nprice = 0.00000001", "is no amount"},
		{"[metering]\nprices = 1", `no setting "metering.prices"`},
		{"[[metering.plans]]\nfrom = 2026-11-01", "has 0 gib"},
		{"[[metering.plans]]\ngib = 5\nfrom = 2026-11-02\nto = 2026-11-01", "ends on 2026-11-01, before it begins"},
	} {
		h := newHome(t)
		if err := os.MkdirAll(filepath.Dir(h.Settings), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.Settings, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, s, err := h.Load()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: %v", tt.text, err)
		}
		if len(s.Metering.Plans) == 2 && err == nil {
			for day, plan := range map[string]uint64{"2026-10-31": 5, "2026-11-01": 505, "2026-11-30": 505, "2026-12-01": 5} {
				if got := s.Metering.tariff(day); got != (control.Tariff{Free: 50 << 30, Plan: plan << 30, Price: 20_000, Currency: "EUR"}) {
					t.Errorf("%s: got %+v", day, got)
				}
			}
		}
	}
}
