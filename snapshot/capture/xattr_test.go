package capture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// Too many attributes to be listed keep nobody out whom the file lets in, and let in nobody else.
func TestACLIsKeptWhereAttributesAreTooMany(t *testing.T) {
	point := partition(t, "xfs")
	r := newRig(t, point)
	for _, name := range []string{"with", "without", "folder"} {
		path := point + "/" + name
		if name == "folder" {
			must(t, os.Mkdir(path, 0o750))
		} else {
			write(t, path, "x")
		}
		must(t, os.Chmod(path, 0o750))
		for i := range 1 + xattrSize/256 {
			must(t, unix.Setxattr(path, fmt.Sprintf("user.%0250d", i), nil, 0))
		}
		if name != "without" {
			command(t, "setfacl", "-m", "u:7:rx,g::-", path)
		}
	}
	r.o.Walkers = 1
	const told = ": its extended attributes cannot be read: argument list too long"
	all := r.entries(r.run("folder"+told, "with"+told, "without"+told))
	for _, name := range []string{"with", "without", "folder"} {
		e := all[name]
		_, has := e.Xattrs.Get(accessACL)
		if e.Mode&permissions != 0o750 || e.Racy || has != (name != "without") {
			t.Errorf("%s: mode %o, racy %v, ACL %v", name, e.Mode, e.Racy, has)
		}
	}
}

// There are file systems on which anybody can give a file attributes of hundreds of megabytes.
func TestAttributesOfManyMegabytesAreNotRead(t *testing.T) {
	r := newRig(t, partition(t, "xfs"))
	point := r.o.Partition.MountPoint
	value := make([]byte, 64<<10)
	for name, n := range map[string]int{"many": maxXattrs/len(value) + 1, "some": maxXattrs/len(value) - 1} {
		write(t, point+"/"+name, "x")
		command(t, "setfacl", "-m", "u:7:rx,g::-", point+"/"+name)
		for i := range n {
			must(t, unix.Setxattr(point+"/"+name, fmt.Sprint("user.", i), value, 0))
		}
	}
	all := r.entries(r.run("many: its extended attributes cannot be read: they take more than 4 MiB"))
	for name, want := range map[string]int{"many": 0, "some": maxXattrs/len(value) - 1} {
		e, n := all[name], 0
		x, err := snapshot.GetXattrs(t.Context(), r.vault, &e)
		must(t, err)
		must(t, x.All(func(name, value []byte) bool {
			if bytes.HasPrefix(name, []byte("user.")) && len(value) == 64<<10 {
				n++
			}
			return true
		}))
		if _, has := x.Get(accessACL); n != want || !has || e.Racy || e.Mode&permissions != 0o654 {
			t.Errorf("%s: %d attributes, want %d, ACL %v, racy %v, mode %o", name, n, want, has, e.Racy, e.Mode)
		}
	}
	r.run() // no capture changes it
}

func TestFileWhoseACLCannotBeReadIsItsOwnersAlone(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "point")
	must(t, errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20), os.Mkdir(point, 0o755)))
	command(t, "mkfs.ext4", "-q", "-b", "4096", "-I", "256", image)
	command(t, "mount", "-o", "loop", image, point)
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) }) // if it comes to that
	mark := strings.Repeat("to be damaged ", 100)
	for _, name := range []string{"file", "folder/file"} {
		write(t, point+"/"+name, "x")
	}
	for _, path := range []string{point + "/file", point + "/folder"} {
		// What has room in the inode is not damaged.
		must(t, errors.Join(os.Chmod(path, 0o750), unix.Setxattr(path, "user.first", make([]byte, 40), 0), unix.Setxattr(path, "user.mark", []byte(mark), 0)))
		command(t, "setfacl", "-m", "u:7:rx,g::-,o::r", path)
	}
	command(t, "umount", point)
	disk, err := os.ReadFile(image)
	must(t, err)
	must(t, os.WriteFile(image, bytes.ReplaceAll(disk, []byte(mark), bytes.ToUpper([]byte(mark))), 0o600))
	mount(t, point, "mount", "-o", "loop", image, point)
	r := newRig(t, point)
	r.o.Walkers = 1
	const told = ": its extended attributes cannot be read: "
	for range 2 {
		all := r.entries(r.run("file"+told, "folder"+told))
		for _, name := range []string{"file", "folder"} {
			if e := all[name]; e.Mode&permissions != 0o700 || !e.Racy || len(e.Xattrs) > 0 {
				t.Errorf("%s: mode %o, racy %v, attributes %q", name, e.Mode, e.Racy, e.Xattrs)
			}
		}
	}
}
