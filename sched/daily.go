package sched

import (
	"fmt"
	"time"
)

// A Daily is a time of day, on every day.
type Daily struct {
	Hour, Minute int
}

// ParseDaily reads "HH:MM", 00:00 to 23:59.
func ParseDaily(s string) (Daily, error) {
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return Daily{}, fmt.Errorf("%q is no time of day; give HH:MM, from 00:00 to 23:59", s)
	}
	return Daily{t.Hour(), t.Minute()}, nil
}

// String is the reverse of ParseDaily.
func (d Daily) String() string { return fmt.Sprintf("%02d:%02d", d.Hour, d.Minute) }

// Random draws a time in 00:00–06:00 with a function that returns a number in [0, n).
func Random(intN func(n int) int) Daily {
	m := intN(6 * 60)
	return Daily{m / 60, m % 60}
}

// on is the instant at which d's turn comes on a day. A time that a clock change skips comes at the next valid instant; one that occurs twice
// comes the first time only.
func (d Daily) on(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, d.Hour, d.Minute, 0, 0, zone)
	want := time.Date(year, month, day, d.Hour, d.Minute, 0, 0, time.UTC)
	begin, end := t.ZoneBounds()
	switch got := wall(t); {
	case got.Before(want): // skipped, and t lies before the gap
		return end
	case got.After(want): // skipped, and t lies behind it
		return begin
	}
	return first(t, begin)
}

// first is the earlier of two instants with t's wall clock, if there are two; begin is when t's offset from UTC began.
func first(t, begin time.Time) time.Time {
	if begin.IsZero() {
		return t
	}
	_, now := t.Zone()
	_, before := begin.Add(-time.Nanosecond).Zone()
	if twin := t.Add(time.Duration(now-before) * time.Second); twin.Before(begin) && wall(twin).Equal(wall(t)) {
		return twin
	}
	return t
}

// wall is what a clock on the wall shows at t, as if it were UTC.
func wall(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}
