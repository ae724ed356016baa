package sched

import (
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A Crew is the threads that the jobs of a process run on.
//
// Go moves goroutines between threads, and a thread keeps what was set for it. So each thread of a crew is locked to its job and never unlocked: it
// ends with it, and nothing else ever runs gently by mistake. But all of a process waits for a thread that holds a lock, or that the garbage collector waits for, and on a
// busy machine the kernel lets a nice one wait for up to a second. So while others want something of the process, its threads are as usual.
type Crew struct {
	Awaited func() bool // tells whether anybody wants something of the process; nil: nobody does

	mu      sync.Mutex
	threads map[int]Priority // by their ids
	hurried bool             // they are as usual
	looking bool             // whether anybody wants something
}

// How often it is looked whether somebody wants something, and how long that counts.
const (
	lookEvery = 50 * time.Millisecond
	lookAfter = 2 * time.Second
)

// Run calls f on a thread of its own that has p's nice value and I/O class, and returns when f has ended. Goroutines that f starts are not on it: each that
// does heavy work calls Run too. A panic of f is the caller's. A kernel that refuses leaves the thread as it is: f matters more than its manners.
func (c *Crew) Run(p Priority, f func()) {
	if p.ordinary() {
		f()
		return
	}
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() { // the main thread cannot end: it is held while another is taken
			defer runtime.UnlockOSThread()
			c.Run(p, f)
			return
		}
		defer c.leave(c.enter(p))
		f()
	}()
	if trouble := <-ended; trouble != nil {
		panic(trouble)
	}
}

// enter takes in the calling thread.
func (c *Crew) enter(p Priority) (id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.threads == nil {
		c.threads = map[int]Priority{}
	}
	id = syscall.Gettid()
	c.threads[id] = p
	if c.hurried {
		p = Max
	}
	p.set(id)
	if c.Awaited != nil && !c.looking {
		c.looking = true
		go c.look()
	}
	return id
}

func (c *Crew) leave(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.threads, id)
}

// look hurries the crew while it is awaited. It ends with the last thread.
func (c *Crew) look() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last time.Time
	for ; ; <-tick.C {
		if c.Awaited() {
			last = time.Now()
		}
		if !c.hurry(time.Since(last) < lookAfter) {
			return
		}
	}
}

// hurry has the threads be as usual, or as their jobs' priorities. It is false if there are none.
func (c *Crew) hurry(hurried bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.threads) == 0 {
		c.hurried, c.looking = false, false
		return false
	}
	for id, p := range c.threads {
		switch {
		case hurried == c.hurried:
		case hurried:
			Max.set(id)
		default:
			p.set(id)
		}
	}
	c.hurried = hurried
	return true
}

// ordinary tells whether p is how threads are anyway.
func (p Priority) ordinary() bool {
	return p.Nice == Max.Nice && p.IOClass == Max.IOClass && p.IOLevel == Max.IOLevel
}

// set sets nice value and I/O class of a thread, see ioprio_set(2).
func (p Priority) set(thread int) {
	const whoProcess, classShift = 1, 13
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, thread, p.Nice)
	_, _, _ = syscall.Syscall(syscall.SYS_IOPRIO_SET, whoProcess, uintptr(thread), uintptr(p.IOClass)<<classShift|uintptr(p.IOLevel))
}
