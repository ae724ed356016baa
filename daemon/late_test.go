package daemon

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/snapshot"
	"yester/snapshot/capture"
)

// late sets the clock, looks at the versions and returns the open messages.
func (s *still) late(clock string) []string {
	s.t.Helper()
	s.at(clock)
	s.lookAtVersions(s.t.Context(), s.vault)
	return s.open(control.MessageLate)
}

// unmount has all partitions vanish, and returns the name of the one that has versions.
func (s *still) unmount() (partition string) {
	s.t.Helper()
	s.o.Discover = func() ([]capture.Mount, error) { return nil, nil }
	return s.vault.Versions(s.instance.ID)[0].Partition
}

// limit has the policy name partitions and paths.
func (s *still) limit(partitions, paths []string) {
	p := *s.policy
	p.Partitions, p.Paths = partitions, paths
	s.policy = &p
}

func TestPartitionThatIsGoneStaysLateUntilItHasAVersion(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	if got := s.late("2026-11-25 12:00"); len(got) != 1 {
		t.Fatalf("a day after it: %q", got)
	}
	s.o.Discover = func() ([]capture.Mount, error) { return nil, errors.New("no /proc") }
	if got := s.late("2026-11-25 12:01"); len(got) != 1 {
		t.Errorf("nobody knows what is mounted: %q", got)
	}
	s.unmount()
	for _, paths := range [][]string{{s.dir}, nil} {
		s.limit(nil, paths)
		if got := s.late("2026-11-25 12:02"); len(got) != 1 {
			t.Errorf("it is gone: %q", got)
		}
	}
	s.limit(nil, []string{s.dir})
	s.o.Discover = capture.Discover
	s.days("2026-11-26")
	if got := s.late("2026-11-26 03:18"); len(got) != 0 {
		t.Errorf("after a version: %q", got)
	}
}

func TestPartitionThatIsGoneBecomesLateAndIsNotIfItIsLeftOut(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	name := s.unmount()
	s.limit(nil, nil)
	if got := s.late("2026-11-25 09:17"); len(got) != 0 {
		t.Errorf("too early: %q", got)
	}
	got := s.late("2026-11-25 09:18")
	if len(got) != 1 || !strings.Contains(got[0], "no version of "+name+" was completed") || !strings.Contains(got[0], "; it is not mounted; mount it, or leave it out") {
		t.Errorf("got %q", got)
	}
	s.limit(nil, []string{"/elsewhere/" + name})
	if got := s.late("2026-11-25 09:19"); len(got) != 1 {
		t.Errorf("another path: %q", got)
	}
	s.limit([]string{"other"}, nil)
	if got := s.late("2026-11-25 09:20"); len(got) != 0 {
		t.Errorf("left out: %q", got)
	}
}

func TestPartitionThatIsGoneIsNotLateWithoutVersions(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	s.unmount()
	s.limit(nil, nil)
	if got := s.late("2026-11-25 12:00"); len(got) != 1 {
		t.Fatalf("got %q", got)
	}
	for _, k := range s.vault.Versions(s.instance.ID) {
		if err := s.delete(t.Context(), s.vault, k, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.late("2026-11-25 12:01"); len(got) != 0 {
		t.Errorf("its versions were forgotten: %q", got)
	}
}

// A disk that is plugged in, or no longer left out, has a day and the window, as all have after activate.
func TestPartitionIsLateADayAfterItWasFirstToBeBackedUp(t *testing.T) {
	s := newStill(t)
	usb := []capture.Mount{mountAt("usb", "/mnt/usb")}
	s.limit([]string{"other"}, nil)
	s.o.Discover = func() ([]capture.Mount, error) { return append(usb, mountAt("other", "/other")), nil }
	late := func(clock string, want ...string) {
		t.Helper()
		got := slices.Sorted(slices.Values(s.late(clock)))
		if len(got) != len(want) {
			t.Fatalf("%s: %q", clock, got)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s: %q", clock, got)
			}
		}
	}
	late("2026-11-24 08:00")
	late("2026-11-25 14:00")
	late("2026-11-30 10:00", "other")
	s.limit(nil, nil)
	late("2026-11-30 10:01", "other")
	s.again() // it is remembered
	s.limit(nil, nil)
	late("2026-12-01 16:01", "other")
	late("2026-12-01 16:02", "other", "usb has no version yet, and is to be backed up since 2026-11-30 10:01")
	there := usb
	usb = nil
	late("2026-12-01 16:03", "other") // it is unplugged
	s.again()
	s.limit(nil, nil)
	late("2026-12-01 16:04", "other")
	usb = there
	late("2026-12-10 10:00", "other", "usb has no version yet, and is to be backed up since 2026-11-30 10:01") // no backup ever finds it
	usb = nil
	late("2026-12-30 10:01", "other")
	usb = there
	late("2026-12-30 10:02", "other")
	late("2026-12-29 10:00", "other") // the clock was set back
	late("2026-12-30 16:01", "other", "usb")
	usb = nil
	s.limit([]string{"other"}, nil)
	late("2026-12-30 16:02", "other")
	s.limit(nil, nil)
	usb = there
	late("2026-12-30 16:03", "other") // it was left out meanwhile
}

func TestStartThatIsChangedMutesNothing(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	for _, tt := range []struct{ clock, start string }{{"2026-11-25 02:00", "01:00"}, {"2026-11-25 09:00", "03:17"}} {
		s.at(tt.clock)
		mustNot[control.Activation](t)(s.Daemon.set(t.Context(), control.ActivateRequest{Start: tt.start}))
	}
	if got := s.late("2026-11-25 09:18"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// A state of before it was kept has no record of it.
func TestLateBySinceTheServiceIsOnWhereNothingElseIsKnown(t *testing.T) {
	s := newStill(t)
	forget := func() {
		t.Helper()
		if err := errors.Join(s.db.EndService(), s.db.PutPlan(*s.policy, s.service, state.Schedule(s.history))); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	var mounts []capture.Mount
	s.o.Discover = func() ([]capture.Mount, error) { return slices.Clone(mounts), nil }
	s.limit(nil, nil)
	if got := s.late("2026-11-30 09:00"); len(got) != 0 {
		t.Errorf("nothing is mounted: %q", got)
	}
	mounts = append(mounts, mountAt("usb", "/mnt/usb"))
	if got := s.late("2026-11-30 10:00"); len(got) != 0 {
		t.Errorf("it was not there: %q", got)
	}
	forget()
	if got := s.late("2026-11-30 10:01"); len(got) != 1 || !strings.HasPrefix(got[0], "usb has no version yet, and is to be backed up since 2026-11-23 12:00") {
		t.Errorf("it was there: %q", got)
	}
	mounts = append(mounts, mountAt("new", "/new"))
	if got := s.late("2026-11-30 10:02"); len(got) != 1 {
		t.Errorf("it is new: %q", got)
	}
}

// Prometheus is told when each partition is late that is to be backed up, so that a rule says the same as the message.
func TestMetricsTellWhenAPartitionIsLate(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	name := s.vault.Versions(s.instance.ID)[0].Partition
	want := func(partitions ...string) {
		t.Helper()
		s.lookAtVersions(t.Context(), s.vault)
		discover := s.o.Discover
		defer func() { s.o.Discover = discover }()
		s.o.Discover = func() ([]capture.Mount, error) {
			t.Error("a scrape looks at what is mounted, of which a disk may not answer")
			return discover()
		}
		all, err := s.metrics.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range all {
			for _, m := range f.GetMetric() {
				if f.GetName() == "yester_version_due_timestamp_seconds" {
					got = append(got, m.GetLabel()[0].GetValue()+" "+time.Unix(int64(m.GetGauge().GetValue()), 0).UTC().Format("02 15:04"))
				}
			}
		}
		if !slices.Equal(got, partitions) {
			t.Errorf("got %q, want %q", got, partitions)
		}
	}
	want(name + " 25 09:17")
	s.change(control.ActivateRequest{WindowSeconds: ptr(24 * 3600)})
	want(name + " 26 03:17")
	s.o.Discover = func() ([]capture.Mount, error) { return []capture.Mount{mountAt("new", "/new")}, nil }
	s.at("2026-11-24 08:00")
	s.limit(nil, nil)
	want("new 26 08:00", name+" 26 03:17")
	s.limit([]string{"new"}, nil)
	want("new 26 08:00") // the other is left out, and its newest version stays for good
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	want()
}

func TestVersionOfAClockThatWasAheadSilencesNothing(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	s.leap("2036-11-25 12:00")
	s.backedUp()
	s.leap("2026-11-24 12:00")
	if got := s.late("2026-11-24 18:01"); len(got) != 1 { // nobody knows how old that one is
		t.Errorf("set right: %q", got)
	}
	s.backedUp()
	if got := s.late("2026-11-26 00:01"); len(got) != 0 {
		t.Errorf("after another one: %q", got)
	}
	if got := s.late("2026-11-26 00:02"); len(got) != 1 {
		t.Errorf("a day after that: %q", got)
	}
}

func TestVersionOfAClockThatWasAheadByHoursIsNotLate(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	s.leap("2026-11-26 01:00")
	if got := s.late("2026-11-26 01:01"); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestUnreadableRecordEndsNoMessage(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	if got := s.late("2026-11-25 12:00"); len(got) != 1 {
		t.Fatalf("got %q", got)
	}
	s.again() // it knows no times any more
	files, err := filepath.Glob(filepath.Join(s.o.Home.Vault, "instances", s.instance.ID, "versions", "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got %v, %v", files, err)
	}
	for _, f := range files {
		damageFile(t, f, 10, 20)
	}
	if got := s.late("2026-11-25 12:01"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestPathsThatWouldLieOnWhatIsGone(t *testing.T) {
	mounts := []capture.Mount{mountAt("root", "/"), mountAt("home", "/home")}
	for _, tt := range []struct {
		path, point string
		want        bool
	}{
		{"/mnt/data/a", "/mnt/data", true},
		{"/mnt/data", "/mnt/data", true},
		{"/mnt/database", "/mnt/data", false},
		{"/home/a", "/", false},
		{"/home/a", "/home", false}, // something else is mounted there
		{"/home/a/b", "/home/a", true},
	} {
		if got := wouldHold([]string{"/etc", tt.path}, mounts, tt.point); got != tt.want {
			t.Errorf("%s on %s: %v", tt.path, tt.point, got)
		}
	}
	if p := (&control.Policy{}); mayBeAway(p, mounts, "home") || !mayBeAway(p, append(mounts, capture.Mount{Partition: snapshot.Partition{Name: "mnt-data", FSType: "autofs"}, Excluded: "pseudo"}), "mnt-data") {
		t.Error("what is mounted is not away, and what autofs would mount is")
	}
	for excluded, want := range map[string]bool{"it holds the vault or what belongs to it": false, "backed up as /home": false, "network file system (nfs4)": true} {
		if m := (capture.Mount{Partition: snapshot.Partition{Name: "data"}, Excluded: excluded}); mayBeAway(&control.Policy{}, []capture.Mount{m}, "data") != want {
			t.Errorf("%q: away is %v", excluded, !want)
		}
	}
}

func mountAt(name, point string) capture.Mount {
	return capture.Mount{Partition: snapshot.Partition{Name: name, MountPoint: point}}
}

// A disk that fails is mounted still: the backup tells so, and not that all is well without it.
func TestPartitionOfWhichNothingCanBeReachedFailsAndEndsNothing(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	m := needPartition(t, s.dir)
	broken := mountAt(s.unmount(), m.MountPoint)
	broken.Excluded, broken.Broken = "cannot be reached: input/output error", true
	other := mountAt("other", "/other")
	s.o.Discover = func() ([]capture.Mount, error) { return []capture.Mount{other, broken}, nil }
	s.limit(nil, nil)
	const why = " cannot be backed up: cannot be reached: input/output error; look after its disk, or unmount it"
	if ts := plan(s.policy, []capture.Mount{other, broken, broken}, exists); len(ts) != 2 || ts[0].err != nil || ts[1].err == nil || ts[1].err.Error() != "partition "+broken.Name+why {
		t.Errorf("planned: %+v", ts)
	}
	s.endBackup("2026-11-25 03:17", control.Failed, control.Result{Partition: broken.Name, Error: "no"}, control.Result{Partition: other.Name})
	s.endBackup("2026-11-25 04:17", control.Completed, control.Result{Partition: other.Name})
	if got := s.open(control.MessageBackup); len(got) != 1 {
		t.Errorf("after one that was completed without it: %q", got)
	}
	if got := s.late("2026-11-25 09:18"); len(got) != 1 || !strings.Contains(got[0], "no version of "+broken.Name) || !strings.HasSuffix(got[0], why) {
		t.Errorf("late: %q", got)
	}
	s.limit([]string{other.Name}, nil)
	if got := s.late("2026-11-25 09:19"); len(got) != 0 {
		t.Errorf("left out: %q", got)
	}
}

// endBackup has a backup end that made versions, or failed to, of some partitions.
func (s *still) endBackup(clock, state string, results ...control.Result) {
	s.t.Helper()
	s.at(clock)
	end := s.o.Now()
	task := control.Task{ID: "b-" + end.Format("20060102-1504"), Kind: control.KindBackup, State: state, Start: end, End: &end, Results: results}
	if err := s.db.PutTask(task); err != nil {
		s.t.Fatal(err)
	}
	s.taskEnded(&task)
}

func TestCompletedBackupEndsNothingOfAPartitionThatIsGone(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	name := s.vault.Versions(s.instance.ID)[0].Partition
	failed, warned, well, other := control.Result{Partition: name, Error: "no"}, control.Result{Partition: name, Warnings: 1}, control.Result{Partition: name}, control.Result{Partition: "other"}
	wantOpen := func(when string, want int) {
		t.Helper()
		if got := s.open(control.MessageBackup); len(got) != want {
			t.Errorf("%s: %q", when, got)
		}
	}
	s.limit(nil, nil)
	s.endBackup("2026-11-24 12:00", control.Partial, warned, other)
	s.endBackup("2026-11-24 13:00", control.Failed, failed, other)
	s.endBackup("2026-11-24 13:30", control.Skipped)
	wantOpen("all of it", 3)
	s.unmount()
	s.endBackup("2026-11-24 14:00", control.Completed, other)
	wantOpen("it is gone", 2)
	s.o.Discover = capture.Discover
	s.endBackup("2026-11-24 15:00", control.Partial, warned)
	wantOpen("it is there again, with warnings", 1)
	s.endBackup("2026-11-24 16:00", control.Completed, well)
	wantOpen("it is well", 0)
	s.endBackup("2026-11-24 17:00", control.Failed, failed)
	s.unmount()
	s.limit([]string{"other"}, nil)
	s.endBackup("2026-11-24 18:00", control.Completed, other)
	wantOpen("it is left out", 0)
}
