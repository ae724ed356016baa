package restore

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

func deleting(o *Options) { o.OnConflict, o.Delete = Overwrite, true }

// there fails the test if one of the paths below a folder is not there, or one of the gone ones is.
func there(t *testing.T, dir string, paths []string, gone ...string) {
	t.Helper()
	for _, p := range paths {
		if _, err := os.Lstat(filepath.Join(dir, p)); err != nil {
			t.Error(err)
		}
	}
	for _, p := range gone {
		if _, err := os.Lstat(filepath.Join(dir, p)); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
}

// Patterns of what is kept are absolute, also where the partition is that of the root folder.
func TestWhatIsKeptOnEveryPartition(t *testing.T) {
	for _, point := range []string{"/", "/data"} {
		g := newRig(t)
		v, dir := g.version(g.dir("usr", g.file("share", "s")), g.dir("var")), t.TempDir()
		v.Partition.MountPoint = point
		g.restore(v, dir)
		write(t, filepath.Join(dir, "usr/bin/ls"), "x")
		write(t, filepath.Join(dir, "var/lib/y/vault/pack"), "x")
		write(t, filepath.Join(dir, "var/log/x"), "x")
		keep := func(o *Options) {
			o.Keep = []string{filepath.Join(point, "usr/bin"), filepath.Join(point, "var/lib/y"), filepath.Join(point, "var/lib/y/**")}
		}
		r := g.restore(v, dir, func(o *Options) { o.VerifyOnly, o.Others = true, true }, keep)
		wantLeft(t, "different", r.Differs, "usr", "var", "var/lib", "var/log")
		g.restore(v, dir, deleting, keep)
		there(t, dir, []string{"usr/bin/ls", "var/lib/y/vault/pack"}, "var/log")
	}
}

// What is whose restores is left alone wherever it lies, and by whatever name it is met.
func TestOwnFoldersAreLeftAlone(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.dir("srv", g.file("mine", "theirs"))), t.TempDir()
	vault := filepath.Join(dir, "backup/vault")
	write(t, filepath.Join(vault, "pack"), "x")
	write(t, filepath.Join(dir, "srv/mine"), "x")
	write(t, filepath.Join(dir, "surplus"), "x")
	alias := filepath.Join(t.TempDir(), "alias")
	must(t, os.Symlink(vault, alias))
	r := g.restore(v, dir, deleting, func(o *Options) { o.Own = []string{alias, filepath.Join(dir, "srv"), filepath.Join(dir, "not there")} })
	wantLeft(t, "failed", r.Failed, "backup", "srv")
	there(t, dir, []string{"backup/vault/pack"}, "surplus")
	if content(t, filepath.Join(dir, "srv/mine")) != "x" {
		t.Error("something was restored into a folder that is to be left alone")
	}
}

// What the backup could not read is in no version, and is no surplus.
func TestWhatCouldNotBeReadIsNotDeleted(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("locked"), g.dir("some", g.file("read", "r")), g.dir("well", g.file("a", "a")), g.dir("odd\xff"))
	v.Warnings = []snapshot.Warning{
		{Path: ".", What: "of it all"},
		{Path: "locked", What: "the folder cannot be opened"},
		{Path: "some/unread", What: "skipped"},
		{Path: `"odd\xff/unread"`, What: "skipped"},
	}
	fill := func() string {
		dir := t.TempDir()
		for _, name := range []string{"locked/x/y", "some/unread", "some/else", "well/surplus", "odd\xff/else", "surplus"} {
			write(t, filepath.Join(dir, name), "x")
		}
		return dir
	}
	v.WarningCount = uint64(len(v.Warnings))
	dir := fill()
	r := g.restore(v, dir, deleting)
	there(t, dir, []string{"locked/x/y", "some/unread", "some/else", "odd\xff/else"}, "well/surplus")
	there(t, dir, []string{"surplus"}) // beside "locked"
	if r.Notes.Count != 4 {
		t.Errorf("noted %+v", r.Notes)
	}
	v.WarningCount++
	dir = fill()
	r = g.restore(v, dir, deleting)
	there(t, dir, []string{"locked/x/y", "well/surplus", "surplus"})
	if r.Deleted != 0 || r.Notes.Count != 1 {
		t.Errorf("%d deleted, noted %+v", r.Deleted, r.Notes)
	}
}

func TestSocketsAndTemporaryNamesOfOursAreNotDeleted(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("f", "f")), t.TempDir()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "socket")}))
	must(t, unix.Close(fd))
	now, old := tempName(), temporary+"0123456789abcdef"
	write(t, filepath.Join(dir, now), "x")
	write(t, filepath.Join(dir, old), "x")
	g.restore(v, dir, deleting)
	there(t, dir, []string{"f", "socket", now}, old)
}

// A file is in the way of a folder, and stays unless it is to be overwritten.
func TestFileInTheWayOfAFolderStaysUnlessOverwritten(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.dir("folder", g.file("f", "f"))), t.TempDir()
	write(t, filepath.Join(dir, "folder"), "x")
	r := g.restore(v, dir, func(o *Options) { o.Delete = true })
	wantLeft(t, "failed", r.Failed, "folder")
	if content(t, filepath.Join(dir, "folder")) != "x" {
		t.Error("it was removed")
	}
}

// All names of a file in a folder that is not there are told of in a dry run.
func TestDryRunTellsOfHardLinksInFoldersThatAreNotThere(t *testing.T) {
	g := newRig(t)
	one := g.file("one", "x")
	one.Nlink = 2
	two := one
	two.Name = []byte("two")
	v, dir := g.version(one, g.dir("z", two)), t.TempDir()
	g.restore(v, dir)
	must(t, os.RemoveAll(filepath.Join(dir, "z")))
	r := g.restore(v, dir, overwrite, func(o *Options) { o.DryRun = true })
	wantLeft(t, "failed", r.Failed)
}

// A file with holes gets its length before its content: it may have lost that in a power loss, and be as long as it should be.
func TestTornFileWithHolesIsRestoredThoughOthersAreSkipped(t *testing.T) {
	g := newRig(t)
	holed := g.file("holed", text(1, pieceLen)+string(make([]byte, pieceLen))+text(2, pieceLen))
	holed.Data = 2 * pieceLen
	v, dir := g.version(holed), t.TempDir()
	g.restore(v, dir)
	path := filepath.Join(dir, "holed")
	want := content(t, path)
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, st.Size))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, st.Mtim}, 0))
	r := g.restore(v, dir)
	wantLeft(t, "skipped", r.Skipped)
	if content(t, path) != want {
		t.Error("it stays empty")
	}
}
