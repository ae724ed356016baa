package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"yester/control"
)

// A mounting is a daemon's mount. Its own process must not look into it.
type mounting struct {
	t *testing.T
	*Daemon
	dir string
}

func newMounting(t *testing.T) *mounting {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("there is no /dev/fuse")
	}
	o := options(t)
	o.Home.Mount = filepath.Join(t.TempDir(), "mnt")
	if err := o.Home.make(); err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(o.withDefaults(), newState(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.tasks.stop(context.Background())
		d.close()
		for syscall.Unmount(o.Home.Mount, syscall.MNT_FORCE|syscall.MNT_DETACH) == nil {
			t.Error("a mount was left behind")
		}
	})
	if _, err := d.makeVault(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := &mounting{t, d, o.Home.Mount}
	if !m.is() {
		t.Fatal("not mounted:", d.mountErr)
	}
	return m
}

func (m *mounting) is() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mounted()
}

// end waits until the daemon knows that it is mounted no more.
func (m *mounting) end() {
	m.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); m.is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatal("it is mounted on")
		}
	}
}

// cut aborts its connection to the kernel.
func (m *mounting) cut() {
	m.t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.t.Fatal(err)
	}
	var minor string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[4] == m.dir && strings.Contains(line, " - fuse.yester ") {
			_, minor, _ = strings.Cut(f[2], ":")
		}
	}
	control := m.t.TempDir()
	if err := syscall.Mount("none", control, "fusectl", 0, ""); err != nil {
		m.t.Fatal(err)
	}
	defer syscall.Unmount(control, 0)
	if err := os.WriteFile(filepath.Join(control, minor, "abort"), []byte("1"), 0); err != nil {
		m.t.Fatal(err)
	}
}

func TestMountThatWasCutIsTriedUntilItSucceeds(t *testing.T) {
	m := newMounting(t)
	if err := syscall.Mount("none", m.dir, "tmpfs", 0, ""); err != nil { // in the way
		t.Fatal(err)
	}
	m.cut()
	m.end()
	m.mountAgain()
	if s := m.mountStatus(); s.Mounted || !strings.Contains(s.Because, "mount point of tmpfs") {
		t.Errorf("while another is in the way: %+v", s)
	}
	if err := syscall.Unmount(m.dir, 0); err != nil {
		t.Fatal(err)
	}
	m.mountAgain()
	if s := m.mountStatus(); !s.Mounted {
		t.Fatalf("when nothing is in the way any more: %+v", s)
	}
	if err := syscall.Unmount(m.dir, syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	m.end()
	m.mountAgain()
	if s := m.mountStatus(); s.Mounted || !strings.Contains(s.Because, "by hand") {
		t.Errorf("after it was unmounted by hand: %+v", s)
	}
}

// Each has megabytes of what was browsed.
func TestMountsThatEndedAreNotKept(t *testing.T) {
	m := newMounting(t)
	for range 3 {
		if err := syscall.Unmount(m.dir, syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		m.end()
		m.mu.Lock()
		ended := m.ended
		m.mu.Unlock()
		if len(ended) != 1 {
			t.Errorf("%d are kept", len(ended))
		}
		<-ended[len(ended)-1].Done()
		if m.tryMount(); !m.is() {
			t.Fatal("not mounted:", m.mountErr)
		}
	}
}

func TestNothingIsMountedOnceTheDaemonStops(t *testing.T) {
	m := newMounting(t)
	m.cut()
	m.end()
	if err := m.tasks.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	m.mountAgain()
	if m.is() {
		t.Error("it is mounted again, and the vault is closed")
	}
}

// When another machine goes on as an instance, its users have the numbers that the version's files have.
func TestMountOfAnInstanceThatAnotherDaemonHasIsRootsAlone(t *testing.T) {
	o, _, _, _, stop := startFilledUntil(t)
	stop()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("there is no /dev/fuse")
	}
	o.Home.Mount = filepath.Join(t.TempDir(), "mnt")
	c, stop := serve(t, o)
	dir := filepath.Join(o.Home.Mount, mustNot[control.Status](t)(c.Status(t.Context())).Instance.Name)
	mode := func() string {
		out, err := exec.Command("stat", "-c", "%a", dir).CombinedOutput()
		return strings.TrimSpace(string(out)) + strings.TrimPrefix(fmt.Sprint(err), "<nil>")
	}
	if got := mode(); got != "755" {
		t.Errorf("of its own: %s", got)
	}
	stop()
	other, stop := serve(t, another(t))
	a := mustNot[control.Adoption](t)(other.Adopt(t.Context(), control.AdoptRequest{Places: []string{o.Home.Vault}}))
	mustNot[control.Adoption](t)(other.Adopt(t.Context(), control.AdoptRequest{AsInstance: a.Instances[0].ID}))
	until(t, "the other daemon to be the instance", func() bool {
		s, err := other.Status(t.Context())
		return err == nil && s.Instance.ID == a.Instances[0].ID
	})
	stop()
	c, _ = serve(t, o)
	if got := mode(); got != "700" {
		t.Errorf("of another's: %s", got)
	}
	mustNot[control.Adoption](t)(c.Adopt(t.Context(), control.AdoptRequest{AsInstance: a.Instances[0].ID}))
	until(t, "others than root to see what is taken back", func() bool { return mode() == "755" })
}
