package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/store"
)

func drillNow(t *testing.T, c *control.Client, r control.DrillRequest) control.Task {
	t.Helper()
	task, err := c.Drill(t.Context(), r)
	return await(t, c, task, err)
}

// wantEmpty wants nothing in a folder, which is the one that it was: backups that began before tell it by its number.
func wantEmpty(t *testing.T, dir string, was os.FileInfo) {
	t.Helper()
	if is, err := os.Lstat(dir); err != nil || !os.SameFile(is, was) {
		t.Errorf("%s is another folder now: %v", dir, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// It may be as much as a drill takes, and of files that others may not read.
func TestWhatADrillThatAKillCutOffHasLeftIsRemovedAtTheNextStart(t *testing.T) {
	o := options(t)
	if err := o.Home.make(); err != nil {
		t.Fatal(err)
	}
	scratch := mustNot[os.FileInfo](t)(os.Stat(o.Home.Scratch))
	left := filepath.Join(o.Home.Scratch, "root", "etc")
	if err := errors.Join(os.MkdirAll(left, 0o700), os.WriteFile(filepath.Join(left, "shadow"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	serve(t, o)
	wantEmpty(t, o.Home.Scratch, scratch)
}

// A drill restores a sample, says so, and leaves nothing behind.
func TestDrillProvesThatVersionsCanBeRestored(t *testing.T) {
	o, c, dir, version := startFilled(t)
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(dir, "file-"+strings.Repeat("x", i%200)+string(rune('a'+i/200))), random(1000+i), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if task := backUp(t, c); len(task.Results) == 1 {
		version = task.Results[0]
	} else {
		t.Fatalf("got %+v", task)
	}
	scratch := mustNot[os.FileInfo](t)(os.Stat(o.Home.Scratch)) // there before any drill
	if err := os.MkdirAll(filepath.Join(o.Home.Scratch, "left", "by a kill"), 0o700); err != nil {
		t.Fatal(err)
	}
	task := drillNow(t, c, control.DrillRequest{})
	if d := task.Drilled; task.State != control.Completed || d == nil || d.Files != 100 || len(d.Versions) != 1 || d.Versions[0].Version != version.Version || d.FailedCount != 0 {
		t.Fatalf("got %+v, %+v", task, task.Drilled)
	}
	wantEmpty(t, o.Home.Scratch, scratch)
	s, err := c.Status(t.Context())
	if err != nil || s.Drills.Proven == nil || s.Drills.Proven.Task != task.ID || s.Drills.Failed != "" || s.Drills.Next == nil || s.Drills.Next.Sub(s.Drills.Proven.Time) != drillDays*24*time.Hour {
		t.Errorf("status says %+v, %v", s.Drills, err)
	}
	all := ofDrills(t, c, control.MessagesRequest{})
	if len(all) != 1 || !strings.Contains(all[0].Text, "last proven restore: 100 files") || all[0].Resolved == nil {
		t.Errorf("messages are %+v", all)
	}
	few := drillNow(t, c, control.DrillRequest{Files: 5, Bytes: 3000})
	if d := few.Drilled; few.State != control.Completed || d.Files == 0 || d.Files > 2 || d.Bytes > 3000 {
		t.Errorf("at most 5 files and 3000 bytes are %+v", few.Drilled)
	}
	one := drillNow(t, c, control.DrillRequest{Bytes: 1}) // all are larger
	if d := one.Drilled; one.State != control.Completed || d.Files != 1 {
		t.Errorf("of files that are all too large are taken %+v", one.Drilled)
	}
	if _, err := c.Drill(t.Context(), control.DrillRequest{Files: -1}); !errors.Is(err, control.BadRequest) {
		t.Errorf("a drill of -1 files: %v", err)
	}
}

// A drill that meets lost content fails, is told, and that is over when one goes well.
func TestDrillThatFailsIsToldUntilOneGoesWell(t *testing.T) {
	o, c, _, _ := startFilled(t)
	scratch := mustNot[os.FileInfo](t)(os.Stat(o.Home.Scratch))
	file := largestPack(t, o.Home.Vault)
	damageFile(t, file, 1<<20, 2<<20)
	task := drillNow(t, c, control.DrillRequest{})
	if task.State != control.Failed || !strings.Contains(task.Error, "did not come back") || task.Drilled == nil || task.Drilled.FailedCount == 0 {
		t.Fatalf("got %+v", task)
	}
	s, err := c.Status(t.Context())
	if err != nil || s.Drills.Proven != nil || s.Drills.Failed != task.ID || !strings.Contains(strings.Join(s.Attention, "\n"), "it is not proven that versions can be restored") {
		t.Errorf("status says %+v, %q, %v", s.Drills, s.Attention, err)
	}
	wantEmpty(t, o.Home.Scratch, scratch)
	damageFile(t, file, 1<<20, 2<<20) // which undoes it
	if task := drillNow(t, c, control.DrillRequest{}); task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
	if open := ofDrills(t, c, control.MessagesRequest{Open: "true"}); len(open) > 0 {
		t.Errorf("still open are %+v", open)
	}
}

// ofDrills are the messages about drills.
func ofDrills(t *testing.T, c *control.Client, r control.MessagesRequest) []control.Message {
	t.Helper()
	all, err := c.Messages(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(m control.Message) bool { return m.Kind != control.MessageDrill })
}

// What the scratch folder cannot hold is not proven to come back, but it is no failure either.
func TestDrillWithWarningsIsToldAndProvesNothing(t *testing.T) {
	s := newStill(t)
	r := &control.Drilled{Versions: []control.DrilledVersion{{Partition: "root", Version: "v", Files: 1}}, Files: 1}
	for _, tt := range []struct {
		task   control.Task
		told   string
		failed string
		health string
	}{
		{control.Task{ID: "d-1", State: control.Failed, Error: "no luck"}, "the drill d-1 failed", "d-1", "attention"},
		{control.Task{ID: "d-2", State: control.Partial, Drilled: r, WarningCount: 3}, "the drill d-2 restored the content of its files and has 3 warnings", "", "ok"},
	} {
		tt.task.Kind = control.KindDrill
		s.taskEnded(&tt.task)
		got, u := s.open(control.MessageDrill), mustNot[state.Drill](t)(s.drillState())
		if len(got) != 1 || !strings.Contains(got[0], tt.told) || u.Proven != nil || u.Failed != tt.failed || s.health().Status != tt.health {
			t.Errorf("%s: told %q, kept %+v, %+v", tt.task.State, got, u, s.health())
		}
	}
	s.taskEnded(&control.Task{ID: "d-3", Kind: control.KindDrill, State: control.Completed, Drilled: r})
	if got, u := s.open(control.MessageDrill), mustNot[state.Drill](t)(s.drillState()); len(got) != 0 || u.Proven == nil || u.Proven.Task != "d-3" {
		t.Errorf("told %q, kept %+v", got, u)
	}
}

func TestDrillComesByItself(t *testing.T) {
	o, c, _, _, stop := startFilledUntil(t)
	if _, err := c.Pause(t.Context()); err != nil { // no backup is to come between
		t.Fatal(err)
	}
	stop()
	never := 0
	o.Settings.ScrubDays = &never
	begin := time.Now()
	for i, days := range []int{0, 2, 3, 10} { // the first only sees that there are versions, the third is too early
		now := begin.Add(time.Duration(days)*24*time.Hour + time.Duration(i)*time.Minute)
		o.Now = func() time.Time { return now }
		c, stop := serve(t, o)
		s, err := c.Status(t.Context())
		for i == 0 && err == nil && s.Drills.Next == nil {
			s, err = c.Status(t.Context())
		}
		want := map[int]int{2: 1, 3: 1, 10: 2}[days]
		until(t, "the drill", func() bool { return count(t, c, control.KindDrill, control.Completed) == want })
		if err != nil || days == 3 && !s.Drills.Next.After(now) {
			t.Errorf("day %d: %+v, %v", days, s.Drills, err)
		}
		stop()
	}
}

func TestDrillComesOnceAWeek(t *testing.T) {
	begin := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, c := range []struct {
		what string
		u    state.Drill
		days int
		want time.Duration // after begin; 0: never
	}{
		{"before there are versions", state.Drill{}, 7, 0},
		{"never tried", state.Drill{Since: begin}, 7, day},
		{"went well", state.Drill{Since: begin, Tried: begin.Add(day)}, 7, 8 * day},
		{"failed", state.Drill{Since: begin, Tried: begin.Add(day), Failed: "d-1"}, 7, 2 * day},
		{"every day", state.Drill{Since: begin, Tried: begin.Add(day)}, 1, 2 * day},
		{"switched off", state.Drill{Since: begin, Tried: begin.Add(day)}, 0, 0},
	} {
		next, ok := nextDrill(&c.u, c.days)
		if ok != (c.want != 0) || ok && next != begin.Add(c.want) {
			t.Errorf("%s: %v, %v", c.what, next, ok)
		}
	}
}

// A partition may have no files. That nothing is proven of it is no alarm.
func TestScheduledDrillOfNothingIsNoFailure(t *testing.T) {
	s := newStill(t)
	for _, e := range mustNot[[]os.DirEntry](t)(os.ReadDir(s.dir)) {
		os.RemoveAll(filepath.Join(s.dir, e.Name()))
	}
	wait(t, s.tasks, mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{})).ID)
	v := mustNot[*store.Vault](t)(s.openedVault())
	for _, scheduled := range []bool{true, false} {
		drill := mustNot[control.Task](t)(s.startDrill(&drill{d: s.Daemon, vault: v}, scheduled))
		want := map[bool]string{true: control.Completed, false: control.Failed}[scheduled]
		if end := wait(t, s.tasks, drill.ID); end.State != want {
			t.Errorf("scheduled %v: %+v", scheduled, end)
		}
		if told := len(s.alerts.List(true)) > 0; told == scheduled {
			t.Errorf("scheduled %v: messages %+v", scheduled, s.alerts.List(true))
		}
	}
}

// What a link in the place of the scratch folder leads to is not emptied.
func TestDrillFollowsNoLink(t *testing.T) {
	s := newStill(t)
	scratch, others := s.o.Home.Scratch, t.TempDir()
	err := errors.Join(os.WriteFile(filepath.Join(others, "file"), nil, 0o600), os.RemoveAll(scratch), os.Symlink(others, scratch), s.emptyScratch())
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(others); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
	if info, err := os.Lstat(scratch); err != nil || !info.IsDir() {
		t.Errorf("got %v, %v", info, err)
	}
}
