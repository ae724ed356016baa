package fs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// patience is how long a request goes on until it is looked whether its process is being killed, and from then on from look to look. On a disk no stat or read ends
// with EINTR, so programs are not made for it, and signals are common: a timer, a child that ended, the Go runtime. But a process must be
// killable while a vault far away does not answer.
const patience = time.Second

// killed tells whether a thread is being killed: the kernel makes of each signal that ends a process, but for those that leave a core, a SIGKILL for all its threads. So is one
// that is gone, or in a container that is not ours (0).
func killed(thread uint32) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return true
	}
	const sigkill = 1 << (9 - 1)
	for line := range bytes.Lines(b) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) == "SigPnd" || string(name) == "ShdPnd" {
			if set, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64); err != nil || set&sigkill != 0 {
				return true
			}
		}
	}
	return false
}

// An interrupt is the context of a request. It is cancelled when its process is being killed. Whoever does not look at it is given up then too (conn.giveUp).
type interrupt struct {
	cancel <-chan struct{} // its caller may use it again once the request is answered
	dead   <-chan struct{} // the mount is gone

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
	return &interrupt{cancel: cancel, dead: dead}
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
		close(done)
	case <-c.dead:
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
