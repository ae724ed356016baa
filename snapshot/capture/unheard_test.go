package capture

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot/track"
)

// What Linux's own asynchronous writes do makes no event until the file is closed.
func TestJournalFindsWhatIsWrittenAsynchronously(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/file", "12345678")
		f, err := os.OpenFile(point+"/file", os.O_WRONLY, 0)
		must(t, err)
		defer f.Close()
		r.next("walk")
		writeAsync(t, f)
		r.look()
	})
}

// writeAsync writes a byte to a file by io_submit.
func writeAsync(t *testing.T, f *os.File) {
	var context uintptr
	if _, _, e := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&context)), 0); e != 0 {
		t.Skip(e)
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, context, 0, 0)
	b := []byte("x")
	type iocb struct {
		_         uint64
		_, _      uint32
		op        uint16
		_         int16
		fd        uint32
		buf, size uint64
		off       int64
		_         uint64
		_, _      uint32
	}
	const pwrite = 1
	c := &iocb{op: pwrite, fd: uint32(f.Fd()), buf: uint64(uintptr(unsafe.Pointer(&b[0]))), size: 1, off: 2}
	cs := []*iocb{c}
	if n, _, e := unix.Syscall(unix.SYS_IO_SUBMIT, context, 1, uintptr(unsafe.Pointer(&cs[0]))); n != 1 {
		t.Fatal(e)
	}
	var done [32]byte
	if n, _, e := unix.Syscall6(unix.SYS_IO_GETEVENTS, context, 1, 1, uintptr(unsafe.Pointer(&done)), 0, 0); n != 1 {
		t.Fatal(e)
	}
}

// A mapping keeps a file open that was opened for writing, also if it is not shared, so that its close is not told.
func TestJournalFindsWhatWasWrittenBeforeItWasOnlyMapped(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/file", "12345678")
		f, err := os.OpenFile(point+"/file", os.O_RDWR, 0)
		must(t, err)
		r.next("walk")
		writeAsync(t, f)
		m, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ, unix.MAP_PRIVATE)
		must(t, err)
		defer unix.Munmap(m)
		must(t, f.Close())
		r.look()
	})
}

// What the kernel tells in /proc of what a mapping's file is open for is that of the file that was mapped there when it was asked before.
func TestJournalFindsWhatWasMappedWhereAnotherFileWas(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/file", "12345678")
		write(t, point+"/other", "12345678")
		f, err := os.OpenFile(point+"/file", os.O_RDWR, 0)
		must(t, err)
		other, err := os.Open(point + "/other")
		must(t, err)
		defer other.Close()
		at, err := unix.MmapPtr(int(other.Fd()), 0, nil, 8, unix.PROT_READ, unix.MAP_PRIVATE)
		must(t, err)
		defer unix.MunmapPtr(at, 8)
		address := fmt.Sprintf("%x-%x", uintptr(at), uintptr(at)+uintptr(os.Getpagesize()))
		_, err = os.Lstat("/proc/self/map_files/" + address)
		must(t, err)
		r.next("walk")
		writeAsync(t, f)
		_, err = unix.MmapPtr(int(f.Fd()), 0, at, 8, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_FIXED)
		must(t, err)
		must(t, f.Close())
		r.look()
	})
}

// A mapping that ends after the changes were cut off is told of too late, and may be gone when it is looked for.
func TestJournalFindsWhatAMappingLeft(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/file", "12345678")
		f, err := os.OpenFile(point+"/file", os.O_RDWR, 0)
		must(t, err)
		m, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		must(t, f.Close())
		r.next("walk")
		m[0] = 'x'
		r.afterCut = func() {
			r.afterCut = nil
			must(t, unix.Munmap(m))
		}
		r.look()
	})
}

// A file may be mapped after it was seen who has what mapped, and before it is read: what is stored later in a page that was not written back sets no time.
func TestWalkFindsWhatAMappingLeft(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	write(t, point+"/file", "12345678")
	r.next("walk")
	write(t, point+"/file", "87654321")
	var m []byte
	r.o.Audit = true
	r.o.clock = func() time.Time { return time.Now().Add(time.Second) } // as if it was read a second after it was written to
	r.o.trace = func(op, _ string) {
		if op != "open" || m != nil {
			return
		}
		f, err := os.OpenFile(point+"/file", os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		m, err = unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		m[0] = 'x'
	}
	r.next("walk")
	r.o.trace = nil
	defer unix.Munmap(m)
	m[1] = 'y'
	r.asWalk(r.next("walk"))
	m[2] = 'z'
	r.o.Audit = false
	r.asWalk(r.next("journal"))
}

// holderEnv makes a process of the test program one that has the file at that path open, and stores something in it for each line of its input.
const holderEnv = "YESTER_TEST_HOLDER"

// main is the first thread, so that no test runs on it: what one takes from its thread, or another file system that it has it see, would stay, for that thread does not end
// with a goroutine, and /proc/self tells of it.
func init() { runtime.LockOSThread() }

// hold has the file open as only a thread can that is not the process's first one, which ends.
func hold(path string) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			failed <- err
			return
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			failed <- err
			return
		}
		m, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			failed <- err
			return
		}
		for in := bufio.NewScanner(os.Stdin); ; {
			fmt.Println("done")
			if !in.Scan() {
				os.Exit(0)
			}
			m[0]++
			if in.Text() == "unmap" {
				unix.Munmap(m)
			}
		}
	}()
	if os.Getpid() == unix.Gettid() {
		unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	}
	return <-failed
}

func TestJournalFindsWhatAThreadHolds(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	write(t, point+"/file", "12345678")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holderEnv+"="+point+"/file")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewReader(out)
	say := func(what string) {
		if what != "" {
			_, err := fmt.Fprintln(in, what)
			must(t, err)
		}
		if line, err := lines.ReadString('\n'); line != "done\n" {
			t.Fatal(line, err)
		}
	}
	say("")
	r.next("walk")
	say("store")
	r.look()
	say("unmap")
	r.look()
}

// Of a file in an overlay the one below it is backed up.
func TestJournalFindsWhatIsMappedThroughAnOverlay(t *testing.T) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			point := partition(t, fstype)
			for _, dir := range []string{"lower", "upper", "work"} {
				must(t, os.Mkdir(filepath.Join(point, dir), 0o755))
			}
			write(t, point+"/lower/dir/below", "12345678")
			over := t.TempDir()
			mount(t, over, "mount", "-t", "overlay", "overlay", "-o", fmt.Sprintf("lowerdir=%s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", point), over)
			write(t, over+"/new", "12345678")
			var maps [][]byte
			for _, name := range []string{"dir/below", "new"} {
				f, err := os.OpenFile(filepath.Join(over, name), os.O_RDWR, 0)
				must(t, err)
				m, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
				must(t, err)
				defer unix.Munmap(m)
				maps = append(maps, m)
				must(t, f.Close())
			}
			r := newJournalRig(t, point, nil)
			r.next("walk")
			for i := range byte(2) {
				maps[0][0], maps[1][1] = i, i
				r.look()
			}
		})
	}
}

// The image of a loop device need not have the path that the kernel tells.
func TestJournalFindsAnImageOutOfReach(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/dir/image", "")
		must(t, os.Truncate(point+"/dir/image", 20<<20))
		command(t, "mkfs.ext4", "-q", point+"/dir/image")
		within, elsewhere := t.TempDir(), t.TempDir()
		device := command(t, "findmnt", "-n", "-o", "SOURCE", point)
		mount(t, elsewhere, "mount", device, elsewhere)
		mount(t, within, "mount", "-o", "loop", elsewhere+"/dir/image", within)
		mount(t, elsewhere+"/dir", "mount", "-t", "tmpfs", "tmpfs", elsewhere+"/dir")
		r.next("walk")
		write(t, within+"/file", "1")
		command(t, "sync", "-f", within+"/file")
		r.asWalk(r.tryNext())
	})
}

func counting(t *testing.T) *track.Unheard {
	u, err := track.WatchUnheard()
	if errors.Is(err, track.ErrUnsupported) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { u.Close() })
	return u
}

// A folder with another generation is not found by the handle by which what changed in it was told.
func TestChangedGenerationMakesAWalk(t *testing.T) {
	point := partition(t, "ext4", "-O", "^metadata_csum")
	r := newJournalRig(t, point, counting(t))
	write(t, point+"/dir/file", "1")
	r.next("walk")
	must(t, os.Remove(point+"/dir/file"))
	dir, err := os.Open(point + "/dir")
	must(t, err)
	defer dir.Close()
	const setVersion = 0x40087602
	must(t, unix.IoctlSetPointerInt(int(dir.Fd()), setVersion, 5))
	r.asWalk(r.tryNext())
}

// As xfsrestore sets them.
func TestAttributesSetByHandleMakeAWalk(t *testing.T) {
	point := partition(t, "xfs")
	r := newJournalRig(t, point, counting(t))
	write(t, point+"/file", "1")
	r.next("walk")
	dir, err := os.Open(point)
	must(t, err)
	defer dir.Close()
	type request struct {
		fd      uint32
		path    *byte
		oflags  uint32
		in      unsafe.Pointer
		inSize  uint32
		out     unsafe.Pointer
		outSize *uint32
	}
	var (
		handle [64]byte
		size   uint32
	)
	path, err := unix.BytePtrFromString(point + "/file")
	must(t, err)
	const pathToHandle, attrMulti = 0xc0385869, 0x4048587b
	get := request{path: path, out: unsafe.Pointer(&handle), outSize: &size}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), pathToHandle, uintptr(unsafe.Pointer(&get))); e != 0 {
		t.Fatal(e)
	}
	name, err := unix.BytePtrFromString("x")
	must(t, err)
	op := struct {
		code, err   uint32
		name, value *byte
		size, flags uint32
	}{code: 2, name: name, value: name, size: 1}
	set := struct {
		request
		count uint32
		ops   unsafe.Pointer
	}{request{in: unsafe.Pointer(&handle), inSize: size}, 1, unsafe.Pointer(&op)}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), attrMulti, uintptr(unsafe.Pointer(&set))); e != 0 || op.err != 0 {
		t.Fatal(e, op.err)
	}
	v := r.tryNext()
	r.asWalk(v)
	if len(r.entries(v)["file"].Xattrs) == 0 {
		t.Error("there is no attribute")
	}
}

// To give a file to nobody takes its capabilities away.
func TestLostCapabilitiesMakeAWalk(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, counting(t))
	write(t, point+"/file", "1")
	must(t, unix.Setxattr(point+"/file", "security.capability", append([]byte{1, 0, 0, 2, 0, 4}, make([]byte, 14)...), 0))
	r.next("walk")
	must(t, os.Lchown(point+"/file", -1, -1))
	r.asWalk(r.tryNext())
}
