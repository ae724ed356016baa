package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A held file is one that may be written to unheard: somebody has it mapped, or open for writing, so that it may have been mapped or be written to by what
// makes no event before the file is closed (io_submit(2)), or it is the image of a loop device, or of a disk that the kernel serves to others.
type held struct {
	id     fileID
	handle *unix.FileHandle // nil if it is not known
}

// A holding looks for held files of a partition.
type holding struct {
	dev    uint64 // of the partition
	fstype string
	magic  int64 // of that type, as statfs tells it
	found  map[fileID]*held
	unsaid []unsaid
	read   []byte // of what a thread has mapped
	device []byte // dev as it is told there
	proc   int    // a mount of its own of proc, or -1

	ended chan struct{} // is closed when the search ends, with err
	err   error
}

// An unsaid is a file of which the device number does not tell what file system it is of.
type unsaid struct {
	link    string // to it, in /proc; or its path
	stat    stat
	written bool
}

// heldPatience is how long a capture looks for held files. There are files that cannot even be looked at while a server does not answer, and a process's
// mappings while it makes some that take long.
const heldPatience = time.Minute

var (
	errHeldLate  = errors.New("looking for them takes too long")
	errNamespace = errors.New("the processes of the machine cannot be seen from this PID namespace")
	errHidden    = errors.New("the processes of the machine are hidden (hidepid)")
)

// allProcesses is the PID namespace from which all processes are seen. The kernel has a fixed number for it, PROC_PID_INIT_INO.
const allProcesses = "pid:[4026531836]"

// leftHolding is the one whose search was left to itself, if there is any. While that goes on, another would wait for the same.
var leftHolding atomic.Pointer[holding]

// leftPatience is how long is waited for a search that was left to itself, which may just be ending.
const leftPatience = time.Second

// heldFiles finds the held files of an open partition, in all processes. An error is the context's, or says that they cannot be known. Past its patience the
// search is left to itself, for no signal ends what it may wait for.
func heldFiles(ctx context.Context, src *source, patience time.Duration) (map[fileID]*held, error) {
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil && ns != allProcesses {
		return nil, errNamespace
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is not there if the kernel has no such namespaces
		return nil, err
	}
	if left := leftHolding.Load(); left != nil {
		select {
		case <-left.ended:
			leftHolding.CompareAndSwap(left, nil)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(leftPatience):
			return nil, errHeldLate
		}
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(src.fd, &fs); err != nil {
		return nil, err
	}
	h := &holding{dev: src.root.dev, fstype: src.fstype, magic: fs.Type, found: map[fileID]*held{}, ended: make(chan struct{})}
	in, end := context.WithTimeoutCause(ctx, patience, errHeldLate)
	defer end()
	go func() {
		defer close(h.ended)
		h.err = h.search(in)
	}()
	select {
	case <-h.ended:
		if h.err != nil {
			return nil, h.err
		}
		return h.found, nil
	case <-in.Done():
		leftHolding.Store(h)
		return nil, context.Cause(in)
	}
}

func (h *holding) search(ctx context.Context) error {
	if _, err := os.Stat("/proc/1"); err != nil {
		return errHidden
	}
	h.proc = mountProc()
	if h.proc >= 0 {
		defer unix.Close(h.proc)
	}
	looked := map[process]bool{}
	for range searchAgain {
		some, err := h.processes(ctx, looked)
		if err != nil {
			return err
		}
		if !some {
			break
		}
	}
	return h.loops()
}

// searchAgain is how often processes are looked for. What is handed on more often meanwhile, from one that ends to one that it started, is passed by.
const searchAgain = 10

// A process is known by its number, which may be given again, and by that of its folder in /proc, which is not.
type process struct {
	id     string
	folder uint64
}

// processes looks at the processes that were not looked at before, and tells whether there are some. One that was started meanwhile may have open what it was given by
// one that has ended.
func (h *holding) processes(ctx context.Context, looked map[process]bool) (some bool, err error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return false, err
	}
	for _, e := range all {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it has ended
		}
		p := process{e.Name(), info.Sys().(*syscall.Stat_t).Ino}
		if looked[p] {
			continue
		}
		looked[p], some = true, true
		if err := h.patiently("/proc/" + e.Name()); err != nil {
			return false, err
		}
	}
	return some, nil
}

// patiently looks at a process, though it may be about to become another program, or to end.
func (h *holding) patiently(dir string) error {
	err := h.process(dir)
	for tries := 0; errors.Is(err, fs.ErrPermission); tries++ {
		switch {
		case dir == "/proc/1": // in a sandbox, where it is a mere launcher
			return nil
		case tries == 20:
			return err
		}
		time.Sleep(time.Millisecond)
		err = h.process(dir)
	}
	return ended(err)
}

// process looks at a process. Its first thread may have ended, and others may have files of their own open.
func (h *holding) process(dir string) error {
	h.unsaid = nil
	threads, err := os.ReadDir(dir + "/task")
	if err != nil {
		return err
	}
	mapped, seen := false, -1 // seen is a thread whose open files were looked at
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		dir := "/proc/" + t.Name() // not below task, for there is no map_files
		if !mapped {
			if mapped, err = h.maps(dir); err != nil {
				return err
			}
		}
		if seen < 0 || !sameFiles(seen, id) {
			there, err := h.files(dir)
			if err != nil {
				return err
			}
			if there {
				seen = id
			}
		}
		there, err := h.byMounts(dir)
		if err != nil {
			return err
		}
		if !there {
			mapped, seen = false, -1 // the next thread tells of it
		}
	}
	return nil
}

// sameFiles tells whether two threads are known to share what they have open.
func sameFiles(a, b int) bool {
	const files = 2 // KCMP_FILES
	r, _, e := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), files, 0, 0, 0)
	return e == 0 && r == 0
}

// files looks at what a thread has open, and tells whether there was any.
func (h *holding) files(dir string) (there bool, err error) {
	d, err := os.Open(dir + "/fd")
	if err != nil {
		return false, ended(err)
	}
	defer d.Close()
	fds, err := d.Readdirnames(-1)
	if err != nil {
		return false, ended(err)
	}
	for _, name := range fds {
		var link unix.Stat_t
		// The mode of the link says what the file is open for.
		if unix.Fstatat(int(d.Fd()), name, &link, unix.AT_SYMLINK_NOFOLLOW) == nil && link.Mode&0o200 != 0 {
			if err := ended(h.look(dir+"/fd/"+name, true)); err != nil {
				return false, err
			}
		}
	}
	return len(fds) > 0, nil
}

// ended takes the error of what there is no more for none.
func ended(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// maps looks at what a thread has mapped, and tells whether it has anything. What is mapped shared may have been writable, or become so; what is not may be all that keeps
// a file open that was opened for writing. The kernel tells of mappings piece by piece, and meanwhile one may be moved to where was looked before: so it is asked twice at
// least. A file that is first told of after that had none then: it was open, or was opened since, and is found by what is open, or by its times.
func (h *holding) maps(dir string) (any bool, err error) {
	looked, known := map[string]bool{}, map[string]bool{} // lines, and files that were told of the first two times
	asked := map[string]bool{}                            // links, for what they are open
	for pass := range mapsAgain {
		there, err := h.readMaps(dir)
		if err != nil {
			return false, ended(err)
		}
		moved := false // a mapping has other addresses by now
		for line := range h.mattering() {
			_, file := mapOf(line)
			if pass < 2 {
				known[string(file)] = true
			}
			if looked[string(line)] {
				continue
			}
			var err error // of this line
			f := bytes.Fields(line)
			link, shared, written := dir+"/map_files/"+mapName(string(f[0])), f[1][3] != 'p', f[1][1] == 'w'
			if !shared {
				written = asked[link] || h.proc < 0
				asked[link] = true
			}
			if !shared && !written {
				var st unix.Stat_t
				err = unix.Fstatat(h.proc, strings.TrimPrefix(link, "/proc/"), &st, unix.AT_SYMLINK_NOFOLLOW)
				written = st.Mode&0o200 != 0 // of the link, it says what the file is open for
			}
			if err == nil && (shared || written) {
				err = h.look(link, written)
			}
			if err == unix.ENOENT {
				moved = moved || known[string(file)]
			} else if err != nil {
				return false, ended(err)
			} else {
				looked[string(line)] = true
			}
		}
		if pass > 0 && !moved {
			return there, nil
		}
	}
	return false, errMoving
}

// mountProc mounts proc where nobody sees it, until what it returns is closed; -1 if that cannot be done. The kernel keeps the mode of a link in map_files for as
// long as something is mapped at these addresses whenever it looks, and so may tell in /proc what another file was open for that was mapped there before.
func mountProc() int {
	fd, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1
	}
	defer unix.Close(fd)
	if unix.FsconfigCreate(fd) != nil {
		return -1
	}
	proc, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1
	}
	return proc
}

// readMaps reads what a thread has mapped, and tells whether it has anything.
func (h *holding) readMaps(dir string) (there bool, err error) {
	f, err := os.Open(dir + "/maps")
	if err != nil {
		return false, err
	}
	defer f.Close()
	for h.read = h.read[:0]; ; {
		h.read = slices.Grow(h.read, os.Getpagesize()) // the kernel gives no more at once
		n, err := f.Read(h.read[len(h.read):cap(h.read)])
		h.read = h.read[:len(h.read)+n]
		if err == io.EOF {
			return len(h.read) > 0, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// mattering are those lines of what was read that are of a file mapped shared, or of one that may be of the partition, but for programs and libraries, which are most.
func (h *holding) mattering() iter.Seq[[]byte] {
	programs := map[string]bool{}
	for line := range bytes.Lines(h.read) {
		if mode, file := mapOf(line); mode[2] == 'x' && mode[3] == 'p' && !programs[string(file)] {
			programs[string(file)] = true
		}
	}
	h.device = fmt.Appendf(h.device[:0], "%02x:%02x ", unix.Major(h.dev), unix.Minor(h.dev))
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(h.read) {
			mode, file := mapOf(line)
			ours := mode[3] != 'p' || (bytes.HasPrefix(file, h.device) || bytes.HasPrefix(file, anonymousDevice)) && !programs[string(file)]
			if ours && !bytes.HasSuffix(file, noInode) && !yield(line) {
				return
			}
		}
	}
}

var anonymousDevice, noInode = []byte("00:"), []byte(" 0")

// mapOf returns from a line of maps what may be done with the mapping, and the device and inode number of the file.
func mapOf(line []byte) (mode, file []byte) {
	// 7f0000000000-7f0000001000 rw-s 00000000 fe:00 1234 /path
	_, rest, _ := bytes.Cut(line, space)
	mode, rest, _ = bytes.Cut(rest, space)
	_, rest, _ = bytes.Cut(rest, space)
	device := bytes.IndexByte(rest, ' ') + 1
	if end := bytes.IndexByte(rest[device:], ' '); len(mode) == 4 && end >= 0 {
		return mode, rest[:device+end]
	}
	return []byte("---p"), noInode
}

var space = []byte(" ")

// mapsAgain is how often mappings are looked at that are divided, joined or moved while that is done.
const mapsAgain = 100

var errMoving = errors.New("a mapping changes too fast to be looked at")

// mapName is the name in map_files of a stretch of addresses: without the zeros at the front that maps has.
func mapName(stretch string) string {
	from, to, _ := strings.Cut(stretch, "-")
	trim := func(s string) string { return strings.TrimLeft(s[:len(s)-1], "0") + s[len(s)-1:] }
	return trim(from) + "-" + trim(to)
}

// look takes in the file that a link in /proc leads to, if it is of the partition. written tells that it is open, or mapped, for writing. What only its mount tells
// of is left to byMounts. Nothing is asked of the file system that might be that of a server that does not answer. The error is ENOENT if the link is gone.
func (h *holding) look(link string, written bool) error {
	st, err := statPath(link, unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC)
	switch {
	case err == unix.ESTALE || err == unix.ENOTCONN: // of a server, and lost
	case err == unix.EACCES && h.refuses(link):
	case ended(err) != nil && !errors.Is(err, fs.ErrPermission) && h.foreign(link):
	case err != nil:
		return err
	case st.kind() != unix.S_IFREG:
	case h.ours(&st, ""):
		h.takeIn(link, &st)
	case unix.Major(st.dev) == 0:
		h.unsaid = append(h.unsaid, unsaid{link, st, written})
	}
	return nil
}

// refuses tells whether the file that a link leads to is of a FUSE file system that tells nobody but its owner anything. That it is another than the partition it tells
// all the same.
func (h *holding) refuses(link string) bool {
	var (
		x  unix.Statx_t
		st stat
	)
	err := statx(unix.AT_FDCWD, append(zname(link), 0), unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, 0, &x, &st)
	return err == nil && st.dev != h.dev
}

// foreign tells whether the file that a link of a process in /proc leads to is of another file system than the partition, by its mount: of a broken one there is
// nothing else to tell by.
func (h *holding) foreign(link string) bool {
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return false
	}
	_, id, _ := strings.Cut(string(info), "mnt_id:\t")
	id, _, _ = strings.Cut(id, "\n")
	mount, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return false
	}
	mounts, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(link)), "mountinfo"))
	if err != nil {
		return false
	}
	m, ok := findMount(mounts, mount)
	return ok && m.fstype != "overlay" && (m.fstype != h.fstype || !anonymous[h.fstype] && unix.Mkdev(m.major, m.minor) != h.dev)
}

// byMounts takes in those of the files looked at that are of the partition by what the thread says that is mounted. dir is its folder in /proc. It tells whether the
// thread is still there, or was not needed.
func (h *holding) byMounts(dir string) (there bool, err error) {
	files := h.unsaid
	h.unsaid = nil
	if len(files) == 0 {
		return true, nil
	}
	mounts, err := os.ReadFile(dir + "/mountinfo") // now, for what is open keeps its mount, and the mount its number
	if errors.Is(err, unix.EINVAL) {
		return false, nil // it is ending
	}
	if err != nil {
		return false, ended(err)
	}
	for _, f := range files {
		fstype := h.mountType(mounts, f.link, &f.stat)
		if h.ours(&f.stat, fstype) {
			h.takeIn(f.link, &f.stat)
		} else if fstype == "overlay" && strings.HasPrefix(f.link, "/proc/") {
			if err := h.overlaid(f.link, f.written); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

// mountType is the type of the mount that a file was opened through, "" for one that does not matter. Of a mount that is in no list, as it was detached, the
// file system is asked.
func (h *holding) mountType(mounts []byte, path string, st *stat) string {
	if m, ok := findMount(mounts, st.mount); ok {
		return m.fstype
	}
	var fs unix.Statfs_t
	if unix.Statfs(path, &fs) != nil {
		return ""
	}
	switch fs.Type {
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	case h.magic:
		return h.fstype
	}
	return ""
}

// takeIn takes in a file of the partition, of which there is a path.
func (h *holding) takeIn(path string, st *stat) {
	f := h.take(fileID{st.dev, st.ino})
	if f.handle == nil {
		if handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err == nil {
			f.handle = &handle
		}
	}
}

func (h *holding) take(id fileID) *held {
	f := h.found[id]
	if f == nil {
		f = &held{id: id}
		h.found[id] = f
	}
	return f
}

// ours tells whether a file lies on the partition, fstype being the type of its mount if that is known. On file systems with device numbers of their own making it may
// say so of others, and harmlessly.
func (h *holding) ours(st *stat, fstype string) bool {
	if !anonymous[h.fstype] {
		return st.dev == h.dev
	}
	return unix.Major(st.dev) == 0 && fstype == h.fstype
}

// loops looks at the images of loop devices: what they write is not heard.
func (h *holding) loops() error {
	devices, err := os.ReadDir("/sys/block")
	if err != nil {
		return err
	}
	for _, d := range devices {
		if !strings.HasPrefix(d.Name(), "loop") {
			continue
		}
		image, err := os.ReadFile("/sys/block/" + d.Name() + "/loop/backing_file")
		if err != nil {
			continue
		}
		_ = h.look(strings.TrimSuffix(string(image), "\n"), true)
		h.loop("/dev/" + d.Name())
	}
	h.served("/sys/kernel/config")
	_, err = h.byMounts("/proc/self")
	return err
}

// served looks at the images of disks that the kernel serves to others, over NVMe or as a SCSI target: they are written to as those of loop devices are. config is where
// configfs is mounted.
func (h *holding) served(config string) {
	spaces, _ := filepath.Glob(config + "/nvmet/subsystems/*/namespaces/*/device_path")
	for _, s := range spaces {
		if image, err := os.ReadFile(s); err == nil {
			_ = h.look(strings.TrimSuffix(string(image), "\n"), true)
		}
	}
	disks, _ := filepath.Glob(config + "/target/core/fileio_*/*/info")
	for _, d := range disks {
		// … TCM FILEIO ID: 0        File: /path  Size: 1048576  Mode: …
		info, err := os.ReadFile(d)
		_, image, is := strings.Cut(string(info), " File: ")
		end := strings.LastIndex(image, "  Size: ")
		if err == nil && is && end >= 0 {
			_ = h.look(image[:end], true)
		}
	}
}

// loop takes in the image of a loop device by its number, should its path not be what it was.
func (h *holding) loop(device string) {
	f, err := os.Open(device)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err != nil {
		return
	}
	dev := unix.Mkdev(uint32(info.Device>>8&0xfff), uint32(info.Device&0xff|info.Device>>12&0xfff00))
	if dev == h.dev || anonymous[h.fstype] && unix.Major(dev) == 0 {
		h.take(fileID{dev, info.Inode})
	}
}
