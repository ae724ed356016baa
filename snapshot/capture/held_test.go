package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A mute is the server of a file system with a file in it. Once it is so, it does not answer what it is asked of the file or the file system, but tells of it.
type mute struct {
	gofuse.Inode
	mute  *atomic.Bool
	asked chan string   // has room for one
	again chan struct{} // is closed when it answers again
}

// newMute mounts one, with its file held open for writing, until the test ends.
func newMute(t *testing.T) (d *mute, point string) {
	point = t.TempDir()
	d = &mute{mute: new(atomic.Bool), asked: make(chan string, 1), again: make(chan struct{})}
	server, err := gofuse.Mount(point, d, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, AllowOther: true}})
	must(t, err)
	fd, err := unix.Open(point+"/file", unix.O_RDWR|unix.O_CLOEXEC, 0)
	d.mute.Store(true)
	t.Cleanup(func() {
		close(d.again)
		if err == nil {
			unix.Close(fd)
		}
		_ = unix.Unmount(point, unix.MNT_DETACH) // if it is mounted
		server.Wait()
	})
	must(t, err)
	return d, point
}

func (d *mute) answer(ctx context.Context, what string) {
	if !d.mute.Load() {
		return
	}
	if by, _ := fuse.FromContext(ctx); by == nil || unix.Access(fmt.Sprintf("/proc/self/task/%d", by.Pid), 0) != nil {
		return // somebody else looks around on the machine
	}
	select {
	case d.asked <- what:
	default:
	}
	<-d.again
}

func (d *mute) OnAdd(ctx context.Context) {
	if d.IsRoot() {
		file := &mute{mute: d.mute, asked: d.asked, again: d.again}
		d.AddChild("file", d.NewPersistentInode(ctx, file, gofuse.StableAttr{}), true)
	}
}

func (d *mute) Lookup(ctx context.Context, name string, _ *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	d.answer(ctx, "for a name")
	if child := d.GetChild(name); child != nil {
		return child, 0
	}
	return nil, syscall.ENOENT
}

func (d *mute) Open(context.Context, uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (d *mute) Getattr(ctx context.Context, _ gofuse.FileHandle, _ *fuse.AttrOut) syscall.Errno {
	d.answer(ctx, "for attributes")
	return 0
}

func (d *mute) Statfs(ctx context.Context, _ *fuse.StatfsOut) syscall.Errno {
	d.answer(ctx, "for its space")
	return 0
}

// openedSource opens a partition until the test ends.
func openedSource(t *testing.T, point string) *source {
	m := mountOf(t, point)
	src, err := openSource(t.Context(), m.Partition, time.Now)
	must(t, err)
	t.Cleanup(src.close)
	return src
}

// A server that does not answer holds up nothing, though somebody has a file of it open.
func TestHeldFilesAskNoServer(t *testing.T) {
	for _, fstype := range []string{"ext4", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			point := partition(t, fstype)
			write(t, point+"/file", "1")
			fd, err := unix.Open(point+"/file", unix.O_RDWR|unix.O_CLOEXEC, 0)
			must(t, err)
			defer unix.Close(fd)
			src := openedSource(t, point)
			d, _ := newMute(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan struct{})
			go func() {
				select {
				case what := <-d.asked:
					t.Error("the server is asked", what)
					cancel()
				case <-ended:
				}
			}()
			held, err := heldFiles(ctx, src, time.Hour)
			close(ended)
			st, statErr := statFD(fd, statMask)
			must(t, statErr)
			if err != nil || held[fileID{st.dev, st.ino}] == nil {
				t.Errorf("held files are %v, %v", held, err)
			}
		})
	}
}

// hangSearch has the search for held files hang until the test ends, in this process only. Of a file system that was unmounted while files of it are open, the
// server must be asked.
func hangSearch(t *testing.T, src *source) *mute {
	t.Helper()
	d, point := newMute(t)
	must(t, unix.Unmount(point, unix.MNT_DETACH))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-d.asked
		cancel()
	}()
	if _, err := heldFiles(ctx, src, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return d
}

func TestSearchForHeldFilesEnds(t *testing.T) {
	src := openedSource(t, partition(t, "ext4"))
	d := hangSearch(t, src)
	if _, err := heldFiles(t.Context(), src, 5*time.Second); !errors.Is(err, errHeldLate) {
		t.Error(err)
	}
	select {
	case <-d.asked:
		t.Error("another search waits for the server too")
	default:
	}
}

// What is stored in a mapping may divide it, or join it with others, while it is looked at.
func TestMappingThatIsDividedMeanwhileIsFound(t *testing.T) {
	point := partition(t, "ext4")
	size := 3 * os.Getpagesize()
	write(t, point+"/file", strings.Repeat("x", size))
	fd, err := unix.Open(point+"/file", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	m, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(m)
	st, err := statFD(fd, statMask)
	must(t, err)

	var group sync.WaitGroup
	defer group.Wait()
	stop := make(chan struct{})
	defer close(stop)
	group.Go(func() {
		for prot := unix.PROT_READ; ; prot ^= unix.PROT_WRITE {
			select {
			case <-stop:
				return
			default:
				_ = unix.Mprotect(m[size/3:2*size/3], prot)
			}
		}
	})
	for range 1000 {
		h := &holding{dev: st.dev, fstype: "ext4", found: map[fileID]*held{}}
		if _, err := h.maps("/proc/self"); err != nil && err != errMoving {
			t.Fatal(err)
		} else if err == nil && h.found[fileID{st.dev, st.ino}] == nil {
			t.Fatal("it is not found")
		}
	}
}

// What a process has mapped is told in several pieces, and may be moved meanwhile to where was looked before.
func TestMappingThatIsMovedMeanwhileIsFound(t *testing.T) {
	path := partition(t, "ext4") + "/file"
	write(t, path, "12345678")
	st, err := statPath(path, lookOnly)
	must(t, err)
	page, far := uintptr(os.Getpagesize()), uintptr(3000)
	b, err := unix.Mmap(-1, 0, int((far+1)*page), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	must(t, err)
	defer unix.Munmap(b)
	for i := uintptr(1); i < far; i += 2 { // so that there are many lines in between
		must(t, unix.Mprotect(b[i*page:(i+1)*page], unix.PROT_READ))
	}
	low := unsafe.Pointer(&b[0])
	high := unsafe.Add(low, far*page)
	move := func(from, to unsafe.Pointer) {
		_, err := unix.MremapPtr(from, page, to, page, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED)
		must(t, err)
	}
	m := mapped(t, path)
	move(unsafe.Pointer(&m[0]), high)
	for i := range 100 {
		moved := make(chan struct{})
		go func() {
			defer close(moved)
			time.Sleep(time.Duration(i*20) * time.Microsecond)
			move(high, low)
		}()
		h := &holding{dev: st.dev, fstype: "ext4", found: map[fileID]*held{}}
		_, err := h.maps("/proc/self")
		<-moved
		must(t, err)
		if h.found[fileID{st.dev, st.ino}] == nil {
			t.Fatal("it is not found")
		}
		move(low, high)
	}
}

// Others are what a process has mapped that maps one file after another: each time it is read there are some of other files, which are gone when they are looked at.
type others struct {
	gofuse.Inode
	file  stat // that stays
	times atomic.Int64
}

func (o *others) Open(context.Context, uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	device := fmt.Sprintf("00000000 %02x:%02x", unix.Major(o.file.dev), unix.Minor(o.file.dev))
	return told(fmt.Sprintf("1000-2000 rw-s %s %d /a\n2000-3000 rw-p %[1]s %[2]d /a\n3000-4000 rw-s %[1]s %[3]d /file\n", device, 1_000_000_000+o.times.Add(1), o.file.ino)), fuse.FOPEN_DIRECT_IO, 0
}

type told string

func (t told) Read(_ context.Context, _ []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData([]byte(t[min(int(off), len(t)):])), 0
}

func TestMappingsThatComeAndGoAllTheTimeAreNotWaitedFor(t *testing.T) {
	needRoot(t)
	dir, point := t.TempDir(), t.TempDir()
	write(t, dir+"/file", "12345678")
	st, err := statPath(dir+"/file", lookOnly)
	must(t, err)
	must(t, os.Mkdir(dir+"/map_files", 0o755))
	must(t, os.Symlink(dir+"/file", dir+"/map_files/3000-4000"))
	must(t, os.Symlink(point+"/maps", dir+"/maps"))
	root, maps := &gofuse.Inode{}, &others{file: st}
	server, err := gofuse.Mount(point, root, &gofuse.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true},
		OnAdd: func(ctx context.Context) {
			root.AddChild("maps", root.NewPersistentInode(ctx, maps, gofuse.StableAttr{}), true)
		},
	})
	must(t, err)
	defer server.Wait()
	defer unix.Unmount(point, unix.MNT_DETACH)
	h := &holding{dev: st.dev, fstype: "ext4", found: map[fileID]*held{}}
	if _, err := h.maps(dir); err != nil || h.found[fileID{st.dev, st.ino}] == nil {
		t.Errorf("after %d times: %v, found %v", maps.times.Load(), err, h.found)
	}
}

// A process may end once it has started another, which has open what it had.
func TestFileThatIsHandedOnMeanwhileIsFound(t *testing.T) {
	point := partition(t, "ext4")
	write(t, point+"/file", "12345678")
	src := openedSource(t, point)
	st, err := statPath(point+"/file", lookOnly)
	must(t, err)
	d, mute := newMute(t)
	must(t, unix.Unmount(mute, unix.MNT_DETACH)) // so that the search waits when it comes to this process
	cmd := exec.Command("sh", "-c", `exec 3<>"$0"; echo; read go; sleep 600 >&- & exit`, point+"/file")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	_, err = out.Read(make([]byte, 1))
	must(t, err)
	told := make(chan struct{})
	go func() {
		defer close(told)
		<-d.asked
		d.mute.Store(false)
		in.Close()
		_ = cmd.Wait()
		d.again <- struct{}{}
	}()
	held, err := heldFiles(t.Context(), src, time.Hour)
	<-told
	if err != nil || held[fileID{st.dev, st.ino}] == nil {
		t.Errorf("held files are %v, %v", held, err)
	}
}

// What cannot be looked at may be of the partition.
func TestMappingThatMayNotBeLookedAtIsAnError(t *testing.T) {
	needRoot(t)
	path := t.TempDir() + "/file"
	write(t, path, "12345678")
	defer unix.Munmap(mapped(t, path))
	err := onThread(func() error {
		var none [2]unix.CapUserData
		err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
		if err == nil {
			_, err = (&holding{}).maps("/proc/self")
		}
		return err
	})
	if !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

// A FUSE file system of a user tells root nothing.
func TestFileThatOnlyItsOwnerMaySeeIsPassedOver(t *testing.T) {
	src := openedSource(t, partition(t, "ext4"))
	const owner = 1000
	point := t.TempDir()
	d := &mute{mute: new(atomic.Bool)}
	options := &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, Options: []string{fmt.Sprintf("user_id=%d", owner), fmt.Sprintf("group_id=%[1]d", owner)}}}
	server, err := fuse.NewServer(gofuse.NewNodeFS(d, options), point, &options.MountOptions)
	must(t, err)
	go server.Serve()
	defer server.Wait()
	defer unix.Unmount(point, unix.MNT_DETACH)
	root, err := unix.Open(point, unix.O_PATH|unix.O_CLOEXEC, 0) // the way there is root's
	must(t, err)
	defer unix.Close(root)
	type result struct {
		fd  int
		err error
	}
	opened := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
			if _, _, e := unix.RawSyscall(call, owner, owner, owner); e != 0 {
				opened <- result{-1, e}
				return
			}
		}
		fd, err := unix.Openat(root, "file", unix.O_RDWR|unix.O_CLOEXEC, 0)
		opened <- result{fd, err}
	}()
	r := <-opened
	must(t, r.err)
	defer unix.Close(r.fd)
	if _, err := statFD(r.fd, statMask); err != unix.EACCES {
		t.Skip("root may: ", err)
	}
	if _, err := heldFiles(t.Context(), src, time.Hour); err != nil {
		t.Error(err)
	}
}

// A broken file system tells nothing of its files.
func TestFileOfABrokenFileSystemIsPassedOver(t *testing.T) {
	for _, fstype := range []string{"ext4", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			src, broken := openedSource(t, partition(t, fstype)), partition(t, "xfs")
			write(t, broken+"/file", "12345678")
			f, err := os.OpenFile(broken+"/file", os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			defer unix.Munmap(mapped(t, broken+"/file"))
			own := openedSource(t, broken)
			const goingDown, noLogFlush = 0x8004587d, 2 // XFS_IOC_GOINGDOWN
			must(t, unix.IoctlSetPointerInt(int(f.Fd()), goingDown, noLogFlush))
			if _, err := statFD(int(f.Fd()), statMask); err == nil {
				t.Skip("it tells of its files")
			}
			if _, err := heldFiles(t.Context(), src, time.Hour); err != nil {
				t.Error(err)
			}
			if _, err := heldFiles(t.Context(), own, time.Hour); err == nil {
				t.Error("its own files are passed over too")
			}
		})
	}
}

// In a PID namespace of its own a backup sees only processes of that, and others write to the partition unheard.
func TestJournalIsNotGoneByWhereOthersProcessesAreNotSeen(t *testing.T) {
	const pointEnv = "YESTER_TEST_POINT"
	if point := os.Getenv(pointEnv); point != "" { // in the namespace, where what is said to the parent goes by descriptors 3 and 4
		must(t, unix.Mount("proc", "/proc", "proc", 0, ""))
		r := newJournalRig(t, point, nil)
		r.next("walk")
		_, err := os.NewFile(3, "ask").Write([]byte("x"))
		must(t, err)
		_, err = os.NewFile(4, "answer").Read(make([]byte, 1))
		must(t, err)
		v := r.next("walk")
		if !strings.Contains(v.Because, errNamespace.Error()) {
			t.Error(v.Because)
		}
		r.asWalk(v)
		return
	}
	point := partition(t, "ext4")
	write(t, point+"/file", "12345678")
	m := mapped(t, point+"/file")
	defer unix.Munmap(m)
	asked, ask, err := os.Pipe()
	must(t, err)
	defer asked.Close()
	answered, answer, err := os.Pipe()
	must(t, err)
	defer answer.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), pointEnv+"="+point)
	cmd.ExtraFiles = []*os.File{ask, answered}
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	ask.Close()
	answered.Close()
	if _, err := asked.Read(make([]byte, 1)); err == nil {
		m[0] = 'x'
		_, err = answer.Write([]byte("x"))
		must(t, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &out)
	}
}

// A kernel without PID namespaces shows every process, and has no link to one in /proc.
func TestHeldFilesAreFoundWithoutPIDNamespaces(t *testing.T) {
	point := partition(t, "ext4")
	write(t, point+"/file", "12345678")
	defer unix.Munmap(mapped(t, point+"/file"))
	st, err := statPath(point+"/file", lookOnly)
	must(t, err)
	src := openedSource(t, point)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		failed <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.Mount("none", "/proc/self/ns", "tmpfs", 0, ""); err != nil {
				return err
			}
			held, err := heldFiles(context.Background(), src, time.Hour)
			if err == nil && held[fileID{st.dev, st.ino}] == nil {
				err = errors.New("it is not found")
			}
			return err
		}()
	}()
	must(t, <-failed)
}

func TestHiddenProcessesAreAnError(t *testing.T) {
	needRoot(t)
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, "hidepid=2,gid=12345"); err != nil {
			return err
		}
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return err
		}
		return (&holding{}).search(context.Background())
	})
	if !errors.Is(err, errHidden) {
		t.Error(err)
	}
}

// onThread calls what makes another thread of the one it is called on: one that ends with it. The first thread of the process never does, and /proc/self is that.
func onThread(call func() error) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			failed <- call()
			return
		}
		defer runtime.UnlockOSThread()
		failed <- onThread(call) // on another one, as this goroutine has the first
	}()
	return <-failed
}

// What the kernel writes to them makes no event.
func TestImagesOfDisksThatTheKernelServesAreHeld(t *testing.T) {
	point, config := partition(t, "ext4"), t.TempDir()
	src := openedSource(t, point)
	for _, name := range []string{"nvme", "a  Size: b", "other"} {
		write(t, point+"/"+name, "x")
	}
	write(t, config+"/nvmet/subsystems/nqn.x/namespaces/1/device_path", point+"/nvme\n")
	write(t, config+"/nvmet/subsystems/nqn.x/namespaces/2/device_path", "/dev/null\n")
	write(t, config+"/target/core/fileio_0/disk/info", "Status: ACTIVATED  Max Queue Depth: 128  SectorSize: 512  HwMaxSectors: 16384\n"+
		"        TCM FILEIO ID: 0        File: "+point+"/a  Size: b  Size: 1048576  Mode: Buffered-WCE Async: 0\n")
	write(t, config+"/target/core/fileio_1/none/info", "Status: DEACTIVATED")
	write(t, config+"/target/core/iblock_0/disk/info", "File: "+point+"/other  Size: 1")
	h := &holding{dev: src.root.dev, fstype: src.fstype, found: map[fileID]*held{}}
	h.served(config)
	for name, want := range map[string]bool{"nvme": true, "a  Size: b": true, "other": false} {
		st, err := statPath(point+"/"+name, lookOnly)
		must(t, err)
		if f := h.found[fileID{st.dev, st.ino}]; (f != nil) != want || want && f.handle == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
