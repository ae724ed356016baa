package capture

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A worker is a process that does at random to a partition what processes do. Several share the names, so they get in each other's way; that an operation
// fails is as good as any outcome.
type worker struct {
	r     *rand.Rand
	base  string // a mount of the partition
	files []*os.File
	maps  [][]byte
	ring  *ring
	tags  bool // some files are named as those that tag caches, and what is written is a tag at times
	anew  bool // folders are often made anew, with some files
}

// workerEnv makes a process of the test program a worker: "seed base [bind]".
const workerEnv = "YESTER_TEST_WORKER"

// tagsEnv has a worker make tags of caches, anewEnv folders.
const (
	tagsEnv = "YESTER_TEST_TAGS"
	anewEnv = "YESTER_TEST_ANEW"
)

func TestMain(m *testing.M) {
	if args := os.Getenv(workerEnv); args != "" {
		if err := work(strings.Fields(args)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if path := os.Getenv(holderEnv); path != "" {
		fmt.Fprintln(os.Stderr, hold(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// work does as many operations as each line of the input says, and says "done" after them. It holds on to files and mappings meanwhile.
func work(args []string) error {
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return err
	}
	w := &worker{r: rand.New(rand.NewPCG(seed, 1)), base: args[1], tags: os.Getenv(tagsEnv) != "", anew: os.Getenv(anewEnv) != ""}
	if len(args) > 2 { // in a mount namespace of its own
		if err := unix.Mount(args[1], args[2], "", unix.MS_BIND, ""); err != nil {
			return err
		}
		w.base = args[2]
	}
	w.ring, _ = newRing()
	debug.SetPanicOnFault(true)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		n, err := strconv.Atoi(in.Text())
		if err != nil {
			return err
		}
		for range n {
			w.one()
		}
		fmt.Println("done")
	}
	return in.Err()
}

func (w *worker) dir() string {
	p := w.base
	for range w.r.IntN(4) {
		p = filepath.Join(p, fmt.Sprintf("d%d", w.r.IntN(3)))
	}
	return p
}

func (w *worker) name() string {
	n := w.r.IntN(8)
	if w.tags && n == 0 {
		return filepath.Join(w.dir(), fmt.Sprintf("d%d", w.r.IntN(3)), snapshot.CacheTag) // not of the root
	}
	return filepath.Join(w.dir(), fmt.Sprintf("f%d", n))
}

func (w *worker) any() string {
	if w.r.IntN(2) == 0 {
		return w.name()
	}
	return filepath.Join(w.dir(), fmt.Sprintf("d%d", w.r.IntN(3)))
}

func (w *worker) bytes() []byte {
	b := make([]byte, w.r.IntN(9000))
	for i := range b {
		b[i] = byte(w.r.Uint32())
	}
	if w.tags && w.r.IntN(3) == 0 {
		copy(b, snapshot.CacheSignature)
	}
	return b
}

func (w *worker) off() int64 {
	if w.tags && w.r.IntN(2) == 0 {
		return 0
	}
	return int64(w.r.IntN(20000))
}

// open returns a file that is held, or opens one and perhaps holds it.
func (w *worker) open(flags int) (f *os.File, done func()) {
	if len(w.files) > 0 && w.r.IntN(2) == 0 {
		return w.files[w.r.IntN(len(w.files))], func() {}
	}
	if f = openRegular(w.name(), os.O_RDWR|flags); f == nil {
		return nil, nil
	}
	return f, w.holdOrClose(f)
}

// openRegular opens a file unless it is a fifo, which might block.
func openRegular(path string, flags int) *os.File {
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil
	}
	return f
}

func (w *worker) write(path string, flags int) bool {
	f := openRegular(path, os.O_WRONLY|flags)
	if f == nil {
		return false
	}
	f.Write(w.bytes())
	return f.Close() == nil
}

func (w *worker) holdOrClose(f *os.File) func() {
	if w.r.IntN(3) > 0 {
		return func() { f.Close() }
	}
	w.files = append(w.files, f)
	return func() {
		if len(w.files) > 6 {
			w.files[0].Close()
			w.files = w.files[1:]
		}
	}
}

// with does something with an open file.
func (w *worker) with(do func(f *os.File)) {
	if f, done := w.open(0); f != nil {
		do(f)
		done()
	}
}

func (w *worker) one() {
	defer func() { _ = recover() }() // a mapping may lie behind the end of its file
	if w.anew && w.r.IntN(10) == 0 {
		w.makeAnew()
		return
	}
	operations[w.r.IntN(len(operations))](w)
}

var operations = []func(w *worker){
	func(w *worker) { os.MkdirAll(w.dir(), 0o755) },
	func(w *worker) { os.MkdirAll(w.dir(), 0o755) },
	func(w *worker) { w.write(w.name(), os.O_CREATE|os.O_TRUNC) },
	func(w *worker) { w.write(w.name(), os.O_CREATE|os.O_TRUNC) },
	func(w *worker) { // create
		if f, done := w.open(os.O_CREATE); f != nil {
			f.Write(w.bytes())
			done()
		}
	},
	func(w *worker) { w.with(func(f *os.File) { f.WriteAt(w.bytes(), w.off()) }) },
	func(w *worker) { w.write(w.name(), os.O_APPEND) },
	func(w *worker) { os.Truncate(w.name(), w.off()) },
	func(w *worker) { w.with(func(f *os.File) { f.Truncate(w.off()) }) },
	(*worker).mmap,
	(*worker).store,
	(*worker).store,
	func(w *worker) { // unmap
		if len(w.maps) > 0 {
			unix.Munmap(w.maps[0])
			w.maps = w.maps[1:]
		}
	},
	func(w *worker) { // close
		if len(w.files) > 0 {
			w.files[0].Close()
			w.files = w.files[1:]
		}
	},
	func(w *worker) { os.Rename(w.name(), w.name()) },
	func(w *worker) { os.Rename(w.any(), w.any()) },
	func(w *worker) { os.Rename(w.dir(), w.any()) },
	func(w *worker) { unix.Renameat2(unix.AT_FDCWD, w.any(), unix.AT_FDCWD, w.any(), unix.RENAME_EXCHANGE) },
	func(w *worker) { os.Link(w.name(), w.name()) },
	func(w *worker) { os.Remove(w.name()) },
	func(w *worker) { os.Remove(w.any()) },
	func(w *worker) {
		if p := w.any(); w.r.IntN(10) == 0 && p != w.base {
			removeAll(p)
		}
	},
	func(w *worker) { os.Chmod(w.any(), os.FileMode(0o600+w.r.IntN(0o200))) },
	func(w *worker) { os.Lchown(w.any(), w.r.IntN(9), w.r.IntN(9)) },
	func(w *worker) { unix.Setxattr(w.any(), "user.x", w.bytes()[:0], 0) },
	func(w *worker) { unix.Setxattr(w.any(), "user.y", fmt.Append(nil, w.r.Uint32()), 0) },
	func(w *worker) { unix.Removexattr(w.any(), "user.y") },
	func(w *worker) { // an ACL: owner, user 1, group, mask, other
		acl := []byte("\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x07\x00\x01\x00\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff")
		acl[14] = byte(w.r.IntN(8))
		unix.Setxattr(w.any(), "system.posix_acl_access", acl, 0)
	},
	func(w *worker) { os.Symlink(fmt.Sprint(w.r.Uint32()), w.name()) },
	func(w *worker) { unix.Mknod(w.name(), unix.S_IFIFO|0o600, 0) },
	func(w *worker) { os.Chtimes(w.any(), fileEpoch, fileEpoch) },
	(*worker).tmpfile,
	func(w *worker) {
		w.with(func(f *os.File) { unix.Fallocate(int(f.Fd()), 0, w.off(), 5000) })
	},
	func(w *worker) {
		w.with(func(f *os.File) {
			unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, w.off(), 5000)
		})
	},
	func(w *worker) {
		w.with(func(f *os.File) { unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096) })
	},
	func(w *worker) { // reflink
		w.with(func(f *os.File) {
			if to, done := w.open(os.O_CREATE); to != nil {
				unix.IoctlFileClone(int(to.Fd()), int(f.Fd()))
				done()
			}
		})
	},
	func(w *worker) {
		w.with(func(f *os.File) {
			if to, done := w.open(os.O_CREATE); to != nil {
				at := w.off()
				unix.CopyFileRange(int(f.Fd()), nil, int(to.Fd()), &at, 7000, 0)
				done()
			}
		})
	},
	func(w *worker) {
		w.with(func(f *os.File) {
			if to, done := w.open(0); to != nil {
				unix.Sendfile(int(to.Fd()), int(f.Fd()), nil, 7000)
				done()
			}
		})
	},
	func(w *worker) {
		w.with(func(f *os.File) {
			if w.ring != nil {
				w.ring.write(int(f.Fd()), w.bytes(), w.off())
			}
		})
	},
	func(w *worker) { // write in a folder that is deleted, and to a file in it that was moved out
		dir := filepath.Join(w.dir(), "gone")
		if os.Mkdir(dir, 0o755) != nil {
			return
		}
		if f, err := os.Create(filepath.Join(dir, "f")); err == nil {
			os.Rename(filepath.Join(dir, "f"), w.name())
			removeAll(dir)
			f.Write(w.bytes())
			w.holdOrClose(f)()
		}
	},
	func(w *worker) { // a file that is deleted while it is held
		if f, done := w.open(os.O_CREATE); f != nil {
			os.Remove(f.Name())
			f.Write(w.bytes())
			done()
		}
	},
	func(w *worker) { // replaced, as editors do
		p := w.name()
		if w.write(p+".tmp", os.O_CREATE|os.O_TRUNC) {
			os.Rename(p+".tmp", p)
		}
	},
}

// makeAnew makes a folder in place of what is there, with files in it of which some have other names too.
func (w *worker) makeAnew() {
	dir := filepath.Join(w.dir(), fmt.Sprintf("d%d", w.r.IntN(3)))
	removeAll(dir)
	if os.Mkdir(dir, 0o755) != nil {
		return
	}
	for i := range 2 + w.r.IntN(7) {
		name := filepath.Join(dir, fmt.Sprintf("f%d", i))
		switch w.r.IntN(4) {
		case 0:
			os.Link(w.name(), name)
		case 1:
			if w.write(name, os.O_CREATE) {
				os.Link(name, w.name())
			}
		default:
			w.write(name, os.O_CREATE)
		}
	}
}

// removeAll is os.RemoveAll, but for a folder that has become a fifo it does not wait.
func removeAll(path string) {
	if d, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0); err == nil {
		names, _ := d.Readdirnames(-1)
		d.Close()
		for _, name := range names {
			removeAll(filepath.Join(path, name))
		}
	}
	os.Remove(path)
}

func (w *worker) mmap() {
	w.with(func(f *os.File) {
		st, err := f.Stat()
		if err != nil || st.Size() == 0 {
			return
		}
		m, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return
		}
		m[w.r.IntN(len(m))]++
		if w.r.IntN(2) == 0 {
			unix.Munmap(m)
			return
		}
		if w.maps = append(w.maps, m); len(w.maps) > 4 {
			unix.Munmap(w.maps[0])
			w.maps = w.maps[1:]
		}
	})
}

// store changes a byte through a mapping that is held.
func (w *worker) store() {
	if len(w.maps) > 0 {
		m := w.maps[w.r.IntN(len(w.maps))]
		m[w.r.IntN(len(m))]++
	}
}

func (w *worker) tmpfile() {
	fd, err := unix.Open(w.dir(), unix.O_TMPFILE|unix.O_RDWR, 0o644)
	if err != nil {
		return
	}
	p := w.name()
	f := os.NewFile(uintptr(fd), p)
	f.Write(w.bytes())
	unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, p, unix.AT_SYMLINK_FOLLOW)
	w.holdOrClose(f)()
}

// A ring is an io_uring for one write at a time.
type ring struct {
	fd                int
	sq, sqes          []byte
	tail, mask, array *uint32
	cqHead, cqTail    *uint32
}

func newRing() (*ring, error) {
	var p [120]byte
	fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		return nil, e
	}
	r := &ring{fd: int(fd)}
	var err error
	if r.sq, err = unix.Mmap(r.fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	if r.sqes, err = unix.Mmap(r.fd, 0x10000000, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	at := func(param int) *uint32 { // the offsets lie in the parameters: of the submission queue from 40 on, of completions from 80 on
		off := *(*uint32)(unsafe.Pointer(&p[param]))
		return (*uint32)(unsafe.Pointer(&r.sq[off]))
	}
	r.tail, r.mask, r.array = at(44), at(48), at(64)
	r.cqHead, r.cqTail = at(80), at(84)
	return r, nil
}

func (r *ring) write(fd int, b []byte, off int64) {
	if len(b) == 0 {
		return
	}
	tail := atomic.LoadUint32(r.tail)
	i := tail & *r.mask
	e := r.sqes[64*i:][:64]
	clear(e)
	const opWrite = 23
	e[0] = opWrite
	*(*int32)(unsafe.Pointer(&e[4])) = int32(fd)
	*(*int64)(unsafe.Pointer(&e[8])) = off
	*(*uintptr)(unsafe.Pointer(&e[16])) = uintptr(unsafe.Pointer(&b[0]))
	*(*uint32)(unsafe.Pointer(&e[24])) = uint32(len(b))
	*(*uint32)(unsafe.Add(unsafe.Pointer(r.array), 4*i)) = i
	atomic.StoreUint32(r.tail, tail+1)
	const getEvents = 1
	for submit := uintptr(1); atomic.LoadUint32(r.cqTail) == atomic.LoadUint32(r.cqHead); submit = 0 { // a signal may come, and the write go on
		if _, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), submit, 1, getEvents, 0, 0); e != 0 && e != unix.EINTR {
			return
		}
	}
	atomic.StoreUint32(r.cqHead, atomic.LoadUint32(r.cqTail))
}
