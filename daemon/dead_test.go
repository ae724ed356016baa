package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"yester/control"
	"yester/store"
	"yester/store/place"
)

// deadServer mounts a file system over a folder, or a file, that answers nothing. gone takes it away, and who asked it waits on until the test ends, or for a minute.
func deadServer(t *testing.T, dir string) (gone func()) {
	t.Helper()
	fd, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil || os.Geteuid() != 0 {
		t.Skipf("needs root and /dev/fuse: %v", err)
	}
	mode := syscall.S_IFDIR
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		mode = syscall.S_IFREG
	}
	if err := syscall.Mount("yester-test", dir, "fuse", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", fd, mode)); err != nil {
		_ = syscall.Close(fd)
		t.Skipf("nothing can be mounted here: %v", err)
	}
	limit := time.AfterFunc(time.Minute, func() { _ = syscall.Close(fd) })
	gone = sync.OnceFunc(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		gone()
		if !limit.Stop() {
			t.Error("somebody waited for it")
		} else if err := syscall.Close(fd); err != nil {
			t.Error(err)
		}
	})
	return gone
}

// A vault whose only place answers nothing when the daemon begins is away, and opened when it is back, be it with another mount.
func TestOnlyPlaceThatDoesNotAnswerEndsNoStart(t *testing.T) {
	s := newStill(t)
	vaultBack := s.vaultAway()
	dir := s.o.Home.Vault
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	gone := deadServer(t, dir)
	s.site.answers = 50 * time.Millisecond
	for range 2 {
		if err := s.openAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.unopenedVault(); len(got) != 1 || !strings.Contains(got[0].text, errNoAnswer.Error()) {
			t.Errorf("got %+v", got)
		}
	}
	gone()
	s.site.answers = 0
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	vaultBack()
	if _, err := s.openedVault(); err != nil {
		t.Error(err)
	}
}

// Nor does one that says that it is there, as the system remembers that, and lets nothing be read.
func TestOnlyPlaceThatCannotBeReadEndsNoStart(t *testing.T) {
	s := newStill(t)
	s.vaultAway()
	file := filepath.Join(s.o.Home.Vault, "vault.json")
	if err := errors.Join(os.Mkdir(s.o.Home.Vault, 0o700), os.WriteFile(file, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	deadServer(t, file)
	s.site.answers = 50 * time.Millisecond
	if err := s.openAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.unopenedVault(); len(got) != 1 || !strings.Contains(got[0].text, errNoAnswer.Error()) {
		t.Errorf("got %+v", got)
	}
}

// Who asks for another vault than the one there is waits for no place of it.
func TestVaultInitWaitsForNoPlaceOfTheVault(t *testing.T) {
	s := newStill(t)
	deadServer(t, s.o.Home.Vault)
	if _, err := s.vaultInit(t.Context(), control.VaultInitRequest{}); !errors.Is(err, control.Exists) {
		t.Error(err)
	}
}

// Nor does the daemon wait without end for a folder that is to be a place.
func TestFolderThatDoesNotAnswerIsNoNewPlace(t *testing.T) {
	s, dir := newStill(t), t.TempDir()
	v, err := s.openedVault()
	if err != nil {
		t.Fatal(err)
	}
	deadServer(t, dir)
	s.site.answers = 50 * time.Millisecond
	for range 2 {
		if _, err := s.changePlaces(t.Context(), v, dir, nil); !errors.Is(err, control.Conflict) {
			t.Error(err)
		}
	}
}

// A mute is a place that answers nothing for a while, and says so of its space.
type mute struct {
	*place.Mem
	is    atomic.Bool
	until chan struct{}
}

func (p *mute) Space(ctx context.Context) (free, total uint64, err error) {
	if p.is.Load() {
		return 0, 0, errNoAnswer
	}
	return p.Mem.Space(ctx)
}

func (p *mute) List(ctx context.Context, dir string) ([]place.Info, error) {
	if p.is.Load() {
		<-p.until
	}
	return p.Mem.List(ctx, dir)
}

func (p *mute) Open(ctx context.Context, name string) (place.File, error) {
	if p.is.Load() {
		<-p.until
	}
	return p.Mem.Open(ctx, name)
}

// What a vault has is told also while its only place answers nothing.
func TestVaultInfoWaitsForNoOnlyPlace(t *testing.T) {
	p := &mute{Mem: place.NewMem(1), until: make(chan struct{})}
	o := store.Options{Places: []place.Place{p}, IndexDir: filepath.Join(t.TempDir(), "index")}
	if err := store.Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	v, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	p.is.Store(true)
	go func() {
		_, err := vaultInfo(context.Background(), v)
		done <- err
	}()
	select {
	case err = <-done:
	case <-time.After(20 * time.Second):
		err = errors.New("it waits")
	}
	close(p.until)
	if err := errors.Join(err, v.Close()); err != nil {
		t.Error(err)
	}
}

// A heard is a log of which somebody hears every message.
type heard struct {
	slog.Handler
	hear func(string)
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	h.hear(r.Message)
	return nil
}

// The service manager is told that the process is alive also while a daemon begins anew in it, which may take long.
func TestWatchdogIsFedWhileADaemonBeginsAnew(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	var fed atomic.Int64
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := manager.Read(b)
			if err != nil {
				return
			}
			if string(b[:n]) == "WATCHDOG=1" {
				fed.Add(1)
			}
		}
	}()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", "")
	o := options(t)
	o.Tempo = 1000
	var anew atomic.Bool
	gate, boot := make(chan struct{}), bootTime()
	o.Log = slog.New(heard{slog.DiscardHandler, func(says string) {
		if says == "beginning anew" {
			anew.Store(true)
		}
	}})
	o.Boot = func() (string, time.Duration) {
		if anew.Load() {
			<-gate // as where the vault takes long to open
		}
		return boot()
	}
	c, stop := serve(t, o)
	defer stop()
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	if _, err := c.VaultInit(t.Context(), control.VaultInitRequest{}); err != nil {
		t.Fatal(err)
	}
	vault := o.Home.Vault
	if err := errors.Join(os.Rename(vault, vault+".away"), os.Mkdir(vault, 0o700)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the first daemon", anew.Load)
	before := fed.Load()
	eventually(t, "the service manager to be told", func() bool { return fed.Load() > before+4 })
	open()
	eventually(t, "the next daemon", func() bool {
		_, err := c.VaultInfo(t.Context())
		return err != nil && strings.Contains(err.Error(), "is no longer in")
	})
}

// Nor does status wait for who asks a place whose the versions are.
func TestStatusWaitsForNobodyWhoAsksAPlace(t *testing.T) {
	s := newStill(t)
	s.registering.Lock()
	defer s.registering.Unlock()
	answered := make(chan error, 1)
	go func() {
		_, err := s.status(context.Background(), control.None{})
		answered <- err
	}()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it waits")
	}
}

// Nobody is told to replace a place that is only full.
func TestOnlyALostPlaceIsSaidToBeReplaced(t *testing.T) {
	s := newStill(t)
	full := store.Trouble{Kind: store.PlaceFailed, Place: "/full", Err: store.ErrNoSpace}
	lost := store.Trouble{Kind: store.PlaceFailed, Place: "/lost", Err: store.ErrMissing, Gone: true}
	for _, trouble := range []store.Trouble{full, lost} {
		s.Daemon.tell(trouble)
	}
	for _, m := range s.alerts.List(true) {
		if says := strings.Contains(m.Text, "place replace"); says != (m.Cause == placeCause(lost.Place)) {
			t.Errorf("got %+v", m)
		}
	}
}
