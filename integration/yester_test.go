package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take before a test gives up on it.
const patience = 10 * time.Minute

// The exit codes of the program.
const (
	done     = 0
	failed   = 1
	wrongUse = 2
	warned   = 3
	noDaemon = 4
)

// An answer is what a command line printed and how it ended.
type answer struct {
	code           int
	stdout, stderr string
}

// at runs the program with a home.
func at(t testing.TB, home string, args ...string) answer {
	t.Helper()
	return runAs(t, nil, append([]string{yester, "--home", home}, args...)...)
}

func runAs(t testing.TB, as *syscall.Credential, args ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s took longer than %v\n%s%s", strings.Join(args, " "), patience, &stdout, &stderr)
	}
	return answer{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// A home is a folder on a partition of its own, with everything of one daemon in it.
func newHome(t testing.TB) string {
	t.Helper()
	home := newPartition(t, "ext4", 32*gib).path("home")
	must(t, os.Mkdir(home, 0o755))
	return home
}

// A daemon is a running `yester daemon`. It ends with the test, and must end well.
type daemon struct {
	t     testing.TB
	home  string
	log   string // file
	cmd   *exec.Cmd
	ended chan struct{}

	// expected matches the warnings and errors that the test provokes; any other in the log fails it.
	expected *regexp.Regexp
}

// start starts a daemon and waits until it answers.
func start(t testing.TB, home string) *daemon {
	t.Helper()
	return startIn(t, home)
}

// startIn starts a daemon by way of another program.
func startIn(t testing.TB, home string, by ...string) *daemon {
	t.Helper()
	return startArgs(t, home, append(by, yester, "--home", home, "daemon"))
}

func startArgs(t testing.TB, home string, args []string) *daemon {
	t.Helper()
	d := &daemon{t: t, home: home, ended: make(chan struct{})}
	out, err := os.CreateTemp(filepath.Dir(home), "log-")
	must(t, err)
	d.log = out.Name()
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.Dir = "/"
	d.cmd.Stdout, d.cmd.Stderr = out, out
	must(t, d.cmd.Start())
	go func() {
		_ = d.cmd.Wait()
		_ = out.Close()
		close(d.ended)
	}()
	t.Cleanup(d.end)
	d.wait("the daemon to answer", func() bool {
		return at(t, home, "status", "--json").code == done
	})
	return d
}

// end ends the daemon with the test.
func (d *daemon) end() {
	if d.running() {
		d.stop()
	}
	b, _ := os.ReadFile(d.log)
	if d.t.Failed() && len(b) > 0 {
		d.t.Logf("the daemon's log:\n%s", tail(b, 4000))
	}
	for line := range strings.Lines(string(b)) {
		bad := strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") ||
			strings.Contains(line, "DATA RACE")
		if bad && (d.expected == nil || !d.expected.MatchString(line)) {
			d.t.Errorf("the daemon logged: %s", line)
		}
	}
	must(d.t, os.Remove(d.log))
}

func tail(b []byte, n int) []byte {
	return b[max(0, len(b)-n):]
}

func (d *daemon) running() bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// stop sends SIGTERM; the daemon must end with success within 10 s and leave nothing mounted.
func (d *daemon) stop() {
	d.t.Helper()
	must(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-d.ended:
	case <-time.After(10 * time.Second):
		d.t.Errorf("the daemon did not end within 10 s of SIGTERM")
		d.kill()
	}
	if code := d.cmd.ProcessState.ExitCode(); code != done {
		d.t.Errorf("the daemon ended with %d: %v", code, d.cmd.ProcessState)
	}
	for _, m := range mountsBelow(d.home) {
		d.t.Errorf("the daemon left %s mounted", m)
	}
}

// kill is kill -9.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// wait waits until what is so. It ends the test when that takes too long or the daemon dies.
func (d *daemon) wait(what string, is func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if !d.running() {
			b, _ := os.ReadFile(d.log)
			d.t.Fatalf("waiting for %s: the daemon ended: %v\n%s", what, d.cmd.ProcessState, tail(b, 4000))
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// run runs a command line that must end with code.
func (d *daemon) run(code int, args ...string) answer {
	d.t.Helper()
	a := at(d.t, d.home, args...)
	if a.code != code {
		d.t.Fatalf("yester %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), a.code, code, a.stdout, a.stderr)
	}
	return a
}

// json runs a command line with --json and decodes what it prints.
func (d *daemon) json(into any, args ...string) {
	d.t.Helper()
	a := d.run(done, append(args, "--json")...)
	if err := json.Unmarshal([]byte(a.stdout), into); err != nil {
		d.t.Fatalf("yester %s: %v\n%s", strings.Join(args, " "), err, a.stdout)
	}
}

// activate chooses the partitions. The daily backup is put half a day away, out of the test.
func (d *daemon) activate(priority string, parts ...*partition) {
	d.t.Helper()
	d.activateTo(done, priority, parts...)
}

// activateTo is activate with the exit code that is expected.
func (d *daemon) activateTo(code int, priority string, parts ...*partition) {
	d.t.Helper()
	args := []string{"activate", "--priority", priority, "--start", time.Now().Add(12 * time.Hour).Format("15:04")}
	for _, p := range parts {
		args = append(args, "--partition", p.name)
	}
	d.run(code, args...)
}

// A version as listed, by the names that scripts rely on.
type version struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
	Path      string `json:"path"`
	Files     uint64 `json:"files"`
	NewBytes  uint64 `json:"new_bytes"`
	Stored    uint64 `json:"stored_bytes"`
	Warnings  uint64 `json:"warnings"`
	Method    string `json:"method"`  // journal or walk
	Because   string `json:"because"` // why a walk
}

// versions lists the versions of p, oldest first.
func (d *daemon) versions(p *partition) []version {
	d.t.Helper()
	var all, of []version
	d.json(&all, "versions")
	for _, v := range all {
		if v.Partition == p.name {
			of = append(of, v)
		}
	}
	return of
}

// backup takes a version of p, and returns it.
func (d *daemon) backup(p *partition) version {
	d.t.Helper()
	before := len(d.versions(p))
	began := time.Now()
	d.run(done, "backup", "--wait")
	took := time.Since(began)
	all := d.versions(p)
	if len(all) != before+1 {
		d.t.Fatalf("%d versions after a backup, want %d: %+v", len(all), before+1, all)
	}
	v := all[len(all)-1]
	d.t.Logf("version %s of %s: %d files, %d bytes new, vault grew by %d, %v", v.Version, p.name, v.Files, v.NewBytes, v.Stored,
		took.Round(10*time.Millisecond))
	return v
}

// A status, as far as tests look at it.
type status struct {
	PID     int   `json:"pid"`
	Running *task `json:"running"`
	Last    *task `json:"last"`
}

type task struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	State    string `json:"state"`
	Error    string `json:"error"`
	Progress struct {
		Bytes uint64 `json:"bytes"`
	} `json:"progress"`
	Warnings []struct {
		Path string `json:"path"`
		What string `json:"what"`
	} `json:"warnings"`
}

func (d *daemon) status() (s status) {
	d.t.Helper()
	d.json(&s, "status")
	return s
}

// reach waits until the running backup has done some bytes.
func (d *daemon) reach(n uint64) {
	d.t.Helper()
	d.wait(fmt.Sprintf("%d bytes of a backup", n), func() bool {
		s := d.status()
		return s.Running != nil && s.Running.Progress.Bytes >= n
	})
}

// forgetPeak has peakRSS tell the peak from now on (proc(5), clear_refs).
func (d *daemon) forgetPeak() {
	d.t.Helper()
	must(d.t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.cmd.Process.Pid), []byte("5"), 0))
}

// peakRSS is the most memory the daemon has had, in bytes.
func (d *daemon) peakRSS() int64 {
	d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	must(d.t, err)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			must(d.t, err)
			return n * kib
		}
	}
	d.t.Fatal("no VmHWM in /proc")
	return 0
}

// bytesBelow adds up the sizes of the files below dir.
func bytesBelow(t testing.TB, dir string) (n int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	}))
	return n
}
