package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// startElsewhere starts a daemon whose vault lies on a partition of its own, and takes a version of p.
func startElsewhere(t *testing.T, p, disk *partition) (*daemon, version) {
	t.Helper()
	d := start(t, newHome(t))
	d.run(done, "vault", "init", "--place", disk.path("vault"))
	d.activate("max", p)
	return d, d.backup(p)
}

// A full disk under the vault fails the backup and nothing else; with space again, the next one goes on.
func TestFullDiskUnderTheVaultLosesNothing(t *testing.T) {
	t.Parallel()
	p := newPartition(t, "ext4", 4*gib)
	disk := newPartition(t, "ext4", 700*mib)
	hostileTree(t, p, 0.001)
	d, first := startElsewhere(t, p, disk)
	d.expected = regexp.MustCompile("(?i)space")
	want := read(t, p.dir, socket)

	for i := range byte(4) {
		large(t, p, "large-"+string('a'+i), 20+i)
	}
	a := at(t, d.home, "backup", "--wait")
	t.Logf("%s", a.stderr)
	explained(t, a, failed, "space", disk.path("vault"))
	if got := d.versions(p); len(got) != 1 {
		t.Errorf("%d versions after a failed backup, want 1", len(got))
	}
	same(t, "the version from before the disk was full", want, read(t, first.Path))

	for i := range byte(4) {
		must(t, os.RemoveAll(p.path("large-"+string('a'+i))))
	}
	second := d.backup(p)
	same(t, "the version from after it", read(t, p.dir, socket), read(t, second.Path))
}

// The same when the disk is full to the last byte, by somebody else's doing.
func TestDiskFilledByOthersLosesNothing(t *testing.T) {
	t.Parallel()
	p := newPartition(t, "ext4", 4*gib)
	disk := newPartition(t, "ext4", 700*mib)
	hostileTree(t, p, 0.001)
	d, first := startElsewhere(t, p, disk)
	d.expected = regexp.MustCompile("(?i)space")
	want := read(t, p.dir, socket)
	d.stop()

	_ = runAs(t, nil, "sh", "-c", "cat /dev/zero > "+disk.path("filler"))
	d = start(t, d.home)
	d.expected = regexp.MustCompile("(?i)space")
	same(t, "the version on the full disk", want, read(t, first.Path))
	must(t, os.WriteFile(p.path("new"), []byte("new"), 0o644))
	explained(t, at(t, d.home, "backup", "--wait"), failed, "space", disk.path("vault"))
	must(t, os.Remove(disk.path("filler")))
	second := d.backup(p)
	same(t, "the version from after it", read(t, p.dir, socket), read(t, second.Path))
}

// From a vault on a read-only disk everything can be read; a backup says what is in the way.
func TestReadOnlyDiskUnderTheVault(t *testing.T) {
	t.Parallel()
	p := newPartition(t, "ext4", 4*gib)
	disk := newPartition(t, "ext4", 4*gib)
	hostileTree(t, p, 0.001)
	d, first := startElsewhere(t, p, disk)
	want := read(t, p.dir, socket)
	d.stop()

	command(t, "mount", "-o", "remount,ro", disk.dir)
	d = start(t, d.home)
	d.expected = regexp.MustCompile("(?i)read-only")
	same(t, "the version on the read-only disk", want, read(t, first.Path))
	must(t, os.WriteFile(p.path("new"), []byte("new"), 0o644))
	a := at(t, d.home, "backup", "--wait")
	t.Logf("%s", a.stderr)
	explained(t, a, failed, "read-only", disk.path("vault"))
	d.stop()

	command(t, "mount", "-o", "remount,rw", disk.dir)
	d = start(t, d.home)
	second := d.backup(p)
	same(t, "the version from after it", read(t, p.dir, socket), read(t, second.Path))
}

// A mount folder that holds something is left alone, said to be in the way, and does not keep backups from being made.
func TestMountFolderThatIsNotEmptyIsLeftAlone(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	theirs := filepath.Join(home, "mnt", "theirs")
	must(t, os.MkdirAll(filepath.Dir(theirs), 0o755))
	must(t, os.WriteFile(theirs, []byte("theirs"), 0o644))
	d := start(t, home)
	d.expected = regexp.MustCompile("(?i)not empty")
	d.activateTo(warned, "max", p)
	v := d.backup(p)
	if v.Path != "" {
		t.Errorf("the version is said to be at %s, and nothing is mounted", v.Path)
	}
	d.wantUnmounted("empty")
	if b, err := os.ReadFile(theirs); err != nil || string(b) != "theirs" {
		t.Errorf("the file in the way is %q, %v", b, err)
	}
	d.stop()
	must(t, os.Remove(theirs))
	d = start(t, home)
	if v := d.versions(p)[0]; len(read(t, v.Path)) == 0 {
		t.Error("the version is empty")
	}
}

// Without /dev/fuse there are backups, and nothing to browse.
func TestWithoutFuseBackupsGoOn(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	for _, c := range []struct{ dev, because string }{
		{`mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3`, "modprobe fuse"}, // a /dev that has nothing but null
		{`mount --bind /dev/null /dev/fuse`, "mknod /dev/fuse"},
	} {
		d := startIn(t, home, "unshare", "-m", "sh", "-c", c.dev+` && exec "$0" "$@"`)
		d.expected = regexp.MustCompile("/dev/fuse")
		d.activateTo(warned, "max", p)
		d.backup(p)
		d.wantUnmounted(c.because)
		d.stop()
	}
}

// A mount whose connection is cut is made again, and one that was unmounted by hand is not.
func TestMountThatIsCutComesBack(t *testing.T) {
	t.Parallel()
	p := newPartition(t, "ext4", gib)
	must(t, os.WriteFile(p.path("file"), []byte("x"), 0o644))
	d := start(t, newHome(t))
	d.expected = regexp.MustCompile("connection of the mount to the kernel was cut")
	d.activate("max", p)
	v := d.backup(p)
	mnt := filepath.Join(d.home, "mnt")
	var st unix.Stat_t
	must(t, unix.Stat(mnt, &st))
	control := t.TempDir()
	command(t, "mount", "-t", "fusectl", "none", control)
	err := os.WriteFile(filepath.Join(control, fmt.Sprint(unix.Minor(st.Dev)), "abort"), []byte("1"), 0)
	command(t, "umount", control)
	must(t, err)
	d.wait("the mount to come back", func() bool {
		_, err := os.ReadFile(filepath.Join(v.Path, "file"))
		return err == nil
	})
	if b, err := os.ReadFile(d.log); err != nil || !d.expected.Match(b) {
		t.Error("the daemon did not say so:", err)
	}
	command(t, "umount", mnt)
	d.wantUnmounted("by hand")
}

func (d *daemon) wantUnmounted(because string) {
	d.t.Helper()
	var s struct {
		Mount struct {
			Mounted bool   `json:"mounted"`
			Because string `json:"because"`
		} `json:"mount"`
	}
	d.json(&s, "status")
	if s.Mount.Mounted || !strings.Contains(s.Mount.Because, because) || trace.MatchString(s.Mount.Because) {
		d.t.Errorf("the mount is %+v, want it not mounted because of %q", s.Mount, because)
	}
}

// Files that vanish, appear and change under the walk cost a warning at most, and only for themselves.
func TestFilesChangingUnderTheWalkCostNoMoreThanAWarning(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", 8*gib)
	hostileTree(t, p, 0.01)
	want := read(t, p.dir, socket, ".")
	writer := &busy{t: t, dir: p.path("busy")}
	d := start(t, home)
	d.activate("high", p)
	stop := writer.start()
	a := at(t, home, "backup", "--wait")
	stop()
	if a.code != warned {
		t.Errorf("exit code %d, want %d\n%s%s", a.code, warned, a.stdout, a.stderr)
	}
	var last task
	d.json(&last, "tasks", "show", d.status().Last.ID)
	if last.State != "partial" || len(last.Warnings) == 0 {
		t.Errorf("the task is %q, with %d warnings", last.State, len(last.Warnings))
	}
	for _, w := range last.Warnings {
		if !strings.HasPrefix(strings.TrimPrefix(w.Path, "/"), "busy") || w.What == "" || trace.MatchString(w.What) {
			t.Errorf("an odd warning: %+v", w)
		}
	}
	v := d.versions(p)[0]
	got := read(t, v.Path, ".")
	for path := range got {
		if strings.HasPrefix(path, "busy") {
			delete(got, path)
		}
	}
	same(t, "what was left in peace", want, got)
	second := d.backup(p)
	same(t, "the version from after it", read(t, p.dir, socket), read(t, second.Path))
}

// busy changes files all the time: a large one by its every byte, and small ones that come and go.
type busy struct {
	t   testing.TB
	dir string
}

func (b *busy) start() (stop func()) {
	b.t.Helper()
	must(b.t, os.Mkdir(b.dir, 0o755))
	f, err := os.Create(filepath.Join(b.dir, "large"))
	must(b.t, err)
	must(b.t, f.Truncate(30*mib))
	var wg sync.WaitGroup
	end := make(chan struct{})
	until := func(change func(i int) error) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
					if err := change(i); err != nil {
						b.t.Error(err)
						return
					}
				}
			}
		})
	}
	until(func(i int) error {
		_, err := f.WriteAt([]byte(strings.Repeat(string(rune('a'+i%26)), 4096)), int64(i)*4096%(30*mib))
		return err
	})
	until(func(i int) error {
		name := filepath.Join(b.dir, string(rune('a'+i%26)))
		if i%2 == 0 {
			return os.WriteFile(name, []byte(name), 0o644)
		}
		_ = os.Remove(name)
		_ = os.Remove(filepath.Join(b.dir, string(rune('a'+(i-1)%26))))
		return nil
	})
	return func() {
		close(end)
		wg.Wait()
		must(b.t, f.Close())
	}
}
