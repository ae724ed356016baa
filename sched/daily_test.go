package sched

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestParseDaily(t *testing.T) {
	for s, want := range map[string]Daily{"00:00": {0, 0}, "03:17": {3, 17}, "23:59": {23, 59}} {
		got, err := ParseDaily(s)
		if err != nil || got != want || got.String() != s {
			t.Errorf("ParseDaily(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "25:61", "24:00", "3:17", "03:60", "03:17:00", "0317", "-1:00", "03:17 ", "３:17"} {
		if d, err := ParseDaily(s); err == nil {
			t.Errorf("ParseDaily(%q) = %v, want an error", s, d)
		}
	}
}

func TestRandomStartLiesInTheNight(t *testing.T) {
	for m := range 6 * 60 {
		d := Random(func(n int) int {
			if n != 6*60 {
				t.Fatalf("drawn from %d minutes", n)
			}
			return m
		})
		if d.Hour < 0 || d.Hour > 5 || d.Hour*60+d.Minute != m {
			t.Fatalf("minute %d became %v", m, d)
		}
	}
}

// next is the turn after now of a plan that begins now.
func next(d Daily, now time.Time, zone *time.Location) time.Time {
	return Plan{Start: d}.Next(History{Since: now}, now, zone)
}

func TestNextInThreeZones(t *testing.T) {
	tests := []struct{ rule, zone, start, now, want string }{
		{"later today", "Europe/Berlin", "03:17", "2026-11-23T01:00:00+01:00", "2026-11-23T03:17:00+01:00"},
		{"now is not after now", "Europe/Berlin", "03:17", "2026-11-23T03:17:00+01:00", "2026-11-24T03:17:00+01:00"},
		{"tomorrow", "Europe/Berlin", "03:17", "2026-11-23T04:00:00+01:00", "2026-11-24T03:17:00+01:00"},
		{"end of year", "Europe/Berlin", "00:00", "2026-12-31T12:00:00+01:00", "2027-01-01T00:00:00+01:00"},

		{"spring: before the gap", "Europe/Berlin", "01:59", "2026-03-29T00:00:00+01:00", "2026-03-29T01:59:00+01:00"},
		{"spring: skipped comes at its end", "Europe/Berlin", "02:30", "2026-03-29T00:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"spring: first skipped minute", "Europe/Berlin", "02:00", "2026-03-29T00:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"spring: first valid minute", "Europe/Berlin", "03:00", "2026-03-29T00:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"spring: once only", "Europe/Berlin", "02:30", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"},
		{"autumn: first of two", "Europe/Berlin", "02:30", "2026-10-25T00:00:00+02:00", "2026-10-25T02:30:00+02:00"},
		{"autumn: not the second", "Europe/Berlin", "02:30", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		{"autumn: asked between the two", "Europe/Berlin", "02:30", "2026-10-25T02:15:00+01:00", "2026-10-26T02:30:00+01:00"},
		{"autumn: after both", "Europe/Berlin", "03:00", "2026-10-25T02:45:00+02:00", "2026-10-25T03:00:00+01:00"},

		{"spring", "America/New_York", "02:30", "2026-03-08T00:00:00-05:00", "2026-03-08T03:00:00-04:00"},
		{"autumn: first of two", "America/New_York", "01:30", "2026-11-01T00:00:00-04:00", "2026-11-01T01:30:00-04:00"},
		{"autumn: not the second", "America/New_York", "01:30", "2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"},
		{"autumn: end of the repeated hour", "America/New_York", "02:00", "2026-11-01T00:00:00-04:00", "2026-11-01T02:00:00-05:00"},

		{"spring: half an hour", "Australia/Lord_Howe", "02:15", "2026-10-04T00:00:00+10:30", "2026-10-04T02:30:00+11:00"},
		{"autumn: half an hour, first of two", "Australia/Lord_Howe", "01:45", "2026-04-05T00:00:00+11:00", "2026-04-05T01:45:00+11:00"},
		{"autumn: half an hour, not the second", "Australia/Lord_Howe", "01:45", "2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"},

		{"no midnight on that day", "America/Sao_Paulo", "00:15", "2018-11-03T12:00:00-03:00", "2018-11-04T01:00:00-02:00"},
		{"the last hour of a day twice", "America/Sao_Paulo", "23:30", "2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"},
		{"a whole day skipped", "Pacific/Apia", "03:00", "2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00"},
		{"no clock changes at all", "UTC", "02:30", "2026-03-29T02:29:59Z", "2026-03-29T02:30:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.zone+" "+tt.rule, func(t *testing.T) {
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			d, err := ParseDaily(tt.start)
			if err != nil {
				t.Fatal(err)
			}
			if got := next(d, at(t, tt.now), zone); !got.Equal(at(t, tt.want)) {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

// Whatever the zone and the time, a chain of turns moves forward and has one turn a day.
func TestNextComesOnceADay(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for minute := 0; minute < 24*60; minute += 15 {
			checkYear(t, Daily{minute / 60, minute % 60}, zone)
		}
	}
}

func checkYear(t *testing.T, d Daily, zone *time.Location) {
	t.Helper()
	now := time.Date(2017, 12, 31, 23, 59, 59, 0, zone)
	for day := 1; day <= 365; day++ {
		next := next(d, now, zone)
		want := time.Date(2018, 1, day, 12, 0, 0, 0, zone)
		if y, m, dd := next.Date(); !next.After(now) || y != want.Year() || m != want.Month() || dd != want.Day() {
			t.Fatalf("%v %v: after %v comes %v, not %v", zone, d, now, next, want.Format(time.DateOnly))
		}
		now = next
	}
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
