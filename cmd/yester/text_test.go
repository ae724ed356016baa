package main

import (
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 1_234_567: "1.2 MB",
		5e9: "5.0 GB", 3e12: "3.0 TB", 1 << 63: "9.2 EB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 files", 1: "1 file", 999: "999 files", 1000: "1,000 files", 1234567: "1,234,567 files"} {
		if got := count(n, "file"); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 1400 * time.Millisecond: "1 s", 59 * time.Second: "59 s", 125 * time.Second: "2 min 5 s",
		5*time.Hour + 3*time.Minute: "5 h 3 min", 49 * time.Hour: "2 days",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
	if got := took(1400 * time.Millisecond); got != "1.4 s" {
		t.Errorf("took %q", got)
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	for d, want := range map[time.Duration]string{
		-9 * time.Hour: "today 03:00", 15 * time.Hour: "tomorrow 03:00", -33 * time.Hour: "yesterday 03:00", 39 * time.Hour: "2026-11-25 03:00",
	} {
		if got := clock(now.Add(d), now); got != want {
			t.Errorf("clock(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{"/a/b-1": "/a/b-1", "a b": "'a b'", "it's": `'it'\''s'`, "": "''"} {
		if got := quote(s); got != want {
			t.Errorf("quote(%q) = %s", s, got)
		}
	}
}

func TestTallyFitsInSixColumns(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 99_999: "99,999", 100_000: "100k", 999_499: "999k", 999_500: "1.0M", 123_456_789: "123.5M", 999_949_999: "999.9M", 999_950_000: "1.0G",
	} {
		if got := tally(n); got != want || len(got) > 6 {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
