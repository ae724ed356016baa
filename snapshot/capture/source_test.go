package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

func TestDeepFolders(t *testing.T) {
	point := partition(t, "ext4")
	const depth = 1500
	chain(t, point, strings.Repeat("d", 50), depth) // far past PATH_MAX
	r := newRig(t, point)
	if v := r.run(); v.Totals.Dirs != depth+1 {
		t.Errorf("%d folders", v.Totals.Dirs)
	}
	if v := r.run(); v.Added+v.Changed+v.Deleted+v.NewBytes != 0 {
		t.Errorf("%+v", v)
	}
}

// chain makes that many folders in one another.
func chain(t *testing.T, dir, name string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(fd, name, 0o755))
		sub, err := unix.Openat(fd, name, unix.O_DIRECTORY, 0)
		unix.Close(fd)
		must(t, err)
		fd = sub
	}
	unix.Close(fd)
}

// Anybody can make such folders, and each that is open takes memory.
func TestFoldersThatLieTooDeepAreNotEntered(t *testing.T) {
	point := partition(t, "ext4")
	must(t, os.Remove(point+"/lost+found"))
	chain(t, point, "d", maxDepth+3)
	r := newJournalRig(t, point, nil)
	deepest := strings.Repeat("d/", maxDepth) + "d"
	for _, because := range []string{"it is the first version", "there is a folder that lies too deep to be entered, and may lie less deep next time"} {
		v := r.tryNext()
		if v.Totals.Dirs != maxDepth+1 || v.Because != because {
			t.Errorf("%d folders, %q", v.Totals.Dirs, v.Because)
		}
		if len(v.Warnings) != 1 || v.Warnings[0].Path != deepest || v.Warnings[0].What != "the folder cannot be opened: it lies more than 4096 folders deep" {
			t.Errorf("%.200v", v.Warnings)
		}
	}
	must(t, os.Rename(point+"/d/d/d/d", point+"/up"))
	if v := r.next("walk"); v.Totals.Dirs != maxDepth+3 {
		t.Errorf("%d folders", v.Totals.Dirs)
	}
	if v := r.next("journal"); v.Totals.Dirs != maxDepth+3 {
		t.Errorf("%d folders", v.Totals.Dirs)
	}
}

// Who goes through a version keeps the paths of all folders on the way.
func TestFoldersWhosePathsAreTooLongAreNotEntered(t *testing.T) {
	r, point := emptyRig(t)
	name := strings.Repeat("d", 255)
	const depth = maxPath/256 + 1 // the first whose path is too long
	chain(t, point, name, depth+3)
	v := r.run(strings.Repeat(name+"/", depth-1) + name + ": the folder cannot be opened: its path has more than 131072 bytes")
	if v.Totals.Dirs != depth {
		t.Errorf("%d folders, want %d", v.Totals.Dirs, depth)
	}
}

func TestOtherMountsAreNotEnteredAndWhatTheyCoverIsSeen(t *testing.T) {
	point := partition(t, "ext4")
	write(t, point+"/sub/covered", "x")
	mount(t, point+"/sub", "mount", "-t", "tmpfs", "none", point+"/sub")
	write(t, point+"/sub/not mine", "x")
	mount(t, point+"/lost+found", "mount", "-t", "tmpfs", "none", point+"/lost+found") // empty
	mount(t, point+"/sub", "mount", "-t", "tmpfs", "none", point+"/sub")
	r := newRig(t, point)
	v := r.run()
	if got := v.Partition.Covered; !slices.Equal(got, []uint64{r.entries(v)["sub"].Ino}) {
		t.Errorf("covered are %d", got)
	}
	if got := r.paths(v, point); !slices.Equal(got, []string{"lost+found/", "sub/", "sub/covered"}) {
		t.Errorf("%q", got)
	}
}

func TestFoldersThatAreMountedOnThemselvesAreNotCovered(t *testing.T) {
	point := partition(t, "ext4")
	for _, dir := range []string{"itself", "itself/in/itself", "itself/covered", "other", "under"} {
		write(t, point+"/"+dir+"/file", "x")
	}
	bind := func(from, to string) { mount(t, point+to, "mount", "--bind", point+from, point+to) }
	bind("/itself", "/itself")
	bind("/itself/in/itself", "/itself/in/itself")
	bind("/itself", "/other")
	bind("/under", "/under")
	for _, dir := range []string{"/itself/covered", "/under"} {
		mount(t, point+dir, "mount", "-t", "tmpfs", "none", point+dir)
	}
	r := newRig(t, point)
	v := r.run()
	all := r.entries(v)
	want := []uint64{all["itself/covered"].Ino, all["other"].Ino, all["under"].Ino}
	slices.Sort(want)
	if got := v.Partition.Covered; !slices.Equal(got, want) {
		t.Errorf("covered are %d, want %d", got, want)
	}
}

// A mount that was moved is listed where it was made.
func TestMountsCountInAnyOrder(t *testing.T) {
	lines := []mountLine{
		{id: 4, parent: 3, minor: 1, root: "/@/a/b", point: "/p/a/b"},
		{id: 3, parent: 2, minor: 1, root: "/@/a", point: "/p/a"},
		{id: 2, parent: 1, minor: 1, root: "/@", point: "/p"},
		{id: 5, parent: 2, minor: 2, root: "/@/c", point: "/p/c"},
		{id: 6, parent: 5, minor: 1, root: "/@/c/d", point: "/p/c/d"},
	}
	s := source{mount: 2}
	if got := s.ownMounts(lines, "/p"); !maps.Equal(got, map[int]bool{2: true, 3: true, 4: true}) {
		t.Errorf("%v", got)
	}
}

func TestWhatIsMountedMeanwhileIsNotEntered(t *testing.T) {
	point := partition(t, "ext4")
	must(t, os.Remove(point+"/lost+found"))
	must(t, unix.Mount("", point, "", unix.MS_SHARED, ""))
	write(t, point+"/first", "x")
	write(t, point+"/sub/covered", "x")
	r := newRig(t, point)
	covered := false
	r.o.Walkers = 1
	r.o.trace = func(string, string) {
		if !covered {
			covered = true
			mount(t, point+"/sub", "mount", "-t", "tmpfs", "none", point+"/sub")
			write(t, point+"/sub/not mine", "x")
		}
	}
	v := r.run()
	if got := r.paths(v, point); !slices.Equal(got, []string{"first", "sub/", "sub/covered"}) || !covered {
		t.Errorf("%q", got)
	}
	if got := v.Partition.Covered; !slices.Equal(got, []uint64{r.entries(v)["sub"].Ino}) {
		t.Errorf("covered are %d", got)
	}
}

func TestNeverFoldersAreNotListed(t *testing.T) {
	point := partition(t, "ext4")
	for _, d := range []string{"vault/packs", "home", "yester", "kept"} {
		write(t, point+"/"+d+"/file", "x")
	}
	bind := t.TempDir()
	mount(t, bind, "mount", "--bind", point+"/home", bind)
	must(t, os.Symlink("vault", point+"/alias"))
	mount(t, point+"/yester", "mount", "-t", "tmpfs", "none", point+"/yester")
	r := newRig(t, point)
	r.o.Never = []string{point + "/alias", bind, point + "/yester", point + "/nothing"}
	if got := r.paths(r.run(), point); !slices.Equal(got, []string{"alias", "kept/", "kept/file", "lost+found/"}) {
		t.Errorf("%q", got)
	}
	r.o.Never = []string{point}
	if _, err := r.try(t.Context()); !errors.Is(err, ErrExcluded) {
		t.Errorf("the vault's own partition: %v", err)
	}
	r = newRig(t, partition(t, "btrfs")) // whose snapshot has another number than it has
	r.o.Never = []string{r.o.Partition.MountPoint}
	if _, err := r.try(t.Context()); !errors.Is(err, ErrExcluded) {
		t.Errorf("the vault's own btrfs: %v", err)
	}
}

func TestSubvolumes(t *testing.T) {
	point := partition(t, "btrfs")
	write(t, point+"/top", "x")
	command(t, "btrfs", "subvolume", "create", point+"/nested")
	write(t, point+"/nested/one", "x")
	must(t, os.Link(point+"/nested/one", point+"/nested/two"))
	command(t, "btrfs", "subvolume", "snapshot", "-r", point+"/nested", point+"/snapshot")
	r := newRig(t, point)
	v := r.run()
	if got := r.paths(v, point); !slices.Equal(got, []string{"nested/", "nested/one", "nested/two", "snapshot/", "top"}) {
		t.Errorf("%q", got)
	}
	all := r.entries(v)
	if all["nested/one"].Ino != all["nested/two"].Ino || all["nested/one"].Ino == all["top"].Ino || all["nested/one"].Ino>>subvolShift == 0 {
		t.Errorf("inode numbers %x, %x, %x", all["top"].Ino, all["nested/one"].Ino, all["nested/two"].Ino)
	}
	if v.Skipped != 1 {
		t.Errorf("%d skipped, want the snapshot", v.Skipped)
	}
	if v := r.run(); v.Added+v.Changed+v.Deleted+v.ReadBytes+v.NewBytes != 0 {
		t.Errorf("%+v", v)
	}
}

// Of subvolumes that are read-only a version lacks only snapshots, and those not if they are named; that one has become such a snapshot is told once.
func TestReadOnlySubvolumesAreTakenUnlessTheyAreSnapshots(t *testing.T) {
	r := newJournalRig(t, partition(t, "btrfs"), nil)
	point := r.o.Partition.MountPoint
	must(t, os.Mkdir(point+"/received", 0o755))
	for _, name := range []string{"archive", "source"} {
		command(t, "btrfs", "-q", "subvolume", "create", point+"/"+name)
		write(t, point+"/"+name+"/file", "x")
	}
	for _, s := range []string{"1", "2"} {
		command(t, "btrfs", "-q", "subvolume", "snapshot", "-r", point+"/source", point+"/snapshot"+s)
	}
	stream := filepath.Join(t.TempDir(), "stream")
	command(t, "btrfs", "-q", "send", "-f", stream, point+"/snapshot1")
	command(t, "btrfs", "-q", "receive", "-f", stream, point+"/received")
	command(t, "btrfs", "-q", "send", "-p", point+"/snapshot1", "-f", stream, point+"/snapshot2") // what is received has a parent then
	command(t, "btrfs", "-q", "receive", "-f", stream, point+"/received")
	command(t, "btrfs", "-q", "property", "set", point+"/archive", "ro", "true")
	command(t, "btrfs", "-q", "subvolume", "snapshot", point+"/source", point+"/work")

	want := []string{
		"archive/", "archive/file", "received/", "received/snapshot1/", "received/snapshot1/file", "received/snapshot2/", "received/snapshot2/file",
		"snapshot1/", "snapshot2/", "source/", "source/file", "work/",
	}
	look := func(warnings int, want ...string) {
		t.Helper()
		v := r.tryNext()
		r.asWalk(v)
		if v.Method != "journal" || v.WarningCount != uint64(warnings) {
			t.Errorf("by %s, warnings are %v", v.Method, v.Warnings)
		}
		wantPaths(t, r.rig, v, "", want...)
	}
	wantPaths(t, r.rig, r.next("walk"), "", append(want, "work/file")...)
	look(0, append(want, "work/file")...)
	command(t, "btrfs", "-q", "property", "set", point+"/work", "ro", "true")
	look(1, want...)
	look(0, want...)
	for _, in := range []string{"/snapshot1", "/snapshot1/file"} {
		r.o.Includes = []string{point + in}
		wantPaths(t, r.rig, r.next("walk"), in, "snapshot1/", "snapshot1/file")
		look(0, "snapshot1/", "snapshot1/file")
	}
}

func TestSubvolumeIDIsToldByAnyKernel(t *testing.T) {
	point := partition(t, "btrfs")
	must(t, os.Mkdir(point+"/dir", 0o755))
	command(t, "btrfs", "subvolume", "create", point+"/nested")
	must(t, os.Mkdir(point+"/nested/dir", 0o755))
	command(t, "btrfs", "subvolume", "snapshot", "-r", point+"/nested", point+"/snapshot")
	for _, sub := range []string{"", "/nested", "/snapshot"} {
		want := command(t, "btrfs", "inspect-internal", "rootid", point+sub)
		for _, name := range []string{"", "/dir"} {
			fd, err := unix.Open(point+sub+name, unix.O_PATH|unix.O_CLOEXEC, 0)
			must(t, err)
			st, err := statSubvolume(fd)
			if got := subvolumeID(fd); err != nil || strconv.FormatUint(got, 10) != want || st.subvol != got {
				t.Errorf("%s%s: %d, want %s; stat says %d, %v", sub, name, got, want, st.subvol, err)
			}
			unix.Close(fd)
		}
	}
	fd, err := unix.Open(partition(t, "ext4"), unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	if got := subvolumeID(fd); got != 0 {
		t.Errorf("ext4 has the subvolume %d", got)
	}
}

func TestVersionSaysWhetherEverybodyCanComeToThePartition(t *testing.T) {
	r, point := emptyRig(t)
	above := path.Dir(path.Dir(point))
	for _, c := range []struct {
		mode   os.FileMode
		acl    string
		closed bool
	}{{0o700, "", true}, {0o755, "", false}, {0o750, "", true}, {0o705, "", true}, {0o711, "", false}, {0o711, "u:65534:-", true}} {
		must(t, os.Chmod(above, c.mode))
		if c.acl != "" {
			command(t, "setfacl", "-m", c.acl, above)
		}
		if got := r.run().Partition.Closed; got == nil || *got != c.closed {
			t.Errorf("below a folder of mode %o with the ACL %q: %v", c.mode, c.acl, got)
		}
	}
	if isClosed("/") {
		t.Error("the root folder is closed")
	}
}

// The kernel lets nobody else in, however open the modes are.
func TestDiskWhoseDriverLetsInOneUserIsClosed(t *testing.T) {
	needRoot(t)
	if b, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(b), "fuseblk") {
		t.Skip("needs fuseblk")
	}
	for option, closed := range map[string]bool{"": true, ",allow_other": false} {
		t.Run(option, func(t *testing.T) {
			point, image := t.TempDir(), path.Join(t.TempDir(), "image")
			letThrough(t, point)
			must(t, os.WriteFile(image, make([]byte, 1<<20), 0o600))
			device := command(t, "losetup", "--find", "--show", image)
			t.Cleanup(func() { command(t, "losetup", "--detach", device) })
			driver, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
			must(t, err)
			err = unix.Mount(device, point, "fuseblk", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", driver)+option)
			t.Cleanup(func() {
				unix.Close(driver) // it answers nothing: what is mounted is only looked up in the list
				if err == nil {
					must(t, unix.Unmount(point, unix.MNT_DETACH))
				}
			})
			must(t, err)
			lines, err := readMounts()
			must(t, err)
			at := slices.IndexFunc(lines, func(l mountLine) bool { return l.point == point })
			s := source{live: -1, mount: uint64(lines[at].id)}
			if err := s.lookAround(point); err != nil || s.closed != closed {
				t.Errorf("%+v: closed %v, %v", lines[at], s.closed, err)
			}
		})
	}
}

func TestPartitionsThatCannotBeOpened(t *testing.T) {
	r, dir := emptyRig(t)
	must(t, os.Mkdir(dir+"/sub", 0o755))
	for want, p := range map[string]snapshot.Partition{
		"no such file":    {MountPoint: dir + "/nothing"},
		"nothing is moun": {MountPoint: dir + "/sub", FSType: "ext4"},
		"never backed up": {MountPoint: "/proc", FSType: "proc"},
		"mounted there, ": {MountPoint: "/", FSType: r.o.Partition.FSType, Device: "/dev/other"},
	} {
		r.o.Partition = p
		if _, err := r.try(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
}

// Folders may have millions of names.
func TestListingAFolderEndsWhenItIsCancelled(t *testing.T) {
	dir := t.TempDir()
	const files = 1000
	for i := range files {
		write(t, fmt.Sprintf("%s/%d", dir, i), "")
	}
	fd, err := unix.Open(dir, openDir, 0)
	must(t, err)
	defer unix.Close(fd)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var n names
	asked := 0
	err = n.list(ctx, fd, make([]byte, 4<<10), func([]byte) bool {
		cancel()
		asked++
		return true
	})
	if !errors.Is(err, context.Canceled) || asked == files || n.len() != 0 {
		t.Errorf("%v, asked for %d names and got %d", err, asked, n.len())
	}
}
