package capture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A named is the root folder of a file system of files in memory, each of which holds what its place in the list is.
type named struct {
	gofuse.Inode
	names []string
}

func (n *named) OnAdd(ctx context.Context) {
	for i, name := range n.names {
		file := &gofuse.MemRegularFile{Data: fmt.Append(nil, i), Attr: fuse.Attr{Mode: 0o644, Nlink: 1}}
		n.AddChild(name, n.NewPersistentInode(ctx, file, gofuse.StableAttr{Ino: uint64(i) + 2}), true)
	}
}

// namedPartition mounts one as a partition, as ntfs-3g does, until the test ends. The kernel has vfat, exfat or ntfs, whose names may be as long, not everywhere.
func namedPartition(t *testing.T, names ...string) (point string) {
	needRoot(t)
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "point")
	must(t, os.WriteFile(image, make([]byte, 1<<20), 0o600))
	must(t, os.Mkdir(point, 0o755))
	device := command(t, "losetup", "--find", "--show", image)
	t.Cleanup(func() { command(t, "losetup", "--detach", device) })
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	if err := unix.Mount(device, point, "fuseblk", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		must(t, unix.Unmount(point, unix.MNT_DETACH))
		<-ended
	})
	server, err := fuse.NewServer(gofuse.NewNodeFS(&named{names: names}, &gofuse.Options{}), fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{})
	if err != nil {
		close(ended)
		unix.Close(fd)
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		server.Serve()
	}()
	return point
}

// File systems whose names count characters have some of more than 255 bytes.
func TestNamesOfAnyLengthAreKept(t *testing.T) {
	var names []string
	for _, n := range []int{1, 255, 256, 257, 300, 511, 512, 513, 764, 765, snapshot.MaxName} {
		names = append(names, strings.Repeat("n", n))
	}
	names = append(names, strings.Repeat("n", 255)+"o", strings.Repeat("ß", 255*3/2)+"1", strings.Repeat("ß", 255*3/2)+"2")
	r := newRig(t, namedPartition(t, names...))
	for range 2 {
		all := r.entries(r.run())
		if len(all) != 1+len(names) {
			t.Errorf("%d names of %d", len(all)-1, len(names))
		}
		for i, name := range names {
			e := all[name]
			if got, _ := r.content(&e); string(got) != fmt.Sprint(i) {
				t.Errorf("the file with the name of %d bytes holds %q, want %d", len(name), got, i)
			}
		}
	}
}

// A kernel may have longer names in such a file system than the mount can show with every kernel.
func TestNameThatCannotBeShownIsSkipped(t *testing.T) {
	long := strings.Repeat("n", snapshot.MaxName+1)
	point := namedPartition(t, "a", long, "z")
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(point, long), &st); err != nil {
		t.Skip("the kernel has no name so long: ", err)
	}
	r := newRig(t, point)
	v := r.run(long + ": " + snapshot.Skipped + ": name: 1025 bytes")
	if got := r.paths(v, point); strings.Join(got, " ") != "a z" || v.Skipped != 1 {
		t.Errorf("names %q, skipped %d", got, v.Skipped)
	}
}

// Where a name lies is told in 32 bits.
func TestNamesOfAFolderHaveSoMuchRoomAndNoMore(t *testing.T) {
	room, err := unix.Mmap(-1, 0, maxNames+1<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	must(t, err)
	defer unix.Munmap(room)
	n := names{arena: room[:maxNames]}
	last := []byte(strings.Repeat("n", 300))
	if !n.add(last, unix.DT_REG) || n.len() != 1 || string(n.at(0).bytes()) != string(last) {
		t.Errorf("%d names", n.len())
	}
	if n.add([]byte("one more"), unix.DT_REG) || n.len() != 1 {
		t.Errorf("%d names", n.len())
	}
}
