package integration

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// everyByte reads a file in every way there is.
func everyByte(t *testing.T, p *partition, mounted string) {
	want, err := os.ReadFile(p.path("big"))
	must(t, err)
	path := filepath.Join(mounted, "big")
	for name, read := range map[string]func(t *testing.T, f *os.File, n int) ([]byte, error){
		"read":              func(_ *testing.T, f *os.File, _ int) ([]byte, error) { return io.ReadAll(f) },
		"shared mapping":    mapped(unix.MAP_SHARED),
		"private mapping":   mapped(unix.MAP_PRIVATE),
		"populated mapping": mapped(unix.MAP_SHARED | unix.MAP_POPULATE),
		"sendfile":          sent,
		"splice":            spliced,
		"copy_file_range":   copied,
		"readahead":         fetchedAhead,
		"vectors":           vectors,
		"odd pieces":        oddPieces,
		"backwards":         backwards,
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(path)
			must(t, err)
			defer f.Close()
			must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
			got, err := read(t, f, len(want))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d, or other ones: %v", len(got), len(want), err)
			}
		})
	}
	direct, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	must(t, err)
	f := os.NewFile(uintptr(direct), path)
	defer f.Close()
	if got, err := oddPieces(t, f, len(want)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("O_DIRECT: %d bytes of %d, or other ones: %v", len(got), len(want), err)
	}
	for _, at := range []int64{0, int64(len(want)) / 2} { // as posixtest looks for holes
		if end, err := f.Seek(at, unix.SEEK_HOLE); err != nil || end != int64(len(want)) {
			t.Errorf("the hole after %d is at %d, %v", at, end, err)
		}
	}
	for _, beyond := range []int64{0, 1, mib} {
		for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
			if at, err := f.Seek(int64(len(want))+beyond, whence); !errors.Is(err, unix.ENXIO) {
				t.Errorf("%d beyond the end is something at %d, %v", beyond, at, err)
			}
		}
	}
}

func mapped(flags int) func(*testing.T, *os.File, int) ([]byte, error) {
	return func(_ *testing.T, f *os.File, n int) ([]byte, error) {
		b, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, flags)
		if err != nil {
			return nil, err
		}
		return bytes.Clone(b), unix.Munmap(b)
	}
}

// temporary is a file of the test's to copy into.
func temporary(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(work, "copy-")
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(f.Close(), os.Remove(f.Name()))) })
	return f
}

func content(f *os.File) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

func sent(t *testing.T, f *os.File, _ int) ([]byte, error) {
	to := temporary(t)
	for {
		if n, err := unix.Sendfile(int(to.Fd()), int(f.Fd()), nil, mib); n == 0 || err != nil {
			b, more := content(to)
			return b, errors.Join(err, more)
		}
	}
}

func spliced(_ *testing.T, f *os.File, n int) (all []byte, err error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	defer in.Close()
	buf := make([]byte, 64*kib)
	for len(all) < n {
		moved, err := unix.Splice(int(f.Fd()), nil, int(in.Fd()), nil, len(buf), 0)
		if err != nil || moved == 0 {
			return all, err
		}
		if _, err := io.ReadFull(out, buf[:moved]); err != nil {
			return all, err
		}
		all = append(all, buf[:moved]...)
	}
	return all, nil
}

// copied copies with copy_file_range, which the kernel does between different file systems only where one of them can; then what cp falls
// back on is done.
func copied(t *testing.T, f *os.File, n int) ([]byte, error) {
	to := temporary(t)
	for done := 0; done < n; {
		m, err := unix.CopyFileRange(int(f.Fd()), nil, int(to.Fd()), nil, n-done, 0)
		if errors.Is(err, unix.EXDEV) && done == 0 {
			if _, err := io.Copy(to, f); err != nil {
				return nil, err
			}
			break
		}
		if m == 0 || err != nil {
			return nil, err
		}
		done += m
	}
	return content(to)
}

func fetchedAhead(_ *testing.T, f *os.File, n int) ([]byte, error) {
	err := unix.Fadvise(int(f.Fd()), 0, int64(n), unix.FADV_WILLNEED)
	b, more := io.ReadAll(f)
	return b, errors.Join(err, more)
}

func vectors(_ *testing.T, f *os.File, n int) ([]byte, error) {
	b := make([]byte, n)
	first, second := b[:n/3], b[n/3:]
	got, err := unix.Preadv(int(f.Fd()), [][]byte{first, second}, 0)
	return b[:got], err
}

// oddPieces reads at offsets and in lengths that fit no block.
func oddPieces(_ *testing.T, f *os.File, n int) ([]byte, error) {
	all := make([]byte, n)
	for at, size := 0, 1; at < n; size = (size*3 + 1) % (300 * kib) {
		end := min(n, at+size+1)
		if _, err := f.ReadAt(all[at:end], int64(at)); err != nil {
			return nil, err
		}
		at = end
	}
	return all, nil
}

// backwards reads piece by piece from the end of the file to its start.
func backwards(_ *testing.T, f *os.File, n int) ([]byte, error) {
	all := make([]byte, n)
	for end := n; end > 0; {
		at := max(0, end-32*kib)
		if _, err := f.ReadAt(all[at:end], int64(at)); err != nil {
			return nil, err
		}
		end = at
	}
	return all, nil
}

// programs are run from the version, and read in it.
func programs(t *testing.T, p *partition, mounted string) {
	if out := command(t, filepath.Join(mounted, "program"), filepath.Join(mounted, "links/one")); out != "one file, four names" {
		t.Errorf("a program run from the mount prints %q", out)
	}
	if out := command(t, filepath.Join(mounted, "script")); out != "run from "+filepath.Join(mounted, "script")+"\n" {
		t.Errorf("a script run from the mount prints %q", out)
	}
	command(t, "cmp", p.path("big"), filepath.Join(mounted, "big"))
	command(t, "diff", "-r", "--no-dereference", p.path("broad"), filepath.Join(mounted, "broad"))
	to := temporary(t)
	command(t, "cp", "--reflink=auto", "--sparse=auto", filepath.Join(mounted, "holes/many"), to.Name())
	command(t, "cmp", p.path("holes/many"), to.Name())
}

// watched sees what happens in a folder by inotify.
func watched(t *testing.T, _ *partition, mounted string) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	must(t, err)
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, mounted, unix.IN_ALL_EVENTS)
	must(t, err)
	_, err = unix.InotifyAddWatch(fd, filepath.Join(mounted, "big"), unix.IN_ALL_EVENTS)
	must(t, err)
	_, err = os.ReadFile(filepath.Join(mounted, "script"))
	must(t, err)
	buf := make([]byte, 64*kib)
	n, err := unix.Read(fd, buf)
	if err != nil || !bytes.Contains(buf[:n], []byte("script\x00")) {
		t.Errorf("inotify tells %q, %v", buf[:max(n, 0)], err)
	}
}

// handles are opened after the kernel forgot what they stand for, as an NFS server does.
func handles(t *testing.T, p *partition, mounted string) {
	top, err := os.Open(mounted)
	must(t, err)
	defer top.Close()
	type kept struct {
		handle unix.FileHandle
		stat   unix.Stat_t
	}
	handles := map[string]kept{}
	for _, name := range []string{".", "..", "../..", "big", "links/one", "links/far/away/three", "links/dangling", "links/fifo-1", "deep/level-000/level-001", "broad"} {
		path := filepath.Join(mounted, name)
		h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
		must(t, err)
		k := kept{handle: h}
		must(t, unix.Lstat(path, &k.stat))
		handles[name] = k
	}
	must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
	for name, k := range handles {
		flags := unix.O_PATH | unix.O_CLOEXEC
		if k.stat.Mode&unix.S_IFMT != unix.S_IFLNK && k.stat.Mode&unix.S_IFMT != unix.S_IFIFO {
			flags = unix.O_RDONLY | unix.O_CLOEXEC
		}
		fd, err := unix.OpenByHandleAt(int(top.Fd()), k.handle, flags)
		if err != nil {
			t.Errorf("the handle of %s: %v", name, err)
			continue
		}
		f := os.NewFile(uintptr(fd), name)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Ino != k.stat.Ino || st.Mode != k.stat.Mode {
			t.Errorf("the handle of %s leads to %+v, not %+v: %v", name, st, k.stat, err)
		}
		if name == "big" {
			want, errSource := sumOf(p.path(name))
			got, err := sumOf(fmt.Sprintf("/proc/self/fd/%d", fd))
			if want != got || err != nil || errSource != nil {
				t.Errorf("by its handle %s has other bytes: %v, %v", name, err, errSource)
			}
		}
		if k.stat.Mode&unix.S_IFMT == unix.S_IFDIR {
			if list, err := f.Readdirnames(-1); err != nil || len(list) == 0 {
				t.Errorf("by its handle %s has %d names, %v", name, len(list), err)
			}
		}
		must(t, f.Close())
	}
}

func sumOf(path string) (sum [sha256.Size]byte, err error) {
	b, err := os.ReadFile(path)
	return sha256.Sum256(b), err
}

// elsewhere looks at the version through a bind mount in a mount namespace of its own, and as the root of a container.
func elsewhere(t *testing.T, _ *partition, mounted string) {
	dir, err := os.MkdirTemp(work, "elsewhere-")
	must(t, err)
	defer os.Remove(dir)
	script := `set -e
mount --bind "$0" "$1"
cmp "$0/big" "$1/big"
[ "$(cd "$1" && find . | sort | sha256sum)" = "$(cd "$0" && find . | sort | sha256sum)" ]
! touch "$1/new" 2>/dev/null
umount "$1"
mount -t tmpfs none "$1"
mkdir "$1/in"
mount --rbind "$0" "$1/in"
cmp "$0/big" "$1/in/big"`
	command(t, "unshare", "-m", "sh", "-c", script, mounted, dir)
}

// overlaid changes a version in an overlay, of which it is the lower layer, and leaves the version itself as it is.
func overlaid(t *testing.T, p *partition, mounted string) {
	layers := newPartition(t, "ext4", 256*mib)
	for _, dir := range []string{"upper", "work", "all"} {
		must(t, os.Mkdir(layers.path(dir), 0o755))
	}
	all := layers.path("all")
	command(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+mounted+",upperdir="+layers.path("upper")+",workdir="+layers.path("work"), all)
	defer command(t, "umount", all)
	want := read(t, p.dir, ".") // the top is the upper layer's
	got := read(t, all, ".")
	for path, r := range want { // an overlay counts the names of a file in its own way
		r.nlink, r.group = 0, ""
		want[path] = r
		if r, ok := got[path]; ok {
			r.nlink, r.group = 0, ""
			got[path] = r
		}
	}
	same(t, "the overlay", want, got)
	before := read(t, mounted)
	f, err := os.OpenFile(filepath.Join(all, "big"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("changed"), mib)
	must(t, errors.Join(err, f.Close()))
	must(t, os.Remove(filepath.Join(all, "script")))
	must(t, os.RemoveAll(filepath.Join(all, "deep")))
	must(t, os.Chmod(filepath.Join(all, "program"), 0o700))
	must(t, os.WriteFile(filepath.Join(all, "new"), []byte("new"), 0o644))
	if b, err := os.ReadFile(filepath.Join(all, "big")); err != nil || string(b[mib:mib+7]) != "changed" {
		t.Errorf("what was written to the overlay is not there: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(all, "deep")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("what was removed from the overlay: %v", err)
	}
	same(t, "the version under an overlay", before, read(t, mounted))
}

// measured compares what find, du and df say.
func measured(t *testing.T, p *partition, mounted string) {
	in := func(dir, line string) string {
		t.Helper()
		return command(t, "sh", "-ec", `cd "$0"; `+line, dir)
	}
	for _, line := range []string{
		"find . -xdev -printf '%p %y %m %n %U %G %s %T@ %l\\n' | sort",
		"find . -xdev | wc -l",
		"du -sb .",
		"du -sb links broad deep",
		"df -B4096 --output=size,itotal . | tail -1",
	} {
		if p.fs == "btrfs" && strings.Contains(line, "itotal") {
			line = strings.Replace(line, ",itotal", "", 1)
		}
		if want, got := in(p.dir, line), in(mounted, line); want != got {
			t.Errorf("%s prints\n%.2000s\nat the source, and in the mount\n%.2000s", line, want, got)
		}
	}
	if a, b := in(mounted, "find . -xdev | wc -l"), in(mounted, "find . | wc -l"); a != b {
		t.Errorf("find -xdev meets %s names, find %s", a, b)
	}
}

// locks are kept by the kernel, as on a disk.
func locks(t *testing.T, p *partition, mounted string) {
	for _, dir := range []string{p.dir, mounted} {
		path := filepath.Join(dir, "script")
		one, err := os.Open(path)
		must(t, err)
		defer one.Close()
		two, err := os.Open(path)
		must(t, err)
		defer two.Close()
		must(t, unix.Flock(int(one.Fd()), unix.LOCK_EX|unix.LOCK_NB))
		if err := unix.Flock(int(two.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("%s: a second lock: %v", path, err)
		}
		must(t, unix.Flock(int(one.Fd()), unix.LOCK_UN))
		must(t, unix.FcntlFlock(one.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK}))
		must(t, unix.FcntlFlock(two.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK}))
		if err := unix.FcntlFlock(two.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); !errors.Is(err, unix.EBADF) {
			t.Errorf("%s: a lock to write: %v", path, err)
		}
	}
	if out, err := exec.Command("flock", "-n", "-s", filepath.Join(mounted, "big"), "true").CombinedOutput(); err != nil {
		t.Errorf("flock: %v\n%s", err, out)
	}
}
