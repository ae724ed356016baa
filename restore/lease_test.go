package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lease takes leases on files until the test ends. asked is told when somebody wants to open one of them; release gives one up.
func lease(t *testing.T, paths ...string) (asked chan os.Signal, release func(i int)) {
	t.Helper()
	asked = make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGIO)
	t.Cleanup(func() { signal.Stop(asked) })
	var fds []int
	for _, path := range paths {
		fd := openRW(t, path)
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
			t.Skipf("leases cannot be had here: %v", err)
		}
		fds = append(fds, fd)
	}
	return asked, func(i int) {
		_, _ = unix.FcntlInt(uintptr(fds[i]), unix.F_SETLEASE, unix.F_UNLCK)
	}
}

// A file that somebody holds a lease on is waited for a while, and fails alone.
func TestLeaseThatIsKeptFailsItsFileOnly(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("kept", "theirs"), g.file("let go", "theirs"), g.file("other", "theirs")), t.TempDir()
	paths := []string{filepath.Join(dir, "kept"), filepath.Join(dir, "let go")}
	for _, p := range paths {
		write(t, p, "mine")
	}
	asked, release := lease(t, paths...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-asked
		release(1)
	}()
	r := g.restore(v, dir, overwrite)
	<-ended
	wantLeft(t, "failed", r.Failed, "kept")
	if r.Failed.Count == 1 && r.Failed.Items[0].What != errLease.Error() {
		t.Errorf("it failed for %q", r.Failed.Items[0].What)
	}
	if content(t, paths[1]) != "theirs" || content(t, filepath.Join(dir, "other")) != "theirs" {
		t.Error("the others were not restored")
	}
}

// A restore that waits for a lease can be cancelled.
func TestRestoreThatWaitsForALeaseIsCancelled(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("kept", "theirs"), g.file("other", "theirs")), t.TempDir()
	write(t, filepath.Join(dir, "kept"), "mine")
	asked, _ := lease(t, filepath.Join(dir, "kept"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-asked
		cancel()
	}()
	r, err := g.try(ctx, v, dir, overwrite)
	<-ended
	if !errors.Is(err, context.Canceled) || r.Failed.Count > 0 {
		t.Errorf("it ended with %v, failed %+v", err, r.Failed)
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(dir, "kept"), &st))
	if !regexp.MustCompile(fmt.Sprintf("LEASE +BREAKING.*:%d 0 EOF", st.Ino)).MatchString(content(t, "/proc/locks")) {
		t.Error("it waited until the kernel took the lease away")
	}
}

// Files on which leases are let go, however many, take nothing from the patience with those that follow.
func TestLeaseThatIsLetGoTakesNoPatienceFromOthers(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("let go", "theirs")), t.TempDir()
	write(t, filepath.Join(dir, "let go"), "mine")
	asked, release := lease(t, filepath.Join(dir, "let go"))
	r, err := newRun(Options{Vault: g.vault, Version: v, Target: openDir(t, dir)})
	must(t, err)
	r.ctx = t.Context()
	before := int64(allPatience - leasePatience)
	r.leases.Store(before)
	go func() {
		<-asked
		for r.leases.Load() == before { // or it need not wait
			time.Sleep(time.Millisecond)
		}
		release(0)
	}()
	fd, err := r.openFile(r.o.Target, "let go")
	must(t, err)
	must(t, unix.Close(fd))
	if waited := r.leases.Load(); waited != 0 {
		t.Errorf("%v are taken for waited in vain", time.Duration(waited))
	}
}

// A lock that is given when all else is there waits for a lease too.
func TestLateLockWaitsForALease(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(), t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "f")
	t.Cleanup(func() { _ = unix.IoctlSetPointerInt(openDir(t, path), unix.FS_IOC_SETFLAGS, 0) })
	asked, release := lease(t, path)
	go func() {
		<-asked
		release(0)
	}()
	r, err := newRun(Options{Vault: g.vault, Version: v, Target: openDir(t, dir)})
	must(t, err)
	r.late = []lateFlags{{"", "f", 0x20}}
	must(t, r.run(t.Context()))
	wantLeft(t, "noted", r.result.Notes)
}
