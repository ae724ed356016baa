package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever way a program reads, it gets from a version what it would get from the disk; also while the daemon backs up, deletes,
// collects and checks.
func TestEveryWayOfReadingWorks(t *testing.T) {
	t.Parallel()
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			home := newHome(t)
			p, q := newPartition(t, fs, gib), newPartition(t, "ext4", gib)
			tree := &partition{fs: fs, dir: p.path("tree"), name: p.name} // a backup's snapshot of a btrfs is beside it
			must(t, os.Mkdir(tree.dir, 0o755))
			readersTree(t, tree)
			d := start(t, home)
			d.activate("max", p, q)
			first := d.backup(p)
			must(t, os.WriteFile(tree.path("changed"), []byte("in the second version"), 0o644))
			second := d.backup(p)
			stop := d.underLoad(q, first, second)
			for name, read := range map[string]func(t *testing.T, p *partition, mounted string){
				"birth times":      birthTimes,
				"folders":          folderOffsets,
				"bytes":            everyByte,
				"programs":         programs,
				"inotify":          watched,
				"file handles":     handles,
				"mount namespaces": elsewhere,
				"overlay":          overlaid,
				"find, du, df":     measured,
				"locks":            locks,
			} {
				t.Run(name, func(t *testing.T) { read(t, tree, filepath.Join(second.Path, "tree")) })
			}
			t.Run("inode numbers", func(t *testing.T) { inodesDiffer(t, first.Path, second.Path) })
			stop()
			t.Run("descriptors", func(t *testing.T) { descriptorsStay(t, d, filepath.Join(second.Path, "tree")) })
		})
	}
}

// manyNames is how many names the broad folder of readersTree has.
const manyNames = 2000

func readersTree(t testing.TB, p *partition) {
	t.Helper()
	tr := &tree{t: t, fs: p.fs, dir: p.dir, rand: newStream(3)}
	tr.big("big", 12*mib+1234)
	tr.holes()
	tr.links()
	tr.deep(20)
	tr.broad("broad", manyNames)
	program, err := os.ReadFile("/bin/cat")
	must(t, err)
	must(t, os.WriteFile(p.path("program"), program, 0o755))
	must(t, os.WriteFile(p.path("script"), []byte("#!/bin/sh\necho run from $0\n"), 0o755))
}

// birthTimes compares when files were made, to the nanosecond.
func birthTimes(t *testing.T, p *partition, mounted string) {
	born := 0
	must(t, filepath.WalkDir(p.dir, func(path string, _ os.DirEntry, err error) error {
		must(t, err)
		rel, err := filepath.Rel(p.dir, path)
		must(t, err)
		var want, got unix.Statx_t
		const mask = unix.STATX_BASIC_STATS | unix.STATX_BTIME
		must(t, unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, mask, &want))
		must(t, unix.Statx(unix.AT_FDCWD, filepath.Join(mounted, rel), unix.AT_SYMLINK_NOFOLLOW, mask, &got))
		if want.Mask&unix.STATX_BTIME != 0 {
			born++
		}
		if got.Mask&unix.STATX_BTIME != want.Mask&unix.STATX_BTIME || got.Btime != want.Btime {
			t.Errorf("%q was born at %+v, not at %+v", rel, got.Btime, want.Btime)
		}
		return nil
	}))
	if born < manyNames {
		t.Errorf("only %d files have a birth time at the source", born)
	}
}

// inodesDiffer walks two versions of one partition: names have one number exactly if they are one file of one version.
func inodesDiffer(t *testing.T, versions ...string) {
	names := map[inode]string{}
	var dev uint64
	for _, version := range versions {
		must(t, filepath.WalkDir(version, func(path string, e os.DirEntry, err error) error {
			must(t, err)
			var st unix.Stat_t
			must(t, unix.Lstat(path, &st))
			if dev == 0 {
				dev = st.Dev
			}
			if st.Dev != dev {
				t.Errorf("%s is on device %x, others on %x", path, st.Dev, dev)
			}
			other, seen := names[inode{st.Dev, st.Ino}]
			if seen && (st.Nlink < 2 || e.IsDir() || filepath.Dir(version) != filepath.Dir(versions[0]) || !within(other, version)) {
				t.Errorf("%s and %s are both number %x", path, other, st.Ino)
			}
			names[inode{st.Dev, st.Ino}] = path
			return nil
		}))
		var one, two unix.Stat_t
		must(t, unix.Lstat(filepath.Join(version, "tree/links/one"), &one))
		must(t, unix.Lstat(filepath.Join(version, "tree/z-four"), &two))
		if one.Ino != two.Ino || one.Nlink != 4 {
			t.Errorf("names of one file have numbers %x and %x, and a count of %d", one.Ino, two.Ino, one.Nlink)
		}
	}
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// A dirent is what getdents64 tells of a name.
type dirent struct {
	name string
	ino  uint64
	next int64
}

func direntsOf(t testing.TB, fd int, buf []byte) (all []dirent) {
	t.Helper()
	n, err := unix.Getdents(fd, buf)
	must(t, err)
	for b := buf[:n]; len(b) > 0; {
		size := binary.NativeEndian.Uint16(b[16:])
		name, _, _ := bytes.Cut(b[19:size], []byte{0})
		all = append(all, dirent{string(name), binary.NativeEndian.Uint64(b), int64(binary.NativeEndian.Uint64(b[8:]))})
		b = b[size:]
	}
	return all
}

// folderOffsets lists a folder in pieces while its files are read, goes back to every place in it, and lists it again. Places are small
// numbers, so 32-bit programs can come back to them too.
func folderOffsets(t *testing.T, p *partition, mounted string) {
	dir := filepath.Join(mounted, "broad")
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	list := func(use func(dirent)) (all []dirent) {
		for buf := make([]byte, 4096); ; {
			some := direntsOf(t, fd, buf)
			if len(some) == 0 {
				return all
			}
			for _, e := range some {
				use(e)
			}
			all = append(all, some...)
		}
	}
	all := list(func(e dirent) {
		var st unix.Stat_t
		path := filepath.Join(dir, e.name)
		if err := unix.Lstat(path, &st); err != nil || e.name != ".." && st.Ino != e.ino {
			t.Errorf("%q is listed as number %x, and is %x, %v", e.name, e.ino, st.Ino, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			if b, err := os.ReadFile(path); err != nil || int64(len(b)) != st.Size {
				t.Errorf("%q: %d bytes of %d, %v", e.name, len(b), st.Size, err)
			}
		}
	})
	if len(all) != manyNames+2 {
		t.Fatalf("%d names, want %d", len(all), manyNames+2)
	}
	var want []string
	entries, err := os.ReadDir(p.path("broad"))
	must(t, err)
	for _, e := range entries {
		want = append(want, e.Name())
	}
	got := slices.Collect(maps.Keys(names(all[2:])))
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Error("other names than at the source")
	}
	buf := make([]byte, 4096)
	for i := len(all) - 1; i >= 0; i-- { // backwards, as xfstests' generic/257 does
		place := int64(0)
		if i > 0 {
			place = all[i-1].next
		}
		if place < 0 || place >= 1<<31 {
			t.Fatalf("the place after %q is %d", all[i-1].name, place)
		}
		_, err := unix.Seek(fd, place, unix.SEEK_SET)
		must(t, err)
		if some := direntsOf(t, fd, buf); len(some) == 0 || some[0] != all[i] {
			t.Fatalf("at %d is %+v, not %+v", place, some, all[i])
		}
	}
	_, err = unix.Seek(fd, 0, unix.SEEK_SET)
	must(t, err)
	if again := list(func(dirent) {}); !slices.Equal(again, all) {
		t.Error("the second listing differs from the first")
	}
}

func names(all []dirent) map[string]bool {
	set := map[string]bool{}
	for _, e := range all {
		set[e.name] = true
	}
	return set
}

// descriptorsStay reads a file again and again, and looks whether the daemon keeps files open for it.
func descriptorsStay(t *testing.T, d *daemon, mounted string) {
	count := func() int {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
		must(t, err)
		return len(open)
	}
	use := func() {
		for range 100 {
			_, err := os.ReadFile(filepath.Join(mounted, "script"))
			must(t, err)
			_, err = os.ReadDir(mounted)
			must(t, err)
		}
	}
	use()
	before := count()
	use()
	if after := count(); after > before+15 {
		t.Errorf("the daemon has %d files open, %d before a file was read 100 times", after, before)
	}
}
