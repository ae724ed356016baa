package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"yester/control"
	"yester/sched"
)

func TestSliceIsAsManyDaysAsHavePassed(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 17, 0, 0, time.UTC)
	for _, tt := range []struct {
		passed time.Duration
		days   int
		want   float64
	}{
		{23 * time.Hour, 30, 0}, {24 * time.Hour, 30, 1. / 30}, {72 * time.Hour, 30, 0.1}, {1000 * time.Hour, 30, 1}, {48 * time.Hour, 0, 0},
	} {
		if got := slice(now.Add(-tt.passed), now, tt.days); got-tt.want > 1e-9 || tt.want-got > 1e-9 {
			t.Errorf("%v of %d days: %v, want %v", tt.passed, tt.days, got, tt.want)
		}
	}
}

// However large a vault is, and however few days are given, reading it comes round; and at 10 MB/s where that does.
func TestScrubIsAsFastAsItMustBe(t *testing.T) {
	const tb = 1e12
	for _, tt := range []struct {
		stored uint64
		days   int
	}{{0, 30}, {20 * tb, 30}, {30 * tb, 30}, {10 * tb, 7}, {100 * tb, 1}, {1 << 60, 36500}} {
		slice := float64(tt.stored) / float64(tt.days)
		if got := scrubRate(tt.stored, tt.days) * scrubEvery.Seconds(); got < 1.19*slice || got > 1.21*slice {
			t.Errorf("%d bytes in %d days: %v a day", tt.stored, tt.days, got)
		}
	}
	if scrubRate(20*tb, 30) > sched.Low.BytesPerSecond || scrubRate(30*tb, 30) < sched.Low.BytesPerSecond {
		t.Error("it is another rate than docs/CLI.md says")
	}
}

// A stop of the daemon costs nothing of what was read, and the rest is due at once.
func TestScrubThatIsCutOffHasReadWhatItRead(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const day = scrubEvery
	for _, tt := range []struct {
		since time.Duration
		read  float64 // of all packs
		want  time.Duration
	}{{day, 0, day}, {day, 1.0 / 30, day}, {3 * day, 0, 3 * day}, {3 * day, 1.0 / 30, 2 * day}, {3 * day, 0.1, day}, {100 * day, 1, 70 * day}} {
		if got := now.Sub(scrubbed(now.Add(-tt.since), now, tt.read, 30)); (got - tt.want).Abs() > time.Second {
			t.Errorf("%v since the last, %v read: %v are due", tt.since, tt.read, got)
		}
	}
}

// A day later the daemon reads its slice by itself, repairs what it finds damaged, and goes on from there the next day.
func TestScrubReadsEverySliceAndRepairs(t *testing.T) {
	o, c, _, _, stop := startFilledUntil(t)
	file := largestPack(t, o.Home.Vault)
	before, _ := os.ReadFile(file)
	info, _ := c.VaultInfo(t.Context())
	if _, err := c.Pause(t.Context()); err != nil { // no backup is to come between
		t.Fatal(err)
	}
	stop()
	damageFile(t, file, 1<<20, 100)

	days := int(info.Packs) // one a day
	o.Settings.ScrubDays, o.Settings.DrillDays = &days, new(int)
	for day := range days {
		begin := time.Now().Add(time.Duration(day+1)*scrubEvery + time.Duration(day+1)*time.Minute)
		o.Now = func() time.Time { return begin }
		c, stop := serve(t, o)
		until(t, "a slice", func() bool {
			return count(t, c, control.KindCheck, control.Completed)+count(t, c, control.KindCheck, control.Partial) == day+1
		})
		until(t, "the repair", func() bool {
			return count(t, c, control.KindRepair, control.Completed) == count(t, c, control.KindCheck, control.Partial)
		})
		stop()
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the pack is not as it was: %v", err)
	}
}

// A kill while it is looked up which files damage is part of, which may take long, must not have the next daemon go on behind it.
func TestWhatAScrubFoundIsKeptWithHowFarItRead(t *testing.T) {
	var s *still
	var at upkeepState // when the damage is told
	s = newStill(t, func(o *Options) {
		o.Settings.ScrubDays, o.Settings.DrillDays = ptr(1), new(int)
		o.Log = slog.New(heard{hear: func(what string) {
			if what == "the vault is damaged" && at.Cursor == "" {
				at, _ = s.upkeepState()
			}
		}})
	})
	if err := os.WriteFile(filepath.Join(s.dir, "big"), random(4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s.days("2026-11-24")
	file := largestPack(t, s.o.Home.Vault)
	damageFile(t, file, 1<<20, 100)
	due := s.o.Now().Add(-scrubEvery)
	u := upkeepState{Scrubbed: due}
	if err := s.scrub(&u); err != nil {
		t.Fatal(err)
	}
	check := s.tasks.jobs[lane(control.KindCheck)]
	<-check.done
	if end := check.look(s.o.Now()); end.State != control.Partial {
		t.Fatalf("got %+v", end)
	}
	if at.Cursor == "" || !at.Scrubbed.After(due) || !slices.Equal(at.Repair, []string{filepath.Base(file)}) {
		t.Errorf("kept was %+v", at)
	}
}
