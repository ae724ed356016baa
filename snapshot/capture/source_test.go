package capture

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

func TestDeepFolders(t *testing.T) {
	point := partition(t, "ext4")
	const depth = 1500
	fd, err := unix.Open(point, unix.O_DIRECTORY, 0)
	must(t, err)
	name := strings.Repeat("d", 50) // far past PATH_MAX
	for range depth {
		must(t, unix.Mkdirat(fd, name, 0o755))
		sub, err := unix.Openat(fd, name, unix.O_DIRECTORY, 0)
		must(t, err)
		unix.Close(fd)
		fd = sub
	}
	unix.Close(fd)
	r := newRig(t, point)
	if v := r.run(); v.Totals.Dirs != depth+1 {
		t.Errorf("%d folders", v.Totals.Dirs)
	}
	if v := r.run(); v.Added+v.Changed+v.Deleted+v.NewBytes != 0 {
		t.Errorf("%+v", v)
	}
}

func TestOtherMountsAreNotEnteredAndWhatTheyCoverIsSeen(t *testing.T) {
	point := partition(t, "ext4")
	write(t, point+"/sub/covered", "x")
	mount(t, point+"/sub", "mount", "-t", "tmpfs", "none", point+"/sub")
	write(t, point+"/sub/not mine", "x")
	r := newRig(t, point)
	if got := r.paths(r.run(), point); !slices.Equal(got, []string{"lost+found/", "sub/", "sub/covered"}) {
		t.Errorf("%q", got)
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
