package track

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readSize = 256 << 10
	// gather is how long events may pile up before they are read. The kernel merges what is equal meanwhile, and who causes them wakes nobody up.
	gather = 50 * time.Millisecond
)

// A Journal listens to the file system that is mounted at one place. Its methods may be called from any goroutine.
type Journal struct {
	path    string
	boot    string
	kernel  int // its version
	stop    int // eventfd
	unheard *Unheard
	stopped chan struct{}

	mu    sync.Mutex
	fd    int // fanotify; -1 after an error
	clock *clock
	set   *Set
	cert  Certificate
	calls uint64 // that were unheard up to the last cut
	late  bool   // one of them may have been under way at the last cut
	buf   []byte
	event event
	limit int // bytes that a set may take

	busy    int  // names of a new folder that must have changed before it is ignored; 0: none is
	how     uint // flags of the marks that ignore; 0 if the kernel has none such
	ignored int  // folders that are
}

// Open begins to listen to the file system mounted at path; u tells of what cannot be heard, and must not be closed before the journal. What changed before
// is not known: its first set is complete from now on. ErrUnsupported. Close ends it.
func Open(path string, u *Unheard) (*Journal, error) {
	boot, err := bootID()
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", path, err)
	}
	j := &Journal{
		path: path, boot: boot, kernel: runningKernel(), unheard: u, limit: maxBytes, busy: busyNames, how: ignoreFlags,
		fd: -1, stopped: make(chan struct{}), buf: make([]byte, readSize),
	}
	if j.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("listen to %s: %w", path, err)
	}
	if err := j.begin(); err != nil {
		unix.Close(j.stop)
		return nil, fmt.Errorf("listen to %s: %w", path, err)
	}
	go j.listen()
	return j, nil
}

// begin marks the file system, with a new group, and begins a set. j.mu is held, or nobody else has j.
func (j *Journal) begin() (err error) {
	j.end()
	const flags = unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_DFID_NAME_TARGET | unix.FAN_UNLIMITED_QUEUE | unix.FAN_CLOEXEC | unix.FAN_NONBLOCK
	if j.fd, err = unix.FanotifyInit(flags, unix.O_RDONLY); err != nil {
		j.fd = -1
		return unsupported("fanotify_init", err)
	}
	if j.clock, err = newClock(); err == nil {
		err = j.mark()
	}
	if err != nil {
		j.end()
		return err
	}
	if j.calls, err = j.unheard.Count(); err != nil {
		j.end()
		return err
	}
	j.late = false // one may be under way: what it does after the capture that follows looked there is not known of, but to the next walk
	j.cert = Certificate{Boot: j.boot, Since: time.Now().UTC()}
	j.set = j.newSet()
	return nil
}

func (j *Journal) mark() error {
	if err := lasting(j.path); err != nil {
		return err
	}
	err := j.markAt(unix.AT_FDCWD, j.path)
	if err == unix.EXDEV {
		err = j.markTop()
	}
	if err != nil {
		return unsupported("fanotify_mark", err)
	}
	return nil
}

// markAt marks the file system at path in dir. That a file itself is no more need not be told: before Linux 6.0 it is all the same.
func (j *Journal) markAt(dir int, path string) error {
	const add = unix.FAN_MARK_ADD | unix.FAN_MARK_FILESYSTEM
	if err := unix.FanotifyMark(j.fd, add, mask, dir, path); err != nil {
		return err
	}
	if err := unix.FanotifyMark(j.fd, add|unix.FAN_MARK_IGNORE_SURV, unix.FAN_DELETE_SELF, dir, path); err != unix.EINVAL {
		return err
	}
	return nil
}

// marks are the group's marks, as the kernel tells them. That of a file system goes when it is unmounted everywhere.
func (j *Journal) marks() (lines []string, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", j.fd))
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "fanotify sdev:") {
			lines = append(lines, line)
		}
	}
	return lines, err
}

func (j *Journal) end() {
	if j.fd >= 0 {
		unix.Close(j.fd)
		j.fd = -1
	}
	j.clock.close()
	j.clock = nil
	j.ignored = 0
}

// listen reads events until Close. It has a thread of its own, so that nothing else this process does keeps it waiting; and the kernel's queue has no
// limit.
func (j *Journal) listen() {
	defer close(j.stopped)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		j.mu.Lock()
		fd := j.fd
		if fd >= 0 {
			j.read(1 << 20)
			j.ignoreBusy()
			fd = j.fd
		}
		j.mu.Unlock()
		if j.wait(fd) {
			return
		}
	}
}

// wait waits until there are events and some time was given to more, or until Close.
func (j *Journal) wait(fd int) (stopped bool) {
	fds := []unix.PollFd{{Fd: int32(j.stop), Events: unix.POLLIN}, {Fd: int32(fd), Events: unix.POLLIN}}
	for _, limit := range []int{1000, int(gather / time.Millisecond)} {
		if n, err := unix.Poll(fds, limit); err == nil && n > 0 && fds[0].Revents != 0 {
			return true
		}
		fds = fds[:1]
	}
	return false
}

// read reads about so many events, or all there are. j.mu is held.
func (j *Journal) read(limit int) {
	for got := 0; got < limit; {
		n, err := unix.Read(j.fd, j.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err == nil && n > 0:
			n, err = j.set.take(&j.event, j.buf[:n])
			got += n
			j.cert.Events += uint64(n)
		case err == nil:
			err = errMalformed
		}
		if err != nil {
			j.fail(fmt.Errorf("read events: %w", err))
			return
		}
	}
}

// fail ends listening until the next cut.
func (j *Journal) fail(err error) {
	j.set.forget(err.Error())
	j.end()
}

// Cut returns what changed since the last cut, or since the journal was opened, and begins anew: whatever is done to the file system from now on is in the next set.
// The set is the caller's. If it is of no use after all, as what it was wanted for failed, Return gives it back. An error says that nothing is listened to any more;
// another Cut tries again.
func (j *Journal) Cut() (*Set, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-j.stopped:
		return nil, os.ErrClosed
	default:
	}
	if j.fd >= 0 {
		j.check()
	}
	if j.fd >= 0 {
		j.heed()
	}
	if j.fd >= 0 {
		j.drain()
	}
	if j.fd < 0 {
		return j.anew()
	}
	s := j.set
	j.count()
	j.cert.Sequence++
	s.Certificate = j.cert
	j.set = j.newSet()
	return s, nil
}

// unheardOf is why a set does not know when something was done that is not heard.
const unheardOf = "inode flags of some files were changed, or the like"

// count makes the set unknown if something was done that is not heard: since the last cut, or before it, for what was begun then may have ended since.
func (j *Journal) count() {
	n, err := j.unheard.Count()
	if err != nil {
		j.set.forget(err.Error())
	}
	if n != j.calls || j.late {
		j.set.forget(unheardOf)
	}
	j.late = n != j.calls
	j.calls = n
}

// anew begins to listen again, and returns a set that does not know. j.mu is held.
func (j *Journal) anew() (*Set, error) {
	s := j.set
	if s.unknown == "" {
		s.forget("nothing was listened to")
	}
	if err := j.begin(); err != nil {
		j.set = &Set{}
		j.set.forget(err.Error())
		return nil, err
	}
	return s, nil
}

// check sees whether what is mounted is still what was marked, and whether the clock was set. To mark it once more shows it: another file system gets a
// mark of its own.
func (j *Journal) check() {
	before, err := j.marks()
	if err == nil && len(before) != 1 {
		err = errors.New("the file system was unmounted")
	}
	var after []string
	if err == nil {
		if err = j.mark(); err == nil {
			after, err = j.marks()
		}
	}
	if err == nil && (len(after) != 1 || after[0] != before[0]) {
		err = errors.New("another file system was mounted")
	}
	if err == nil && overlaysUnheard(j.kernel) {
		err = errors.New("the kernel has overlay file systems, which before Linux 6.5 write unheard")
	}
	if err == nil && j.clock.wasSet() {
		err = errors.New("the clock was set")
	}
	if err != nil {
		j.fail(err)
	}
}

// drain reads the events that are there: those of all that was done before the call.
func (j *Journal) drain() {
	var size int32
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(j.fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&size))); e != 0 {
		j.fail(fmt.Errorf("count events: %w", e))
		return
	}
	if n := int(size) / metaSize; n > 0 {
		j.read(n)
	}
}

// Peek returns what changed since the last cut without ending it.
func (j *Journal) Peek() *Set {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fd >= 0 {
		j.drain()
	}
	s := j.newSet()
	s.merge(j.set)
	if n, err := j.unheard.Count(); err != nil || n != j.calls {
		s.forget(unheardOf)
	}
	return s
}

// Return gives back a set that Cut returned, as if it had not been cut.
func (j *Journal) Return(s *Set) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.set.merge(s)
}

// Limit sets how many bytes a journal may take for what changed. Past that it does not know any more. The default is 24 MiB.
func (j *Journal) Limit(bytes int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.limit, j.set.limitBytes = bytes, bytes
	j.set.bound()
}

func (j *Journal) newSet() *Set { return &Set{limitBytes: j.limit, busyNames: j.busy} }

// A Report says what a journal is doing.
type Report struct {
	Certificate
	Names   int    // that changed since the last cut
	Unknown string // why it does not know all that changed since; "" if it does
	Bytes   int    // of memory
	Ignored int    // folders that are wholly dirty and listened to no more, until the next cut
}

// Report tells what the journal is doing.
func (j *Journal) Report() Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Report{j.cert, j.set.Len(), j.set.unknown, j.set.size() + len(j.buf), j.ignored}
}

// Close ends the journal.
func (j *Journal) Close() error {
	one := [8]byte{1}
	if _, err := unix.Write(j.stop, one[:]); err != nil {
		return fmt.Errorf("end listening to %s: %w", j.path, err)
	}
	<-j.stopped
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end()
	return unix.Close(j.stop)
}
