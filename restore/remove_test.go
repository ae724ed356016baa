package restore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// Nor is what was excluded from this restore, however deep below what the version has not, or in the way of what it has.
func TestWhatIsExcludedIsNotDeletedWhereverItLies(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.dir("d", g.file("f", "f")), g.file("way", "w")), t.TempDir()
	stay := []string{"d/a.key", "new/deep/a.key", "way/a.key", "other/secret/x"}
	for _, p := range append(stay, "gone/x", "d/gone") {
		write(t, filepath.Join(dir, p), "x")
	}
	r := g.restore(v, dir, deleting, func(o *Options) { o.Excludes = []string{"*.key", "/data/other/secret"} })
	wantLeft(t, "failed", r.Failed, "new", "other", "way")
	there(t, dir, append(stay, "d/f"), "gone", "d/gone")
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

// A vault is told by what lies in it, whosever it is; what is in one is no surplus, even where the version has a part of it.
func TestVaultsAreNotDeleted(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("other", g.file("vault.json", "{}"), g.dir("packs", g.file("old", "x"))), g.file("way", "x"))
	for _, name := range []string{"vault.json", "vault.json.copy"} {
		dir := t.TempDir()
		stay := []string{"other/" + name, "other/packs/new", "surplus/deep/" + name, "way/" + name}
		for _, p := range append(stay, "gone/file") {
			write(t, filepath.Join(dir, p), "x")
		}
		r := g.restore(v, dir, deleting)
		wantLeft(t, "failed", r.Failed, "surplus", "way")
		wantLeft(t, "noted", r.Notes, "other")
		there(t, dir, append(stay, "other/packs/old"), "gone")
		write(t, filepath.Join(dir, "other/instances/pack"), "x") // is in no version beside another's vault.json
		r = g.restore(v, dir, func(o *Options) { o.VerifyOnly, o.Others = true, true })
		if slices.ContainsFunc(r.Differs.Items, func(l Left) bool { return l.Path == "other/instances" }) {
			t.Errorf("of a vault it tells %+v", r.Differs.Items)
		}
	}
}

// Nothing is restored into what is own, whatever name leads there; what is own and cannot be looked at is in nobody's way.
func TestTargetThatIsOwnIsRefused(t *testing.T) {
	g := newRig(t)
	v, own := g.version(g.file("f", "f")), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(own, "in/it"), 0o755))
	for _, dir := range []string{own, filepath.Join(own, "in/it")} {
		if _, err := g.try(t.Context(), v, dir, func(o *Options) { o.Own = []string{own} }); !errors.Is(err, errOwn) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	write(t, filepath.Join(own, "file"), "x")
	g.restore(v, t.TempDir(), func(o *Options) { o.Own = []string{own, filepath.Join(own, "file/under"), strings.Repeat("x", 5000)} })
}

// What the backup could not read is in no version, and is no surplus.
func TestWhatCouldNotBeReadIsNotDeleted(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("locked"), g.dir("some", g.file("read", "r")), g.dir("well", g.file("a", "a")), g.dir("odd\xff"), g.dir(".hid", g.dir("den")))
	v.Warnings = []snapshot.Warning{
		{Path: ".", What: "of it all"},
		{Path: "locked", What: "the folder cannot be opened"},
		{Path: "some/unread", What: "it is skipped: x"},
		{Path: `"odd\xff/unread"`, What: "it is skipped: x"},
		{Path: ".hid/den/unread", What: "it is skipped: x"},
		{Path: "well/a", What: "its extended attributes cannot be read: x"},
		{Path: "well/a", What: "it changed each of the 4 times it was read, and is kept as it was read last"},
		{Path: "well", What: "the earlier version cannot be read here, everything is read again: x"},
	}
	fill := func() string {
		dir := t.TempDir()
		for _, name := range []string{"locked/x/y", "some/unread", "some/else", "well/surplus", "odd\xff/else", ".hid/den/else", "surplus"} {
			write(t, filepath.Join(dir, name), "x")
		}
		return dir
	}
	v.WarningCount = uint64(len(v.Warnings))
	dir := fill()
	r := g.restore(v, dir, deleting)
	there(t, dir, []string{"locked/x/y", "some/unread", "some/else", "odd\xff/else", ".hid/den/else"}, "well/surplus", "surplus")
	if r.Notes.Count != 4 {
		t.Errorf("noted %+v", r.Notes)
	}
	r = g.restore(v, fill(), func(o *Options) { o.VerifyOnly, o.Others = true, true })
	for _, name := range []string{"some/unread", "some/else", "well/surplus", "surplus"} { // nothing is at stake there
		if !slices.ContainsFunc(r.Differs.Items, func(l Left) bool { return l.Path == name }) {
			t.Errorf("to verify does not tell of %s: %+v", name, r.Differs)
		}
	}
	other := g.version(g.dir("well"))
	other.Warnings, other.WarningCount = []snapshot.Warning{{Path: ".", What: "the folder cannot be listed: x"}}, 1
	dir = fill()
	g.restore(other, dir, deleting)
	there(t, dir, []string{"surplus", "locked/x/y"}, "well/surplus")
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
	must(t, os.Mkdir(filepath.Join(dir, "run"), 0o755))
	must(t, unix.Link(filepath.Join(dir, "socket"), filepath.Join(dir, "run/socket")))
	g.restore(v, dir, deleting)
	there(t, dir, []string{"f", "socket", "run/socket", now}, old)
}

// What a file system has in its root itself is neither told of nor deleted; elsewhere a folder of that name is as any other.
func TestFolderForWhatIsFoundInARepairIsNoSurplus(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.dir("d", g.file("f", "f"))), mountImage(t, newImage(t, 64, "mkfs.ext4"))
	others := func(o *Options) { o.VerifyOnly, o.Others = true, true }
	g.restore(v, dir)
	wantSame(t, g, v, dir, others)
	write(t, filepath.Join(dir, "lost+found/#12"), "found")
	write(t, filepath.Join(dir, "d/lost+found/x"), "x")
	wantLeft(t, "different", g.restore(v, dir, others).Differs, "d", "d/lost+found")
	wantLeft(t, "failed", g.restore(v, dir, deleting).Failed)
	there(t, dir, []string{"lost+found/#12", "d/f"}, "d/lost+found")
	below := filepath.Join(dir, "below")
	write(t, filepath.Join(below, "lost+found/x"), "x")
	g.restore(v, below, deleting)
	there(t, below, []string{"d/f"}, "lost+found")
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

// A file that is as long as it should be, and takes less room as it is compressed, is whole, and stays as it is.
func TestCompressedFilesAreNotTorn(t *testing.T) {
	g := newRig(t)
	holed := g.file("holed", text(1, pieceLen)+string(make([]byte, pieceLen)))
	holed.Data = 100 * pieceLen // as if it took less than that
	full := g.file("full", text(2, pieceLen))
	full.Data = full.Size
	v, dir := g.version(holed, full, g.file("z", text(3, 9*pieceLen))), t.TempDir()
	g.breakOff(v, dir, 4, func(o *Options) { o.Workers = 1 })
	kill(t, dir)
	must(t, os.Chmod(filepath.Join(dir, "holed"), 0o604))
	must(t, unix.Fallocate(openRW(t, filepath.Join(dir, "full")), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, pieceLen))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "full"), []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: full.Mtime.Sec, Nsec: int64(full.Mtime.Nsec)}}, 0))
	r := g.restore(v, dir)
	wantLeft(t, "skipped", r.Skipped, "holed")
	if st, err := os.Stat(filepath.Join(dir, "holed")); err != nil || st.Mode() != 0o604 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if content(t, filepath.Join(dir, "full")) != text(2, pieceLen) {
		t.Error("a file that lost its content stays so")
	}
}

func openRW(t *testing.T, path string) int {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
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
	v, dir := g.version(holed, g.file("z", text(3, 9*pieceLen))), t.TempDir()
	g.breakOff(v, dir, 4, func(o *Options) { o.Workers = 1 })
	kill(t, dir)
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

func TestVerifyTellsOfAFileThatIsALinkOfAnother(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("one", "x"), g.file("two", "x")), t.TempDir()
	g.restore(v, dir)
	must(t, os.Remove(filepath.Join(dir, "two")))
	must(t, os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "two")))
	r := g.restore(v, dir, func(o *Options) { o.VerifyOnly = true })
	wantLeft(t, "different", r.Differs, "one", "two", ".")
}
