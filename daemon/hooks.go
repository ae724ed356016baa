package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"yester/control"
	"yester/daemon/state"
)

const (
	hookTimeout    = 10 * time.Minute // unless the policy says otherwise
	maxHookTimeout = 24 * time.Hour
	maxHook        = 64 << 10 // bytes of a command
	maxHookOutput  = 64 << 10 // bytes that are kept

	hookGrace       = time.Second     // from SIGTERM to SIGKILL, and from the end of a hook to that of its output
	hookAfterCancel = 2 * time.Second // for the hook after a backup that was cancelled, which is to end within five seconds
)

// hookPath is where a hook finds its programs.
const hookPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// setHooks changes hooks as asked for.
func setHooks(h *control.Hooks, r *control.HookRequest) {
	set(&h.Before, r.Before)
	set(&h.After, r.After)
	set(&h.TimeoutSeconds, r.TimeoutSeconds)
	set(&h.OnFailure, r.OnFailure)
}

func checkHooks(h *control.Hooks) error {
	for _, c := range []string{h.Before, h.After} {
		if strings.ContainsRune(c, 0) || len(c) > maxHook {
			return control.Errorf(control.BadRequest, "a hook is no command of a shell: it has a NUL byte, or more than %d bytes", maxHook)
		}
	}
	if n := h.TimeoutSeconds; n < 0 || time.Duration(n)*time.Second > maxHookTimeout {
		return control.Errorf(control.BadRequest, "a hook cannot have %d seconds", n).WithHint("give 1s to 24h")
	}
	switch h.OnFailure {
	case "", control.HookAbort, control.HookWarn:
		return nil
	}
	return control.Errorf(control.BadRequest, "a hook that fails cannot %q", h.OnFailure).WithHint("there are abort and warn")
}

// around does the work of the backup between the hooks. The hook after runs whatever became of the one before and of the work: it may have to undo
// what the first has done. If the daemon is killed meanwhile, or that hook fails while it stops, whose signal may have ended the hook too, the next one runs it.
func (b *backup) around(ctx context.Context, work func() error) error {
	select {
	case <-b.d.hooksDone:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := b.owe(); err != nil {
		return err
	}
	_, err := b.hook(ctx, "before")
	if err == nil {
		err = safely(b.log.log, work)
	}
	of, end := outliving(ctx)
	defer end()
	failed, hookErr := b.hook(of, "after", b.outcome(ctx, err)...)
	if err == nil {
		err = hookErr
	}
	if isCutOff := (failed || of.Err() != nil) && b.d.tasks.stopping(); b.policy.Hooks.After != "" && !isCutOff {
		b.d.paid()
	}
	return err
}

// outliving is a context for the hook after of a task: it ends hookAfterCancel after that of the task.
func outliving(ctx context.Context) (of context.Context, end func()) {
	of, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(hookAfterCancel):
			cut(fmt.Errorf("the task was cancelled, which leaves it %v", hookAfterCancel))
		case <-of.Done():
		}
	})
	return of, func() { stop(); cut(nil) }
}

// owe keeps that the hook after is to run.
func (b *backup) owe() error {
	if b.policy.Hooks.After == "" {
		return nil
	}
	b.d.owing.Lock()
	defer b.d.owing.Unlock()
	err := b.d.db.PutOwedHook(state.OwedHook{Task: b.log.task, Instance: b.instance.Name, Hooks: b.policy.Hooks})
	b.d.unpaid = b.d.unpaid && err != nil
	return err
}

// paid keeps that the hook after has run.
func (d *Daemon) paid() {
	d.owing.Lock()
	d.unpaid = true
	d.owing.Unlock()
	if err := d.pay(); err != nil {
		d.log.Error("keep that the hook after has run", "err", err) // it is tried again
	}
}

// pay is paid for where that could not be kept.
func (d *Daemon) pay() error {
	d.owing.Lock()
	defer d.owing.Unlock()
	if !d.unpaid {
		return nil
	}
	err := d.db.ForgetOwedHook()
	d.unpaid = err != nil
	return err
}

// runOwedHook runs the hook after of a backup that was cut off with its daemon, or before that hook had ended, and lets others begin.
func (d *Daemon) runOwedHook(ctx context.Context) {
	defer close(d.hooksDone)
	owed, err := d.db.OwedHook()
	if errors.Is(err, state.ErrNotFound) {
		return
	}
	var t control.Task
	if err == nil {
		t, err = d.db.Task(owed.Task)
	}
	if err != nil {
		d.log.Error("run the hook after of a backup that was cut off", "err", err)
		return
	}
	b := &backup{d: d, policy: control.Policy{Hooks: owed.Hooks}, job: &job{task: t}, log: taskLog{d.log, t.ID}}
	b.instance.Name = owed.Instance
	// The task has ended whatever becomes of this; it says what the hook said. How it ended was told, and that of a cause only once a day.
	failed, _ := b.hook(ctx, "after", "YESTER_STATE="+t.State, "YESTER_ERROR="+t.Error, versionsMade(&t))
	if ctx.Err() != nil {
		return // the next daemon runs it
	}
	if failed {
		d.raise(control.MessageBackup, owedHook, fmt.Sprintf("the hook after the backup %s, which was cut off, failed and is not run again, see `yester tasks show %s`", t.ID, t.ID))
	}
	if err := d.db.PutTask(b.job.look(d.o.Now())); err != nil {
		d.log.Error("keep what a hook said", "task", t.ID, "err", err)
	}
	d.paid()
}

// outcome is what the hook after is told.
func (b *backup) outcome(ctx context.Context, err error) (env []string) {
	b.job.update(func(t *control.Task) { env = append(env, "YESTER_STATE="+outcome(ctx, t, err), versionsMade(t)) })
	if err != nil {
		env = append(env, "YESTER_ERROR="+explain(err).Message)
	}
	return env
}

// versionsMade is what the hook after is told of the versions that were made.
func versionsMade(t *control.Task) string {
	var versions []string
	for _, r := range t.Results {
		if r.Version != "" {
			versions = append(versions, r.Partition+"/"+r.Version)
		}
	}
	return "YESTER_VERSIONS=" + strings.Join(versions, "\n")
}

// hook runs a hook, if there is one, and keeps in the task what became of it. It tells whether the hook failed, with an error if the backup is not to go on for that.
func (b *backup) hook(ctx context.Context, name string, env ...string) (failed bool, err error) {
	h := &b.policy.Hooks
	command := h.Before
	if name == "after" {
		command = h.After
	}
	if command == "" {
		return false, nil
	}
	b.job.progress.begin("hook " + name)
	timeout := hookTimeout
	if h.TimeoutSeconds > 0 {
		timeout = time.Duration(h.TimeoutSeconds) * time.Second
	}
	b.log.log.Info("hook begins", "task", b.log.task, "hook", name)
	r := control.HookRun{Hook: name, Command: command, Start: b.d.o.Now().UTC()}
	began := time.Now()
	out, err := runHook(ctx, command, append(b.hookEnv(name), env...), timeout)
	r.Seconds = time.Since(began).Seconds()
	r.Output, r.OutputCut = strings.ToValidUTF8(string(out.last()), "\uFFFD"), out.cut
	if err != nil {
		r.Error = explain(err).Message
		b.log.log.Warn("hook failed", "task", b.log.task, "hook", name, "err", err)
	}
	what := fmt.Sprintf("the hook %s the backup failed: %s", name, r.Error)
	b.job.update(func(t *control.Task) {
		t.Hooks = append(t.Hooks, r)
		if err != nil && h.OnFailure == control.HookWarn {
			warn(t, 1, []control.Warning{{What: what}})
		}
	})
	if err != nil && (h.OnFailure != control.HookWarn || ctx.Err() != nil) {
		return true, control.Errorf(control.Internal, "%s", what).WithHint("its output is in `yester tasks show %s`", b.log.task)
	}
	return err != nil, nil
}

// hookEnv is all that a hook knows: nothing of the daemon's own environment.
func (b *backup) hookEnv(name string) []string {
	t := b.job.look(b.d.o.Now())
	env := []string{
		"PATH=" + hookPath, "HOME=/root", "SHELL=/bin/sh",
		"YESTER_HOOK=" + name, "YESTER_TASK=" + t.ID, "YESTER_INSTANCE=" + b.instance.Name, fmt.Sprintf("YESTER_SCHEDULED=%t", t.Scheduled),
	}
	if b.d.o.Home.Dir != "" {
		env = append(env, "YESTER_HOME="+b.d.o.Home.Dir) // so that it can ask this daemon
	}
	return env
}

// runHook runs a command of the shell in a session of its own, and returns what it said and why it failed. When its time is over, or ctx ends, all of its
// process group is ended.
func runHook(ctx context.Context, command string, env []string, timeout time.Duration) (*tail, error) {
	ctx, stop := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %v", timeout))
	defer stop()
	out := &tail{most: maxHookOutput}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, "/", out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	group := func(s syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, s) }
	cmd.Cancel = func() error { return group(syscall.SIGTERM) }
	cmd.WaitDelay = hookGrace
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // something that it left behind holds its output
	}
	if ctx.Err() != nil && cmd.Process != nil {
		_ = group(syscall.SIGKILL) // there may be nobody left
		return out, context.Cause(ctx)
	}
	return out, err
}

// A tail keeps the last bytes of what is written.
type tail struct {
	most int
	b    []byte
	cut  bool
}

// Write never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if len(t.b) > 2*t.most {
		t.b, t.cut = append(t.b[:0], t.b[len(t.b)-t.most:]...), true
	}
	return len(b), nil
}

// last is what was kept: whole lines, if it was cut.
func (t *tail) last() []byte {
	if len(t.b) > t.most {
		t.b, t.cut = t.b[len(t.b)-t.most:], true
	}
	if i := bytes.IndexByte(t.b, '\n'); t.cut && i >= 0 {
		return t.b[i+1:]
	}
	return t.b
}
