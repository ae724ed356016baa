package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"yester/control"
)

func TestHomeHoldsEverythingUnderOneFolder(t *testing.T) {
	h := newHome(t)
	for _, p := range []string{h.Settings, h.Vault, h.Index, h.State, h.Run, h.Socket, h.Mount} {
		if !strings.HasPrefix(p, h.Dir+"/") {
			t.Errorf("%s is not below %s", p, h.Dir)
		}
	}
	sys, err := NewHome("")
	if err != nil || sys.Socket != "/run/yester/yester.sock" || sys.Mount != "/yester" || sys.State != "/var/lib/yester/state" {
		t.Errorf("got %+v, %v", sys, err)
	}
	t.Chdir("/")
	if rel, err := NewHome("x/../y"); err != nil || rel.Dir != "/y" {
		t.Errorf("got %+v, %v", rel, err)
	}
}

func TestHomeIsMadeForRootOnly(t *testing.T) {
	h := newHome(t)
	if err := h.make(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]os.FileMode{h.Dir: 0o755, h.Index: 0o700, h.State: 0o700, h.Run: 0o700, h.Scratch: 0o700} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
	if err := h.make(); err != nil {
		t.Errorf("again: %v", err)
	}
}

// What fills /run may be any program's, and no reason for a day without a backup.
func TestDaemonStartsWhereItsProcessIDCannotBeWritten(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	o := options(t)
	if err := o.Home.make(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("yester-test", o.Home.Run, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(o.Home.Run, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(o.Home.Run, "full"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("it is not full: %v", err)
	}
	c, _ := serve(t, o)
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	if l, err := o.Home.lock(); !errors.Is(err, control.Busy) {
		t.Errorf("got %v, %v", l, err)
	}
}

// Who makes a folder of the home beforehand, as anybody can in /tmp, puts a state in it by which the daemon runs commands.
func TestHomeOfOthersIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give folders away")
	}
	const other = 65534
	for _, tt := range []struct {
		name   string
		change func(dir string) error
		ok     bool
	}{
		{"as it is", func(string) error { return nil }, true},
		{"of another user", func(dir string) error { return os.Chown(dir, other, 0) }, false},
		{"anybody writes", func(dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, false},
		{"a group writes", func(dir string) error { return errors.Join(os.Chown(dir, 0, other), os.Chmod(dir, 0o770)) }, false},
		{"root's group writes", func(dir string) error { return errors.Join(os.Chown(dir, 0, os.Getegid()), os.Chmod(dir, 0o775)) }, true},
		{"root's link", func(dir string) error { return errors.Join(os.Rename(dir, dir+"-"), os.Symlink(dir+"-", dir)) }, true},
		{"another user's link", func(dir string) error {
			return errors.Join(os.Rename(dir, dir+"-"), os.Symlink(dir+"-", dir), os.Lchown(dir, other, other))
		}, false},
	} {
		for _, of := range []func(Home) string{
			func(h Home) string { return h.Dir },
			func(h Home) string { return h.State },
			func(h Home) string { return h.Index },
			func(h Home) string { return h.Alerts },
			func(h Home) string { return h.Run },
		} {
			h := newHome(t)
			if err := errors.Join(os.Chmod(filepath.Dir(h.Dir), 0o777|os.ModeSticky), h.make(), os.Mkdir(h.Alerts, 0o700), tt.change(of(h))); err != nil {
				t.Fatal(err)
			}
			if err := h.make(); tt.ok && err != nil || !tt.ok && (!errors.Is(err, control.Denied) || !strings.Contains(err.Error(), of(h))) {
				t.Errorf("%s is %s: %v", of(h), tt.name, err)
			}
		}
	}
}

// Who can write beside the socket puts one of his own in its place, and is told passphrases.
func TestSocketAmongThoseOfOthersIsRefused(t *testing.T) {
	h := newHome(t)
	h.Socket = filepath.Join(t.TempDir(), "s")
	if err := errors.Join(h.make(), os.Chmod(filepath.Dir(h.Socket), 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	if err := h.make(); !errors.Is(err, control.Denied) || !strings.Contains(err.Error(), "as socket in "+h.Settings) {
		t.Errorf("got %v", err)
	}
}

// Nothing is made, nor read, below a folder of others.
func TestNothingIsMadeInAHomeOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give folders away")
	}
	o := options(t)
	if err := errors.Join(os.Mkdir(o.Home.Dir, 0o755), os.Chown(o.Home.Dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := Run(ended, o); !errors.Is(err, control.Denied) {
		t.Errorf("got %v", err)
	}
	if all, err := os.ReadDir(o.Home.Dir); err != nil || len(all) > 0 {
		t.Errorf("there are %v, %v", all, err)
	}
}

func TestHomeThatIsAFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write := os.WriteFile(file, nil, 0o600)
	for _, dir := range []string{file, file + "/below"} {
		h, err := NewHome(dir)
		if err := errors.Join(write, err); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Load(); err == nil || !strings.Contains(err.Error(), "is a file, not a folder") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestSettings(t *testing.T) {
	tests := []struct{ name, text, wrong string }{
		{name: "none"},
		{"all", "socket = 's'\nmount = '/m'\nlog_level = 'debug'\npassphrase_file = 'p'\nscrub_days = 0\nmetrics = '127.0.0.1:9469'\n[vault]\nplaces = ['v', '/w']", ""},
		{"unknown", "sockets = 's'", `there is no setting "sockets"`},
		{"unknown in a table", "[vault]\nplace = 's'", `there is no setting "vault.place"`},
		{"malformed", "socket", "cannot be read"},
		{"other type", "socket = 3", "cannot be read"},
		{"scrub", "scrub_days = -1", "scrub_days -1 is not between 0 and 36500"},
		{"drill", "drill_days = 106752", "drill_days 106752 is not between 0 and 36500"}, // whose nanoseconds are more than an int64 holds
		{"audit", "audit_days = 36501", "audit_days 36501 is not between 0 and 36500"},
		{"metrics", "metrics = '9469'", `metrics: "9469" is no HOST:PORT`},
		{"level", "log_level = 'loud'", `log_level "loud" is none of`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			if err := errors.Join(h.make(), os.WriteFile(h.Settings, []byte(tt.text), 0o600)); err != nil {
				t.Fatal(err)
			}
			_, _, err := h.Load()
			switch {
			case tt.wrong == "" && err != nil:
				t.Error(err)
			case tt.wrong != "" && (!errors.Is(err, control.BadRequest) || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSettingsMoveThings(t *testing.T) {
	h := newHome(t)
	text := "socket = 'sub/s'\nmount = '/m'\nlog_level = 'warn'\n[vault]\nplaces = ['v', '/w/']"
	if err := errors.Join(h.make(), os.WriteFile(h.Settings, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	got, s, err := h.Load()
	if err != nil || got.Socket != h.Dir+"/sub/s" || got.Mount != "/m" || !slices.Equal(s.Vault.Places, []string{h.Dir + "/v", "/w"}) {
		t.Errorf("got %+v, %+v, %v", got, s, err)
	}
	if l, _ := s.level(); l != slog.LevelWarn {
		t.Errorf("level %v", l)
	}
}

func TestSecondLockNamesTheFirst(t *testing.T) {
	h := newHome(t)
	if err := h.make(); err != nil {
		t.Fatal(err)
	}
	first, err := h.lock()
	if err != nil {
		t.Fatal(err)
	}
	want := "yester is already running for " + h.Dir + " (pid " + strconv.Itoa(os.Getpid()) + ")"
	if _, err := h.lock(); !errors.Is(err, control.Busy) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	first.free()
	second, err := h.lock()
	if err != nil {
		t.Fatalf("after the first is gone: %v", err)
	}
	second.free()
}

func newHome(t *testing.T) Home {
	t.Helper()
	h, err := NewHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
