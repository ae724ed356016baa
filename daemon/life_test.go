package daemon

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/snapshot"
	"yester/store"
)

// A life is a daemon that random things happen to, beside a model of what the rules make of them. The model is in UTC, and knows no more of the daemon than
// docs/SERVICE.md tells.
type life struct {
	*still
	r       *rand.Rand
	past    []string // what happened
	release chan struct{}

	state    string // of the instance
	start    int    // minutes after midnight
	days     int    // of retention
	latest   bool   // keep-latest
	since    time.Time
	decided  time.Time // the last day's turn that ran or was skipped
	ran      bool
	held     string // id of a backup that runs until it is told to end
	versions []made // oldest first
	tasks    []string
}

type made struct {
	name string
	end  time.Time
}

const dayLong = 24 * time.Hour

func (l *life) now() time.Time { return l.o.Now() }

func midnight(t time.Time) time.Time { return t.Truncate(dayLong) }

// due is the turn that comes next: of the first day that has none yet, and whose time is not before the service began or went on.
func (l *life) due() time.Time {
	day := midnight(l.since)
	if next := midnight(l.decided).Add(dayLong); !l.decided.IsZero() && next.After(day) {
		day = next
	}
	due := day.Add(time.Duration(l.start) * time.Minute)
	if !due.After(l.since) {
		due = due.Add(dayLong)
	}
	return due
}

// turns does what is due by the rules. maybe has a backup that begins be broken off, so that its version may or may not be there.
func (l *life) turns(maybe bool) {
	for l.state == control.StateReady {
		due := l.due()
		late := l.now().Sub(due)
		if late < 0 {
			return
		}
		l.decided, l.ran = due, late < dayLong && late <= 6*time.Hour && l.held == ""
		switch {
		case !l.ran:
			l.told(due, control.Skipped)
		case maybe:
			l.told(l.now(), "broken off")
		default:
			l.told(l.now(), control.Completed)
			l.make()
		}
	}
}

func (l *life) told(at time.Time, what string) {
	l.tasks = append(l.tasks, at.Format("2006-01-02 15:04 ")+what)
}

// make makes a version.
func (l *life) make() {
	name := snapshot.Name(l.now())
	if n := len(l.versions); n > 0 && l.versions[n-1].name >= name {
		last, err := time.Parse(snapshot.NameLayout, l.versions[n-1].name)
		if err != nil {
			l.t.Fatal(err)
		}
		name = snapshot.Name(last.Add(time.Second))
	}
	l.versions = append(l.versions, made{name, l.now()})
}

// expires deletes what has expired by the rules.
func (l *life) expires() {
	if l.state == control.StateNew {
		return
	}
	newest := ""
	if n := len(l.versions); n > 0 && l.latest {
		newest = l.versions[n-1].name
	}
	l.versions = slices.DeleteFunc(l.versions, func(v made) bool {
		return v.name != newest && l.now().Sub(v.end) >= time.Duration(l.days)*dayLong
	})
}

// what is something that can happen. It does it, has the model follow, and says what it was.
var whats = []func(*life) string{
	(*life).forward, (*life).forward, (*life).forward, (*life).forward, (*life).setStart, (*life).setStart, (*life).setRetention, (*life).pauses, (*life).resumes, (*life).byHand, (*life).holds,
	(*life).cancelsTask, (*life).letsEnd, (*life).restarts, (*life).dies, (*life).diesInABackup, (*life).cancelsService, (*life).activates,
}

func (l *life) forward() string {
	by := time.Duration(1+l.r.IntN(36*60)) * time.Minute
	if l.r.IntN(6) == 0 {
		by = time.Duration(1+l.r.IntN(20)) * dayLong
	}
	to := l.now().Add(by)
	l.clock.Store(&to)
	l.turn()
	if id := l.Daemon.tasks.atWork(control.KindBackup); id != "" && id != l.held {
		wait(l.t, l.Daemon.tasks, id)
	}
	l.turns(false)
	return "the clock goes on to " + to.Format("2006-01-02 15:04")
}

func (l *life) set(r control.ActivateRequest) {
	_, err := l.Daemon.set(l.t.Context(), r)
	l.wantErr("set", err, l.state == control.StateNew, control.NotActive)
}

func (l *life) wantErr(what string, err error, want bool, kind error) {
	if want != (err != nil) || want && !errors.Is(err, kind) {
		l.t.Errorf("%s: %v", what, err)
	}
}

func (l *life) setStart() string {
	start := l.r.IntN(24 * 60)
	text := fmt.Sprintf("%02d:%02d", start/60, start%60)
	l.set(control.ActivateRequest{Start: text})
	if l.state == control.StateNew || start == l.start {
		return "set --start is refused, or the same"
	}
	old, today := l.due(), midnight(l.now()).Add(time.Duration(start)*time.Minute)
	decided := !l.decided.IsZero() && midnight(l.decided).Equal(midnight(l.now()))
	l.start = start
	switch {
	case l.state != control.StateReady || decided && l.ran: // from tomorrow on
	case today.After(l.now()): // today
		l.since, l.decided, l.ran = l.now(), time.Time{}, false
	case decided || !midnight(old).Equal(midnight(l.now())): // tomorrow
		l.since = l.now()
	default: // today is skipped
		l.since, l.decided, l.ran = l.now(), old, false
		l.told(l.now(), control.Skipped)
	}
	return "set --start " + text
}

func (l *life) setRetention() string {
	days, latest := 1+l.r.IntN(40), l.r.IntN(2) == 0
	l.set(control.ActivateRequest{RetentionDays: &days, KeepLatest: &latest})
	if l.state != control.StateNew {
		l.days, l.latest = days, latest
	}
	return fmt.Sprintf("set --retention %d --keep-latest=%v", days, latest)
}

// switches is pause or resume.
func (l *life) switches(what string, call func(context.Context, control.None) (control.Lifecycle, error), from, to string) string {
	_, err := call(l.t.Context(), control.None{})
	kind := control.Conflict
	if l.state == control.StateNew {
		kind = control.NotActive
	}
	l.wantErr(what, err, l.state != from, kind)
	if l.state == from {
		l.state, l.since = to, l.now()
	}
	return what
}

func (l *life) pauses() string {
	return l.switches("pause", l.pause, control.StateReady, control.StatePaused)
}

func (l *life) resumes() string {
	return l.switches("resume", l.resume, control.StatePaused, control.StateReady)
}

func (l *life) byHand() string {
	task, err := l.backup(l.t.Context(), control.BackupRequest{})
	kind := control.NotActive
	if l.held != "" {
		kind = control.Busy
	}
	l.wantErr("backup", err, l.held != "" || l.state == control.StateNew, kind)
	if err == nil {
		if end := wait(l.t, l.Daemon.tasks, task.ID); end.State != control.Completed {
			l.t.Errorf("a backup by hand ended %s: %s", end.State, end.Error)
		}
		l.make()
	}
	return "backup"
}

// holds begins a backup that takes long, and makes nothing.
func (l *life) holds() string {
	if l.state == control.StateNew {
		return "nothing"
	}
	release := make(chan struct{})
	task, err := l.Daemon.tasks.start(control.KindBackup, false, func(ctx context.Context, _ *job) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-release:
			return nil
		}
	})
	l.wantErr("a long backup", err, l.held != "", control.Busy)
	if err == nil {
		l.held, l.release = task.ID, release
	}
	return "a long backup"
}

// ends looks how the long backup ended.
func (l *life) ends(state string) {
	if l.held == "" {
		return
	}
	if task := wait(l.t, l.Daemon.tasks, l.held); task.State != state {
		l.t.Errorf("the long backup ended %s, want %s", task.State, state)
	}
	l.held = ""
}

func (l *life) letsEnd() string {
	if l.held != "" {
		close(l.release)
		l.ends(control.Completed)
	}
	return "the long backup ends"
}

func (l *life) cancelsTask() string {
	if l.held != "" {
		if _, err := l.Daemon.tasks.cancel(l.t.Context(), l.held); err != nil {
			l.t.Errorf("cancel the long backup: %v", err)
		}
		l.ends(control.Cancelled)
	}
	return "the long backup is cancelled"
}

func (l *life) restarts() string {
	l.again()
	l.ends(control.Cancelled)
	return "the daemon is started again"
}

// dies has the daemon be killed.
func (l *life) dies() string {
	l.killed()
	l.ends(control.Failed)
	return "the daemon is killed and started again"
}

// killed is kill -9: a new daemon begins with the state as it was at that moment.
func (s *still) killed() {
	s.t.Helper()
	s.killedFor(newState(s.t))
}

// killedFor is the same with a copy of the state in another one that is empty.
func (s *still) killedFor(kept *state.DB) {
	s.t.Helper()
	s.copyState(kept)
	if err := errors.Join(s.end(), s.db.Close()); err != nil {
		s.t.Fatal(err)
	}
	s.begin(s.o, kept)
}

// copyState copies the state to another one.
func (s *still) copyState(to *state.DB) {
	s.t.Helper()
	keep := func(err, put error) {
		if err != nil && !errors.Is(err, state.ErrNotFound) || err == nil && put != nil {
			s.t.Fatal(err, put)
		}
	}
	policy, err := s.db.Policy()
	if err == nil {
		service, schedule := mustNot[string](s.t)(s.db.Service()), mustNot[state.Schedule](s.t)(s.db.Schedule())
		err = to.PutPlan(policy, service, schedule)
	}
	keep(err, nil)
	vault, err := s.db.Vault()
	keep(err, to.PutVault(vault))
	upkeep, err := s.db.Upkeep()
	keep(err, to.PutUpkeep(upkeep))
	watch, err := s.db.Watch()
	keep(err, to.PutWatch(watch))
	for _, task := range mustNot[[]control.Task](s.t)(s.db.Tasks()) {
		keep(nil, to.PutTask(mustNot[control.Task](s.t)(s.db.Task(task.ID))))
	}
	for _, m := range mustNot[[]control.Message](s.t)(s.db.Messages()) {
		keep(nil, to.PutMessage(m))
	}
	begun, err := s.db.Begun()
	if err == nil {
		err = to.PutBegun(begun, mustNot[state.Schedule](s.t)(to.Schedule()), mustNot[control.Task](s.t)(to.Task(begun.Task)))
	}
	keep(err, nil)
}

// diesInABackup kills the daemon when a backup has just begun, or a moment later.
func (l *life) diesInABackup() string {
	if l.state != control.StateReady || l.held != "" {
		return "nothing"
	}
	to := l.due().Add(time.Duration(l.r.IntN(300)) * time.Minute)
	l.clock.Store(&to)
	l.turn()
	time.Sleep(time.Duration(l.r.IntN(12)) * time.Millisecond)
	l.dies()
	l.turns(true)
	// What a kill leaves of it is one of three things, and never a task that says it made a version that is not there: one that completed, one that failed, and one that failed with one that made
	// up for it, which there must be if there is no version.
	n, name := len(l.tasks)-1, snapshot.Name(to)
	there := slices.ContainsFunc(l.vault.Versions(l.instance.ID), func(k store.VersionKey) bool { return k.Version == name })
	how := control.Failed
	if got := l.scheduledTasks(); len(got) > 0 && strings.HasSuffix(got[len(got)-1], control.Completed) {
		how = control.Completed
	}
	if how == control.Completed && !there {
		l.t.Errorf("the backup of %s completed, and its version is not there", name)
	}
	l.tasks[n] = strings.Replace(l.tasks[n], "broken off", how, 1)
	if there {
		l.make()
	}
	before := len(l.scheduledTasks())
	l.turn()
	if id := l.Daemon.tasks.atWork(control.KindBackup); id != "" {
		wait(l.t, l.Daemon.tasks, id)
	}
	if len(l.scheduledTasks()) > before {
		l.told(to, control.Completed)
		l.make()
	} else if !there {
		l.t.Errorf("the backup of %s was cut off, and runs not again", name)
	}
	return "the clock goes on to " + to.Format("2006-01-02 15:04") + ", and the daemon is killed in a backup"
}

func (l *life) cancelsService() string {
	if l.r.IntN(3) > 0 {
		return "nothing"
	}
	held := l.held
	task, err := l.cancel(l.t.Context(), control.None{})
	l.wantErr("cancel", err, l.state == control.StateNew, control.NotActive)
	if err != nil {
		return "cancel"
	}
	if end := wait(l.t, l.Daemon.tasks, task.ID); end.State != control.Completed {
		l.t.Errorf("cancel ended %s: %s", end.State, end.Error)
	}
	if held != "" {
		l.ends(control.Cancelled)
	}
	l.state, l.versions = control.StateNew, nil
	return "cancel"
}

func (l *life) activates() string {
	if l.state != control.StateNew {
		return "nothing"
	}
	l.start = l.r.IntN(24 * 60)
	text := fmt.Sprintf("%02d:%02d", l.start/60, l.start%60)
	mustNot[control.Activation](l.t)(l.activate(l.t.Context(), control.ActivateRequest{Paths: []string{l.dir}, Priority: "max", Start: text}))
	l.state, l.days, l.latest, l.since, l.decided, l.ran = control.StateReady, 30, true, l.now(), time.Time{}, false
	return "activate --start " + text
}

// scheduledTasks are the scheduled tasks, as the daemon tells of them.
func (l *life) scheduledTasks() (lines []string) {
	for _, task := range mustNot[[]control.Task](l.t)(l.Daemon.tasks.list()) {
		if task.Kind == control.KindBackup && task.Scheduled {
			lines = append(lines, task.Start.Format("2006-01-02 15:04 ")+task.State)
		}
	}
	return lines
}

// agrees compares the daemon with the model.
func (l *life) agrees() bool {
	l.t.Helper()
	if got := l.serviceState(); got != l.state {
		l.t.Errorf("state %s, want %s", got, l.state)
	}
	var got, want []string
	for _, k := range l.vault.Versions(l.instance.ID) {
		got = append(got, k.Version)
	}
	for _, v := range l.versions {
		want = append(want, v.name)
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("versions %v, want %v", got, want)
	}
	lately := l.now().Add(-60 * dayLong).Format("2006-01-02 15:04")
	old := func(line string) bool { return line < lately }
	tasks, told := slices.DeleteFunc(l.scheduledTasks(), old), slices.DeleteFunc(slices.Clone(l.tasks), old)
	slices.Sort(tasks)
	slices.Sort(told)
	if !slices.Equal(tasks, told) {
		l.t.Errorf("scheduled tasks\n%s, want\n%s", strings.Join(tasks, "\n"), strings.Join(told, "\n"))
	}
	next, ok := l.next()
	if ok != (l.state == control.StateReady) || ok && !next.Equal(l.due()) {
		l.t.Errorf("next at %v (%v), want %v", next, ok, l.due())
	}
	if id := l.Daemon.tasks.atWork(control.KindBackup); id != l.held {
		l.t.Errorf("%q is at work, want %q", id, l.held)
	}
	return !l.t.Failed()
}

// Whatever happens to a service, in whatever order, its state, versions, tasks and next backup are as the rules say. YESTER_TORTURE=SECONDS goes on for so long.
func TestRandomLivesFollowTheRules(t *testing.T) {
	needPartition(t, t.TempDir())
	seed, lives, began := rand.Uint64(), 10, time.Now()
	if s := os.Getenv("YESTER_SEED"); s != "" {
		seed = mustNot[uint64](t)(strconv.ParseUint(s, 10, 64))
	}
	t.Logf("YESTER_SEED=%d", seed)
	long := 0
	if s := os.Getenv("YESTER_TORTURE"); s != "" {
		long = mustNot[int](t)(strconv.Atoi(s))
	}
	done := 0
	for r := rand.New(rand.NewPCG(seed, 0)); done < lives || time.Since(began) < time.Duration(long)*time.Second; done++ {
		if !t.Run(strconv.Itoa(done), func(t *testing.T) { live(t, r) }) {
			break
		}
	}
	t.Logf("tally: %d random lives of a service that followed the rules", done)
}

// live is one life.
func live(t *testing.T, r *rand.Rand) {
	s := newStill(t)
	l := &life{still: s, r: r, state: control.StateReady, start: 3*60 + 17, days: 30, latest: true, since: s.o.Now()}
	for range 30 {
		what := whats[r.IntN(len(whats))](l)
		if what == "nothing" {
			continue
		}
		l.past = append(l.past, what)
		if err := l.sweep(t.Context()); err != nil {
			t.Error(err)
		}
		l.expires()
		if !l.agrees() {
			t.Fatalf("after this:\n%s", strings.Join(l.past, "\n"))
		}
	}
}
