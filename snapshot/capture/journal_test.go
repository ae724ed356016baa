package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/snapshot/track"
)

// A journalRig is a rig that goes by a journal.
type journalRig struct {
	*rig
	journal *track.Journal
	memory  Memory
	vague   bool   // of folders with changes, the names are not told
	frozen  func() // is called once a snapshot is made, if it is there

	beforeCut func() // is called, if it is there, before the changes are cut off
	afterCut  func() // and after
	afterAll  func() // and once they were told up to the moment
}

// newJournalRig makes one. u may be nil: what others do on the machine then makes no test walk.
func newJournalRig(t testing.TB, point string, u *track.Unheard) *journalRig {
	r := &journalRig{rig: newRig(t, point)}
	var err error
	r.o.Memory = &r.memory
	if r.journal, err = track.Open(point, u); errors.Is(err, track.ErrUnsupported) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() {
		if err := r.journal.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// tryNext captures the next version.
func (r *journalRig) tryNext() *snapshot.Version {
	r.t.Helper()
	if r.beforeCut != nil {
		r.beforeCut()
	}
	set, err := r.journal.Cut()
	must(r.t, err)
	if r.afterCut != nil {
		r.afterCut()
	}
	r.o.Changes, r.o.Because = set, set.Unknown()
	if r.vague {
		r.o.Changes = vague{set}
	}
	r.o.Certificate = (*snapshot.Certificate)(&set.Certificate)
	r.o.Later = func() Changes {
		s := r.journal.Peek()
		if s.Unknown() != "" {
			return nil
		}
		return s
	}
	r.o.Until = func() Changes {
		if r.frozen != nil {
			r.frozen()
		}
		s := r.journal.Peek()
		if r.afterAll != nil {
			r.afterAll()
		}
		if s.Extend(set); s.Unknown() != "" {
			return nil
		}
		if r.vague {
			return vague{s}
		}
		return s
	}
	v, err := r.try(r.t.Context())
	must(r.t, err)
	r.last = v
	return v
}

// awaitIgnored waits until a folder is ignored, if one is going to be.
func (r *journalRig) awaitIgnored() {
	for begin := time.Now(); r.journal.Report().Ignored == 0 && time.Since(begin) < 200*time.Millisecond; {
		time.Sleep(time.Millisecond)
	}
}

// next captures the next version, by the method told, without warnings.
func (r *journalRig) next(method string) *snapshot.Version {
	r.t.Helper()
	v := r.tryNext()
	if v.WarningCount > 0 {
		r.t.Errorf("warnings: %v", v.Warnings)
	}
	if v.Method != method {
		r.t.Errorf("by %s because %q, want %s", v.Method, v.Because, method)
	}
	return v
}

// asWalk compares a version with one that a walk makes, which reads everything.
func (r *journalRig) asWalk(v *snapshot.Version) {
	r.t.Helper()
	walk := *r.rig
	walk.last = nil
	walk.o.Changes, walk.o.Memory, walk.o.trace = nil, nil, nil
	walk.o.Partition.Name = "walk"
	w, err := walk.try(r.t.Context())
	must(r.t, err)
	want, got := r.entries(w), r.entries(v)
	for path, e := range want {
		if path == "" && (v.Consistency == "snapshot" || w.Consistency == "snapshot") {
			e.Ctime = got[""].Ctime // which making a snapshot sets
		}
		if g, ok := got[path]; !ok {
			r.t.Errorf("%q is missing", path)
		} else if !r.equal(g, e) {
			r.t.Errorf("%q differs: %q", path, snapshot.Compare(&g, &e).Names())
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			r.t.Errorf("%q is not there any more", path)
		}
	}
}

// equal tells whether two entries are alike, wherever they have holes: which of the zeros of a file are a hole may change by itself, when the file system
// writes what it put off.
func (r *journalRig) equal(a, b snapshot.Entry) bool {
	if a.IsRegular() && b.IsRegular() && a.Size == b.Size {
		x, _ := r.content(&a)
		y, _ := r.content(&b)
		if !bytes.Equal(x, y) {
			return false
		}
		a.Content, a.Depth, a.Data = b.Content, b.Depth, b.Data
	}
	return alike(&a, &b)
}

// look captures the next version by journal, compares it with a walk's, and returns which files were opened.
func (r *journalRig) look() (v *snapshot.Version, opened []string) {
	r.t.Helper()
	r.o.trace = func(op, path string) {
		if op == "open" {
			opened = append(opened, path)
		}
	}
	v = r.next("journal")
	r.o.trace = nil
	r.asWalk(v)
	return v, sorted(opened)
}

func forEachJournalled(t *testing.T, f func(t *testing.T, r *journalRig, point string)) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			point := partition(t, fstype)
			f(t, newJournalRig(t, point, nil), point)
		})
	}
}

func TestJournalFindsWhatChanged(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		for i := range 300 {
			write(t, fmt.Sprintf("%s/many/%03d/file", point, i), "x")
		}
		for i := range 2000 {
			write(t, fmt.Sprintf("%s/large/%04d", point, i), "x")
		}
		write(t, point+"/a/b/c/d", "1")
		must(t, os.Mkdir(point+"/other", 0o755))
		first := r.next("walk")
		if first.Because != "it is the first version" {
			t.Error(first.Because)
		}

		v, opened := r.look()
		if len(opened) > 0 || v.Consistency == "live" && !bytes.Equal(v.Root, first.Root) || v.NewBytes != 0 || v.Changed != 0 {
			t.Errorf("nothing changed, and %q were opened; %+v", opened, v)
		}

		write(t, point+"/a/b/c/d", "22")
		write(t, point+"/large/1000", "22")
		write(t, point+"/large/1000a", "33")
		must(t, os.Remove(point+"/large/1500"))
		must(t, os.Chmod(point+"/many/007", 0o700))
		must(t, os.Chmod(point+"/many/009/file", 0o600))
		must(t, unix.Setxattr(point+"/many/008/file", "user.x", []byte("1"), 0))
		write(t, point+"/new/folder/file", "new")
		v, opened = r.look()
		if want := []string{"a/b/c/d", "large/1000", "large/1000a", "many/008/file", "many/009/file"}; !slices.Equal(opened, want) {
			t.Errorf("opened %q, want %q", opened, want)
		}
		if v.Added != 4 || v.Deleted != 1 {
			t.Errorf("%d added, %d changed, %d deleted", v.Added, v.Changed, v.Deleted)
		}
		must(t, os.RemoveAll(point+"/many/100"))
		must(t, os.Rename(point+"/a/b", point+"/other/b"))
		write(t, point+"/other/b/c/d", "333")
		r.look()
		r.look()
	})
}

func TestJournalFindsOtherNamesOfAFile(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/a/one", "1")
		must(t, os.MkdirAll(point+"/b/c", 0o755))
		must(t, os.Link(point+"/a/one", point+"/b/c/two"))
		write(t, point+"/b/lonely", "1")
		r.next("walk")
		write(t, point+"/a/one", "22")
		r.look()
		must(t, os.Link(point+"/b/lonely", point+"/a/not any more"))
		r.look()
		must(t, os.Remove(point+"/a/not any more"))
		r.look()
		must(t, os.Link(point+"/a/one", point+"/three"))
		write(t, point+"/three", "333")
		must(t, os.Remove(point+"/three"))
		r.look()
		must(t, os.Rename(point+"/b", point+"/moved"))
		write(t, point+"/a/one", "4444")
		r.look()
	})
}

func TestJournalFindsAFileWithoutTheNameItIsWrittenBy(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/x/y", "1")
		r.next("walk")
		fd, err := unix.Open(point+"/x", unix.O_TMPFILE|unix.O_RDWR, 0o644)
		must(t, err)
		f := os.NewFile(uintptr(fd), "")
		defer f.Close()
		_, err = f.WriteString("1")
		must(t, err)
		must(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, point+"/x/named", unix.AT_SYMLINK_FOLLOW))
		r.look()
		_, err = f.WriteString("22")
		must(t, err)
		r.look()
		r.look()
	})
}

// In a new folder that gets many files, what is done is not heard, and must be found all the same; and so must what it does to files that have other names.
func TestJournalFindsWhatIsIgnored(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		hot, other := point+"/hot", point+"/other"
		for _, name := range []string{"one", "two", "three", "four", "five"} {
			write(t, other+"/"+name, name)
		}
		must(t, os.Link(other+"/five", point+"/twin"))
		r.next("walk")
		r.journal.Busy(8)
		fill := func() {
			must(t, os.Mkdir(hot, 0o755))
			for i := range 20 {
				write(t, fmt.Sprintf("%s/f%d", hot, i), "1")
			}
			if r.awaitIgnored(); r.journal.Report().Ignored == 0 {
				t.Fatal("the folder is not ignored")
			}
		}
		for _, change := range []func(){
			func() { write(t, hot+"/f1", "22"); write(t, hot+"/more", "1"); must(t, os.Remove(hot+"/f2")) },
			func() { // a link that came and went
				must(t, os.Link(other+"/one", hot+"/link"))
				write(t, hot+"/link", "changed")
				must(t, os.Remove(hot+"/link"))
			},
			func() { // and is open still
				must(t, os.Link(other+"/two", hot+"/link"))
				f, err := os.OpenFile(hot+"/link", os.O_WRONLY, 0)
				must(t, err)
				must(t, os.Remove(hot+"/link"))
				_, err = f.WriteString("changed")
				must(t, err)
				must(t, f.Close())
			},
			func() { must(t, os.Link(other+"/three", hot+"/link")); write(t, hot+"/link", "changed") },
			func() { must(t, os.Rename(other+"/five", hot+"/five")); write(t, hot+"/five", "changed") },
			func() { must(t, os.Rename(hot+"/f3", other+"/f3")); write(t, other+"/f3", "changed") },
			func() { must(t, os.Link(hot+"/f3", other+"/f4")); must(t, os.Remove(hot+"/f3")) },
			func() {
				must(t, unix.Renameat2(unix.AT_FDCWD, other+"/four", unix.AT_FDCWD, hot+"/f3", unix.RENAME_EXCHANGE))
				write(t, hot+"/f3", "changed")
			},
			func() { must(t, os.Rename(hot, other+"/hot")); write(t, other+"/hot/f1", "22") },
			func() { must(t, os.MkdirAll(hot+"/sub/sub", 0o755)); write(t, hot+"/sub/sub/file", "1") },
			func() { must(t, os.RemoveAll(hot)); write(t, hot+"/f1", "22") },
		} {
			fill()
			change()
			r.look()
			for _, dir := range []string{hot, other + "/hot"} {
				if _, err := os.Stat(dir); err == nil {
					write(t, dir+"/f1", "heard again")
				}
			}
			r.look()
			must(t, os.RemoveAll(hot))
			must(t, os.RemoveAll(other+"/hot"))
			must(t, os.RemoveAll(other+"/f3"))
			must(t, os.RemoveAll(other+"/f4"))
			r.look()
		}
	})
}

// A folder that is ignored may lie beside what is captured.
func TestJournalFindsWhatIsIgnoredBesideThePartition(t *testing.T) {
	point := partition(t, "ext4")
	all, err := unix.OpenTree(unix.AT_FDCWD, point, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	must(t, err)
	defer unix.Close(all)
	whole := fmt.Sprintf("/proc/self/fd/%d", all)
	point = folderOf(t, point)
	write(t, point+"/file", "1")
	r := newJournalRig(t, point, nil)
	r.next("walk")
	r.journal.Busy(8)
	must(t, os.Mkdir(whole+"/hot", 0o755))
	for i := range 20 {
		write(t, fmt.Sprintf("%s/hot/f%d", whole, i), "1")
	}
	if r.awaitIgnored(); r.journal.Report().Ignored == 0 {
		t.Fatal("the folder is not ignored")
	}
	must(t, os.Link(whole+"/folder/file", whole+"/hot/link"))
	write(t, whole+"/hot/link", "changed")
	r.look()
}

func TestCoveredFolderIsListenedTo(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	write(t, point+"/cover/below", "1")
	r.next("walk")
	f, err := os.OpenFile(filepath.Join(point, "cover/below"), os.O_WRONLY, 0)
	must(t, err)
	mount(t, point+"/cover", "mount", "-t", "tmpfs", "tmpfs", point+"/cover")
	_, err = f.WriteString("changed")
	must(t, err)
	must(t, f.Close())
	r.look()
}

func TestChangedFlagsMakeAWalk(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, counting(t))
	write(t, point+"/flagged", "1")
	r.next("walk")
	command(t, "chattr", "+d", point+"/flagged")
	v := r.next("walk")
	if v.Because == "" {
		t.Error("no reason")
	}
	r.asWalk(v)
	if e := r.entries(v)["flagged"]; e.Flags != 0x40 {
		t.Errorf("flags are %#x", e.Flags)
	}
}

// What is written by a loop device to its image makes no event, nor does what is stored through a mapping while the file is open.
func TestJournalFindsWhatIsWrittenUnheard(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/mapped", "12345678")
		write(t, point+"/unmapped", "12345678")
		write(t, point+"/image", "")
		must(t, os.Truncate(point+"/image", 20<<20))
		command(t, "mkfs.ext4", "-q", point+"/image")
		within := t.TempDir()
		mount(t, within, "mount", "-o", "loop", point+"/image", within)
		open := func(name string) (*os.File, []byte) {
			f, err := os.OpenFile(point+"/"+name, os.O_RDWR, 0)
			must(t, err)
			m, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			must(t, err)
			return f, m
		}
		f, mapped := open("mapped")
		g, unmapped := open("unmapped")
		defer g.Close()
		must(t, f.Close())
		r.next("walk")
		for i := range byte(3) {
			mapped[0], unmapped[1] = i, i
			write(t, within+"/file", fmt.Sprint(i))
			command(t, "sync", "-f", within+"/file")
			r.look()
		}
		unmapped[2] = 'x'
		must(t, unix.Munmap(unmapped))
		r.look()
		mapped[3] = 'x'
		must(t, unix.Munmap(mapped))
		r.look()
	})
}

func TestMovedFolderIsTakenOver(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		for i := range 100 {
			write(t, fmt.Sprintf("%s/a/b/%02d/file", point, i), "x")
		}
		write(t, point+"/c/d", "1")
		write(t, point+"/e/f/g", "1")
		must(t, os.Link(point+"/c/d", point+"/a/b/42/link"))
		r.next("walk")
		look := func(want ...string) {
			t.Helper()
			if _, opened := r.look(); !slices.Equal(opened, want) {
				t.Errorf("opened %q, want %q", opened, want)
			}
		}
		must(t, os.Rename(point+"/a/b", point+"/c/moved"))
		v, opened := r.look()
		if len(opened) > 0 || v.Added != 202 || v.Deleted != 202 {
			t.Errorf("%q opened, %d added, %d deleted", opened, v.Added, v.Deleted)
		}
		must(t, os.Rename(point+"/c/moved", point+"/new"))
		write(t, point+"/new/17/file", "22")
		must(t, os.Rename(point+"/new", point+"/e/f/new"))
		must(t, os.Rename(point+"/e/f", point+"/f"))
		must(t, os.RemoveAll(point+"/e"))
		look("f/new/17/file")
		must(t, os.Mkdir(point+"/e", 0o755))
		must(t, os.Rename(point+"/f/new", point+"/e/again"))
		must(t, os.Rename(point+"/f", point+"/e/again/05/f"))
		write(t, point+"/c/d", "333")
		look("c/d")
		must(t, unix.Renameat2(unix.AT_FDCWD, point+"/e/again/06", unix.AT_FDCWD, point+"/c", unix.RENAME_EXCHANGE))
		write(t, point+"/c/file", "4444")
		look("c/file")
	})
}

// A vague is the changes as they are when there are too many: any name in a folder may be one.
type vague struct{ Changes }

func (v vague) Folders(visit func(unix.FileHandle, bool, []string, []bool) error) error {
	return v.Changes.Folders(func(h unix.FileHandle, all bool, names []string, _ []bool) error {
		return visit(h, all || len(names) > 0, nil, nil)
	})
}

// A deaf is the changes without those of some names.
type deaf struct {
	Changes
	to []string
}

func (d deaf) Folders(visit func(unix.FileHandle, bool, []string, []bool) error) error {
	return d.Changes.Folders(func(h unix.FileHandle, all bool, names []string, fresh []bool) error {
		var heard []string
		var isFresh []bool
		for i, n := range names {
			if !slices.Contains(d.to, n) {
				heard, isFresh = append(heard, n), append(isFresh, fresh[i])
			}
		}
		return visit(h, all, heard, isFresh)
	})
}

func (d deaf) Files(func(unix.FileHandle) error) error { return nil }

func TestSubvolumesAreListenedTo(t *testing.T) {
	top := partition(t, "btrfs")
	for _, name := range []string{"@", "@home", "@/nested", "@/nested/deeper"} {
		command(t, "btrfs", "subvolume", "create", top+"/"+name)
	}
	write(t, top+"/@/nested/deeper/file", "1")
	command(t, "btrfs", "subvolume", "snapshot", "-r", top+"/@home", top+"/@/frozen")
	point := t.TempDir()
	device := command(t, "findmnt", "-n", "-o", "SOURCE", top)
	mount(t, point, "mount", "-o", "subvol=@", device, point)
	r := newJournalRig(t, point, nil)
	write(t, point+"/dir/file", "1")
	first := r.next("walk")
	if _, there := r.entries(first)["nested/deeper/file"]; !there {
		t.Error("nested subvolumes are not there")
	}
	write(t, point+"/dir/file", "22")
	write(t, point+"/nested/deeper/new", "22")
	write(t, top+"/@home/file", "beside")
	must(t, os.Link(top+"/@home/file", top+"/@home/link"))
	write(t, top+"/@/nested/beside/file", "through another mount")
	_, opened := r.look()
	if want := []string{"dir/file", "nested/deeper/new"}; !slices.Equal(opened, want) {
		t.Errorf("%q were opened, want %q", opened, want)
	}
	command(t, "btrfs", "subvolume", "snapshot", top+"/@home", point+"/copy")
	must(t, os.Rename(point+"/nested/deeper", point+"/deeper"))
	write(t, point+"/deeper/file", "333")
	r.look()
	command(t, "btrfs", "subvolume", "delete", point+"/deeper")
	command(t, "btrfs", "property", "set", point+"/frozen", "ro", "false")
	write(t, point+"/frozen/thawed", "1")
	command(t, "btrfs", "property", "set", point+"/nested", "ro", "true")
	v, _ := r.look()
	if _, there := r.entries(v)["frozen/thawed"]; !there {
		t.Error("what was made writable is not there")
	}
}

func TestWhollyDirtyFolderIsListed(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		for i := range 50 {
			write(t, fmt.Sprintf("%s/dir/%02d/file", point, i), "1")
			write(t, fmt.Sprintf("%s/dir/f%02d", point, i), "1")
		}
		r.next("walk")
		write(t, point+"/dir/f07", "22")
		write(t, point+"/dir/new", "1")
		write(t, point+"/dir/12/file", "22")
		must(t, os.RemoveAll(point+"/dir/13"))
		write(t, point+"/dir/13/other", "1")
		must(t, os.Remove(point+"/dir/f08"))
		r.vague = true
		if _, opened := r.look(); !slices.Equal(opened, []string{"dir/12/file", "dir/13/other", "dir/f07", "dir/new"}) {
			t.Errorf("opened %q", opened)
		}
	})
}

func TestCancelledCaptureTakesNothingFromTheJournal(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	write(t, point+"/a/file", "1")
	r.next("walk")
	write(t, point+"/a/file", "22")
	ctx, cancel := context.WithCancel(t.Context())
	r.o.trace = func(string, string) { cancel() }
	set, err := r.journal.Cut()
	must(t, err)
	r.o.Changes = set
	if _, err := r.try(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	r.o.trace = nil
	r.journal.Return(set)
	write(t, point+"/b/file", "1")
	r.look()
}

func TestOtherSelectionMakesAWalk(t *testing.T) {
	forEachJournalled(t, otherSelectionMakesAWalk)
}

func otherSelectionMakesAWalk(t *testing.T, r *journalRig, point string) {
	write(t, point+"/vault/pack", "1")
	r.o.Never = []string{point + "/vault"}
	write(t, point+"/a/file.o", "1")
	write(t, point+"/b/file", "1")
	r.next("walk")
	write(t, point+"/vault/pack", "22")
	r.look()
	for _, change := range []func(){
		func() { r.o.Excludes = []string{"*.o"} },
		func() { r.o.Never = []string{point + "/b"} },
		func() { r.o.Includes = []string{point + "/a"} },
		func() { r.last = nil },
		func() { r.memory = Memory{} },
	} {
		change()
		if v := r.next("walk"); v.Because == "" {
			t.Error("no reason")
		}
		write(t, point+"/b/file", fmt.Sprint(r.start))
		r.look()
	}
}

func TestOtherRootMakesAWalk(t *testing.T) {
	t.Run("btrfs", func(t *testing.T) {
		top := partition(t, "btrfs")
		command(t, "btrfs", "subvolume", "create", top+"/@")
		write(t, top+"/@/file", "1")
		command(t, "btrfs", "subvolume", "snapshot", top+"/@", top+"/older")
		write(t, top+"/older/file", "22")
		point := t.TempDir()
		device := command(t, "findmnt", "-n", "-o", "SOURCE", top)
		mount(t, point, "mount", "-o", "subvol=@", device, point)
		r := newJournalRig(t, point, nil)
		r.next("walk")
		must(t, unix.Unmount(point, 0))
		command(t, "mount", "-o", "subvol=older", device, point)
		r.asWalk(r.tryNext())
	})
}

// Numbers begin anew in each subvolume.
func TestFoldersOfOneNumberAreToldApart(t *testing.T) {
	point := partition(t, "btrfs")
	command(t, "btrfs", "subvolume", "create", point+"/nested")
	must(t, os.Mkdir(point+"/nested/a", 0o755))
	must(t, os.Mkdir(point+"/b", 0o755))
	in, err := statPath(point+"/nested/a", lookOnly)
	must(t, err)
	for i := 0; ; i++ {
		st, err := statPath(point+"/b", lookOnly)
		must(t, err)
		if st.ino == in.ino {
			break
		}
		if st.ino > in.ino {
			must(t, os.Mkdir(fmt.Sprintf("%s/nested/%d", point, i), 0o755))
			must(t, os.Rename(fmt.Sprintf("%s/nested/%d", point, i), point+"/nested/a"))
			in, err = statPath(point+"/nested/a", lookOnly)
			must(t, err)
			continue
		}
		must(t, os.Mkdir(fmt.Sprintf("%s/%d", point, i), 0o755))
		must(t, os.Rename(fmt.Sprintf("%s/%d", point, i), point+"/b"))
	}
	write(t, point+"/b/file", "1")
	must(t, os.Mkdir(point+"/c", 0o755))
	must(t, os.Link(point+"/b/file", point+"/c/file"))
	r := newJournalRig(t, point, nil)
	r.next("walk")
	must(t, os.Rename(point+"/nested/a", point+"/nested/moved"))
	write(t, point+"/c/file", "22")
	r.look()
}

// A file that is held open and has no handle is searched for under all its names, and may be met in a folder that changed before.
func TestHeldFileWithoutAHandleIsMet(t *testing.T) {
	id := fileID{1, 2}
	r := &resolver{w: &walker{survey: &survey{held: map[fileID]*held{id: {id: id}}}}, touched: map[fileID]*touch{}}
	must(t, r.heldFiles())
	r.touched[id].meet(location{fileID{1, 1}, "name"})
	if r.touched[id].complete() {
		t.Error("one name is enough")
	}
}
