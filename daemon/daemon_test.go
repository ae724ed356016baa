package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/snapshot/capture"
	"yester/store"
)

// needPartition returns what dir lies on, and skips a test that backs it up where that cannot be done.
func needPartition(t *testing.T, dir string) capture.Mount {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can read partitions")
	}
	mounts, err := capture.Discover()
	if err != nil {
		t.Fatal(err)
	}
	m, ok := capture.MountOf(mounts, dir)
	if !ok || m.Excluded != "" {
		t.Skipf("%s lies on what cannot be backed up: %s", dir, m.Excluded)
	}
	return m
}

// options of a daemon that mounts nothing: a process must not look at its own mount.
func options(t *testing.T) Options {
	h := newHome(t)
	h.Mount = ""
	return Options{Home: h, Version: "test", Log: quiet(), Zone: time.UTC}
}

// serve runs a daemon until the test ends or stop is called, and returns a client of it.
func serve(t *testing.T, o Options) (c *control.Client, stop func()) {
	t.Helper()
	ready, done := make(chan struct{}), make(chan error, 1)
	o.Ready = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- Run(ctx, o) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("the daemon ended: %v", err)
	}
	c = control.Dial(o.Home.Socket)
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the daemon ended: %v", err)
		}
	}
	t.Cleanup(stop)
	return c, stop
}

// source is a folder with some files.
func source(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	err := os.Mkdir(dir, 0o755)
	for _, name := range []string{"a", "b", "c"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(name, 1e5)), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// backUp takes a version and returns its task's end.
func backUp(t *testing.T, c *control.Client) (task control.Task) {
	t.Helper()
	task, err := c.Backup(t.Context(), control.BackupRequest{})
	if err == nil {
		err = c.WatchTask(t.Context(), task.ID, func(now control.Task) error { task = now; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func TestNewInstanceWaitsForActivate(t *testing.T) {
	o := options(t)
	c, _ := serve(t, o)
	s, err := c.Status(t.Context())
	if err != nil || s.State != control.StateNew || s.Policy != nil || s.Next != nil || s.Vault != "" || s.PID != os.Getpid() {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := c.Backup(t.Context(), control.BackupRequest{}); !errors.Is(err, control.NotActive) {
		t.Errorf("backup: %v", err)
	}
	if _, err := c.Versions(t.Context(), control.VersionsRequest{}); !errors.Is(err, control.NoVault) {
		t.Errorf("versions: %v", err)
	}
	if _, err := c.VaultKeys(t.Context()); !errors.Is(err, control.NoVault) {
		t.Errorf("keys: %v", err)
	}
}

func TestRefusedActivationChangesNothing(t *testing.T) {
	needPartition(t, t.TempDir())
	o := options(t)
	c, _ := serve(t, o)
	for _, r := range []control.ActivateRequest{
		{Start: "25:61"},
		{Priority: "fast"},
		{Partitions: []string{"nope"}},
		{Paths: []string{"/proc"}},
		{Paths: []string{"/nope"}},
		{Excludes: []string{"["}},
	} {
		if _, err := c.Activate(t.Context(), r); !errors.Is(err, control.BadRequest) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if s, err := c.Status(t.Context()); err != nil || s.State != control.StateNew {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := os.Stat(o.Home.Vault); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a vault was made: %v", err)
	}
}

func TestActivateDefaultsAndAgain(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	c, stop := serve(t, options(t))
	defer stop()
	a, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	if a.Outcome != control.Activated || a.Policy.Priority != "low" || a.Policy.Start > "06:00" || a.VaultMade == "" || len(a.Partitions) != 1 {
		t.Errorf("got %+v", a)
	}
	if wait := time.Until(*a.Next); wait <= 0 || wait > 25*time.Hour || a.Next.UTC().Format("15:04") != a.Policy.Start {
		t.Errorf("next is %v, start %s", a.Next, a.Policy.Start)
	}
	again, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}})
	if err != nil || again.Outcome != control.Unchanged || again.Policy.Start != a.Policy.Start || again.VaultMade != "" {
		t.Errorf("got %+v, %v", again, err)
	}
	other, err := c.Activate(t.Context(), control.ActivateRequest{Start: "12:34", Priority: "max"})
	if err != nil || other.Outcome != control.Replaced || other.Policy.Start != "12:34" || !slices.Equal(other.Policy.Paths, a.Policy.Paths) {
		t.Errorf("got %+v, %v", other, err)
	}
}

func TestEachBackupMakesAVersionAndStateOutlivesTheDaemon(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	o := options(t)
	c, stop := serve(t, o)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	first := backUp(t, c)
	if first.State != control.Completed || len(first.Results) != 1 || first.Results[0].Files != 3 || first.Results[0].NewBytes < 3e5 {
		t.Errorf("got %+v", first)
	}
	stop()

	c, _ = serve(t, o)
	if err := os.WriteFile(filepath.Join(dir, "d"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	second := backUp(t, c)
	if len(second.Results) != 1 || second.Results[0].Parent != first.Results[0].Version || second.Results[0].Files != 4 || second.Results[0].NewBytes > 1e5 {
		t.Errorf("got %+v", second)
	}
	vs, err := c.Versions(t.Context(), control.VersionsRequest{Partition: first.Results[0].Partition})
	if err != nil || len(vs) != 2 || vs[0].Version != first.Results[0].Version || vs[0].Files != 3 || vs[1].Files != 4 || vs[1].Path != "" ||
		vs[0].Added < 3 || vs[1].Added != 1 || vs[1].Deleted != 0 || vs[1].State != control.Complete {
		t.Errorf("got %+v, %v", vs, err)
	}
	if _, err := c.Versions(t.Context(), control.VersionsRequest{Partition: "nope"}); !errors.Is(err, control.NotFound) {
		t.Errorf("got %v", err)
	}
	checkKept(t, c, first.ID, second.ID)
}

// checkKept looks at what is remembered after two backups.
func checkKept(t *testing.T, c *control.Client, first, second string) {
	t.Helper()
	ts, err := c.Tasks(t.Context(), control.TasksRequest{})
	if err != nil || len(ts) != 2 || ts[0].ID != first || ts[1].ID != second {
		t.Errorf("got %+v, %v", ts, err)
	}
	s, err := c.Status(t.Context())
	if err != nil || s.State != control.StateReady || s.Last == nil || s.Last.ID != second || s.Running != nil {
		t.Errorf("got %+v, %v", s, err)
	}
	in, err := c.VaultInfo(t.Context())
	if err != nil || in.Versions != 2 || in.Instances != 1 || in.Packs == 0 || in.ID != s.Vault {
		t.Errorf("got %+v, %v", in, err)
	}
}

func TestVanishedPathFailsAndLosesNothing(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	c, _ := serve(t, options(t))
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	task := backUp(t, c)
	if task.State != control.Failed || !strings.Contains(task.Error, dir+" is not there") || len(task.Results) != 1 || task.Results[0].Version != "" {
		t.Errorf("got %+v", task)
	}
	if vs, err := c.Versions(t.Context(), control.VersionsRequest{}); err != nil || len(vs) != 1 {
		t.Errorf("got %+v, %v", vs, err)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	o := options(t)
	serve(t, o)
	if err := Run(t.Context(), o); !errors.Is(err, control.Busy) || !strings.Contains(err.Error(), "already running for "+o.Home.Dir) {
		t.Errorf("got %v", err)
	}
	if _, err := InitVault(t.Context(), o, control.VaultInitRequest{}); !errors.Is(err, control.Busy) {
		t.Errorf("got %v", err)
	}
	if err := os.RemoveAll(o.Home.Run); err != nil { // as the service manager does when another one fails
		t.Fatal(err)
	}
	if err := Run(t.Context(), o); !errors.Is(err, control.Busy) || !strings.Contains(err.Error(), "another process has the state in "+o.Home.State) {
		t.Errorf("without the folder of its lock: %v", err)
	}
}

func TestVaultIsMadeOnceWithAndWithoutDaemon(t *testing.T) {
	needPartition(t, t.TempDir())
	o := options(t)
	place := filepath.Join(t.TempDir(), "elsewhere")
	in, err := InitVault(t.Context(), o, control.VaultInitRequest{Places: []string{place}})
	if err != nil || len(in.Places) != 1 || in.Places[0].Name != place {
		t.Fatalf("got %+v, %v", in, err)
	}
	for _, dir := range []string{"", place, o.Home.Vault} {
		if _, err := InitVault(t.Context(), o, control.VaultInitRequest{Places: []string{dir}}); !errors.Is(err, control.Exists) {
			t.Errorf("in %q: %v", dir, err)
		}
	}
	c, _ := serve(t, o)
	if got, err := c.VaultInfo(t.Context()); err != nil || got.ID != in.ID {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.VaultInit(t.Context(), control.VaultInitRequest{}); !errors.Is(err, control.Exists) {
		t.Errorf("got %v", err)
	}
	for _, says := range []string{"instead, name /mnt/old under [vault] places in " + o.Home.Settings, "instead, `yester cancel` first"} {
		if _, err := c.Adopt(t.Context(), control.AdoptRequest{Places: []string{"/mnt/old"}}); !errors.Is(err, control.Exists) || !strings.Contains(err.Error(), says) {
			t.Errorf("another one is adopted: %v", err)
		}
		mustNot[control.Activation](t)(c.Activate(t.Context(), control.ActivateRequest{Paths: []string{t.TempDir()}}))
	}
}

func TestVaultIsNotMadeAmongOtherFiles(t *testing.T) {
	dir := source(t)
	if _, err := InitVault(t.Context(), options(t), control.VaultInitRequest{Places: []string{dir}}); !errors.Is(err, control.Exists) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
}

// A disk that is not mounted must not become an empty vault, nor end the daemon, which has to tell of it.
func TestVaultThatIsGoneIsNotReplaced(t *testing.T) {
	o := options(t)
	o.Tempo = 1000
	place := filepath.Join(t.TempDir(), "disk")
	if _, err := InitVault(t.Context(), o, control.VaultInitRequest{Places: []string{place}}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(place, place+".away"); err != nil {
		t.Fatal(err)
	}
	c, stop := serve(t, o)
	wantAway(t, c, place)
	stop()
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	c, _ = serve(t, o)
	wantAway(t, c, place)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{}); !errors.Is(err, control.NoVault) {
		t.Errorf("activate: %v", err)
	}
	for _, places := range [][]string{nil, {place}, {filepath.Join(t.TempDir(), "other")}} {
		if _, err := c.VaultInit(t.Context(), control.VaultInitRequest{Places: places}); !errors.Is(err, control.Exists) || !strings.Contains(err.Error(), "is its disk mounted?") {
			t.Errorf("in %q: %v", places, err)
		}
	}
	if err := errors.Join(os.Remove(place), os.Rename(place+".away", place)); err != nil {
		t.Fatalf("something took its place: %v", err)
	}
	wantBack(t, c)
}

// A disk too full for the index is no reason to end either.
func TestVaultWaitsForRoomForItsIndex(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	o := options(t)
	o.Tempo = 1000
	if _, err := InitVault(t.Context(), o, control.VaultInitRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("yester-test", o.Home.Index, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(o.Home.Index, 0); err != nil {
			t.Error(err)
		}
	})
	c, _ := serve(t, o)
	wantAway(t, c, "the index in "+o.Home.Index+" needs")
	if err := syscall.Mount("", o.Home.Index, "", syscall.MS_REMOUNT, "size=3m"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "that it has more room", func() bool {
		_, err := c.VaultInfo(t.Context())
		return strings.Contains(err.Error(), "there are 3 MB") || strings.Contains(err.Error(), "there are 2 MB")
	})
	if err := syscall.Mount("", o.Home.Index, "", syscall.MS_REMOUNT, "size=100m"); err != nil {
		t.Fatal(err)
	}
	wantBack(t, c)
	for _, m := range mustNot[[]control.Message](t)(c.Messages(t.Context(), control.MessagesRequest{})) {
		if m.Cause == unopenedCause && m.Count != 1 {
			t.Errorf("entered %d times: %s", m.Count, m.Text)
		}
	}
}

func TestWhatMayBeOverAgainEndsNoDaemon(t *testing.T) {
	o := options(t)
	st := &site{home: o.Home, db: newState(t), log: quiet()}
	why := func(ctx context.Context, err error) (kind control.Kind, stays bool) {
		err = st.whyUnopened(ctx, []string{"/mnt/usb"}, fmt.Errorf("open place: %w", &fs.PathError{Op: "stat", Path: "/mnt/usb", Err: err}))
		_, stays = errors.AsType[*unopened](err)
		return explain(err).Kind, stays
	}
	if kind, stays := why(t.Context(), store.ErrKey); stays || kind != control.WrongKey {
		t.Errorf("one that never had a vault: %v, %v", kind, stays)
	}
	if err := st.keep(state.Vault{ID: "1", Places: []string{"/mnt/usb"}}); err != nil {
		t.Fatal(err)
	}
	for want, all := range map[control.Kind][]error{
		control.NoVault: {
			syscall.ENODEV, syscall.ENXIO, syscall.EIO, syscall.EUCLEAN, syscall.EBADMSG, syscall.ESTALE, syscall.ENOTCONN, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ETIMEDOUT,
			syscall.EACCES, syscall.ENOTDIR, store.ErrMissing, store.ErrNoSpace, errNoAnswer,
		},
		control.WrongKey: {store.ErrKey}, control.Damaged: {store.ErrCorrupt}, control.Format: {store.ErrFormat}, control.Exists: {store.ErrExists},
	} {
		for _, err := range all {
			if kind, stays := why(t.Context(), err); !stays || kind != want {
				t.Errorf("%v: %v, %v", err, kind, stays)
			}
		}
	}
	st.settings.PassphraseFile = "/etc/passphrase"
	for err, helps := range map[error]bool{store.ErrKey: true, store.ErrNoKey: false} {
		said := st.whyUnopened(t.Context(), []string{"/mnt/usb"}, err).Error()
		if strings.Contains(said, "/etc/passphrase") != helps || strings.Contains(said, "vault adopt") != helps {
			t.Errorf("%v, that another passphrase helps: %q", helps, said)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for ctx, err := range map[context.Context]error{t.Context(): store.ErrLocked, ended: context.Canceled} {
		if kind, stays := why(ctx, err); stays {
			t.Errorf("%v does not end it: %v", err, kind)
		}
	}
}

// What was wrong first is not all that is told when something else is wrong later.
func TestVaultThatComesBackDamagedIsToldAndUsedWhenItIsWell(t *testing.T) {
	o := options(t)
	o.Tempo = 1000
	mustNot[control.VaultInfo](t)(InitVault(t.Context(), o, control.VaultInitRequest{}))
	away := o.Home.Vault + ".away"
	if err := os.Rename(o.Home.Vault, away); err != nil {
		t.Fatal(err)
	}
	c, _ := serve(t, o)
	wantAway(t, c, "is no longer in")
	saved := map[string][]byte{}
	for _, name := range []string{"vault.json", "vault.json.copy"} {
		saved[name] = mustNot[[]byte](t)(os.ReadFile(filepath.Join(away, name)))
		if err := os.WriteFile(filepath.Join(away, name), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(away, o.Home.Vault); err != nil {
		t.Fatal(err)
	}
	wantUnopened(t, c, control.Damaged, "vault.json in "+o.Home.Vault)
	for name, b := range saved {
		if err := os.WriteFile(filepath.Join(o.Home.Vault, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantBack(t, c)
}

// An index that is made anew takes hours, and whoever ends the daemon does not wait for it.
func TestVaultIsOpenedNoFurtherWhenTheDaemonEnds(t *testing.T) {
	s := newStill(t)
	s.vaultAway()
	if err := os.Rename(s.o.Home.Vault+".away", s.o.Home.Vault); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.chores(ctx); err == nil || s.vault != nil {
		t.Errorf("opened %v, %v", s.vault, err)
	}
	if err := s.chores(t.Context()); err != nil || s.vault == nil {
		t.Errorf("opened %v, %v", s.vault, err)
	}
}

// wantAway checks that a daemon tells that its vault is away, and does without it.
func wantAway(t *testing.T, c *control.Client, says string) {
	t.Helper()
	wantUnopened(t, c, control.NoVault, says)
}

// wantUnopened waits until the vault is said not to be open, everywhere and for a reason.
func wantUnopened(t *testing.T, c *control.Client, kind error, says string) {
	t.Helper()
	eventually(t, "that the vault is not open, as "+says, func() bool {
		_, err := c.VaultInfo(t.Context())
		return errors.Is(err, kind) && strings.Contains(err.Error(), says)
	})
	if s, err := c.Status(t.Context()); err != nil || len(s.Attention) != 1 || !strings.Contains(s.Attention[0], says) {
		t.Errorf("status: %q, %v", s.Attention, err)
	}
	eventually(t, "the message", func() bool {
		of, err := c.Messages(t.Context(), control.MessagesRequest{Open: "true"})
		return err == nil && len(of) == 1 && of[0].Kind == control.MessagePlace && strings.Contains(of[0].Text, says)
	})
}

// wantBack waits until the vault is open and no message says otherwise.
func wantBack(t *testing.T, c *control.Client) {
	t.Helper()
	eventually(t, "the vault", func() bool {
		_, err := c.VaultInfo(t.Context())
		of, listErr := c.Messages(t.Context(), control.MessagesRequest{Open: "true"})
		return err == nil && listErr == nil && len(of) == 0
	})
}

// Nor must a vault that goes away under the daemon.
func TestVaultThatGoesAwayIsNotReplaced(t *testing.T) {
	o := options(t)
	c, stop := serve(t, o)
	if _, err := c.VaultInit(t.Context(), control.VaultInitRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(o.Home.Vault, o.Home.Vault+".away"); err != nil {
		t.Fatal(err)
	}
	for _, places := range [][]string{nil, {o.Home.Vault}, {filepath.Join(t.TempDir(), "other")}} {
		if _, err := c.VaultInit(t.Context(), control.VaultInitRequest{Places: places}); !errors.Is(err, control.Exists) || !strings.Contains(err.Error(), "is its disk mounted?") {
			t.Errorf("in %q: %v", places, err)
		}
	}
	if err := os.Rename(o.Home.Vault+".away", o.Home.Vault); err != nil {
		t.Errorf("something took its place: %v", err)
	}
	stop()
}

func TestVaultCannotSurviveTheLossOfAllItsPlaces(t *testing.T) {
	o := options(t)
	two := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	for _, r := range []control.VaultInitRequest{{Survive: -1}, {Survive: 1}, {Places: two, Survive: -1}, {Places: two, Survive: 2}} {
		if _, err := InitVault(t.Context(), o, r); !errors.Is(err, control.BadRequest) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if _, err := os.Stat(two[0]); err == nil {
		t.Error("a refused vault has left a folder")
	}
}

func TestBrokenStateIsLeftAloneAndExplained(t *testing.T) {
	o := options(t)
	_, stop := serve(t, o)
	stop()
	manifest := filepath.Join(o.Home.State, "MANIFEST")
	if err := os.WriteFile(manifest, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), o)
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Kind != control.Damaged || !strings.Contains(e.Message, o.Home.State) || !strings.Contains(e.Hint, "move that folder away") {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(manifest); err != nil || string(b) != "garbage" {
		t.Errorf("the state is now %q, %v", b, err)
	}
}

func TestDaemonThatIsToEndWhileItBeginsEndsWell(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := options(t)
	if err := Run(ctx, o); err != nil {
		t.Errorf("got %v", err)
	}
	mustNot[control.VaultInfo](t)(InitVault(t.Context(), o, control.VaultInitRequest{}))
	if err := Run(ctx, o); err != nil {
		t.Errorf("with a vault: %v", err)
	}
}
