package daemon

import (
	"slices"
	"strings"
	"testing"

	"yester/control"
)

// What is not over stands under "Attention", whatever its kind, and once.
func TestStatusTellsAllThatIsOpenOnce(t *testing.T) {
	s := newStill(t)
	said := func() (lines []string) {
		st := mustNot[control.Status](t)(s.status(t.Context(), control.None{}))
		return slices.DeleteFunc(st.Attention, func(l string) bool { return strings.HasPrefix(l, "not mounted") })
	}
	keep := func(task control.Task) {
		if err := s.db.PutTask(task); err != nil {
			t.Fatal(err)
		}
	}
	if got := said(); len(got) != 0 {
		t.Fatalf("at first: %q", got)
	}
	for i, kind := range []string{
		control.MessageBackup, control.MessageClock, control.MessageDamage, control.MessageDrill, control.MessageLate,
		control.MessageMissed, control.MessagePlace, control.MessageSpace, control.MessageTask,
	} {
		s.raise(kind, kind+"/it", "it is "+kind)
		if got := said(); len(got) != i+1 || got[i] != "it is "+kind {
			t.Errorf("%s: %q", kind, got)
		}
	}
	s.raise(control.MessageTask, taskCause+control.KindRestore, "the restore r-1 ended with warnings")
	if got := said(); len(got) != 9 {
		t.Errorf("after a restore by hand: %q", got)
	}
	for _, m := range s.alerts.List(true) {
		s.resolve(m.Cause)
	}
	for _, tt := range []struct {
		task control.Task
		want []string
	}{
		{control.Task{State: control.Skipped, Error: "busy"}, []string{"the last scheduled backup was skipped: busy"}},
		{control.Task{State: control.Failed, Error: "no space"}, []string{"the last backup failed: no space", "a scheduled backup was skipped: busy"}},
		{control.Task{State: control.Partial, WarningCount: 3}, []string{"the last backup has 3 warnings, see `yester tasks show b-9`"}},
		{control.Task{State: control.Completed}, nil},
	} {
		now := s.o.Now()
		tt.task.ID, tt.task.Kind, tt.task.Start, tt.task.End = "b-9", control.KindBackup, now, &now
		keep(tt.task)
		s.taskEnded(&tt.task)
		if got := said(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q", tt.task.State, got)
		}
	}
	check := control.Task{ID: "c-9", Kind: control.KindCheck, State: control.Partial, Report: &control.Report{ProblemCount: 1}}
	keep(check)
	s.taskEnded(&check)
	if got := said(); len(got) != 1 || got[0] != "a check found the vault damaged, see `yester tasks show c-9`" {
		t.Errorf("damage: %q", got)
	}
}
