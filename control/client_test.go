package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A daemon that hangs is said to, and does not hang its callers.
func TestDaemonThatDoesNotAnswer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody accepts
	c := Dial(socket)
	c.timeout = 10 * time.Millisecond
	if _, err := c.Status(t.Context()); !errors.Is(err, NoDaemon) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// One that has not opened its vault yet does not listen, and is not to be started again.
func TestDaemonThatStartsIsToldFromNone(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	f, err := os.Create(filepath.Join(filepath.Dir(socket), LockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintln(f, os.Getpid())
	says := func(want string) {
		t.Helper()
		if _, err := Dial(socket).Status(t.Context()); !errors.Is(err, NoDaemon) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	says("no daemon is running")
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	says(fmt.Sprintf("the daemon (pid %d) is starting", os.Getpid()))
}

// Where others can write, one of them may listen in the daemon's place.
func TestSocketOfAnotherUserIsToldNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	socket := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	const other, same = 65534, ^uintptr(0)
	become := func(uid uintptr) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, same, uid, same); errno != 0 { // of this thread alone
			t.Error(errno)
		}
	}
	runtime.LockOSThread()
	become(other)
	err = syscall.Listen(fd, 1)
	become(0)
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatal(err)
	}
	c := Dial(socket)
	c.timeout = 10 * time.Second // nobody accepts
	if _, err := c.Status(t.Context()); !errors.Is(err, Denied) || !strings.Contains(err.Error(), "user 65534 listens") {
		t.Errorf("got %v", err)
	}
}
