package fs

import (
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Steps are what the goroutine that reads requests does in the pauses between them: reading ahead, one small file at a time. A goroutine
// beside it would have to be woken again and again, and each time a thread with it, which takes longer than the work.
//
// A step can take longer than a pause. It may wait for a disk; what is left goes to a goroutine of its own then. And it may wait for who reads a file:
// to give the kernel a page takes the lock of that page, which he holds until his request is answered that lies in the queue. For both, another
// goroutine stands by, and answers requests in the place of the one that does not come back from a step.
type steps struct {
	mu       sync.Mutex
	given    []given // works not begun
	asleep   bool    // nobody takes steps: the goroutine that reads requests sleeps, or has ended
	standing bool    // another stands by
	stood    int     // requests that it answered, for tests

	began   atomic.Int64 // when that began for which nobody need wait, by nanotime: a step, or another file; 0 if nothing did
	left    atomic.Int32 // how many works are given or under way
	besides atomic.Int32 // how many have a goroutine of their own

	// of the goroutine that reads
	taken     []work
	turn      int
	since     int64 // when a request came and there was work, and no step was taken since; 0 if there was no such request
	unhurried int64 // until when no request is answered by what may take long
}

// A work is done step by step.
type work struct {
	step func() (struct{}, bool) // false if there was none left
	stop func()
	late bool
}

// A given is a work that is not begun.
type given struct {
	steps iter.Seq[struct{}]
	late  bool // it has its turn when there are only such
}

func newWork(steps iter.Seq[struct{}]) work {
	step, stop := iter.Pull(steps)
	return work{step: step, stop: stop}
}

const (
	slowStep = 500 * time.Microsecond // after one, the rest is done beside
	standFor = 2 * time.Millisecond   // a step that takes this long, and up to twice, is not waited for
	noPause  = 2 * time.Millisecond   // without a step
	leadFor  = time.Millisecond       // see lead
	leadSlow = 6                      // files
)

// later has a page read ahead, in pauses between requests if there are pauses, else beside them.
func (c *conn) later(slot uint64) {
	if !c.view.ahead.slow() || c.busy() || !c.give(c.readAhead(slot, true)) {
		c.beside(newWork(c.readAhead(slot, false)))
	}
}

// lead gives the kernel the first files of a page before it answers whoever listed the folder that there are no more: then he asks for none of them. False if it left that.
// It is for the goroutine that reads requests.
//
// Who only reads files, as tar does, is given as many as leadFor allows: he would overtake whoever gives them meanwhile, and each request of his takes longer than
// giving the file. Who asks more of them is given some, if they are decoded, and the others in the pauses, while he does something with them.
func (c *conn) lead(slot uint64, req []byte, own *reply) bool {
	s := &c.steps
	slow := c.view.ahead.slow()
	if c.busy() || (slow || nanotime() < s.unhurried) && !c.view.isPrepared(slot) {
		return false
	}
	s.left.Add(1)
	defer s.left.Add(-1)
	c.haveStandBy()
	c.mayWait(req, own)
	var r *reading
	if took := s.take(func() { r = c.newReading(slot) }); took > slowStep {
		s.unhurried = nanotime() + int64(time.Second)
	}
	handedOn := false
	defer func() {
		if !handedOn {
			s.take(r.end)
		}
	}()
	begin := nanotime()
	more := true
	for more && nanotime()-begin < int64(leadFor) && !(slow && r.put >= leadSlow) {
		if took := s.take(func() { more = r.give() }); took > slowStep {
			s.unhurried = nanotime() + int64(time.Second)
		}
	}
	if handedOn = more; more && !(slow && c.give(r.rest)) {
		c.beside(newWork(r.rest))
	}
	return true
}

// give gives work to the goroutine that reads requests; false if that sleeps.
func (c *conn) give(w iter.Seq[struct{}]) bool { return c.giveWork(given{steps: w}) }

// giveLate is give for what is done when there is nothing else.
func (c *conn) giveLate(w iter.Seq[struct{}]) bool { return c.giveWork(given{steps: w, late: true}) }

func (c *conn) giveWork(w given) bool {
	s := &c.steps
	if !s.add(w) {
		return false
	}
	c.haveStandBy()
	return true
}

func (s *steps) add(w given) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asleep {
		return false
	}
	s.given = append(s.given, w)
	s.left.Add(1)
	return true
}

// haveStandBy has somebody stand by. There must be work, or he leaves again.
func (c *conn) haveStandBy() {
	s := &c.steps
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.standing {
		s.standing = true
		c.work.Go(c.standBy)
	}
}

// beside does work in a goroutine of its own.
func (c *conn) beside(w work) {
	c.steps.besides.Add(1)
	c.work.Go(func() {
		defer c.steps.besides.Add(-1)
		defer w.stop()
		for more := true; more; _, more = w.step() {
			select {
			case <-c.view.dead:
				return
			default:
				runtime.Gosched() // others are waited for
			}
		}
	})
}

// hurry is called when a request came. Where they come so fast that there is no pause, work is done beside them.
func (c *conn) hurry() {
	s := &c.steps
	if s.left.Load() == 0 {
		return
	}
	switch now := nanotime(); {
	case s.since == 0:
		s.since = now
	case now-s.since > int64(noPause):
		s.begin()
		for _, w := range s.taken {
			c.beside(w)
			s.left.Add(-1)
		}
		clear(s.taken)
		s.taken, s.since = s.taken[:0], 0
	}
}

// step takes a step of one work, in turn; false if there is none.
func (c *conn) step() bool {
	s := &c.steps
	if s.left.Load() == 0 {
		return false
	}
	s.begin()
	s.since = 0
	if len(s.taken) == 0 {
		return false // whoever stood by took what there was
	}
	if s.turn++; s.turn >= len(s.taken) || s.taken[s.turn].late {
		s.turn = 0
	}
	w, more := s.taken[s.turn], false
	took := s.take(func() { _, more = w.step() })
	if more && took < slowStep {
		return true
	}
	if more {
		c.beside(w)
	}
	s.taken = slices.Delete(s.taken, s.turn, s.turn+1)
	s.left.Add(-1)
	return true
}

// begin begins the works that were given.
func (s *steps) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.given {
		begun := newWork(w.steps)
		if begun.late = w.late; w.late {
			s.taken = append(s.taken, begun)
		} else {
			s.taken = slices.Insert(s.taken, 0, begun)
		}
	}
	clear(s.given)
	s.given = s.given[:0]
}

// take does something for which others do not wait longer than standFor, and returns how long it took.
func (s *steps) take(do func()) time.Duration {
	begin := nanotime()
	s.began.Store(begin)
	defer s.began.Store(0)
	do()
	return time.Duration(nanotime() - begin)
}

// fallAsleep tells that there will be no pauses; false if there is work.
func (s *steps) fallAsleep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asleep = s.left.Load() == 0
	return s.asleep
}

func (s *steps) wakeUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asleep = false
}

// end drops all work: nobody waits for it any more.
func (s *steps) end() {
	s.mu.Lock()
	s.asleep, s.given = true, nil
	s.left.Store(0)
	s.mu.Unlock()
	for _, w := range s.taken {
		w.stop()
	}
}

// standBy answers requests while a step keeps the goroutine that reads them, as long as there is work.
func (c *conn) standBy() {
	s := &c.steps
	var in []byte
	for {
		began := s.began.Load()
		time.Sleep(standFor)
		if s.stoodEnough() {
			return
		}
		if began != 0 && s.began.Load() == began {
			if in == nil {
				in = make([]byte, requestRoom)
			}
			c.stand(began, in)
		}
	}
}

// stoodEnough ends the standing by if there is no work.
func (s *steps) stoodEnough() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standing = s.left.Load() > 0
	return !s.standing
}

// stand answers requests until the step ends that began then, and does what work was given beside.
func (c *conn) stand(began int64, in []byte) {
	s := &c.steps
	s.mu.Lock()
	for _, w := range s.given {
		c.beside(newWork(w.steps))
		s.left.Add(-1)
	}
	clear(s.given)
	s.given = s.given[:0]
	s.mu.Unlock()
	var r reply
	last := nanotime()
	for s.began.Load() == began {
		const limit = 1 // ms
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, limit); n == 0 || err != nil {
			if nanotime()-last > int64(awakeFor) {
				c.awake.release()
			}
			continue
		}
		switch n, err := unix.Read(c.fd, in); err {
		case nil:
			s.answered()
			c.take(in[:n], &r)
			last = nanotime()
		case unix.EAGAIN, unix.EINTR, unix.ENOENT:
		case unix.ENODEV: // the other will be told, once it is back
			c.cancelAll()
			c.awake.release()
			return
		default:
			return
		}
	}
}

func (s *steps) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stood++
}

var started = time.Now()

// nanotime is a time of the monotonic clock in nanoseconds, more than 0.
func nanotime() int64 { return int64(time.Since(started)) + 1 }
