package fs

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A conn talks with the kernel about a mount. For small files nearly all time goes into waking whoever waits for the other, and so it
// is made to wake seldom:
//
//   - One goroutine reads the requests, and answers by itself what it can without waiting: what the caches hold. Waking another for
//     it would take longer than the answer. All else it gives to a goroutine of its own.
//   - After an answer the next request is often only microseconds away, so it asks again and again for a while before it goes to sleep: for pollFor, and where
//     requests come one soon after the other, as in a copy, for pollLong. It gives way to other threads meanwhile, and to other goroutines if there are
//     jobs, or work that is done beside: that wakes another thread each time.
//   - It reads ahead in the pauses: see steps.
//   - While they come so, processors are kept awake.
//
// Measured with getxattr of a file that has none, by one process (2 cores): 21 to 32 µs a call with go-fuse's loop, 11 µs with one
// goroutine that sleeps, 8 µs with one that asks again and again. On a machine that takes 21 µs even so, it is 14 µs if it does not give way to other
// goroutines at once, and 7 µs with processors awake too.
//
// Requests that are rare or refused go through go-fuse.
type conn struct {
	view  *view
	fd    int // does not block
	rest  *fuse.ProtocolServer
	trace io.Writer // for tests

	steps steps

	// of the goroutine that reads
	brisk int // how many requests came within pollLong of the answer before, less those that did not
	awake *awake

	mu      sync.Mutex
	jobs    map[uint64]*job // being answered by goroutines of their own, by the kernel's number
	own     job             // what the goroutine that reads requests answers, while that may come to wait for the vault; else its number is 0
	givenUp int             // jobs that go on although they were given up
	most    int             // of them, mostGivenUp but for tests
	work    sync.WaitGroup
}

const (
	pollAlone   = 10 * time.Microsecond // in which it does nothing else: the next request of the same file comes in it
	pollFor     = 50 * time.Microsecond
	pollLong    = 300 * time.Microsecond
	fullyBrisk  = 16
	askAgain    = 5 * time.Millisecond // the kernel is to, whether a request that got a signal is being answered by now
	requestRoom = maxRead + 4096       // the kernel wants room for the largest write, and would not read into less
	mostGivenUp = 256                  // jobs: a vault that does not answer has no more wait for it than that, besides those whose processes wait too
	maxInline   = 128 << 10            // bytes of the largest answer that is not given to a goroutine of its own
)

// connect agrees with the kernel on how to talk, over the descriptor of a new mount, which is the conn's from then on.
func connect(v *view, fd int, trace io.Writer) (*conn, error) {
	c := &conn{view: v, fd: fd, trace: trace, jobs: make(map[uint64]*job), most: mostGivenUp, awake: newAwake(), rest: fuse.NewProtocolServer(v, v.mountOptions(trace))}
	in, out := make([]byte, requestRoom), make([]byte, fuseBuffer)
	n, err := unix.Read(fd, in)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's first request: %w", err)
	}
	m, st := c.rest.HandleRequest([][]byte{in[:n]}, [][]byte{out})
	if st != fuse.OK {
		return nil, fmt.Errorf("answer the kernel's first request: %v", st)
	}
	if _, err := unix.Write(fd, out[:m]); err != nil {
		return nil, fmt.Errorf("answer the kernel's first request: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("prepare /dev/fuse: %w", err)
	}
	return c, nil
}

// fuseBuffer is enough for the answers that go-fuse makes, an ioctl's being the longest.
const fuseBuffer = 160 << 10

// serve answers requests until the mount is gone. Jobs may go on then.
func (c *conn) serve() {
	defer c.steps.end()
	defer c.cancelAll()
	defer c.awake.release()
	in := make([]byte, requestRoom)
	r := reply{own: true}
	for {
		n, err := c.next(in)
		if err != nil {
			if !errors.Is(err, unix.ENODEV) {
				c.view.log.Error("the mount is served no more", "err", err)
			}
			return
		}
		c.take(in[:n], &r)
	}
}

// next reads a request. ENODEV when the mount is gone.
func (c *conn) next(in []byte) (int, error) {
	begin, patience, oneP := time.Now(), pollFor, runtime.GOMAXPROCS(0) == 1
	if c.brisk > fullyBrisk/2 {
		patience = pollLong
	}
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(in))), uintptr(len(in)))
		waited := time.Since(begin)
		switch errno {
		case 0:
			if waited < pollLong {
				c.brisk = min(c.brisk+1, fullyBrisk)
			} else {
				c.brisk = max(c.brisk-4, 0)
			}
			c.awake.came(waited)
			c.hurry()
			return int(n), nil
		case unix.EAGAIN:
			busy := c.busy()
			if waited > pollAlone && (!busy || waited > patience) && c.step() {
				if busy || oneP {
					runtime.Gosched() // to those that wait for this P
				}
				unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
				continue
			}
			if waited < patience {
				if busy || oneP || waited > pollAlone && c.steps.besides.Load() > 0 {
					runtime.Gosched()
				}
				unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
				continue
			}
			if !c.steps.fallAsleep() {
				continue
			}
			if err := c.sleep(); err != nil {
				return 0, err
			}
		case unix.EINTR, unix.ENOENT: // ENOENT: the request was taken back
		default:
			return 0, errno
		}
	}
}

// sleep waits for a request.
func (c *conn) sleep() error {
	limit := -1
	if c.awake.held() {
		limit = int(awakeFor / time.Millisecond)
	}
	defer c.steps.wakeUp()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, limit)
	if err != nil && err != unix.EINTR {
		return err
	}
	if n == 0 {
		c.awake.release()
	}
	return nil
}

// take answers a request, or sees to it that it is answered.
func (c *conn) take(in []byte, r *reply) {
	h := (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	switch h.Opcode {
	case opForget, opBatchForget: // no answer is wanted
		c.forget(h, in)
		return
	case opInterrupt:
		if c.interrupt((*fuse.InterruptIn)(unsafe.Pointer(h)).Unique) {
			return
		}
	default:
		if c.answer(in, inline, r) {
			return
		}
		if c.isFull() {
			if r.job == nil || c.claim(r) {
				r.fail(c, h.Unique, fuse.EIO)
			}
			return
		}
	}
	j := jobs.Get().(*job)
	j.in = append(j.in[:0], in...)
	j.unique, j.cancel, j.passed = h.Unique, make(chan struct{}), opNames[h.Opcode] == ""
	j.begin, j.answered, j.givenUp, j.reply.job = time.Now(), false, false, j
	if !c.enter(j, r) {
		jobs.Put(j)
		return
	}
	c.work.Go(func() { c.do(j) })
	if runtime.GOMAXPROCS(0) == 1 {
		runtime.Gosched() // or the job would wait until Go finds out that this goroutine sleeps in the kernel: 240 µs a request, not 50
	}
}

// enter takes in a job; false if its request was given up while the goroutine that reads requests tried to answer it.
func (c *conn) enter(j *job, r *reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.job != nil && !c.claimLocked(r) {
		return false
	}
	c.jobs[j.unique] = j
	return true
}

// mayWait is called before the goroutine that reads requests comes to what may wait for the vault: until its answer is claimed the request is one that can be given up.
func (c *conn) mayWait(req []byte, r *reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.job = &c.own
	c.own.unique, c.own.in = (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(req))).Unique, req
	c.own.begin, c.own.answered, c.own.givenUp = time.Now(), false, false
}

// job finds a job, nil if there is none of that number. It is called under the lock.
func (c *conn) job(unique uint64) *job {
	if c.own.unique == unique {
		return &c.own
	}
	return c.jobs[unique]
}

// busy tells whether there are jobs.
func (c *conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.jobs) > 0
}

// isFull tells whether so many jobs were given up, and go on, that there are to be no more.
func (c *conn) isFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.givenUp >= c.most
}

// A job is a request that has a goroutine of its own.
type job struct {
	unique   uint64
	in       []byte
	cancel   chan struct{}
	passed   bool // to go-fuse
	begin    time.Time
	answered bool // or about to be; under the conn's lock
	givenUp  bool // likewise
	reply    reply
}

var jobs = sync.Pool{New: func() any { return new(job) }}

func (c *conn) do(j *job) {
	if !c.answer(j.in, j.cancel, &j.reply) {
		c.pass(j)
	}
	c.mu.Lock()
	delete(c.jobs, j.unique)
	if j.givenUp {
		c.givenUp--
	}
	c.mu.Unlock()
	jobs.Put(j)
}

// pass has go-fuse answer a request.
func (c *conn) pass(j *job) {
	if cap(j.reply.buf) < fuseBuffer {
		j.reply.buf = make([]byte, fuseBuffer)
	}
	n, st := c.rest.HandleRequest([][]byte{j.in}, [][]byte{j.reply.buf[:cap(j.reply.buf)]})
	if n > 0 && (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(j.in))).Opcode == opInterrupt {
		time.Sleep(askAgain) // for the kernel does so at once
	}
	switch {
	case !c.claim(&j.reply):
	case n > 0:
		c.write(j.reply.buf[:n])
	case st != fuse.OK: // or its process would wait for good
		j.reply.fail(c, j.unique, st)
	}
}

// claim is called before a job is answered; false if it was given up.
func (c *conn) claim(r *reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claimLocked(r)
}

func (c *conn) claimLocked(r *reply) bool {
	j := r.job
	if r.own { // it waits no more
		if r.job, c.own.unique = nil, 0; j.givenUp {
			c.givenUp--
		}
	}
	if j.answered {
		return false
	}
	j.answered = true
	return true
}

// look gives up a job whose process got a signal if that is being killed; else it looks again later.
func (c *conn) look(unique uint64, thread uint32) {
	if killed(thread) {
		c.giveUp(unique)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.job(unique) != nil {
		time.AfterFunc(patience, func() { c.look(unique, thread) })
	}
}

// giveUp answers a job whose process is being killed, and which may go on: what it waits for does not always look whether that is still wanted. The answer is sent
// under the lock, for without jobs the connection may be closed.
func (c *conn) giveUp(unique uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.job(unique)
	if j == nil || j.answered {
		return
	}
	j.interrupt()
	if j.passed {
		c.interruptRest(unique)
	}
	j.answered, j.givenUp = true, true
	c.givenUp++
	delete(c.jobs, unique)
	new(reply).fail(c, unique, fuse.Status(unix.EINTR))
}

// interruptRest tells go-fuse, of a request that was passed to it, that nobody waits any more.
func (c *conn) interruptRest(unique uint64) {
	i := fuse.InterruptIn{Unique: unique}
	i.Length, i.Opcode = uint32(unsafe.Sizeof(i)), opInterrupt
	c.rest.HandleRequest([][]byte{unsafe.Slice((*byte)(unsafe.Pointer(&i)), unsafe.Sizeof(i))}, [][]byte{make([]byte, outHeader)})
	runtime.KeepAlive(&i)
}

// interrupt takes in that the process of a job got a signal; false if there is no such job, and go-fuse is to answer. It may not have begun; then the kernel is
// asked to say it again.
func (c *conn) interrupt(unique uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.job(unique)
	if j == nil {
		return false
	}
	thread := (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(j.in))).Pid
	time.AfterFunc(patience-time.Since(j.begin), func() { c.look(unique, thread) })
	return true
}

// cancelAll interrupts all jobs, for nobody waits any more.
func (c *conn) cancelAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.view.dead:
		return
	default:
		close(c.view.dead)
	}
	for _, j := range c.jobs {
		j.interrupt()
	}
}

// interrupt is called under the conn's lock.
func (j *job) interrupt() {
	if j.cancel == nil {
		return // others want what it waits for
	}
	select {
	case <-j.cancel:
	default:
		close(j.cancel)
	}
}

// write sends an answer, or news; false if the kernel did not take it.
func (c *conn) write(b []byte) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	c.written(errno)
	return errno == 0
}

func (c *conn) writev(iov [][]byte) {
	_, err := unix.Writev(c.fd, iov)
	errno, _ := err.(syscall.Errno)
	c.written(errno)
}

// written is told what came of a write. ENOENT: nobody waits for the answer any more, or what the news is about is not known.
func (c *conn) written(errno syscall.Errno) {
	if errno != 0 && errno != unix.ENOENT && errno != unix.ENODEV {
		c.view.log.Debug("the kernel refused an answer", "err", errno)
	}
}

// inodeNotify makes the kernel forget what it keeps of a node.
func (c *conn) inodeNotify(id nodeID) {
	type news struct {
		fuse.OutHeader
		fuse.NotifyInvalInodeOut
	}
	n := news{NotifyInvalInodeOut: fuse.NotifyInvalInodeOut{Ino: uint64(id)}}
	n.Status = notifyInode
	c.news(unsafe.Slice((*byte)(unsafe.Pointer(&n)), unsafe.Sizeof(n)), &n.OutHeader)
	runtime.KeepAlive(&n)
}

// entryNotify makes the kernel forget a name in a folder.
func (c *conn) entryNotify(dir nodeID, name string) {
	type head struct {
		fuse.OutHeader
		fuse.NotifyInvalEntryOut
	}
	b := make([]byte, unsafe.Sizeof(head{}), int(unsafe.Sizeof(head{}))+len(name)+1)
	n := (*head)(unsafe.Pointer(unsafe.SliceData(b)))
	n.Status, n.Parent, n.NameLen = notifyEntry, uint64(dir), uint32(len(name))
	b = append(append(b, name...), 0)
	c.news(b, &n.OutHeader)
}

// The kernel's numbers for news (linux/fuse.h, enum fuse_notify_code).
const (
	notifyInode = 2
	notifyEntry = 3
	notifyStore = 4
)

// news sends what is no answer. The kernel may take its time over it, until others have theirs.
func (c *conn) news(b []byte, h *fuse.OutHeader) {
	h.Length = uint32(len(b))
	c.writev([][]byte{b})
}
