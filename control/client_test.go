package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// What reads the record of every version takes minutes on a slow disk: that is no reason to start the daemon again.
func TestCallsThatReadAllRecordsAreWaitedFor(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMux(slog.New(slog.DiscardHandler))
	Handle(m, VersionsRoute, func(context.Context, VersionsRequest) (v VersionList, err error) { return v, nil })
	Handle(m, VaultInfoRoute, func(context.Context, None) (i VaultInfo, err error) { return i, nil })
	Handle(m, HistoryRoute, func(context.Context, HistoryRequest) (h History, err error) { return h, nil })
	Handle(m, ForgetRoute, func(context.Context, ForgetRequest) (f Forgotten, err error) { return f, nil })
	for _, r := range []Route[PinRequest, None]{PinRoute, UnpinRoute} {
		Handle(m, r, func(context.Context, PinRequest) (n None, err error) { return n, nil })
	}
	s, done := m.Server(t.Context()), make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() {
		s.Close()
		<-done
	}()
	c := Dial(socket)
	defer c.Close()
	c.timeout = 1 // passed before anything is answered
	ctx := t.Context()
	for call, err := range map[string]error{
		"versions": failed(c.Versions(ctx, VersionsRequest{})), "vault info": failed(c.VaultInfo(ctx)), "history": failed(c.History(ctx, HistoryRequest{})),
		"forget": failed(c.Forget(ctx, ForgetRequest{})), "pin": c.Pin(ctx, PinRequest{}), "unpin": c.Unpin(ctx, PinRequest{}),
	} {
		if err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func failed[T any](_ T, err error) error { return err }

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
