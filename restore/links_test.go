package restore

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// names are an entry under each of some names.
func names(e snapshot.Entry, all ...string) (kids []snapshot.Entry) {
	e.Nlink = uint32(len(all))
	for _, name := range all {
		e.Name = []byte(name)
		kids = append(kids, e)
	}
	return kids
}

// inode is the number and the link count of a file.
func inode(t *testing.T, path string) (ino, links uint64) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return st.Ino, uint64(st.Nlink)
}

// Files that are two in the version and were made one since, as hardlink(1) does, are two again, whatever else they have.
func TestTwoFilesThatWereMadeOneAreTwoAgain(t *testing.T) {
	for _, equal := range []bool{false, true} {
		for _, mode := range []Conflict{Overwrite, Skip} {
			g := newRig(t)
			one, other := g.file("", "the same"), g.file("", "the same")
			other.UID, other.Mode = 2, unix.S_IFREG|0o600
			if equal {
				ino := other.Ino
				other = one
				other.Ino = ino
			}
			link, also := g.symlink("", "to"), g.symlink("", "to")
			also.UID = 2
			if equal {
				also.UID, also.Mtime = link.UID, link.Mtime
			}
			kids := append(names(one, "a", "b"), names(other, "c", "d")...)
			kids = append(append(kids, names(link, "k", "l")...), names(also, "m", "n")...)
			v, dir := g.version(kids...), t.TempDir()
			g.restore(v, dir)
			path := func(name string) string { return filepath.Join(dir, name) }
			join := func(from string, to ...string) {
				for _, name := range to {
					must(t, os.Remove(path(name)))
					must(t, os.Link(path(from), path(name)))
				}
			}
			join("a", "b", "c", "d")
			join("k", "l", "m", "n")
			if mode == Skip { // of each file a name was lost, which is no other one's
				must(t, os.Remove(path("b")))
				must(t, os.Remove(path("d")))
			}
			dry := g.restore(v, dir, func(o *Options) { o.OnConflict, o.DryRun = mode, true })
			r := g.restore(v, dir, func(o *Options) { o.OnConflict = mode })
			wantLeft(t, "failed", r.Failed)
			if dry.Failed.Count > 0 || mode == Overwrite && (dry.Written > 0 || r.Written > 0) {
				t.Errorf("restored %+v, and before dry %+v", r, dry)
			}
			pairs := [][2]string{{"b", "d"}}
			if mode == Overwrite {
				wantSame(t, g, v, dir)
				pairs = [][2]string{{"b", "d"}, {"l", "n"}}
			}
			for _, p := range pairs {
				one, _ := inode(t, path(p[0]))
				if other, _ := inode(t, path(p[1])); one == other {
					t.Errorf("equal %v, %s: %q are names of one file", equal, mode, p)
				}
			}
		}
	}
}

// While a version is made a file can get the number of one that was deleted: their names stay those of two, though size and time are the same.
func TestNamesOfAnotherFileWithTheSameNumberAreNotJoined(t *testing.T) {
	g := newRig(t)
	null, link := g.entry("", unix.S_IFCHR|0o620), g.symlink("", "here")
	null.Rdev = unix.Mkdev(1, 3)
	var kids []snapshot.Entry
	for kind, e := range map[string]snapshot.Entry{"file": g.file("", "old"), "device": null, "link": link, "fifo": g.entry("", unix.S_IFIFO|0o606)} {
		later := e
		switch kind {
		case "file":
			later.Content, later.Btime.Sec = g.file("", "new").Content, 7
		case "device":
			later.Rdev = unix.Mkdev(1, 5)
		case "link":
			later.Target = []byte("away")
		case "fifo":
			later.Btime.Nsec = 7
		}
		kids = append(kids, names(e, kind+" 1", kind+" gone")[0]) // the other name was deleted before it was met
		kids = append(kids, names(later, kind+" 2", kind+" 3")...)
	}
	v, dir := g.version(kids...), t.TempDir()
	wantLeft(t, "failed", g.restore(v, dir, func(o *Options) { o.Workers = 1 }).Failed)
	wantSame(t, g, v, dir)
	for _, kind := range []string{"file", "device", "link", "fifo"} {
		path := filepath.Join(dir, kind)
		old, links := inode(t, path+" 1")
		later, of := inode(t, path+" 2")
		if also, _ := inode(t, path+" 3"); old == later || later != also || links != 1 || of != 2 {
			t.Errorf("%s: the names are of the inodes %d, %d and %d", kind, old, later, also)
		}
	}
	if got := content(t, filepath.Join(dir, "file 1")) + content(t, filepath.Join(dir, "file 3")); got != "oldnew" {
		t.Errorf("the files have %q", got)
	}
}

// What is overwritten in place may have names outside the target: nothing comes to these.
func TestOtherNamesOfWhatIsOverwrittenStayAsTheyAre(t *testing.T) {
	g := newRig(t)
	kids := append(names(g.file("", text(1, 3*pieceLen)), "a", "b"), names(g.symlink("", "to"), "k", "l")...)
	v, top := g.version(kids...), t.TempDir()
	dir, outside := filepath.Join(top, "target"), filepath.Join(top, "outside")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Mkdir(outside, 0o755))
	g.restore(v, dir)
	for name, path := range map[string]string{"a": "f", "k": "link"} {
		must(t, os.Link(filepath.Join(dir, name), filepath.Join(outside, path)))
	}
	r := g.restore(v, dir, overwrite)
	if before, links := inode(t, filepath.Join(outside, "f")); r.Equal != 4 || links != 3 {
		t.Errorf("what is as it should be was made anew: %+v, %d, %d", r, before, links)
	}
	must(t, os.Chmod(filepath.Join(outside, "f"), 0o600))
	must(t, os.Lchown(filepath.Join(outside, "f"), 7, 8))
	must(t, os.Lchown(filepath.Join(outside, "link"), 7, 8))
	before := listing(t, outside)
	r = g.restore(v, dir, overwrite)
	wantLeft(t, "failed", r.Failed)
	if after := listing(t, outside); after != before {
		t.Errorf("outside the target was\n%sand is\n%s", before, after)
	}
	wantSame(t, g, v, dir)
	if r.Written != 0 || !strings.Contains(listing(t, dir), `"a" 100644 1000:1001`) {
		t.Errorf("%d bytes came from the vault, and there is\n%s", r.Written, listing(t, dir))
	}
}

// A name that lies in another subvolume of the target cannot be one of the same file: it gets a file of its own.
func TestNamesInAnotherSubvolumeBecomeFiles(t *testing.T) {
	g := newRig(t)
	one := names(g.file("", text(1, 2*pieceLen)), "a", "b", "c")
	v, dir := g.version(one[0], g.dir("sub", one[1], one[2])), mountImage(t, newImage(t, 120, "mkfs.btrfs"))
	command(t, "btrfs", "subvolume", "create", filepath.Join(dir, "sub"))
	write(t, filepath.Join(dir, "sub/c"), "mine")
	r := g.restore(v, dir, overwrite)
	wantLeft(t, "failed", r.Failed)
	if r.Notes.Count != 1 || r.Files != 3 {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"a", "sub/b", "sub/c"} {
		if content(t, filepath.Join(dir, name)) != text(1, 2*pieceLen) {
			t.Errorf("%s is wrong", name)
		}
	}
}

// A name that is missing becomes a hard link of what is there by another one only if that is what the version has, as far as the target can hold it: it may be somebody else's by now.
func TestMissingNamesBecomeLinksOfWhatTheVersionHasOnly(t *testing.T) {
	g := newRig(t)
	null := g.entry("", unix.S_IFCHR|0o620)
	null.Rdev = unix.Mkdev(1, 3)
	fifo, file, link := g.entry("", unix.S_IFIFO|0o606), g.file("", "the same"), g.symlink("", "to")
	replaced := func(e *snapshot.Entry, do func(path string) error) func(path string) error {
		return func(path string) error {
			return errors.Join(os.Remove(path), do(path), os.Lchown(path, int(e.UID), int(e.GID)))
		}
	}
	all := map[string]struct {
		e      *snapshot.Entry
		change func(path string) error // nil: it stays as it is
	}{
		"file": {&file, nil}, "link": {&link, nil}, "fifo": {&fifo, nil}, "device": {&null, nil},
		"file of another":   {&file, func(path string) error { return os.Chown(path, 7, 7) }},
		"open file":         {&file, func(path string) error { return os.Chmod(path, 0o666) }},
		"file with an ACL":  {&file, func(path string) error { return unix.Setxattr(path, aclAccess, aclOf(6, 6, 4, 4, 4).Value, 0) }},
		"link of another":   {&link, func(path string) error { return os.Lchown(path, 7, 7) }},
		"link elsewhere":    {&link, replaced(&link, func(path string) error { return os.Symlink("elsewhere", path) })},
		"fifo of another":   {&fifo, func(path string) error { return os.Chown(path, 7, 7) }},
		"device of another": {&null, func(path string) error { return os.Chown(path, 7, 7) }},
		"other device": {&null, replaced(&null, func(path string) error {
			return errors.Join(unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(1, 5))), os.Chmod(path, 0o620))
		})},
	}
	var kids []snapshot.Entry
	for name, c := range all {
		g.ino++
		e := *c.e
		e.Ino = g.ino
		kids = append(kids, names(e, name+" 1", name+" 2")...)
	}
	v := g.version(kids...)
	for what, target := range map[string]func(t *testing.T) string{
		"holds all":           func(t *testing.T) string { return t.TempDir() },
		"times to the second": func(t *testing.T) string { return mountImage(t, newImage(t, 64, "mkfs.ext4", "-I", "128")) },
		"no files without a name": func(t *testing.T) string {
			dir, _ := mountRemote(t)
			return dir
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := target(t)
			g.restore(v, dir)
			seconds := func() (lines []string) {
				for line := range strings.Lines(listing(t, dir)) {
					if strings.Contains(line, ` 2" `) {
						lines = append(lines, line)
					}
				}
				return lines
			}
			before := seconds()
			for name, c := range all {
				path := filepath.Join(dir, name)
				must(t, os.Remove(path+" 2"))
				if c.change != nil {
					var st unix.Stat_t
					must(t, unix.Lstat(path+" 1", &st))
					must(t, c.change(path+" 1"))
					must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path+" 1", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW))
				}
			}
			r := g.restore(v, dir, func(o *Options) { o.Workers = 1 }) // the first names first
			wantLeft(t, "failed", r.Failed)
			if r.Skipped.Count != uint64(len(all)) || r.Files != uint64(len(all)) {
				t.Errorf("restored %+v", r)
			}
			if after := seconds(); len(before) != len(all) || !slices.Equal(after, before) {
				t.Errorf("there were\n%sand are\n%s", before, after)
			}
			for name, c := range all {
				path := filepath.Join(dir, name)
				one, _ := inode(t, path+" 1")
				if two, _ := inode(t, path+" 2"); (one == two) != (c.change == nil) {
					t.Errorf("%s: the names are of the inodes %d and %d", name, one, two)
				}
			}
		})
	}
}

// Of a file that was there and all names of which were met nothing is kept but what it was taken for.
func TestFilesWithSeveralNamesAreNotKept(t *testing.T) {
	g := newRig(t)
	r, err := newRun(Options{Vault: g.vault, Version: g.version()})
	must(t, err)
	freed := make(chan struct{})
	func() {
		e := g.entry("f", unix.S_IFREG|0o644)
		it := &item{entry: e, link: r.hardlink(&e)}
		runtime.AddCleanup(it.link, func(struct{}) { close(freed) }, struct{}{})
		if !r.takes(it, made{ok: true, ino: 1}) {
			t.Error("it is another's")
		}
	}()
	for range 10 {
		runtime.GC()
		select {
		case <-freed:
			return
		case <-time.After(time.Second):
		}
	}
	t.Errorf("it is kept with %d others", len(r.taken))
}

// Who may not read everything cannot give a name to what has none before Linux 6.10, nor since to what was opened with other privileges: it gets one all the same, and so does a symlink.
func TestWhatIsOpenGetsANameWithoutPrivileges(t *testing.T) {
	dir := t.TempDir()
	d := openDir(t, dir)
	file, err := openIn(d, ".", unix.O_TMPFILE|unix.O_RDWR)
	must(t, err)
	defer unix.Close(file)
	must(t, pwrite(file, []byte("content"), 0))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "link")))
	link, err := openIn(d, "link", unix.O_PATH)
	must(t, err)
	defer unix.Close(link)
	without(t, unix.CAP_DAC_READ_SEARCH, func() {
		if err := unix.Linkat(file, "", d, "f", unix.AT_EMPTY_PATH); err != unix.ENOENT {
			t.Skipf("it needs none here: %v", err)
		}
		must(t, linkOpen(file, d, "f"))
		must(t, linkOpen(link, d, "other"))
		if err := linkOpen(link, d, "f"); err != unix.EEXIST {
			t.Errorf("a name that is taken: %v", err)
		}
	})
	if to, err := os.Readlink(filepath.Join(dir, "other")); err != nil || to != "nowhere" || content(t, filepath.Join(dir, "f")) != "content" {
		t.Errorf("there are %q and a link to %q, %v", content(t, filepath.Join(dir, "f")), to, err)
	}
}

// A name of a file that comes when the restore was given up over another of its names keeps no folder open.
func TestNameThatComesTooLateKeepsNoFolderOpen(t *testing.T) {
	g := newRig(t)
	r, err := newRun(Options{Vault: g.vault, Version: g.version()})
	must(t, err)
	e := g.entry("first", unix.S_IFREG|0o644)
	l := r.hardlink(&e)
	item := func() *item {
		it := &item{in: &folder{}, entry: e, link: l}
		it.in.pending.Store(2)
		return it
	}
	first, waits, late := item(), item(), item()
	l.making = true
	must(t, r.linked(waits))
	_, rest := l.end(first, made{}, unix.ENOSPC)
	must(t, r.linked(late))
	if len(rest) != 1 || rest[0] != waits || late.in.pending.Load() != 2 {
		t.Errorf("%d names are to be ended, and %d things keep the folder of the late one", len(rest), late.in.pending.Load())
	}
}
