package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/sched"
	"yester/snapshot/capture"
)

// wind runs a clockwork on the fake clock of a bubble for a while.
func wind(t *testing.T, c *clockwork, body func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.run(ctx); close(done) }()
	body()
	cancel()
	<-done
}

// keeper decides by a calendar as the daemon does, in memory.
type keeper struct {
	plan    sched.Plan
	history sched.History
	now     func() time.Time
	got     []string
}

func (k *keeper) turn() (time.Time, bool) {
	for {
		k.history = k.history.At(k.now())
		s := k.plan.Decide(k.history, k.now(), time.UTC, "")
		if s.Do == sched.Wait {
			return s.Turn, true
		}
		k.history = k.history.Done(s)
		k.got = append(k.got, map[sched.Action]string{sched.Run: "run ", sched.Skip: "skip "}[s.Do]+k.now().UTC().Format("02 15:04"))
	}
}

func TestClockworkRunsOnceADayToTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{plan: sched.Plan{Start: sched.Daily{Hour: 3, Minute: 17}, Window: sched.DefaultWindow}, history: sched.History{Since: time.Now()}, now: time.Now}
		wind(t, &clockwork{now: time.Now, timer: time.NewTimer, turn: k.turn}, func() { time.Sleep(72 * time.Hour) }) // the fake clock begins 2000-01-01 00:00 UTC
		if want := []string{"run 01 03:17", "run 02 03:17", "run 03 03:17"}; !reflect.DeepEqual(k.got, want) {
			t.Errorf("got %v, want %v", k.got, want)
		}
	})
}

// A machine that sleeps, or a clock that is set, is noticed within a nap.
func TestClockworkNoticesAClockThatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jump atomic.Int64 // time.Duration
		now := func() time.Time { return time.Now().Round(0).Add(time.Duration(jump.Load())) }
		k := &keeper{plan: sched.Plan{Start: sched.Daily{Hour: 3}, Window: sched.DefaultWindow}, history: sched.History{Since: now()}, now: now}
		wind(t, &clockwork{now: now, timer: time.NewTimer, turn: k.turn}, func() {
			time.Sleep(time.Hour + time.Second)
			synctest.Wait()
			jump.Store(int64(5 * time.Hour)) // 06:00
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			jump.Store(-int64(time.Hour)) // and back to the time before
			time.Sleep(4 * time.Hour)
		})
		if want := []string{"run 01 06:01"}; !reflect.DeepEqual(k.got, want) {
			t.Errorf("got %v, want %v", k.got, want)
		}
	})
}

func TestClockworkLooksAgainWhenThePolicyChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, changed := 0, make(chan struct{}, 1)
		c := &clockwork{now: time.Now, timer: time.NewTimer, turn: func() (time.Time, bool) { turns++; return time.Time{}, false }, changed: changed}
		wind(t, c, func() {
			synctest.Wait()
			changed <- struct{}{}
			synctest.Wait()
			if turns != 2 {
				t.Errorf("%d turns", turns)
			}
		})
	})
}

// A still daemon has a clock that only the test moves, and does nothing by itself.
type still struct {
	*Daemon
	t     *testing.T
	clock *atomic.Pointer[time.Time]
	dir   string        // what it backs up
	leapt time.Duration // how far the clock was set, and did not go
}

// newStill is an active one, to run at 03:17, on 2026-11-23 at noon, with options that may be changed first.
func newStill(t *testing.T, change ...func(*Options)) *still {
	t.Helper()
	s := &still{t: t, clock: new(atomic.Pointer[time.Time]), dir: source(t)}
	needPartition(t, s.dir)
	s.at("2026-11-23 12:00")
	o := options(t)
	o.Now = func() time.Time { return *s.clock.Load() }
	for _, f := range change {
		f(&o)
	}
	o.Boot = func() (string, time.Duration) {
		return "test", s.clock.Load().Sub(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)) - s.leapt
	}
	if err := o.Home.make(); err != nil {
		t.Fatal(err)
	}
	s.begin(o, newState(t))
	t.Cleanup(func() {
		if err := s.end(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.activate(t.Context(), control.ActivateRequest{Paths: []string{s.dir}, Priority: "max", Start: "03:17"}); err != nil {
		t.Fatal(err)
	}
	s.lookAtVersions(t.Context(), s.vault)
	return s
}

// begin starts the daemon, anew with what its state knows.
func (s *still) begin(o Options, db *state.DB) {
	s.t.Helper()
	d, err := newDaemon(o.withDefaults(), db)
	if err == nil {
		err = d.openVault(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.Daemon = d
	d.runOwedHook(s.t.Context())
}

// end ends it, with whatever it does.
func (s *still) end() error {
	if err := s.tasks.stop(context.Background()); err != nil {
		return err
	}
	return s.close()
}

// again ends the daemon and starts it anew.
func (s *still) again() {
	s.t.Helper()
	if err := s.end(); err != nil {
		s.t.Fatal(err)
	}
	s.begin(s.o, s.db)
}

func (s *still) at(clock string) {
	s.t.Helper()
	now, err := time.Parse("2006-01-02 15:04", clock)
	if err != nil {
		s.t.Fatal(err)
	}
	s.clock.Store(&now)
}

// leap sets the clock, of which nothing passed meanwhile.
func (s *still) leap(clock string) {
	s.t.Helper()
	before := s.o.Now()
	s.at(clock)
	s.leapt += s.o.Now().Sub(before)
}

// to sets the clock, has what is due begin, and waits for its end.
func (s *still) to(clock string) {
	s.t.Helper()
	s.at(clock)
	s.turn()
	if id := s.tasks.atWork(control.KindBackup); id != "" {
		wait(s.t, s.tasks, id)
	}
}

// scheduled tells of the scheduled backups, oldest first.
func (s *still) scheduled() (lines []string) {
	s.t.Helper()
	all, err := s.tasks.list()
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range all {
		if task := &all[i]; task.Kind == control.KindBackup && task.Scheduled {
			lines = append(lines, task.Start.Format("02 15:04 ")+task.State)
		}
	}
	return lines
}

func (s *still) want(lines ...string) {
	s.t.Helper()
	if got := s.scheduled(); !reflect.DeepEqual(got, lines) {
		s.t.Errorf("got %q, want %q", got, lines)
	}
}

func TestScheduleOutlivesTheDaemon(t *testing.T) {
	s := newStill(t)
	s.again()
	s.to("2026-11-24 03:16")
	s.want()
	s.to("2026-11-24 03:17")
	s.again()
	s.to("2026-11-24 03:17") // nothing runs twice
	s.want("24 03:17 completed")
	s.again()
	s.to("2026-11-25 05:00") // nothing is forgotten: it was down when the time came
	s.want("24 03:17 completed", "25 05:00 completed")
	s.again()
	s.to("2026-11-26 12:00")
	s.want("24 03:17 completed", "25 05:00 completed", "26 03:17 skipped")
	if next, ok := s.next(); !ok || next.Format("02 15:04") != "27 03:17" {
		t.Errorf("next is %v", next)
	}
}

// vaultAway starts the daemon anew without the vault. back brings it back, and has it looked for.
func (s *still) vaultAway() (back func()) {
	s.t.Helper()
	dir := s.o.Home.Vault
	if err := errors.Join(s.end(), os.Rename(dir, dir+".away")); err != nil {
		s.t.Fatal(err)
	}
	s.begin(s.o, s.db)
	return func() {
		s.t.Helper()
		if err := errors.Join(os.Rename(dir+".away", dir), s.openAgain(s.t.Context())); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestBackupWaitsForTheVaultWhileItsWindowIsOpen(t *testing.T) {
	s := newStill(t)
	back := s.vaultAway()
	s.to("2026-11-24 03:17")
	s.to("2026-11-24 04:00")
	s.want()
	back()
	s.to("2026-11-24 04:01")
	s.want("24 04:01 completed")
}

func TestBackupWithoutTheVaultIsSkippedAndToldAfterItsWindow(t *testing.T) {
	s := newStill(t)
	back := s.vaultAway()
	s.to("2026-11-24 09:17")
	s.want()
	s.to("2026-11-24 09:18")
	s.want("24 03:17 skipped")
	if got := s.open(control.MessageBackup); len(got) != 1 || !strings.Contains(got[0], "is no longer in "+s.o.Home.Vault) {
		t.Errorf("told %q", got)
	}
	back()
	s.to("2026-11-25 03:17")
	s.want("24 03:17 skipped", "25 03:17 completed")
}

// Disks with nofail are mounted after the daemon began, and a time that was missed would run before that every day.
func TestBackupOfAMachineThatHasJustStartedWaitsForWhatIsNotMountedYet(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	up := time.Minute
	s.o.Boot = func() (string, time.Duration) { return "again", up }
	discover := s.o.Discover
	s.unmount()
	s.to("2026-11-25 05:00")
	s.want("24 03:17 completed")
	s.o.Discover = discover
	s.to("2026-11-25 05:01")
	s.want("24 03:17 completed", "25 05:01 completed")
	s.unmount()
	s.to("2026-11-26 03:17")
	s.to("2026-11-26 09:18") // its window is over
	if r := mustNot[recent](t)(s.tasks.recent()); r.last == nil || !strings.HasPrefix(r.last.Error, "the machine had just started, and ") {
		t.Errorf("got %+v", r.last)
	}
	up = settling
	s.to("2026-11-27 03:17")
	s.want("24 03:17 completed", "25 05:01 completed", "26 03:17 skipped", "27 03:17 failed")
}

// A disk that never comes would else have the others of a machine that starts for its backup skipped every day.
func TestBackupWaitsForWhatIsNotMountedYetNoLongerThanItsWindow(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	s.change(control.ActivateRequest{WindowSeconds: ptr(300)})
	s.o.Boot = func() (string, time.Duration) { return "again", time.Minute }
	s.unmount()
	s.to("2026-11-25 03:17")
	s.to("2026-11-25 03:20")
	s.want("24 03:17 completed")
	s.to("2026-11-25 03:21")
	s.want("24 03:17 completed", "25 03:21 failed")
}

func TestBackupThatWaitedAndIsSkippedForAnotherOneSaysSo(t *testing.T) {
	s := newStill(t)
	back := s.vaultAway()
	s.to("2026-11-24 03:17")
	back()
	s.at("2026-11-24 03:18")
	other := begin(t, s.tasks, untilCancelled)
	s.turn()
	s.want("24 03:17 skipped")
	if r := mustNot[recent](t)(s.tasks.recent()); r.last == nil || !strings.Contains(r.last.Error, other.ID+" was still running") {
		t.Errorf("got %+v", r.last)
	}
	mustNot[control.Task](t)(s.tasks.cancel(t.Context(), other.ID))
}

// A decision is kept together with its task, so a kill between decision and work leaves a task that failed, and a turn that is decided again.
func TestKilledAfterTheDecisionRunsNotTwiceAndIsNotForgotten(t *testing.T) {
	s := newStill(t)
	s.at("2026-11-24 03:17")
	p, h, ok := s.calendar()
	if !ok {
		t.Fatal("nothing is scheduled")
	}
	h = h.Done(p.Decide(h, s.o.Now(), s.o.Zone, ""))
	task := control.Task{ID: "b-20261124-0001", Kind: control.KindBackup, State: control.Running, Scheduled: true, Start: s.o.Now()}
	if err := s.keepWith(&h)(task); err != nil {
		t.Fatal(err)
	}
	s.again()
	s.to("2026-11-24 03:20")
	s.again()
	s.to("2026-11-24 03:30")
	s.want("24 03:17 failed", "24 03:20 completed")
}

// backingUp has the backup of 2026-11-24 be at work in a hook, which goes on for ever when it runs for the first time.
func backingUp(t *testing.T, hook string) *still {
	t.Helper()
	command, _, begun := lasting(t)
	r := control.HookRequest{Before: &command}
	if hook == "after" {
		r = control.HookRequest{After: &command}
	}
	s := withHooks(t, r)
	s.at("2026-11-24 03:17")
	s.turn()
	begun()
	return s
}

// killedIn has the daemon be killed in the backup of 2026-11-24, in a hook that goes on for ever when it runs for the first time.
func killedIn(t *testing.T, hook string) *still {
	t.Helper()
	s := backingUp(t, hook)
	s.killed()
	s.want("24 03:17 failed")
	return s
}

func TestScheduledBackupThatAKillCutsOffRunsWithTheNextDaemonWhileItsWindowIsOpen(t *testing.T) {
	s := killedIn(t, "before")
	s.to("2026-11-24 09:17")
	s.want("24 03:17 failed", "24 09:17 completed")
	if got := s.open(control.MessageBackup); len(got) != 0 {
		t.Errorf("told %q", got)
	}
	s.again()
	s.killed()
	s.to("2026-11-24 09:17")
	s.to("2026-11-25 03:17")
	s.want("24 03:17 failed", "24 09:17 completed", "25 03:17 completed") // and once only
}

// That it failed was told.
func TestScheduledBackupThatAKillCutsOffRunsNotAfterItsWindow(t *testing.T) {
	s := killedIn(t, "before")
	s.to("2026-11-24 09:18")
	s.to("2026-11-25 03:17")
	s.want("24 03:17 failed", "25 03:17 completed")
}

func TestScheduledBackupThatIsDoneButForItsHookRunsNotAgainAfterAKill(t *testing.T) {
	s := killedIn(t, "after")
	s.to("2026-11-24 03:32")
	s.want("24 03:17 failed")
}

// The backup may be what the daemon, or the machine, dies of.
func TestScheduledBackupThatKillsCutOffAgainAndAgainRunsThreeTimes(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := withHooks(t, control.HookRequest{Before: ptr("cat " + fifo + "; exec sleep 3600")})
	begins := func(clock string) {
		t.Helper()
		s.at(clock)
		s.turn()
		if s.tasks.atWork(control.KindBackup) == "" {
			t.Fatalf("none begins at %s", clock)
		}
		if err := os.WriteFile(fifo, nil, 0); err != nil { // returns when it is read
			t.Fatal(err)
		}
	}
	begins("2026-11-24 03:17")
	s.killed()
	begins("2026-11-24 03:18")
	s.again() // which is no kill
	begins("2026-11-24 03:19")
	s.killed()
	begins("2026-11-24 03:20")
	s.killed()
	s.at("2026-11-24 03:21")
	s.turn()
	s.want("24 03:17 failed", "24 03:18 cancelled", "24 03:19 failed", "24 03:20 failed")
	begins("2026-11-25 03:17")
	s.killed()
	begins("2026-11-25 03:18")
}

// What changed the schedule since counts.
func TestTurnThatAKillCutsOffIsNotMadeUpForAfterAPause(t *testing.T) {
	s := backingUp(t, "before")
	s.at("2026-11-24 03:20")
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	mustNot[control.Lifecycle](t)(s.resume(t.Context(), control.None{}))
	s.killed()
	s.to("2026-11-24 03:32")
	s.want("24 03:17 failed")
}

func TestBackupThatRanIntoTheNextDayAndAKillCutsOffRunsWithTheNextDaemon(t *testing.T) {
	s := backingUp(t, "before")
	s.at("2026-11-25 03:17")
	s.turn()
	s.at("2026-11-25 04:00")
	s.killed()
	s.to("2026-11-25 04:10")
	s.to("2026-11-25 12:00") // and once only
	s.to("2026-11-26 03:17")
	s.want("24 03:17 failed", "25 03:17 skipped", "25 04:10 completed", "26 03:17 completed")
}

// stoppedIn has the backup of 2026-11-24 cut off by a stop, in a hook that goes on for ever when it runs for the first time.
func stoppedIn(t *testing.T, hook string) *still {
	t.Helper()
	s := backingUp(t, hook)
	s.again()
	s.want("24 03:17 cancelled")
	return s
}

func TestScheduledBackupThatAStopCutsOffRunsWithTheNextDaemonWhileItsWindowIsOpen(t *testing.T) {
	s := stoppedIn(t, "before")
	s.to("2026-11-24 03:32")
	s.again()
	s.to("2026-11-24 04:00")
	s.want("24 03:17 cancelled", "24 03:32 completed") // and once only
}

func TestScheduledBackupThatAStopCutsOffIsSkippedAndToldAfterItsWindow(t *testing.T) {
	s := stoppedIn(t, "before")
	s.to("2026-11-24 12:00")
	s.want("24 03:17 cancelled", "24 03:17 skipped")
	const want = "a scheduled backup was skipped: the one of 03:17 was cut off when the daemon stopped, and its window of 6 h is over"
	if got := s.open(control.MessageBackup); !reflect.DeepEqual(got, []string{want}) {
		t.Errorf("told %q", got)
	}
}

// As one that writes to a disk which takes its time.
func TestScheduledBackupThatDoesNotStopRunsWithTheNextDaemon(t *testing.T) {
	s := newStill(t)
	begun, release := make(chan struct{}), make(chan struct{})
	discover, begins := s.o.Discover, sync.OnceFunc(func() { close(begun) })
	s.o.Discover = func() ([]capture.Mount, error) { begins(); <-release; return discover() }
	s.at("2026-11-24 03:17")
	s.turn()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.tasks.stop(ctx); err == nil {
		t.Error("it stopped")
	}
	kept := mustNot[[]control.Task](t)(s.db.Tasks())
	if len(kept) != 1 || kept[0].State != control.Cancelled {
		t.Errorf("kept %+v", kept)
	}
	if h := mustNot[state.Schedule](t)(s.db.Schedule()); h.Cut.IsZero() {
		t.Errorf("kept %+v", h)
	}
	close(release)
	s.again()
	s.to("2026-11-24 03:32")
	s.want("24 03:17 cancelled", "24 03:32 completed")
	if got := s.open(control.MessageBackup); len(got) != 0 {
		t.Errorf("told %q", got)
	}
}

// The day that was skipped for it would be lost with it. If its window is over it was told already.
func TestBackupThatRanIntoTheNextDayAndIsCutOffRunsWithTheNextDaemon(t *testing.T) {
	for clock, more := range map[string][]string{"2026-11-26 04:10": {"26 04:10 completed"}, "2026-11-26 11:00": nil} {
		t.Run(clock, func(t *testing.T) {
			command, _, begun := lasting(t)
			s := withHooks(t, control.HookRequest{Before: &command})
			s.at("2026-11-24 03:17")
			s.turn()
			begun()
			s.at("2026-11-25 03:17")
			s.turn()
			s.at("2026-11-26 03:17")
			s.turn()
			want := append([]string{"24 03:17 cancelled", "25 03:17 skipped", "26 03:17 skipped"}, more...)
			s.at("2026-11-26 04:00")
			s.again()
			s.to(clock)
			s.to("2026-11-26 12:00") // and once only
			s.want(want...)
			s.to("2026-11-27 03:17")
			s.want(append(want, "27 03:17 completed")...)
		})
	}
}

func TestScheduledBackupThatIsDoneButForItsHookRunsNotAgain(t *testing.T) {
	s := stoppedIn(t, "after")
	s.to("2026-11-24 03:32")
	s.want("24 03:17 cancelled")
}

func TestScheduledBackupThatIsCancelledRunsNotAgain(t *testing.T) {
	s := backingUp(t, "before")
	if _, err := s.tasks.cancel(t.Context(), s.tasks.atWork(control.KindBackup)); err != nil {
		t.Fatal(err)
	}
	s.again()
	s.to("2026-11-24 03:32")
	s.want("24 03:17 cancelled")
}

func TestTaskThatStillRunsSkipsTheDayAndIsNamed(t *testing.T) {
	s := newStill(t)
	id := begin(t, s.tasks, untilCancelled).ID
	s.at("2026-11-24 03:17")
	s.turn()
	s.want("24 03:17 skipped")
	if r, err := s.tasks.recent(); err != nil || r.last == nil || !strings.Contains(r.last.Error, id+" was still running") {
		t.Errorf("got %+v, %v", r.last, err)
	}
	if _, err := s.tasks.cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.to("2026-11-25 03:17")
	s.want("24 03:17 skipped", "25 03:17 completed")
}

func TestSkippedDayIsNotTheLastBackupAfterTheOneThatRanIntoIt(t *testing.T) {
	s := newStill(t)
	end := make(chan struct{})
	id := begin(t, s.tasks, func(context.Context, *job) error { <-end; return nil }).ID
	s.at("2026-11-24 03:17")
	s.turn()
	s.at("2026-11-24 05:00")
	close(end)
	wait(t, s.tasks, id)
	if now := mustNot[control.Status](t)(s.status(t.Context(), control.None{})); now.Last == nil || now.Last.ID != id || strings.Contains(list(now.Attention), "skipped") {
		t.Errorf("got %+v, %q", now.Last, now.Attention)
	}
}

func TestTasksOfAStateAreListedAndAnotherWordIsRefused(t *testing.T) {
	s := newStill(t)
	s.to("2026-11-24 03:17")
	for state, want := range map[string]int{"": 1, control.Completed: 1, control.Failed: 0} {
		if l, err := s.listTasks(t.Context(), control.TasksRequest{State: state}); err != nil || len(l.Tasks) != want {
			t.Errorf("%q: got %+v, %v", state, l, err)
		}
	}
	if _, err := s.listTasks(t.Context(), control.TasksRequest{State: "faild"}); !errors.Is(err, control.BadRequest) {
		t.Errorf("got %v", err)
	}
}

func TestChangedStartIsKeptWithItsPolicy(t *testing.T) {
	s := newStill(t)
	s.to("2026-11-24 01:00")
	if _, err := s.activate(t.Context(), control.ActivateRequest{Start: "00:30"}); err != nil {
		t.Fatal(err)
	}
	s.want("24 01:00 skipped")
	s.again()
	s.to("2026-11-24 12:00")
	s.to("2026-11-25 00:30")
	s.want("24 01:00 skipped", "25 00:30 completed")
	if s.policy.Start != "00:30" {
		t.Errorf("start is %s", s.policy.Start)
	}
}

func TestDaysThatTheDiskOfTheStateIsFullAreSkippedWithThatReason(t *testing.T) {
	s := newStill(t)
	db, full, most := smallState(t)
	s.killedFor(db)
	if err := os.WriteFile(full, make([]byte, most), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, clock := range []string{"2026-11-24 03:17", "2026-11-24 12:00", "2026-11-25 03:17", "2026-11-25 12:00"} {
		s.to(clock)
		s.want()
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	s.to("2026-11-25 12:01")
	s.want("24 03:17 skipped", "25 03:17 skipped")
	if now := mustNot[control.Status](t)(s.status(t.Context(), control.None{})); !strings.Contains(list(now.Attention), "skipped: the disk of the daemon's state was full") {
		t.Errorf("told %q", now.Attention)
	}
	s.to("2026-11-27 12:00") // as it slept
	s.want("24 03:17 skipped", "25 03:17 skipped", "26 03:17 skipped", "27 03:17 skipped")
	var reasons []string
	for _, task := range mustNot[[]control.Task](t)(s.tasks.list()) {
		reasons = append(reasons, task.Error)
	}
	const was, slept = "the disk of the daemon's state was full", "its time 03:17 passed while the daemon was not running or the machine slept, and "
	if want := []string{was, was, slept + "the next day's time has passed too", slept + "its window of 6 h is over"}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("got %q", reasons)
	}
	s.killed() // to a state that outlives that disk
}

func TestScheduledBackupThatCannotBeginIsSkippedWithItsReason(t *testing.T) {
	s := newStill(t)
	vault := s.vault
	s.vault = nil
	s.to("2026-11-24 03:17")
	s.vault = vault
	s.want("24 03:17 skipped")
	if r, err := s.tasks.recent(); err != nil || r.last == nil || !strings.Contains(r.last.Error, "there is no vault") {
		t.Errorf("got %+v, %v", r.last, err)
	}
}
