package daemon

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"yester/control"
	"yester/snapshot"
	"yester/store"
)

// pick finds the version of a partition that text speaks of: a name, "latest", or a time, of which the last one that had begun by then is meant. A
// day's time is its end. now is in the zone that days are of.
func (p *held) pick(text string, now time.Time) (store.VersionKey, error) {
	if k, ok := p.version(text); ok {
		return k, nil
	}
	until, ok := parseWhen(text, now)
	if !ok {
		return store.VersionKey{}, control.Errorf(control.NotFound, "there is no version %q of %s", text, p.name).
			WithHint(`give one of those that "yester versions" lists, latest, yesterday, 2026-11-20 or "3 days ago"`)
	}
	for i := len(p.keys) - 1; i >= 0; i-- {
		start, err := time.Parse(snapshot.NameLayout, p.keys[i].Version)
		if err == nil && start.Before(until) {
			return p.keys[i], nil
		}
	}
	return store.VersionKey{}, control.Errorf(control.NotFound, "%s has no version as old as %s", p.name, text).
		WithHint("the oldest one is %s", p.keys[0].Version)
}

var ago = regexp.MustCompile(`^(\d{1,6}|an?|one) +(minute|hour|day|week|month|year)s? +ago$`)

// parseWhen is the instant by which the wanted version had begun.
func parseWhen(text string, now time.Time) (until time.Time, ok bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	y, m, d := now.Date()
	endOf := func(years, months, days int) time.Time {
		first := time.Date(y-years, m-time.Month(months), 1, 0, 0, 0, 0, now.Location())
		last := time.Date(first.Year(), first.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		return time.Date(first.Year(), first.Month(), min(d, last)-days+1, 0, 0, 0, 0, now.Location())
	}
	switch text {
	case "now":
		return now.Add(time.Second), true
	case "today":
		return endOf(0, 0, 0), true
	case "yesterday":
		return endOf(0, 0, 1), true
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return t.AddDate(0, 0, 1), true
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02t15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t.Add(time.Second), true
		}
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02t15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t.Add(time.Minute), true
		}
	}
	part := ago.FindStringSubmatch(text)
	if part == nil {
		return until, false
	}
	n, err := strconv.Atoi(part[1])
	if err != nil {
		n = 1 // "a", "an", "one"
	}
	switch part[2] {
	case "minute":
		return now.Add(-time.Duration(n) * time.Minute), true
	case "hour":
		return now.Add(-time.Duration(n) * time.Hour), true
	case "day":
		return endOf(0, 0, n), true
	case "week":
		return endOf(0, 0, 7*n), true
	case "month":
		return endOf(0, n, 0), true
	}
	return endOf(n, 0, 0), true
}
