package restore

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// breakOff restores until n pieces were read.
func (g *rig) breakOff(v *snapshot.Version, to string, n int32, change ...func(*Options)) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	stop := &limiter{do: cancel}
	stop.after.Store(n)
	if _, err := g.try(ctx, v, to, append(change, func(o *Options) { o.Limiter = stop })...); !errors.Is(err, context.Canceled) {
		g.t.Fatalf("it was not broken off: %v", err)
	}
}

// remark changes the mark of a restore that was broken off.
func remark(t *testing.T, target string, change func(c *claim)) {
	t.Helper()
	value := make([]byte, 256)
	n, err := unix.Getxattr(target, snapshot.RestoringMark, value)
	must(t, err)
	c := parseClaim(string(value[:n]))
	change(&c)
	must(t, unix.Setxattr(target, snapshot.RestoringMark, c.text(), 0))
}

// kill has the restore that was broken off not have ended in order.
func kill(t *testing.T, target string) {
	t.Helper()
	remark(t, target, func(c *claim) { c.until = 0 })
}

// reboot has it be cut off in another boot.
func reboot(t *testing.T, target string) {
	t.Helper()
	remark(t, target, func(c *claim) { c.moment, c.until = "another", 0 })
}

func isMarked(t *testing.T, target string) bool {
	t.Helper()
	_, err := unix.Getxattr(target, snapshot.RestoringMark, nil)
	if err != nil && !errors.Is(err, unix.ENODATA) {
		t.Fatal(err)
	}
	return err == nil
}

// tear writes into a file, and leaves its time.
func tear(t *testing.T, path string, do func(f *os.File) error) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, do(f))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, st.Mtim}, 0))
}

// newImage makes a file system in a file of some MiB, by the command and its options.
func newImage(t *testing.T, mib int64, mkfs ...string) (image string) {
	t.Helper()
	if _, err := exec.LookPath(mkfs[0]); err != nil {
		t.Skip(err)
	}
	image = filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, mib<<20))
	command(t, append(mkfs, "-q", image)...)
	return image
}

// mountImage mounts the file system in a file until the test ends.
func mountImage(t *testing.T, image string, options ...string) (point string) {
	t.Helper()
	point = t.TempDir()
	command(t, "mount", "-o", strings.Join(append(options, "loop"), ","), image, point)
	t.Cleanup(func() {
		err := unix.Unmount(point, 0)
		for begin := time.Now(); err == unix.EBUSY && time.Since(begin) < 5*time.Second; err = unix.Unmount(point, 0) {
			time.Sleep(20 * time.Millisecond) // what nobody waits for any more has it open yet
		}
		if err != nil {
			t.Errorf("%s: %v", point, err)
			_ = unix.Unmount(point, unix.MNT_DETACH)
		}
	})
	return point
}

func command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// A power cut leaves names of files whose content was not on the disk yet, here of a file system that holds times to the second. The same restore puts them right, and leaves what is not
// of the one before.
func TestRestoreGoesOnAfterAPowerCut(t *testing.T) {
	g := newRig(t)
	kids := []snapshot.Entry{g.file("mine", "theirs")}
	for i := range 40 {
		kids = append(kids, g.dir(string(rune('a'+i)), g.file("one", text(i, 3*pieceLen)), g.file("two", "2")))
	}
	v, disk := g.version(kids...), newImage(t, 64, "mkfs.ext4", "-I", "128")
	dir := mountImage(t, disk)
	write(t, filepath.Join(dir, "mine"), "mine")
	unix.Sync()
	after := filepath.Join(t.TempDir(), "disk")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var cutErr error
	cut := &limiter{do: func() {
		f, err := os.Create(filepath.Join(dir, "else")) // somebody has the journal written
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		cutErr = errors.Join(err, exec.Command("cp", "--sparse=always", disk, after).Run())
		cancel()
	}}
	cut.after.Store(60)
	if _, err := g.try(ctx, v, dir, func(o *Options) { o.Limiter, o.Workers = cut, 1 }); !errors.Is(err, context.Canceled) || cutErr != nil {
		t.Fatalf("it ended with %v, and was cut off with %v", err, cutErr)
	}
	dir = mountImage(t, after)
	torn := 0
	for i := range 40 {
		b, err := os.ReadFile(filepath.Join(dir, string(rune('a'+i)), "one"))
		if err == nil && string(b) != text(i, 3*pieceLen) {
			torn++
		}
	}
	if torn == 0 {
		t.Skip("nothing is torn: somebody had all written meanwhile")
	}
	r := g.restore(v, dir)
	wantLeft(t, "failed", r.Failed)
	if content(t, filepath.Join(dir, "mine")) != "mine" {
		t.Error("what was in the way did not stay")
	}
	r = g.restore(v, dir, func(o *Options) { o.VerifyOnly, o.ContentOnly = true, true })
	wantLeft(t, "different", r.Differs, "mine")
	if isMarked(t, dir) {
		t.Error("the target is marked for good")
	}
}

// After a power cut a file may be as long as it should be, have all its blocks and the right time, and be of zeros.
func TestAfterAPowerCutFilesAreCompared(t *testing.T) {
	g := newRig(t)
	one := g.file("one", text(8, pieceLen))
	one.Nlink = 2
	two := one
	two.Name = []byte("two")
	v := g.version(g.file("big", text(1, 20*pieceLen)), g.file("torn", text(2, 2*pieceLen)), g.file("changed", text(3, pieceLen)), g.dir("links", one, two), g.file("z", text(4, 40*pieceLen)))
	spoil := func(dir string) {
		t.Helper()
		for _, name := range []string{"torn", "links/one"} {
			tear(t, filepath.Join(dir, name), func(f *os.File) error {
				_, err := f.WriteAt(make([]byte, pieceLen), 0)
				return err
			})
		}
		write(t, filepath.Join(dir, "changed"), "changed")
	}
	dir := t.TempDir()
	g.restore(v, dir)
	if isMarked(t, dir) {
		t.Error("after a restore the target is marked")
	}
	must(t, os.Remove(filepath.Join(dir, "z")))
	spoil(dir)
	g.breakOff(v, dir, 1)
	g.breakOff(v, dir, 1) // it keeps the mark
	reboot(t, dir)
	g.restore(v, dir, func(o *Options) { o.Paths = []string{"big"} }) // another one does not end it
	dry := g.restore(v, dir, func(o *Options) { o.DryRun = true })
	g.breakOff(v, dir, 1) // and still doubts
	r := g.restore(v, dir)
	wantLeft(t, "failed", r.Failed)
	if r.Files != dry.Files {
		t.Errorf("%d files restored, and %d in a dry run", r.Files, dry.Files)
	}
	r = g.restore(v, dir, func(o *Options) { o.VerifyOnly, o.ContentOnly = true, true })
	wantLeft(t, "different", r.Differs, "changed")
	if isMarked(t, dir) {
		t.Error("the target is marked for good")
	}
	spoil(dir)
	r = g.restore(v, dir)
	wantLeft(t, "restored anew though there is nothing to doubt", List{Count: r.Files})
}

// Whoever broke a restore off, the files are there: they are not read again unless the machine was started anew, or the disk mounted.
func TestRestoreThatWasBrokenOffGoesOnWithoutReading(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("a", text(1, 10*pieceLen)), g.file("b", text(2, 10*pieceLen))), t.TempDir()
	if moment(openDir(t, dir)) == "" {
		t.Skip("needs Linux 6.8")
	}
	g.breakOff(v, dir, 11, func(o *Options) { o.Workers = 1 })
	kill(t, dir)
	count := &limiter{do: func() {}}
	count.after.Store(1000)
	r := g.restore(v, dir, func(o *Options) { o.Limiter = count })
	if read := 1000 - count.after.Load(); read != 10 || r.Skipped.Count != 1 {
		t.Errorf("%d pieces were read, and %d files skipped", read, r.Skipped.Count)
	}
}

// What somebody changed is not torn, though its size and time are as they were: neither before the restore that a power cut broke off, nor after one that was cancelled.
func TestWhatNoPowerCutToreIsSkipped(t *testing.T) {
	for what, change := range map[string]func(c *claim){
		"before":                   func(c *claim) { c.moment, c.from, c.until = "another", c.from+2*clockBack, 0 },
		"after, and booted since":  func(c *claim) { c.moment, c.until = "another", max(c.until, c.from+1) },
		"after, on an older Linux": func(c *claim) { c.moment, c.until = "", max(c.until, c.from+1) },
	} {
		g := newRig(t)
		v, dir := g.version(g.file("mine", "theirs"), g.file("z", text(1, 9*pieceLen))), t.TempDir()
		g.breakOff(v, dir, 6, func(o *Options) { o.Workers = 1 })
		tear(t, filepath.Join(dir, "mine"), func(f *os.File) error {
			_, err := f.WriteAt([]byte("unlike"), 0)
			return err
		})
		remark(t, dir, change)
		g.breakOff(v, dir, 6, func(o *Options) { o.Workers = 1 })
		remark(t, dir, change)
		r := g.restore(v, dir)
		wantLeft(t, "skipped", r.Skipped, "mine")
		if content(t, filepath.Join(dir, "mine")) != "unlike" || isMarked(t, dir) {
			t.Errorf("%s: there is %q, and a mark: %v", what, content(t, filepath.Join(dir, "mine")), isMarked(t, dir))
		}
	}
}

// What a restore was killed over is removed when it goes on, be it a file, a symlink, a fifo or a further name, and nothing else that is called like it.
func TestPartsOfKilledRestoresAreRemoved(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("a", text(1, 9*pieceLen)), g.dir("d", g.file("f", "f"))), t.TempDir()
	part, held, linked := temporary+"01234567-0123456789abcdef", temporary+"01234567-1123456789abcdef", temporary+"01234567-2123456789abcdef"
	folder, like := temporary+"01234567-3123456789abcdef", temporary+"01234567-0123456789abcdef.txt"
	for _, name := range []string{part, "d/" + part, held, linked, like} {
		write(t, filepath.Join(dir, name), "x")
	}
	must(t, os.Mkdir(filepath.Join(dir, folder), 0o755))
	must(t, os.Link(filepath.Join(dir, linked), filepath.Join(dir, "its other name")))
	link, fifo := temporary+"01234567-4123456789abcdef", temporary+"01234567-5123456789abcdef"
	must(t, os.Symlink("its other name", filepath.Join(dir, "d", link)))
	must(t, unix.Mkfifo(filepath.Join(dir, fifo), 0o600))
	parts := []string{part, "d/" + part, linked, "d/" + link, fifo}
	must(t, unix.Flock(openRW(t, filepath.Join(dir, held)), unix.LOCK_EX)) // as a restore under way does
	stay := []string{held, "its other name", like, folder}
	g.restore(v, dir, func(o *Options) { o.Paths = []string{"d"} })
	there(t, dir, append(stay, parts...)) // nothing says that one was broken off
	g.breakOff(v, dir, 3)
	g.restore(v, dir, func(o *Options) { o.DryRun = true })
	there(t, dir, append(stay, parts...))
	later, err := newRun(Options{Vault: g.vault, Version: v, Target: openDir(t, dir)})
	must(t, err)
	later.began = later.began.Add(-time.Hour) // what came since may be another's that is under way
	later.sweep(openDir(t, dir))
	there(t, dir, append(stay, linked, "d/"+link, fifo), part)
	g.restore(v, dir)
	there(t, dir, stay, parts...)
}

// Folders that a restore made, and did not get to give what they have, are given it by the one that goes on; but not once somebody has put them right.
func TestFoldersThatSomebodyPutRightStay(t *testing.T) {
	g := newRig(t)
	kids := []snapshot.Entry{g.file("z", text(9, 9*pieceLen))}
	for i, name := range []string{"theirs", "moded", "as made", "half", "empty"} {
		e := g.dir(name, g.file("big", text(i, 3*pieceLen)))
		if name == "empty" {
			e.Mode |= 0o007
		}
		kids = append(kids, e)
	}
	v, dir := g.version(kids...), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(in("empty"), 0o711))
	g.breakOff(v, dir, 1)
	for _, name := range []string{"theirs", "moded", "as made", "half", "empty"} {
		if _, err := unix.Getxattr(in(name), snapshot.UnfinishedMark, nil); err != nil {
			t.Fatalf("%s: %v: this tests nothing", name, err)
		}
		write(t, filepath.Join(in(name), "mine"), "mine") // one that is empty gets all it has
	}
	must(t, os.Chown(in("theirs"), 7, 7))
	must(t, os.Chmod(in("moded"), 0o711))
	must(t, os.Chown(in("half"), 1000, 1001)) // the restore did
	r := g.restore(v, dir)
	wantLeft(t, "failed", r.Failed)
	r = g.restore(v, dir, func(o *Options) { o.VerifyOnly = true })
	wantLeft(t, "different", r.Differs, ".", "theirs", "moded")
	for _, name := range []string{"theirs", "moded", "as made", "half", "empty"} {
		if _, err := unix.Getxattr(in(name), snapshot.UnfinishedMark, nil); err == nil {
			t.Errorf("%s is marked for good", name)
		}
	}
	must(t, os.Chmod(in("as made"), 0o700)) // a mark that is left where no restore was broken off means nothing
	must(t, unix.Setxattr(in("as made"), snapshot.UnfinishedMark, []byte("700 1000 1001"), 0))
	g.restore(v, dir)
	if st, err := os.Stat(in("as made")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// A yester of before marked folders by an empty value, and not the target.
func TestFoldersThatAYesterOfBeforeLeftUnfinishedAreFinished(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.dir("as made", g.file("f", "f")), g.dir("theirs", g.file("f", "f"))), t.TempDir()
	for name, mode := range map[string]os.FileMode{"as made": 0o700, "theirs": 0o711} {
		write(t, filepath.Join(dir, name, "mine"), "mine")
		must(t, os.Chmod(filepath.Join(dir, name), mode))
		must(t, unix.Setxattr(filepath.Join(dir, name), snapshot.UnfinishedMark, nil, 0))
	}
	g.restore(v, dir)
	r := g.restore(v, dir, func(o *Options) { o.VerifyOnly = true })
	wantLeft(t, "different", r.Differs, ".", "theirs")
	for _, name := range []string{"as made", "theirs"} {
		if _, err := unix.Getxattr(filepath.Join(dir, name), snapshot.UnfinishedMark, nil); err == nil {
			t.Errorf("%s is marked for good", name)
		}
	}
}

// A version that was made while a restore was under way may have its marks.
func TestMarksOfAVersionAreNotPutBack(t *testing.T) {
	g := newRig(t)
	d := g.xattrs(g.dir("d", g.file("f", "f")), snapshot.Xattr{Name: "user.a", Value: []byte("b")}, snapshot.Xattr{Name: snapshot.UnfinishedMark})
	v, dir := g.version(d), t.TempDir()
	g.restore(v, dir)
	if _, err := unix.Getxattr(filepath.Join(dir, "d"), snapshot.UnfinishedMark, nil); err == nil {
		t.Error("the folder is marked")
	}
	wantSame(t, g, v, dir)
	g.restore(v, dir, overwrite)
	wantSame(t, g, v, dir)
}

func TestTargetThatBecomesImmutableIsNotMarkedForGood(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("f", "f")), t.TempDir()
	root, err := v.RootEntry()
	must(t, err)
	root.Flags = 0x10
	v.SetRoot(&root)
	t.Cleanup(func() { _ = unix.IoctlSetPointerInt(openDir(t, dir), unix.FS_IOC_SETFLAGS, 0) })
	r := g.restore(v, dir)
	if r.Notes.Count > 0 {
		t.Skipf("flags cannot be set here: %+v", r.Notes)
	}
	if flags, err := unix.IoctlGetUint32(openDir(t, dir), unix.FS_IOC_GETFLAGS); err != nil || flags&0x10 == 0 || isMarked(t, dir) {
		t.Errorf("its flags are %x (%v), it is marked: %v", flags, err, isMarked(t, dir))
	}
}

// A file with several names becomes immutable when all of them are there, also if the first were put there by a restore that was broken off.
func TestLocksAreGivenByTheRestoreThatGoesOn(t *testing.T) {
	g := newRig(t)
	one, alone := g.file("one", "two names"), g.file("alone", "one name")
	one.Nlink, one.Flags, alone.Flags = 2, 0x10, 0x20
	two := one
	two.Name = []byte("two")
	v, dir := g.version(one, two, alone, g.file("z", text(1, 9*pieceLen))), t.TempDir()
	flags := func(name string) uint32 {
		f, err := unix.IoctlGetUint32(openDir(t, filepath.Join(dir, name)), unix.FS_IOC_GETFLAGS)
		must(t, err)
		return f & locks
	}
	unlock := func() {
		for _, name := range []string{"one", "alone"} {
			_ = unix.IoctlSetPointerInt(openDir(t, filepath.Join(dir, name)), unix.FS_IOC_SETFLAGS, 0)
		}
	}
	t.Cleanup(unlock)
	g.breakOff(v, dir, 9, func(o *Options) { o.Workers = 1 })
	if content(t, filepath.Join(dir, "one")) != "two names" || flags("one") != 0 {
		t.Fatal("this tests nothing")
	}
	unlock() // as if it had been killed before that of one name was locked
	kill(t, dir)
	g.restore(v, dir, func(o *Options) { o.DryRun = true })
	if flags("one") != 0 {
		t.Error("a dry run changed something")
	}
	r := g.restore(v, dir)
	wantLeft(t, "failed", r.Failed)
	if flags("one") != 0x10 || flags("two") != 0x10 || flags("alone") != 0x20 {
		t.Errorf("the flags are %x, %x and %x", flags("one"), flags("two"), flags("alone"))
	}
	unlock() // as somebody may wish
	g.restore(v, dir)
	if flags("one") != 0 || flags("alone") != 0 {
		t.Error("files that are to stay as they are were locked")
	}
	must(t, os.Remove(filepath.Join(dir, "z")))
	g.breakOff(v, dir, 5)
	remark(t, dir, func(c *claim) { c.from, c.until = 1, 2 }) // long before
	g.restore(v, dir)
	if flags("one") != 0 || flags("alone") != 0 {
		t.Error("files that somebody unlocked after a restore was cancelled were locked")
	}
}

func openDir(t *testing.T, dir string) int {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

func TestTimesThatAFileSystemRoundsAreTheSame(t *testing.T) {
	want := snapshot.Time{Sec: 1_600_000_001, Nsec: 123_456_789}
	for have, same := range map[snapshot.Time]bool{
		want: true, {Sec: want.Sec, Nsec: 123_456_700}: true, {Sec: want.Sec, Nsec: 123_456_000}: true, {Sec: want.Sec}: true,
		{Sec: want.Sec, Nsec: 123_456_788}: false, {Sec: want.Sec, Nsec: 1}: false, {Sec: want.Sec - 1}: false, {Sec: want.Sec - 1, Nsec: want.Nsec}: false,
	} {
		if sameTime(have, want) != same {
			t.Errorf("%v: %v", have, !same)
		}
	}
}

// without does something on a thread that has not one of the capabilities.
func without(t *testing.T, capability uint, do func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	must(t, unix.Capget(&head, &all[0]))
	less := all
	less[capability/32].Effective &^= 1 << (capability % 32)
	must(t, unix.Capset(&head, &less[0]))
	defer func() { must(t, unix.Capset(&head, &all[0])) }()
	do()
}

// Who may set no trusted attributes, as root of a container may not, marks the target by another.
func TestTargetIsMarkedWithoutPrivileges(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.file("a", text(1, 9*pieceLen))), t.TempDir()
	without(t, unix.CAP_SYS_ADMIN, func() { g.breakOff(v, dir, 3) }) // the target is marked on this thread
	if _, err := unix.Getxattr(dir, snapshot.RestoringMarkOfUser, nil); err != nil {
		t.Error(err)
	}
	g.restore(v, dir)
	if _, err := unix.Getxattr(dir, snapshot.RestoringMarkOfUser, nil); err == nil {
		t.Error("the target is marked for good")
	}
}

// So are folders that are not finished; whoever may set such a mark on one that is has nothing of it.
func TestFoldersAreMarkedWithoutPrivileges(t *testing.T) {
	g := newRig(t)
	v, dir := g.version(g.dir("d", g.file("f", "f"))), t.TempDir()
	d := filepath.Join(dir, "d")
	must(t, os.Mkdir(d, 0o700))
	without(t, unix.CAP_SYS_ADMIN, func() { markUnfinished(openDir(t, d)) })
	if _, err := unix.Getxattr(d, snapshot.UnfinishedMarkOfUser, nil); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(d, "mine"), "mine")
	for name, value := range map[string]string{"none broken off": "700 0 0", "as a yester of before did": ""} {
		must(t, unix.Setxattr(d, snapshot.UnfinishedMarkOfUser, []byte(value), 0))
		g.restore(v, dir)
		if st, err := os.Stat(d); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	breakOff := func() {
		must(t, os.Remove(filepath.Join(d, "f")))
		g.breakOff(v, dir, 1)
		must(t, unix.Setxattr(d, snapshot.UnfinishedMarkOfUser, []byte("700 0 0"), 0))
	}
	breakOff() // with a mark that not everybody can set
	g.restore(v, dir)
	if st, err := os.Stat(d); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("marked by its owner: %v, %v", st.Mode(), err)
	}
	if _, err := unix.Getxattr(d, snapshot.UnfinishedMarkOfUser, nil); err == nil {
		t.Error("the mark of its owner stays")
	}
	without(t, unix.CAP_SYS_ADMIN, breakOff)
	g.restore(v, dir)
	if st, err := os.Stat(d); err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if _, err := unix.Getxattr(d, snapshot.UnfinishedMarkOfUser, nil); err == nil {
		t.Error("it is marked for good")
	}
}

// Where nothing can be marked, it is told of folders that may have been left closed.
func TestFoldersThatMayHaveBeenLeftClosedAreToldOf(t *testing.T) {
	g := newRig(t)
	closed := g.dir("closed", g.file("f", "f"))
	closed.Mode, closed.UID = unix.S_IFDIR|0o700, 0
	v := g.version(closed, g.dir("d", g.file("f", "f")), g.dir("e", g.file("f", "f")), g.dir("open", g.file("f", "f")))
	unmarked, marked := t.TempDir(), t.TempDir()
	must(t, unix.Mount("ramfs", unmarked, "ramfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(unmarked, unix.MNT_DETACH)) })
	for dir, want := range map[string]uint64{unmarked: 1, marked: 0} {
		for name, mode := range map[string]os.FileMode{"closed": 0o700, "d": 0o700, "e": 0o700, "open": 0o755} {
			write(t, filepath.Join(dir, name, "mine"), "mine")
			must(t, os.Chmod(filepath.Join(dir, name), mode))
		}
		r := g.restore(v, dir)
		if r.Notes.Count != want || want > 0 && r.Notes.Items[0].Path != "d" && r.Notes.Items[0].Path != "e" {
			t.Errorf("noted %+v", r.Notes)
		}
		wantLeft(t, "noted", g.restore(v, dir, overwrite).Notes)
	}
}

// Also those, and the target, that a restore found empty and closed to whom the version closes them, whoever has them.
func TestFoldersThatMayHaveBeenNarrowedAreToldOf(t *testing.T) {
	g := newRig(t)
	withACL := g.xattrs(g.dir("d", g.file("f", "f")), aclOf(7, 5, 5, 5, 5))
	withACL.Mode = unix.S_IFDIR | 0o755
	plain := g.dir("d", g.file("f", "f"), g.file("g", text(1, 9*pieceLen)))
	point := t.TempDir()
	must(t, unix.Mount("ramfs", point, "ramfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(point, unix.MNT_DETACH)) })
	for i, c := range []struct {
		d        snapshot.Entry
		mode     os.FileMode
		uid, gid int
		told     bool
	}{
		{withACL, 0o700, 2000, 1001, true},
		{withACL, 0o755, 2000, 1001, false},
		{plain, 0o750, 0, 0, true},
		{plain, 0o750, 1000, 0, true},
		{plain, 0o750, 0, 1001, true},
		{plain, 0o755, 0, 0, false},
		{plain, 0o750, 1000, 1001, false},
	} {
		dir := filepath.Join(point, strconv.Itoa(i))
		write(t, filepath.Join(dir, "d", "mine"), "mine")
		must(t, os.Chmod(filepath.Join(dir, "d"), c.mode))
		must(t, os.Chown(filepath.Join(dir, "d"), c.uid, c.gid))
		if r := g.restore(g.version(c.d), dir); (r.Notes.Count == 1) != c.told {
			t.Errorf("%o of %d:%d: noted %+v", c.mode, c.uid, c.gid, r.Notes)
		}
	}
	for path, v := range map[string]*snapshot.Version{"d": g.version(plain), ".": g.version(g.file("f", "f"), g.file("g", text(1, 9*pieceLen)))} {
		dir := filepath.Join(point, "narrowed", path, "target")
		must(t, os.MkdirAll(filepath.Join(dir, path), 0o755))
		must(t, os.Chmod(filepath.Join(dir, path), 0o755))
		g.breakOff(v, dir, 5, func(o *Options) { o.Workers = 1 })
		wantLeft(t, "noted", g.restore(v, dir).Notes, path)
	}
}
