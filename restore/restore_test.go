package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// A version with one of everything.
func (g *rig) everything() *snapshot.Version {
	g.t.Helper()
	one := g.file("one", "two names")
	one.Nlink = 2
	two := one
	two.Name = []byte("two")
	setuid := g.file("setuid", "x")
	setuid.Mode |= 0o4111
	fifo := g.entry("fifo", unix.S_IFIFO|0o606)
	null := g.entry("null", unix.S_IFCHR|0o620)
	null.Rdev = unix.Mkdev(1, 3)
	return g.version(
		g.file("empty", ""), g.file("small", "small"), g.file("large", text(1, 10<<20)), g.file("zeros", strings.Repeat("\x00", 3*pieceLen)),
		g.file("holes", text(2, pieceLen)+strings.Repeat("\x00", 2*pieceLen)+text(3, 100)), g.symlink("link", "/etc/passwd"), setuid, fifo, null,
		g.dir("folder", one, g.dir("deep", g.dir("er", two, g.file("leaf", "leaf"))), g.dir("empty folder")),
		g.xattrs(g.file("xattr", "x"), snapshot.Xattr{Name: "user.a", Value: []byte("b")}),
	)
}

func TestAllComesBackAndASecondRunFindsItEqual(t *testing.T) {
	g := newRig(t)
	v, dir := g.everything(), t.TempDir()
	r := g.restore(v, dir)
	wantLeft(t, "failed", r.Failed)
	wantLeft(t, "skipped", r.Skipped)
	if r.Files != v.Totals.Files || r.Dirs != v.Totals.Dirs {
		t.Errorf("%d files and %d folders, want %+v", r.Files, r.Dirs, v.Totals)
	}
	for name, want := range map[string]string{
		"small": "small", "large": text(1, 10<<20), "folder/one": "two names", "folder/deep/er/two": "two names", "empty": "",
		"holes": text(2, pieceLen) + strings.Repeat("\x00", 2*pieceLen) + text(3, 100),
	} {
		if got := content(t, filepath.Join(dir, name)); got != want {
			t.Errorf("%s has %d bytes, not the right %d", name, len(got), len(want))
		}
	}
	var a, b, st unix.Stat_t
	must(t, unix.Lstat(filepath.Join(dir, "folder/one"), &a))
	must(t, unix.Lstat(filepath.Join(dir, "folder/deep/er/two"), &b))
	if a.Ino != b.Ino || a.Nlink != 2 {
		t.Errorf("the two names are of inodes %d and %d", a.Ino, b.Ino)
	}
	must(t, unix.Lstat(filepath.Join(dir, "setuid"), &st))
	if st.Mode&0o7777 != 0o4755 || st.Uid != 1000 {
		t.Errorf("setuid file is %o of %d", st.Mode, st.Uid)
	}
	must(t, unix.Lstat(filepath.Join(dir, "zeros"), &st))
	if st.Blocks != 0 {
		t.Errorf("a hole takes %d blocks", st.Blocks)
	}
	wantSame(t, g, v, dir)

	before := listing(t, dir)
	r = g.restore(v, dir, overwrite)
	if r.Files != 2 || r.Written != 0 || r.Failed.Count != 0 { // the fifo and the device are made anew
		t.Errorf("restored again: %+v", r)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("restoring again changed\n%sto\n%s", before, after)
	}
	r = g.restore(v, dir)
	wantLeft(t, "failed", r.Failed)
	if r.Skipped.Count+r.Equal != v.Totals.Files || r.Files != 0 {
		t.Errorf("skipping all: %+v", r)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("skipping changed\n%sto\n%s", before, after)
	}
}

// wantSame has verify find nothing.
func wantSame(t *testing.T, g *rig, v *snapshot.Version, dir string, change ...func(*Options)) {
	t.Helper()
	r := g.restore(v, dir, append(change, func(o *Options) { o.VerifyOnly = true })...)
	wantLeft(t, "different", r.Differs)
	wantLeft(t, "failed", r.Failed)
}

func TestVerifyOnlyNamesWhatDiffersAndChangesNothing(t *testing.T) {
	g := newRig(t)
	v, dir := g.everything(), t.TempDir()
	g.restore(v, dir)
	must(t, os.Remove(filepath.Join(dir, "small")))
	write(t, filepath.Join(dir, "folder/deep/er/leaf"), "LEAF")
	must(t, os.Chmod(filepath.Join(dir, "empty"), 0o600))
	must(t, os.RemoveAll(filepath.Join(dir, "folder/empty folder")))
	must(t, unix.Removexattr(filepath.Join(dir, "xattr"), "user.a"))
	f, err := os.OpenFile(filepath.Join(dir, "holes"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("x"), pieceLen+5)
	must(t, err)
	must(t, f.Close())
	before := listing(t, dir)
	r := g.restore(v, dir, func(o *Options) { o.VerifyOnly = true })
	wantLeft(t, "different", r.Differs, ".", "small", "folder", "folder/deep/er/leaf", "empty", "folder/empty folder", "xattr", "holes")
	if after := listing(t, dir); after != before {
		t.Errorf("verifying changed\n%sto\n%s", before, after)
	}
}

func TestSkipLeavesAndOverwriteReplaces(t *testing.T) {
	g := newRig(t)
	big := text(7, 6*pieceLen)
	v := g.version(g.file("a", "theirs"), g.file("big", big), g.symlink("l", "there"))
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "mine")
	write(t, filepath.Join(dir, "big"), big[:3*pieceLen]+"X"+big[3*pieceLen+1:]+"more")
	write(t, filepath.Join(dir, "l"), "a file")
	before := listing(t, dir)
	r := g.restore(v, dir)
	wantLeft(t, "skipped", r.Skipped, "a", "big", "l")
	if after := listing(t, dir); after != before {
		t.Errorf("skipping changed\n%sto\n%s", before, after)
	}
	dry := g.restore(v, dir, overwrite, func(o *Options) { o.DryRun = true })
	if after := listing(t, dir); after != before {
		t.Errorf("a dry run changed\n%sto\n%s", before, after)
	}
	r = g.restore(v, dir, overwrite)
	wantLeft(t, "failed", r.Failed)
	if r.Files != 3 || r.Written != uint64(len("theirs"))+pieceLen || dry.Files != 3 || dry.Written != r.Written {
		t.Errorf("restored %+v, and before dry %+v: only the piece that differs is to be written", r, dry)
	}
	wantSame(t, g, v, dir)
}

func TestPathsIncludesAndExcludes(t *testing.T) {
	g := newRig(t)
	v := g.version(
		g.dir("home", g.dir("me", g.file("notes.txt", "n"), g.file("x.o", "o"), g.dir("src", g.file("a.c", "a"), g.file("a.o", "o"))), g.dir("you", g.file("b.txt", "b"))),
		g.dir("etc", g.file("hosts", "h")),
	)
	for _, c := range []struct {
		what   string
		change func(*Options)
		want   string
	}{
		{"a file", func(o *Options) { o.Paths = []string{"home/me/notes.txt"} }, "home home/me home/me/notes.txt"},
		{"a folder", func(o *Options) { o.Paths = []string{"home/me/src", "etc"} }, "etc etc/hosts home home/me home/me/src home/me/src/a.c home/me/src/a.o"},
		{"an include", func(o *Options) { o.Includes = []string{"*.txt"} }, "home home/me home/me/notes.txt home/you home/you/b.txt"},
		{"an absolute include", func(o *Options) { o.Includes = []string{"/data/home/me/s*"} }, "home home/me home/me/src home/me/src/a.c home/me/src/a.o"},
		{"an include in a path", func(o *Options) { o.Paths, o.Includes = []string{"home/me"}, []string{"*.o", "*.txt"} }, "home home/me home/me/notes.txt home/me/src home/me/src/a.o home/me/x.o"},
		{"an exclude", func(o *Options) { o.Excludes = []string{"*.o", "/data/home/you"} }, "etc etc/hosts home home/me home/me/notes.txt home/me/src home/me/src/a.c"},
	} {
		dir := t.TempDir()
		r := g.restore(v, dir, c.change)
		var got []string
		for line := range strings.Lines(listing(t, dir)) {
			if name := strings.Trim(strings.Fields(line)[0], `"`); name != "." {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.want || r.Failed.Count > 0 {
			t.Errorf("%s restores %q, %+v", c.what, got, r)
		}
		wantSame(t, g, v, dir, c.change)
	}
	if _, err := g.try(t.Context(), v, t.TempDir(), func(o *Options) { o.Paths = []string{"home/nobody"} }); err == nil {
		t.Error("a path that the version has not is no error")
	}
}

// Names are bytes, and those that are no text are told apart.
func TestPatternsTellBytesApart(t *testing.T) {
	g := newRig(t)
	v := g.version(g.file("\xfe", "x"), g.file("\xff", "x"), g.file("\ufffd", "x"), g.dir("d\xfe", g.file("f", "x")), g.dir("d\xff", g.file("f", "x")))
	for _, c := range []struct {
		change     func(*Options)
		have, none []string
	}{
		{func(o *Options) { o.Includes = []string{"\xff", "/data/d\xff/*"} }, []string{"\xff", "d\xff/f"}, []string{"\xfe", "\ufffd", "d\xfe/f"}},
		{func(o *Options) { o.Excludes = []string{"\xff", "/data/d\xff"} }, []string{"\xfe", "\ufffd", "d\xfe/f"}, []string{"\xff", "d\xff"}},
		{func(o *Options) { o.Excludes = []string{"\ufffd", "d[\xf0-\xfe]"} }, []string{"\xfe", "\xff", "d\xff/f"}, []string{"\ufffd", "d\xfe"}},
		{func(o *Options) { o.Excludes = []string{"?"} }, []string{"d\xfe", "d\xff"}, []string{"\xfe", "\xff", "\ufffd"}},
	} {
		dir := t.TempDir()
		g.restore(v, dir, c.change)
		there(t, dir, c.have, c.none...)
	}
}

func TestNothingOutsideTheTargetIsWritten(t *testing.T) {
	g := newRig(t)
	evil := func(name string) snapshot.Entry { return g.file(name, "evil") }
	inner := g.dir("inner", g.file("f", "evil"))
	dotdot := inner
	dotdot.Name = []byte("..")
	v := g.version(evil("../escaped"), evil("a/b"), evil(strings.Repeat("n", 256)), evil("nul\x00"), dotdot, g.dir("sub", evil("f")), g.dir("deep", g.dir("er", evil("f"))), evil("file"))
	for _, mode := range []Conflict{Skip, Overwrite} {
		top := t.TempDir()
		dir, outside := filepath.Join(top, "target"), filepath.Join(top, "outside")
		must(t, os.Mkdir(dir, 0o755))
		write(t, filepath.Join(outside, "f"), "mine")
		must(t, os.MkdirAll(filepath.Join(outside, "er"), 0o755))
		must(t, os.Symlink("../outside", filepath.Join(dir, "sub")))
		must(t, os.Symlink(outside, filepath.Join(dir, "deep")))
		must(t, os.Symlink(filepath.Join(outside, "f"), filepath.Join(dir, "file")))
		before := listing(t, outside)
		r := g.restore(v, dir, func(o *Options) { o.OnConflict = mode })
		wantLeft(t, "failed", r.Failed, "../escaped", "a/b", strings.Repeat("n", 256), "nul\x00", "..", "sub", "deep")
		if after := listing(t, outside); after != before {
			t.Errorf("%s: outside the target\n%sbecame\n%s", mode, before, after)
		}
		if names, _ := filepath.Glob(filepath.Join(top, "*")); len(names) != 2 {
			t.Errorf("%s: beside the target there are %q", mode, names)
		}
		if mode == Overwrite {
			if st, err := os.Lstat(filepath.Join(dir, "file")); err != nil || !st.Mode().IsRegular() {
				t.Errorf("the symlink in the way of a file is now %v, %v", st, err)
			}
		}
	}
}

func TestFolderAndFileInEachOthersWay(t *testing.T) {
	g := newRig(t)
	v := g.version(g.file("file", "f"), g.dir("folder", g.file("in it", "x")), g.file("after", "a"))
	fill := func() string {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "file/theirs"), "keep")
		write(t, filepath.Join(dir, "folder"), "keep")
		return dir
	}
	for _, mode := range []Conflict{Skip, Overwrite} {
		dir := fill()
		r := g.restore(v, dir, func(o *Options) { o.OnConflict = mode })
		wantLeft(t, "failed", r.Failed, "file", "folder")
		if content(t, filepath.Join(dir, "file/theirs")) != "keep" || content(t, filepath.Join(dir, "folder")) != "keep" || content(t, filepath.Join(dir, "after")) != "a" {
			t.Errorf("%s: wrong after all", mode)
		}
	}
	dir := fill()
	write(t, filepath.Join(dir, "surplus/a/b"), "x")
	write(t, filepath.Join(dir, "kept.log"), "x")
	r := g.restore(v, dir, overwrite, func(o *Options) { o.Delete, o.Keep = true, []string{"*.log"} })
	wantLeft(t, "failed", r.Failed)
	if r.Deleted != 6 { // three in surplus, two in the file's place, one in the folder's
		t.Errorf("%d deleted", r.Deleted)
	}
	if content(t, filepath.Join(dir, "kept.log")) != "x" || content(t, filepath.Join(dir, "file")) != "f" {
		t.Error("wrong after deleting")
	}
	if _, err := os.Lstat(filepath.Join(dir, "surplus")); err == nil {
		t.Error("what the version has not is still there")
	}
	wantSame(t, g, v, dir)
}

func TestInterruptedRestoreGoesOn(t *testing.T) {
	g := newRig(t)
	var kids []snapshot.Entry
	for i := range 40 {
		kids = append(kids, g.dir(string(rune('a'+i)), g.file("one", text(i, 3*pieceLen)), g.file("two", "2")))
	}
	v, dir := g.version(kids...), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	stop := &limiter{do: cancel}
	stop.after.Store(50)
	if _, err := g.try(ctx, v, dir, func(o *Options) { o.Limiter = stop }); err == nil {
		t.Fatal("it was not interrupted")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", temporary+"*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	r := g.restore(v, dir)
	if r.Skipped.Count == 0 || r.Files == 0 || r.Failed.Count > 0 {
		t.Errorf("the second run: %+v", r)
	}
	wantSame(t, g, v, dir)
}

// A part of the target that is read-only, or has a limit of its own, fails its files only; the target itself fails all.
func TestPartOfTheTargetThatTakesNothingFailsItsFilesOnly(t *testing.T) {
	g := newRig(t)
	v := g.version(g.file("top", "t"), g.dir("a", g.file("f", "f")), g.dir("few", g.file("big", text(1, 4<<20)), g.file("small", "small")), g.dir("none", g.file("f", "f"), g.symlink("l", "f")), g.dir("z", g.file("f", "f")))
	dir := mountImage(t, newImage(t, 120, "mkfs.btrfs"))
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"few", "none"} {
		command(t, "btrfs", "subvolume", "create", path(name))
		write(t, path(name+"/mine"), "mine")
	}
	command(t, "btrfs", "property", "set", path("none"), "ro", "true")
	command(t, "btrfs", "quota", "enable", dir)
	command(t, "btrfs", "qgroup", "limit", "2M", path("few"))
	r := g.restore(v, dir, func(o *Options) { o.Workers = 1 })
	wantLeft(t, "failed", r.Failed, "few/big", "none/f", "none/l")
	there(t, dir, []string{"a/f", "few/small", "z/f"})
	if _, err := g.try(t.Context(), v, path("none")); !errors.Is(err, unix.EROFS) {
		t.Errorf("a target that is read-only: %v", err)
	}
	if _, err := g.try(t.Context(), v, path("few"), func(o *Options) { o.Paths = []string{"few"} }); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("a target that is full: %v", err)
	}
}

type limiter struct {
	after atomic.Int32
	do    func()
}

func (l *limiter) WaitN(ctx context.Context, _ int) error {
	if l.after.Add(-1) == 0 {
		l.do()
	}
	return ctx.Err()
}

func TestTornFileIsRestoredThoughOthersAreSkipped(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("torn", text(1, 2*pieceLen)), g.file("short", text(2, pieceLen)), g.file("z", text(3, 9*pieceLen))), t.TempDir()
	g.breakOff(v, dir, 5, func(o *Options) { o.Workers = 1 })
	kill(t, dir)
	for name, keep := range map[string]bool{"torn": true, "short": false} {
		path := filepath.Join(dir, name)
		var st unix.Stat_t
		must(t, unix.Stat(path, &st))
		must(t, os.Truncate(path, 0))
		if keep {
			must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, st.Mtim}, 0))
		}
	}
	r := g.restore(v, dir)
	wantLeft(t, "skipped", r.Skipped, "short")
	if content(t, filepath.Join(dir, "torn")) != text(1, 2*pieceLen) {
		t.Error("a file that lost its content in a power loss stays so")
	}
}

// All files of a build or a deployment may have one time, whatever is in them: one that is in the way is no torn one of a restore if none was broken off, nor if it was there before.
func TestFileOfTheSameTimeThatIsShorterStays(t *testing.T) {
	g := newRig(t)
	v := g.version(g.file("less", text(1, 2*pieceLen)), g.file("sparse", text(2, 2*pieceLen)), g.file("z", text(3, 9*pieceLen)))
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	g.restore(v, dir)
	tear(t, path("less"), func(f *os.File) error { return f.Truncate(5) })
	tear(t, path("sparse"), func(f *os.File) error { return errors.Join(f.Truncate(0), f.Truncate(2*pieceLen)) })
	before := listing(t, dir)
	for range 2 {
		r := g.restore(v, dir)
		if wantLeft(t, "skipped", r.Skipped, "less", "sparse", "z"); listing(t, dir) != before {
			t.Fatalf("there was\n%sand is\n%s", before, listing(t, dir))
		}
	}
	must(t, os.Remove(path("z")))
	g.breakOff(v, dir, 1)
	remark(t, dir, func(c *claim) { c.from, c.until = c.from+2*clockBack, 0 }) // as if they had been there for long
	wantLeft(t, "skipped after one that was broken off", g.restore(v, dir).Skipped, "less", "sparse")
}

func TestLostContentFailsItsFileOnly(t *testing.T) {
	g := newRig(t)
	lost := g.file("lost", "lost")
	lost.Content[0].ID = store.ID{1}
	dir := t.TempDir()
	r := g.restore(g.version(lost, g.file("short chunk", "s"), g.file("well", "well")), dir)
	wantLeft(t, "failed", r.Failed, "lost")
	if content(t, filepath.Join(dir, "well")) != "well" {
		t.Error("the other file is wrong")
	}
	if _, err := os.Lstat(filepath.Join(dir, "lost")); err == nil {
		t.Error("a file that could not be read is there")
	}
}

// Attributes that are lost fail nothing that is to have none; what the group may do is not known without the ACL that may be among them, so it may nothing.
func TestLostAttributesFailNothingWithoutMetadata(t *testing.T) {
	g := newRig(t)
	lost := func(e snapshot.Entry) snapshot.Entry {
		e.XattrRefs = []snapshot.Ref{{ID: store.ID{1}, Len: 100}}
		return e
	}
	v, dir := g.version(lost(g.file("a", "well")), lost(g.dir("d", g.file("f", "f")))), t.TempDir()
	wantLeft(t, "failed", g.restore(v, dir).Failed, "a", "d")
	plain := func(o *Options) { o.NoMetadata, o.OnConflict = true, Overwrite }
	for range 2 {
		wantLeft(t, "failed", g.restore(v, dir, plain).Failed)
		wantSame(t, g, v, dir, plain)
	}
	for name, want := range map[string]os.FileMode{"a": 0o604, "d": 0o700, "d/f": 0o644} {
		st, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if st.Mode().Perm() != want {
			t.Errorf("%s: %v", name, st.Mode())
		}
	}
}

// A large file of which something is lost fails alone too, whichever of its threads meets it, and whatever it cancels for that.
func TestLostContentOfALargeFileFailsItsFileOnly(t *testing.T) {
	g := newRig(t)
	lost := g.file("a", text(1, 3*pieceLen)+strings.Repeat("\x00", largeFile))
	if lost.Depth != 0 || lost.Size < largeFile {
		t.Fatalf("it has lists %d deep: this tests nothing", lost.Depth)
	}
	lost.Content[1] = snapshot.Ref{ID: store.ID{1}, Len: pieceLen - 1}
	lost.Content[2].Len++
	dir := t.TempDir()
	r := g.restore(g.version(lost, g.file("b", "well")), dir, func(o *Options) { o.Limiter = lastOf(pieceLen - 1) })
	wantLeft(t, "failed", r.Failed, "a")
	if r.Lost != 1 || content(t, filepath.Join(dir, "b")) != "well" {
		t.Errorf("%d are lost, and the file behind is %q", r.Lost, content(t, filepath.Join(dir, "b")))
	}
}

// lastOf has pieces that are longer than some length wait until they are cancelled.
type lastOf int

func (l lastOf) WaitN(ctx context.Context, n int) error {
	if n > int(l) {
		<-ctx.Done()
	}
	return ctx.Err()
}

func TestNoOwnerGivesNeitherOwnersNorSetIDBits(t *testing.T) {
	g := newRig(t)
	f := g.xattrs(g.file("f", "x"), snapshot.Xattr{Name: capability, Value: []byte{0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}})
	f.Mode |= 0o6111
	v, dir, noOwner := g.version(f), t.TempDir(), func(o *Options) { o.NoOwner = true }
	g.restore(v, dir, noOwner)
	path := filepath.Join(dir, "f")
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	if _, err := unix.Getxattr(path, capability, nil); st.Uid != 0 || st.Mode&0o7777 != 0o755 || !errors.Is(err, unix.ENODATA) {
		t.Errorf("it is %o of %d, its capabilities: %v", st.Mode, st.Uid, err)
	}
	wantSame(t, g, v, dir, noOwner) // to verify tells of nothing that was not asked for
	must(t, os.Chmod(path, 0o755|os.ModeSetuid))
	verify := func(o *Options) { o.VerifyOnly = true }
	wantLeft(t, "different", g.restore(v, dir, noOwner, verify).Differs, "f")
	g.restore(v, dir, noOwner, overwrite)
	wantSame(t, g, v, dir, noOwner)
	wantLeft(t, "different", g.restore(v, dir, verify).Differs, "f", ".")
}

func TestVerifyOnlyTellsOfWhatTheVersionHasNot(t *testing.T) {
	g := newRig(t)
	v, dir := g.everything(), t.TempDir()
	g.restore(v, dir)
	others := func(o *Options) { o.VerifyOnly, o.Others, o.Keep = true, true, []string{"*.tmp"} }
	wantLeft(t, "different", g.restore(v, dir, others).Differs)
	write(t, filepath.Join(dir, "surplus", "deep", "file"), "x")
	write(t, filepath.Join(dir, "folder", "deep", "new"), "x")
	write(t, filepath.Join(dir, "kept.tmp"), "x")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "socket")}))
	must(t, unix.Close(fd))
	must(t, os.Remove(filepath.Join(dir, "folder/one")))
	write(t, filepath.Join(dir, "folder/one"), "two names")
	before := listing(t, dir)
	r := g.restore(v, dir, others)
	linked := 0 // of two names that are no more of one file, it is told for the one that is met last
	r.Differs.Items = slices.DeleteFunc(r.Differs.Items, func(l Left) bool {
		linked += strings.Count(l.What, "no hard link of folder/")
		return l.Path == "folder/deep/er/two"
	})
	r.Differs.Count = uint64(len(r.Differs.Items))
	wantLeft(t, "different", r.Differs, ".", "folder", "folder/deep", "surplus", "folder/deep/new", "folder/one")
	if linked != 1 {
		t.Errorf("it is told %d times that a hard link is none", linked)
	}
	wantLeft(t, "failed", r.Failed)
	if after := listing(t, dir); after != before {
		t.Errorf("verifying changed\n%sto\n%s", before, after)
	}
	part := g.restore(v, dir, others, func(o *Options) { o.Paths = []string{"folder/deep"} })
	for _, l := range part.Differs.Items {
		if !strings.HasPrefix(l.Path, "folder/deep") {
			t.Errorf("of a part that is verified it tells of %+v", l)
		}
	}
}

// Whoever changes the target while it is restored to, from folders to symlinks that lead out of it and back, has nothing written outside.
func TestTargetThatIsChangedMeanwhileLeadsNowhereElse(t *testing.T) {
	g := newRig(t)
	var kids []snapshot.Entry
	for i := range 30 {
		kids = append(kids, g.dir(fmt.Sprintf("d%02d", i), g.file("f", text(i, pieceLen)), g.dir("sub", g.file("f", "f"), g.symlink("l", "/"))))
	}
	v := g.version(kids...)
	changed := 0
	for round := range 5 {
		top := t.TempDir()
		dir, outside := filepath.Join(top, "target"), filepath.Join(top, "outside")
		must(t, os.MkdirAll(filepath.Join(outside, "sub"), 0o755))
		write(t, filepath.Join(outside, "f"), "mine")
		must(t, os.Mkdir(dir, 0o755))
		before := listing(t, outside)
		end, ended := make(chan struct{}), make(chan int)
		go func() {
			swaps := 0
			defer func() { ended <- swaps }()
			for i := 0; ; i = (i + 1) % 30 {
				select {
				case <-end:
					return
				default:
				}
				name := filepath.Join(dir, fmt.Sprintf("d%02d", i))
				if os.Rename(name, name+".away") == nil && os.Symlink(outside, name) == nil {
					swaps++
				}
			}
		}()
		mode := []Conflict{Skip, Overwrite}[round%2]
		for range 3 {
			_, err := g.try(t.Context(), v, dir, func(o *Options) { o.OnConflict, o.Delete = mode, mode == Overwrite })
			must(t, err)
		}
		close(end)
		changed += <-ended
		if after := listing(t, outside); after != before {
			t.Errorf("%s: outside the target\n%sbecame\n%s", mode, before, after)
		}
	}
	if changed == 0 {
		t.Error("nothing was changed: this tests nothing")
	}
}
