package fs

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// asks tells whether a process holds the kernel's file for processors that stay awake.
func asks(t *testing.T, pid string) bool {
	t.Helper()
	links, err := filepath.Glob("/proc/" + pid + "/fd/*")
	if err != nil || len(links) == 0 {
		t.Fatal(links, err)
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == latencyFile {
			return true
		}
	}
	return false
}

// keepAwake asks so often that a server comes to keep processors awake.
func keepAwake(t *testing.T, dir, pid string) {
	t.Helper()
	await(t, "processors kept awake", func() bool {
		for range 200 {
			_, _ = unix.Lgetxattr(dir, "user.none", nil) // never from what the kernel keeps
		}
		return asks(t, pid)
	})
}

func TestProcessorsAreKeptAwakeWhileRequestsCome(t *testing.T) {
	if _, err := os.Stat(latencyFile); errors.Is(err, os.ErrNotExist) {
		t.Skip("this kernel cannot be asked")
	}
	s, dir := mounted(t, "small")
	pid := strconv.Itoa(s.cmd.Process.Pid)
	if asks(t, pid) {
		t.Error("they are before anything is asked")
	}
	keepAwake(t, dir, pid)
	await(t, "processors that may sleep", func() bool { return !asks(t, pid) })
}

// A step may wait for the vault for hours.
func TestProcessorsMaySleepWhileAStepDoesNotEnd(t *testing.T) {
	if _, err := os.Stat(latencyFile); errors.Is(err, os.ErrNotExist) {
		t.Skip("this kernel cannot be asked")
	}
	s, dir := mounted(t, "small")
	pid := strconv.Itoa(s.cmd.Process.Pid)
	for range 5 { // they may sleep before the step begins
		keepAwake(t, dir, pid)
		stick(t, s, dir)
		await(t, "processors that may sleep", func() bool { return !asks(t, pid) })
		s.do(order{Do: "let go"})
	}
}

func TestAKernelThatCannotBeAskedIsAskedOnce(t *testing.T) {
	a := newAwake()
	a.path = filepath.Join(t.TempDir(), "none")
	for range 2 * livelyAfter {
		a.came(0)
	}
	if a.held() || !a.none {
		t.Errorf("held %v, none %v", a.held(), a.none)
	}
	a.release()
}

func TestRequestsFarBetweenKeepNothingAwake(t *testing.T) {
	a := newAwake()
	a.path = filepath.Join(t.TempDir(), "asked")
	if err := os.WriteFile(a.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 * livelyAfter {
		for range livelyAfter - 1 {
			a.came(livelyGap)
		}
		a.came(livelyGap + 1)
	}
	if a.held() {
		t.Error("held")
	}
	for range livelyAfter {
		a.came(livelyGap)
	}
	if b, err := os.ReadFile(a.path); !a.held() || len(b) != 4 || err != nil {
		t.Error(a.held(), b, err)
	}
	a.release()
	if a.held() {
		t.Error("held after the release")
	}
}
