package fs

import (
	"context"
	"sync"
	"time"
)

// patience is how long a request goes on although its process got a signal. On a disk no stat or read ends with EINTR, so
// programs are not made for it, and signals are common: a timer, a child that ended, the Go runtime. But a process must be
// killable while a vault far away does not answer.
const patience = time.Second

// An interrupt is the context of a request. It is cancelled when the kernel says that a signal came, and patience is over. Whoever does not look at it is given up
// then (conn.giveUp).
type interrupt struct {
	cancel <-chan struct{} // its caller may use it again once the request is answered
	dead   <-chan struct{} // the mount is gone
	begin  time.Time

	mu       sync.Mutex
	done     chan struct{} // what Done returned, if anyone asked
	answered chan struct{} // closed by end, likewise
	over     bool
}

var _ context.Context = (*interrupt)(nil)

// inline is the cancel of requests that must not wait, and so are never cancelled; calm is the context of them all.
var (
	inline = make(<-chan struct{})
	calm   = &interrupt{cancel: inline}
)

func newInterrupt(cancel, dead <-chan struct{}) *interrupt {
	if cancel == inline {
		return calm
	}
	return &interrupt{cancel: cancel, dead: dead, begin: time.Now()}
}

// end must be called when the request is answered.
func (c *interrupt) end() {
	if c == calm {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.answered != nil {
		close(c.answered)
	}
}

// Done makes its channel when first asked: most requests are answered from caches, and nobody waits.
func (c *interrupt) Done() <-chan struct{} {
	if c == calm {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done, c.answered = make(chan struct{}), make(chan struct{})
		if !c.over {
			go c.wait(c.done, c.answered)
		}
	}
	return c.done
}

func (c *interrupt) wait(done chan<- struct{}, answered <-chan struct{}) {
	select {
	case <-c.cancel:
	case <-c.dead:
		close(done)
		return
	case <-answered:
		return
	}
	t := time.NewTimer(patience - time.Since(c.begin))
	defer t.Stop()
	select {
	case <-t.C:
		close(done)
	case <-answered:
	}
}

// Err is context.Canceled from when Done is closed, or would be.
func (c *interrupt) Err() error {
	if c == calm {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil
	}
	if c.done != nil {
		return closed(c.done, context.Canceled)
	}
	if time.Since(c.begin) < patience {
		return nil
	}
	return closed(c.cancel, context.Canceled)
}

func closed(ch <-chan struct{}, err error) error {
	select {
	case <-ch:
		return err
	default:
		return nil
	}
}

// Deadline returns none.
func (c *interrupt) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value returns nil.
func (c *interrupt) Value(any) any { return nil }
