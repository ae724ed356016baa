package daemon

import (
	"testing"
	"time"

	"yester/store"
)

func TestVersionIsFoundByNameAndByTime(t *testing.T) {
	zone := time.FixedZone("east", 2*3600)
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, zone)
	p := held{name: "root"}
	for _, v := range []string{"2026-10-01T010000Z", "2026-11-20T010000Z", "2026-11-22T215959Z", "2026-11-22T220000Z", "2026-11-24T010000Z", "2026-11-25T093000Z"} {
		p.keys = append(p.keys, store.VersionKey{Partition: "root", Version: v})
	}
	for text, want := range map[string]string{
		"2026-11-22T215959Z": "2026-11-22T215959Z", "latest": "2026-11-25T093000Z", "now": "2026-11-25T093000Z", "today": "2026-11-25T093000Z",
		"yesterday": "2026-11-24T010000Z", "Yesterday": "2026-11-24T010000Z", "1 day ago": "2026-11-24T010000Z",
		"2026-11-22": "2026-11-22T215959Z", // in this zone the next one began on the 23rd
		"2026-11-23": "2026-11-22T220000Z", "2 days ago": "2026-11-22T220000Z", "3 days ago": "2026-11-22T215959Z",
		"2026-11-21": "2026-11-20T010000Z", "a week ago": "2026-10-01T010000Z", "2026-11-20 02:59": "2026-10-01T010000Z", "2026-11-20 03:00": "2026-11-20T010000Z",
		"an hour ago": "2026-11-24T010000Z", "20 minutes ago": "2026-11-25T093000Z", "1 month ago": "2026-10-01T010000Z",
	} {
		if k, err := p.pick(text, now); err != nil || k.Version != want {
			t.Errorf("%q is %s, %v, want %s", text, k.Version, err, want)
		}
	}
	for _, text := range []string{"", "2026-09-30", "1 year ago", "2026-11-22T215958Z", "tomorrow", "three days ago", "0x3 days ago", "-1 days ago"} {
		if k, err := p.pick(text, now); err == nil {
			t.Errorf("%q is %s", text, k.Version)
		}
	}
}

// A month that has no such day ends before it.
func TestDayThatAMonthHasNotIsItsLast(t *testing.T) {
	for _, tt := range []struct{ text, now, want string }{
		{"1 month ago", "2026-03-31", "2026-02-28"},
		{"1 month ago", "2028-03-30", "2028-02-29"},
		{"a year ago", "2028-02-29", "2027-02-28"},
		{"13 months ago", "2026-12-31", "2025-11-30"},
		{"2 months ago", "2026-03-31", "2026-01-31"},
		{"31 days ago", "2026-03-31", "2026-02-28"},
		{"yesterday", "2026-03-01", "2026-02-28"},
	} {
		now := mustNot[time.Time](t)(time.Parse(time.DateOnly, tt.now))
		if until, ok := parseWhen(tt.text, now.Add(12*time.Hour)); !ok || until.AddDate(0, 0, -1).Format(time.DateOnly) != tt.want {
			t.Errorf("%s on %s ends before %v, want the end of %s", tt.text, tt.now, until, tt.want)
		}
	}
}
