package snapshot

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

// taken are versions taken at these times (UTC), each completed an hour later; one with a ! is pinned.
func taken(t *testing.T, starts ...string) (vs []Completed) {
	t.Helper()
	for _, s := range starts {
		s, pinned := strings.CutSuffix(s, "!")
		start, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, Completed{Name: Name(start), Start: start, End: start.Add(time.Hour), Pinned: pinned})
	}
	return vs
}

// staying are the starts of the versions that a retention leaves at a time.
func staying(t *testing.T, r Retention, now string, vs []Completed) string {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", now)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for i, f := range r.Fates(vs, time.UTC) {
		if !f.Gone(at) {
			left = append(left, vs[i].Start.Format("2006-01-02"))
		}
	}
	return strings.Join(left, " ")
}

func TestVersionExpiresThirtyDaysAfterItWasCompleted(t *testing.T) {
	vs := taken(t, "2026-10-01 03:00", "2026-10-02 03:00")
	for now, want := range map[string]string{
		"2026-10-31 03:59": "2026-10-01 2026-10-02", // thirty days after its start, not yet after its end
		"2026-10-31 04:00": "2026-10-02",
		"2026-11-01 04:00": "",
	} {
		if got := staying(t, Retention{Days: 30}, now, vs); got != want {
			t.Errorf("at %s: %q, want %q", now, got, want)
		}
	}
	if got := staying(t, Retention{Days: 1}, "2026-10-02 12:00", vs); got != "2026-10-02" {
		t.Errorf("after a day: %q", got)
	}
}

func TestKeepLatestKeepsTheNewestPastItsExpiry(t *testing.T) {
	vs := taken(t, "2026-10-01 03:00", "2026-10-02 03:00")
	if got := staying(t, Retention{Days: 30, Latest: true}, "2030-01-01 00:00", vs); got != "2026-10-02" {
		t.Errorf("on: %q", got)
	}
	if got := staying(t, Retention{Days: 30}, "2030-01-01 00:00", vs); got != "" {
		t.Errorf("off: %q", got)
	}
}

func TestPinnedVersionStays(t *testing.T) {
	vs := taken(t, "2026-10-01 03:00!", "2026-10-02 03:00", "2026-10-03 03:00")
	if got := staying(t, Retention{Days: 30, Latest: true}, "2030-01-01 00:00", vs); got != "2026-10-01 2026-10-03" {
		t.Errorf("got %q", got)
	}
}

// What cannot be read can neither expire nor stand for the newest.
func TestVersionWithoutAKnownEndStaysAndIsNotTheLatest(t *testing.T) {
	vs := taken(t, "2026-10-01 03:00", "2026-10-02 03:00")
	vs[1].End = time.Time{}
	if got := staying(t, Retention{Days: 30, Latest: true, Daily: 1}, "2030-01-01 00:00", vs); got != "2026-10-01 2026-10-02" {
		t.Errorf("got %q", got)
	}
}

// Golden cases: what the numbers leave of two years of daily versions, long after.
func TestKeepNumbersLeaveTheNewestOfEachPeriod(t *testing.T) {
	var starts []string
	for day := time.Date(2024, 12, 20, 3, 17, 0, 0, time.UTC); day.Year() < 2026 || day.YearDay() < 20; day = day.AddDate(0, 0, 1) {
		starts = append(starts, day.Format("2006-01-02 15:04"))
	}
	vs := taken(t, starts...) // to 2026-01-19, a Monday
	for _, tt := range []struct {
		name string
		r    Retention
		want string
	}{
		{"daily", Retention{Daily: 3}, "2026-01-17 2026-01-18 2026-01-19"},
		{"weekly, to Sundays", Retention{Weekly: 3}, "2026-01-11 2026-01-18 2026-01-19"},
		{"a week over the end of a year is one", Retention{Weekly: 5}, "2025-12-28 2026-01-04 2026-01-11 2026-01-18 2026-01-19"},
		{"monthly", Retention{Monthly: 4}, "2025-10-31 2025-11-30 2025-12-31 2026-01-19"},
		{"yearly", Retention{Yearly: 9}, "2024-12-31 2025-12-31 2026-01-19"},
		{"together", Retention{Latest: true, Daily: 2, Weekly: 2, Monthly: 2, Yearly: 3}, "2024-12-31 2025-12-31 2026-01-18 2026-01-19"},
		{"none", Retention{}, ""},
	} {
		if got := staying(t, tt.r, "2030-01-01 00:00", vs); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestKeepNumbersCountPeriodsThatHaveVersions(t *testing.T) {
	vs := taken(t, "2020-05-01 03:00", "2023-07-01 03:00", "2026-09-01 03:00", "2026-09-01 09:00")
	if got := staying(t, Retention{Daily: 2}, "2030-01-01 00:00", vs); got != "2023-07-01 2026-09-01" {
		t.Errorf("got %q", got)
	}
}

func TestPeriodsAreThoseOfTheZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	vs := taken(t, "2026-01-31 22:30", "2026-01-31 23:30") // the second is of February in Berlin
	got := Retention{Monthly: 2}.Fates(vs, berlin)
	if got[0].Kept != "monthly" || got[1].Kept != "monthly" {
		t.Errorf("got %+v", got)
	}
	if got := (Retention{Monthly: 2}).Fates(vs, time.UTC); got[0].Kept != "" || got[1].Kept != "monthly" {
		t.Errorf("in UTC: %+v", got)
	}
}

// Of two disks whose versions came under one name, neither has the other's newest go.
func TestVersionsOfEachMountPointOfANameAreKeptForThemselves(t *testing.T) {
	vs := taken(t, "2026-10-01 03:00", "2026-10-02 03:00", "2026-10-03 03:00", "2026-10-04 03:00")
	for i := range vs {
		vs[i].MountPoint = "/data-backup"
	}
	vs[0].MountPoint, vs[1].MountPoint = "/data/backup", "/data/backup"
	for _, tt := range []struct {
		r    Retention
		want string
	}{
		{Retention{Days: 1, Latest: true}, "2026-10-02 2026-10-04"},
		{Retention{Days: 1, Monthly: 1}, "2026-10-02 2026-10-04"},
		{Retention{Days: 1, Daily: 2}, "2026-10-01 2026-10-02 2026-10-03 2026-10-04"},
		{Retention{Days: 1}, ""},
	} {
		if got := staying(t, tt.r, "2030-01-01 00:00", vs); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.r, got, tt.want)
		}
	}
}
