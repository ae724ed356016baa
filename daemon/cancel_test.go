package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"yester/control"
	"yester/store"
)

// filesBelow counts the files below a folder.
func filesBelow(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return n
}

// other puts a version of another machine into the vault, which shares nothing.
func (s *still) other() store.VersionKey {
	s.t.Helper()
	k := store.VersionKey{Instance: strings.Repeat("0", 32), Partition: "root", Version: "2026-11-01T000000Z"}
	w := mustNot[*store.Writer](s.t)(s.vault.Writer(k.Instance, store.WriterOptions{}))
	r := mustNot[[]byte](s.t)(s.vault.Record(s.t.Context(), s.vault.Versions(s.instance.ID)[0]))
	err := errors.Join(
		s.vault.PutInstance(s.t.Context(), store.Instance{ID: k.Instance, Name: "other"}),
		w.Commit(s.t.Context(), k, r), w.Close(),
	)
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

func TestCancelDeletesAllOfTheInstanceAndNothingElse(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	k := s.vault.Versions(s.instance.ID)[1]
	mustNot[control.None](t)(s.pin(t.Context(), control.PinRequest{Partition: k.Partition, Version: k.Version}))
	other := store.VersionKey{}
	if len(s.names()) == 2 {
		other = s.other()
	}
	running := begin(t, s.tasks, untilCancelled)
	task := mustNot[control.Task](t)(s.cancel(t.Context(), control.None{}))
	if end := wait(t, s.tasks, task.ID); end.State != control.Completed {
		t.Errorf("got %+v", end)
	}
	if end := wait(t, s.tasks, running.ID); end.State != control.Cancelled || end.Error != "the service was cancelled" {
		t.Errorf("got %+v", end)
	}
	s.wantState(control.StateNew)
	s.wantVersions()
	if got := s.vault.Versions(other.Instance); len(got) != 1 {
		t.Errorf("the other machine has %v", got)
	}
	s.again()
	s.wantState(control.StateNew)
	s.to("2026-11-27 03:17")
	if _, err := s.backup(t.Context(), control.BackupRequest{}); !errors.Is(err, control.NotActive) {
		t.Errorf("got %v", err)
	}
	a := mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{Paths: []string{s.dir}, Priority: "max"}))
	if a.Outcome != control.Activated || a.Policy.RetentionDays != 30 {
		t.Errorf("got %+v", a)
	}
}

func TestCancelEndsTheMessagesOfTheInstance(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	for _, m := range []struct{ kind, cause string }{
		{control.MessageBackup, failedBackup},
		{control.MessageDrill, "drill/failed"},
		{control.MessageMissed, "missed/root"},
		{control.MessageLate, "late/root"},
		{control.MessageClock, clockCause},
		{control.MessageDamage, policyCause},
	} {
		s.raise(m.kind, m.cause, "it needs a look")
	}
	if h := s.health(); len(h.Needs) != 6 {
		t.Errorf("before: %+v", h)
	}
	mustNot[control.Task](t)(s.cancelAndWait())
	if h := s.health(); h.Status != "ok" {
		t.Errorf("got %+v", h)
	}
}

func TestCancelGivesAllSpaceBack(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	task := mustNot[control.Task](t)(s.cancel(t.Context(), control.None{}))
	if end := wait(t, s.tasks, task.ID); end.State != control.Completed {
		t.Errorf("got %+v", end)
	}
	if n := filesBelow(t, filepath.Join(s.o.Home.Vault, "instances")); n != 0 {
		t.Errorf("%d files of it are left", n)
	}
}

// described are the names of the vault's instances, of the own one "own".
func (s *still) described() (names []string) {
	s.t.Helper()
	for _, in := range mustNot[[]store.Instance](s.t)(s.vault.Instances(s.t.Context())) {
		if in.ID == s.instance.ID && in.Name == s.instance.Name {
			in.Name = "own"
		}
		names = append(names, in.Name)
	}
	slices.Sort(names)
	return names
}

// An instance has its name as long as something of it is left, and no longer.
func TestCancelledInstanceIsNamedUntilNothingOfItIsLeft(t *testing.T) {
	for name, away := range map[string]bool{"another one needs its packs": false, "its gc failed": true} {
		t.Run(name, func(t *testing.T) {
			s := newStill(t)
			s.days("2026-11-24")
			other := s.other()
			if err := s.vault.PutPolicy(t.Context(), store.Policy{Instance: other.Instance, Policy: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(s.o.Home.Vault, "instances", other.Instance, "versions", other.Partition, other.Version)
			move := func(from, to string) {
				t.Helper()
				if !away {
					return
				}
				if err := os.Rename(from, to); err != nil {
					t.Fatal(err)
				}
			}
			move(file, file+".away")
			task := mustNot[control.Task](t)(s.cancel(t.Context(), control.None{}))
			if end := wait(t, s.tasks, task.ID); end.State == control.Failed != away {
				t.Errorf("got %+v", end)
			}
			move(file+".away", file)
			s.wantState(control.StateNew)
			if got := s.described(); !slices.Equal(got, []string{"other", "own"}) {
				t.Errorf("there are %q", got)
			}
			if err := s.vault.Delete(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			gc := mustNot[control.Task](t)(s.vaultGC(t.Context(), control.None{}))
			if end := wait(t, s.tasks, gc.ID); end.State != control.Completed {
				t.Errorf("got %+v", end)
			}
			if got := s.described(); !slices.Equal(got, []string{"other"}) { // which has a policy
				t.Errorf("there are %q", got)
			}
			if n := filesBelow(t, filepath.Join(s.o.Home.Vault, "instances", s.instance.ID)); n != 0 {
				t.Errorf("%d files of it are left", n)
			}
		})
	}
}

// A place that is away would bring its name back.
func TestCancelledInstanceHasNoNameADayAfterAPlaceIsBack(t *testing.T) {
	places := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "c")}
	s := newStill(t, func(o *Options) {
		o.Settings.Vault.Places, o.Settings.ScrubDays, o.Settings.DrillDays = places, new(int), new(int)
	})
	s.days("2026-11-24")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	named := func(want ...string) {
		t.Helper()
		if got := s.described(); !slices.Equal(got, want) {
			t.Errorf("there are %q, want %q", got, want)
		}
	}
	move(places[1], places[1]+".away")
	if task, err := s.cancelAndWait(); err != nil || task.State != control.Completed {
		t.Errorf("got %+v, %v", task, err)
	}
	s.wantState(control.StateNew)
	s.wantChores()
	s.at("2026-11-25 03:17")
	s.wantChores("g-20261125-0001 completed") // and no other at once
	named("own")
	move(places[1]+".away", places[1])
	if err := s.vault.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantDue(true)
	s.at("2026-11-26 03:17")
	s.wantChores("g-20261126-0001 completed")
	named()
	s.wantDue(false)
	s.at("2026-11-27 03:17")
	s.wantChores()
}

// No backup will follow the one that the cancel cut off.
func TestGCOfACancelThatFailedIsDueADayLater(t *testing.T) {
	s := newStill(t, func(o *Options) { o.Settings.ScrubDays, o.Settings.DrillDays = new(int), new(int) })
	s.days("2026-11-24")
	begin(t, s.tasks, untilCancelled)
	other := s.other()
	file := filepath.Join(s.o.Home.Vault, "instances", other.Instance, "versions", other.Partition, other.Version)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	if task, err := s.cancelAndWait(); err != nil || task.State != control.Failed {
		t.Errorf("got %+v, %v", task, err)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	s.wantState(control.StateNew)
	s.wantDue(true)
	s.wantChores()
	s.at("2026-11-25 03:17")
	s.wantChores("g-20261125-0001 completed")
}

func TestCancelThatWasCutOffGoesOnAndNothingIsSetMeanwhile(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	if err := s.keepService(control.StateCancelling); err != nil { // and killed
		t.Fatal(err)
	}
	s.again()
	s.wantState(control.StateCancelling)
	_, set := s.Daemon.set(t.Context(), control.ActivateRequest{Start: "04:00"})
	_, activate := s.activate(t.Context(), control.ActivateRequest{})
	_, resume := s.resume(t.Context(), control.None{})
	_, backup := s.backup(t.Context(), control.BackupRequest{})
	for what, err := range map[string]error{"set": set, "activate": activate, "resume": resume, "backup": backup} {
		if !errors.Is(err, control.Conflict) || !strings.Contains(err.Error(), "being cancelled") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.chores(s.t.Context()); err != nil {
		t.Fatal(err)
	}
	if j := s.tasks.jobs[control.KindCancel]; j != nil {
		<-j.done
	}
	s.wantState(control.StateNew)
	s.wantVersions()
	if _, err := os.Stat(s.dir); err != nil {
		t.Error(err)
	}
}

// Each try stops restores, checks and repairs, and is kept for 90 days.
func TestCancelThatCannotDeleteIsTriedAgainAnHourLaterOrWhenThereIsReason(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	vault := s.o.Home.Vault
	if err := syscall.Mount(vault, vault, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	writable := sync.OnceFunc(func() {
		if err := syscall.Unmount(vault, 0); err != nil {
			t.Error(err)
		}
	})
	defer writable()
	if err := syscall.Mount("", vault, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	failed := func() {
		t.Helper()
		if task, err := s.cancelAndWait(); err != nil || task.State != control.Failed {
			t.Fatalf("got %+v, %v", task, err)
		}
	}
	failed()
	s.wantChores()
	failed() // somebody asks again
	s.wantChores()
	s.at("2026-11-24 04:16")
	s.wantChores()
	s.at("2026-11-24 04:17")
	s.wantChores("c-20261124-0003 failed")
	s.wakeRepair()
	s.wantChores("c-20261124-0004 failed")
	s.wantState(control.StateCancelling)
	writable()
	s.at("2026-11-24 05:17")
	s.wantChores("c-20261124-0005 completed")
	s.wantState(control.StateNew)
	s.wantVersions()
}

// Whose versions are another daemon's deletes none of them: not at once, and not when they are its own again.
func TestCancelOfWhatIsAnotherDaemonsDeletesNothing(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	take := func() {
		t.Helper()
		if err := s.vault.PutOwner(t.Context(), store.Owner{Instance: s.instance.ID, Holder: "other", Run: "other"}); err != nil {
			t.Fatal(err)
		}
	}
	back := control.AdoptRequest{AsInstance: s.instance.ID}
	upkeep := func() {
		t.Helper()
		if err := s.chores(s.t.Context()); err != nil {
			t.Error(err)
		}
		if j := s.tasks.jobs[control.KindCancel]; j != nil {
			<-j.done
		}
		s.wantVersions("2026-11-24T0317")
	}
	take()
	if _, err := s.cancel(t.Context(), control.None{}); !errors.Is(err, control.Conflict) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("cancel: %v", err)
	}
	s.wantState(control.StateReady)
	mustNot[control.Adoption](t)(s.adopt(t.Context(), back))
	upkeep()

	if err := s.keepService(control.StateCancelling); err != nil { // and taken over before all was deleted
		t.Fatal(err)
	}
	take()
	if _, err := s.adopt(t.Context(), back); !errors.Is(err, control.Conflict) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("adopt: %v", err)
	}
	upkeep()
	s.wantState(control.StateNew) // and can be another's, or its own again
	mustNot[control.Adoption](t)(s.adopt(t.Context(), back))
	s.again()
	upkeep()
	s.wantState(control.StateNew)
}
