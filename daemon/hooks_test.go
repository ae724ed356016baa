package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/snapshot/capture"
	"yester/store"
)

// withHooks is a still daemon with hooks.
func withHooks(t *testing.T, h control.HookRequest) *still {
	t.Helper()
	s := newStill(t)
	s.change(control.ActivateRequest{Hooks: h})
	return s
}

// backedUp takes a version and returns its task.
func (s *still) backedUp() control.Task {
	s.t.Helper()
	return wait(s.t, s.tasks, mustNot[control.Task](s.t)(s.startBackup(nil)).ID)
}

func TestHooksRunBeforeAndAfterAndKnowWhatTheyAreFor(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	t.Setenv("SECRET_OF_THE_DAEMON", "1")
	s := withHooks(t, control.HookRequest{
		Before: ptr("pwd; env; ls -A " + filepath.Dir(said) + "; echo to stderr >&2"),
		After:  ptr("env >" + said),
	})
	task := s.backedUp()
	if task.State != control.Completed || len(task.Hooks) != 2 || len(task.Results) != 1 {
		t.Fatalf("got %+v", task)
	}
	b, a := task.Hooks[0], task.Hooks[1]
	if b.Hook != "before" || a.Hook != "after" || b.Error != "" || a.Error != "" || a.Output != "" || b.Start.IsZero() {
		t.Errorf("got %+v", task.Hooks)
	}
	version := task.Results[0].Partition + "/" + task.Results[0].Version
	after := string(mustNot[[]byte](t)(os.ReadFile(said)))
	for _, want := range []struct{ in, line string }{
		{b.Output, "/"},
		{b.Output, "to stderr"},
		{b.Output, "YESTER_HOOK=before"},
		{b.Output, "YESTER_TASK=" + task.ID},
		{b.Output, "YESTER_INSTANCE=" + s.instance.Name},
		{b.Output, "YESTER_SCHEDULED=false"},
		{b.Output, "YESTER_HOME=" + s.o.Home.Dir},
		{b.Output, "PATH=" + hookPath},
		{after, "YESTER_HOOK=after"},
		{after, "YESTER_STATE=completed"},
		{after, "YESTER_VERSIONS=" + version},
	} {
		if !strings.Contains("\n"+want.in, "\n"+want.line+"\n") {
			t.Errorf("no line %q in %q", want.line, want.in)
		}
	}
	if strings.Contains(b.Output, "said") || strings.Contains(b.Output, "SECRET") || strings.Contains(b.Output, "YESTER_STATE") {
		t.Errorf("the hook before said %q", b.Output)
	}
	if all := mustNot[control.TaskList](t)(s.listTasks(t.Context(), control.TasksRequest{})); all.Tasks[0].Hooks[0].Output != "" {
		t.Error("a list of tasks has what hooks said")
	}
}

func TestHookThatFailsAbortsOrWarns(t *testing.T) {
	for _, tt := range []struct {
		before, after, onFailure string
		state                    string
		versions, warnings       int
		says                     string
	}{
		{"exit 3", "", "abort", control.Failed, 0, 0, "the hook before the backup failed: exit status 3"},
		{"exit 3", "", "warn", control.Partial, 1, 1, ""},
		{"", "nonesuch", "abort", control.Failed, 1, 0, "the hook after the backup failed: exit status 127"},
		{"", "kill -9 $$", "warn", control.Partial, 1, 1, ""},
		{"exit 1", "exit 2", "abort", control.Failed, 0, 0, "the hook before the backup failed: exit status 1"},
		{"exit 1", "exit 2", "warn", control.Partial, 1, 2, ""},
	} {
		s := withHooks(t, control.HookRequest{Before: &tt.before, After: &tt.after, OnFailure: &tt.onFailure})
		task := s.backedUp()
		if task.State != tt.state || len(task.Results) != tt.versions || int(task.WarningCount) != tt.warnings || task.Error != tt.says {
			t.Errorf("%+v: got %+v", tt, task)
		}
		if n := len(task.Hooks); tt.after != "" && (n == 0 || task.Hooks[n-1].Hook != "after") {
			t.Errorf("%+v: the hook after did not run: %+v", tt, task.Hooks)
		}
	}
}

// The hook after undoes what the one before did, whatever came of the backup.
func TestHookAfterIsToldOfAFailure(t *testing.T) {
	s := withHooks(t, control.HookRequest{After: ptr("echo $YESTER_STATE: $YESTER_ERROR")})
	if err := os.Rename(s.dir, s.dir+".away"); err != nil {
		t.Fatal(err)
	}
	if task := s.backedUp(); task.State != control.Failed || len(task.Hooks) != 1 || !strings.HasPrefix(task.Hooks[0].Output, "failed: ") || !strings.Contains(task.Hooks[0].Output, "is not there") {
		t.Errorf("got %+v", task)
	}
}

// family is a command that never ends, nor do its children, which want no end either; their ids are written to a file.
func family(pids string) string {
	return "trap '' TERM; (trap '' TERM; echo $$ >>" + pids + "; exec sleep 3600) & echo $! >>" + pids + "; echo begun; wait; wait; sleep 3600"
}

// wantGone waits until the processes of a file are no more.
func wantGone(t *testing.T, pids string) {
	t.Helper()
	for pid := range strings.FieldsSeq(string(mustNot[[]byte](t)(os.ReadFile(pids)))) {
		n := mustNot[int](t)(strconv.Atoi(pid))
		for deadline := time.Now().Add(10 * time.Second); alive(n); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				_ = syscall.Kill(n, syscall.SIGKILL)
				t.Errorf("process %d goes on", n)
				break
			}
		}
	}
}

// alive tells whether a process is at work; what waits to be reaped by init is not.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}

func TestHookThatNeverEndsIsEndedWithAllItStarted(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	s := withHooks(t, control.HookRequest{Before: ptr(family(pids)), TimeoutSeconds: ptr(1)})
	task := s.backedUp()
	if task.State != control.Failed || !strings.Contains(task.Error, "it took longer than 1s") || len(task.Hooks) != 1 || task.Hooks[0].Output != "begun\n" {
		t.Errorf("got %+v", task)
	}
	wantGone(t, pids)
}

func TestCancelledTaskEndsItsHookAndStillRunsTheOneAfter(t *testing.T) {
	pids, after := filepath.Join(t.TempDir(), "pids"), filepath.Join(t.TempDir(), "after")
	s := withHooks(t, control.HookRequest{Before: ptr(family(pids)), After: ptr("echo $YESTER_STATE >" + after + "; " + family(pids))})
	id := mustNot[control.Task](t)(s.startBackup(nil)).ID
	for {
		if b, _ := os.ReadFile(pids); len(strings.Fields(string(b))) == 2 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	ctx, end := context.WithTimeout(t.Context(), 30*time.Second)
	defer end()
	task, err := s.tasks.cancel(ctx, id)
	if err != nil || task.State != control.Cancelled || task.Error != "stopped on request" || len(task.Hooks) != 2 || task.Hooks[0].Error != "stopped on request" ||
		!strings.Contains(task.Hooks[1].Error, "the task was cancelled") {
		t.Errorf("got %+v, %v", task, err)
	}
	if got := string(mustNot[[]byte](t)(os.ReadFile(after))); got != "cancelled\n" {
		t.Errorf("the hook after was told %q", got)
	}
	wantGone(t, pids)
}

// lasting is a hook that says what it is told, and goes on for ever when it runs for the first time; begun returns when it does.
func lasting(t *testing.T) (command, said string, begun func()) {
	t.Helper()
	dir := t.TempDir()
	said, fifo := filepath.Join(dir, "said"), filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	command = "cd " + dir + "; echo $YESTER_HOOK $YESTER_STATE $YESTER_VERSIONS >>said; test -e ran && exit; touch ran; cat fifo >/dev/null; exec sleep 3600"
	return command, said, func() {
		t.Helper()
		if err := os.WriteFile(fifo, nil, 0); err != nil { // returns when it is read
			t.Fatal(err)
		}
	}
}

func TestHookAfterHasItsTwoSecondsWhenTheTaskIsCancelledMeanwhile(t *testing.T) {
	command, said, begun := lasting(t)
	s := withHooks(t, control.HookRequest{After: &command})
	id := mustNot[control.Task](t)(s.startBackup(nil)).ID
	begun()
	task, err := s.tasks.cancel(t.Context(), id)
	if err != nil || task.State != control.Cancelled || task.Error != "stopped on request" || len(task.Hooks) != 1 ||
		task.Hooks[0].Error != "the task was cancelled, which leaves it 2s" {
		t.Errorf("got %+v, %v", task, err)
	}
	s.again()
	if got := string(mustNot[[]byte](t)(os.ReadFile(said))); strings.Count(got, "\n") != 1 {
		t.Errorf("said %q", got)
	}
}

func TestHookAfterThatAStopCutsOffRunsWithTheNextDaemon(t *testing.T) {
	command, said, begun := lasting(t)
	s := withHooks(t, control.HookRequest{After: &command})
	id := mustNot[control.Task](t)(s.startBackup(nil)).ID
	begun()
	s.again()
	task := mustNot[control.Task](t)(s.tasks.get(id))
	if task.State != control.Cancelled || task.Error != "the daemon was stopped" || len(task.Hooks) != 2 || len(task.Results) != 1 ||
		task.Hooks[0].Error != "the task was cancelled, which leaves it 2s" || task.Hooks[1].Error != "" {
		t.Fatalf("got %+v", task)
	}
	s.again() // once is enough
	version := task.Results[0].Partition + "/" + task.Results[0].Version
	if got, want := string(mustNot[[]byte](t)(os.ReadFile(said))), "after completed "+version+"\nafter cancelled "+version+"\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

// Who stops the daemon may end the hook with the same signal, as systemd does unless its unit says otherwise.
func TestHookAfterThatFailsWhileTheDaemonStopsRunsWithTheNextDaemon(t *testing.T) {
	for _, onFailure := range []string{control.HookAbort, control.HookWarn} {
		t.Run(onFailure, func(t *testing.T) {
			command, said, begun := lasting(t)
			pid := filepath.Join(t.TempDir(), "pid")
			s := withHooks(t, control.HookRequest{After: ptr("echo $$ >" + pid + "; " + command), OnFailure: &onFailure})
			id := mustNot[control.Task](t)(s.startBackup(nil)).ID
			begun()
			ended := make(chan error, 1)
			go func() { ended <- s.end() }()
			for !s.tasks.stopping() {
				time.Sleep(time.Millisecond)
			}
			session := mustNot[int](t)(strconv.Atoi(strings.TrimSpace(string(mustNot[[]byte](t)(os.ReadFile(pid))))))
			_ = syscall.Kill(-session, syscall.SIGTERM) // its two seconds may be over
			if err := <-ended; err != nil {
				t.Error(err)
			}
			want := map[string]string{control.HookAbort: control.Cancelled, control.HookWarn: control.Partial}[onFailure]
			if task := mustNot[control.Task](t)(s.db.Task(id)); task.State != want && !strings.Contains(task.Hooks[0].Error, "the task was cancelled") {
				t.Errorf("got %+v", task)
			}
			s.begin(s.o, s.db)
			s.again() // once is enough
			if got := string(mustNot[[]byte](t)(os.ReadFile(said))); strings.Count(got, "\n") != 2 {
				t.Errorf("said %q", got)
			}
		})
	}
}

func TestHookAfterThatRanOnAFullDiskRunsNotAgain(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	s := newStill(t)
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	db, full, most := smallState(t)
	s.begin(s.o, db)
	after := fmt.Sprintf("echo said >>%s; head -c %d /dev/zero >%s", said, most, full)
	mustNot[control.Activation](t)(s.activate(t.Context(), control.ActivateRequest{Paths: []string{s.dir}, Hooks: control.HookRequest{After: &after}}))
	task := s.backedUp()
	if _, err := db.OwedHook(); err != nil || task.State != control.Completed {
		t.Fatalf("got %+v, %v", task, err)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := s.chores(s.t.Context()); err != nil {
		t.Error(err)
	}
	s.again()
	if got := string(mustNot[[]byte](t)(os.ReadFile(said))); got != "said\n" {
		t.Errorf("said %q", got)
	}
	if task := mustNot[control.Task](t)(s.tasks.get(task.ID)); task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
}

func TestHookAfterRunsThoughTheBackupMetABugOfOurs(t *testing.T) {
	s := withHooks(t, control.HookRequest{After: ptr("echo $YESTER_STATE: $YESTER_ERROR")})
	s.o.Discover = func() ([]capture.Mount, error) { panic("oops") }
	if task := s.backedUp(); task.State != control.Failed || task.Error != "internal error: oops" || len(task.Hooks) != 1 || task.Hooks[0].Output != "failed: internal error: oops\n" {
		t.Errorf("got %+v", task)
	}
}

func TestHookMayLeaveSomethingBehind(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	s := withHooks(t, control.HookRequest{Before: ptr("sleep 3600 & echo $! >" + pids)})
	task := s.backedUp()
	if task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
	pid := mustNot[int](t)(strconv.Atoi(strings.TrimSpace(string(mustNot[[]byte](t)(os.ReadFile(pids))))))
	if !alive(pid) {
		t.Error("it was ended")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestTheLastOfALongOutputIsKept(t *testing.T) {
	s := withHooks(t, control.HookRequest{Before: ptr(`i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done; printf 'end\377'`)})
	h := s.backedUp().Hooks[0]
	if !h.OutputCut || len(h.Output) > maxHookOutput+2 || !strings.HasPrefix(h.Output, "line ") || !strings.HasSuffix(h.Output, "line 19999\nend\uFFFD") {
		t.Errorf("%d bytes, %.20q … %q", len(h.Output), h.Output, h.Output[max(0, len(h.Output)-20):])
	}
}

func TestRefusedHooksChangeNothing(t *testing.T) {
	s := withHooks(t, control.HookRequest{Before: ptr("true"), TimeoutSeconds: ptr(5), OnFailure: ptr("warn")})
	want := control.Hooks{Before: "true", TimeoutSeconds: 5, OnFailure: "warn"}
	for _, bad := range []control.HookRequest{
		{Before: ptr("a\x00b")}, {After: ptr(strings.Repeat("x", maxHook+1))}, {TimeoutSeconds: ptr(-1)}, {TimeoutSeconds: ptr(86401)}, {OnFailure: ptr("ignore")},
	} {
		if _, err := s.Daemon.set(t.Context(), control.ActivateRequest{Hooks: bad}); !errors.Is(err, control.BadRequest) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if s.policy.Hooks != want {
		t.Errorf("got %+v", s.policy.Hooks)
	}
	s.change(control.ActivateRequest{Hooks: control.HookRequest{Before: ptr("")}})
	if s.policy.Hooks.Before != "" {
		t.Errorf("got %+v", s.policy.Hooks)
	}
}

func TestHookAfterOfABackupThatWasCutOffRunsWithTheNextDaemon(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	s := withHooks(t, control.HookRequest{After: ptr("echo $YESTER_TASK $YESTER_STATE $YESTER_ERROR | tee -a " + said)})
	task := control.Task{ID: "b-20261123-0001", Kind: control.KindBackup, State: control.Running, Start: s.o.Now()}
	err := errors.Join(s.db.PutTask(task), s.db.PutOwedHook(state.OwedHook{Task: task.ID, Instance: "vm", Hooks: s.policy.Hooks}))
	if err != nil {
		t.Fatal(err)
	}
	s.again()
	const want = "b-20261123-0001 failed the daemon was killed\n"
	task = mustNot[control.Task](t)(s.tasks.get(task.ID))
	if len(task.Hooks) != 1 || task.Hooks[0].Output != want {
		t.Errorf("got %+v", task)
	}
	s.again() // once is enough
	if got := string(mustNot[[]byte](t)(os.ReadFile(said))); got != want {
		t.Errorf("said %q", got)
	}
	s.backedUp()
	s.again() // and one that ended owes nothing
	if got := string(mustNot[[]byte](t)(os.ReadFile(said))); strings.Count(got, "\n") != 2 || !strings.Contains(got, "completed") {
		t.Errorf("said %q", got)
	}
}

// Of a task that is cut off, what it made by then is known.
func TestWhatABackupMadeIsKeptBeforeItEnds(t *testing.T) {
	dir := t.TempDir()
	ready, goOn := filepath.Join(dir, "ready"), filepath.Join(dir, "go")
	for _, fifo := range []string{ready, goOn} {
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := withHooks(t, control.HookRequest{After: ptr("echo >" + ready + "; cat " + goOn)})
	id := mustNot[control.Task](t)(s.startBackup(nil)).ID
	mustNot[[]byte](t)(os.ReadFile(ready))
	made := mustNot[control.Task](t)(s.db.Task(id))
	if len(made.Results) != 1 || made.Results[0].Version == "" || made.Ended() {
		t.Errorf("kept is %+v", made)
	}
	if err := os.WriteFile(goOn, nil, 0); err != nil {
		t.Fatal(err)
	}
	if task := wait(t, s.tasks, id); task.State != control.Completed || !reflect.DeepEqual(task.Results, made.Results) {
		t.Errorf("got %+v", task)
	}
}

// What the hook before has stopped stays down, and of the backup it was told only that it failed.
func TestHookAfterOfABackupThatWasCutOffIsToldIfItFails(t *testing.T) {
	for _, onFailure := range []string{control.HookAbort, control.HookWarn} {
		s := withHooks(t, control.HookRequest{After: ptr("test $YESTER_STATE = completed"), OnFailure: &onFailure})
		task := control.Task{ID: "b-20261123-0001", Kind: control.KindBackup, State: control.Running, Start: s.o.Now()}
		err := errors.Join(s.db.PutTask(task), s.db.PutOwedHook(state.OwedHook{Task: task.ID, Instance: "vm", Hooks: s.policy.Hooks}))
		if err != nil {
			t.Fatal(err)
		}
		s.again()
		if got := s.open(control.MessageBackup); len(got) != 2 || !strings.HasPrefix(got[1], "the hook after the backup b-20261123-0001, which was cut off, failed") {
			t.Errorf("%s: told %q", onFailure, got)
		}
		if s.backedUp(); len(s.open(control.MessageBackup)) > 0 {
			t.Errorf("%s: %q stay", onFailure, s.open(control.MessageBackup))
		}
	}
}

// Whoever can write a vault must not come to run commands on the machines that use it.
func TestHooksAreNeverTakenFromTheVault(t *testing.T) {
	s := withHooks(t, control.HookRequest{Before: ptr("true")})
	if err := s.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := mustNot[store.Policy](t)(s.vault.Policy(t.Context(), s.instance.ID))
	if len(kept.Policy) == 0 || strings.Contains(string(kept.Policy), "hooks") {
		t.Errorf("the copy is %s", kept.Policy)
	}
	kept.Policy = []byte(strings.Replace(string(kept.Policy), "{", `{"hooks":{"before":"evil"},`, 1))
	if err := s.vault.PutPolicy(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.policy = nil
	s.mu.Unlock()
	if p := mustNot[*control.Policy](t)(s.basis(t.Context(), s.vault)); p == nil || p.Start != "03:17" || p.Hooks != (control.Hooks{}) {
		t.Errorf("got %+v", p)
	}
}
