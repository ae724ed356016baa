package sched

import (
	"runtime"
	"syscall"
)

// Run calls f on a thread of its own that has p's nice value and I/O class, and returns when f has ended. Goroutines that f starts are not on it: each that
// does heavy work calls Run too. A panic of f is the caller's.
//
// Go moves goroutines between threads, and a thread keeps what was set for it. So the thread is locked and never unlocked: it ends with f, and nothing
// else ever runs gently by mistake. A kernel that refuses leaves the thread as it is; f is more important than its manners.
func (p Priority) Run(f func()) {
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
			p.Run(f)
			return
		}
		p.setThread()
		f()
	}()
	if trouble := <-ended; trouble != nil {
		panic(trouble)
	}
}

// ordinary tells whether p is how threads are anyway.
func (p Priority) ordinary() bool {
	return p.Nice == Max.Nice && p.IOClass == Max.IOClass && p.IOLevel == Max.IOLevel
}

// setThread sets nice value and I/O class of the calling thread, see ioprio_set(2).
func (p Priority) setThread() {
	const ioprioWhoProcess, ioprioClassShift, caller = 1, 13, 0
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, caller, p.Nice)
	_, _, _ = syscall.Syscall(syscall.SYS_IOPRIO_SET, ioprioWhoProcess, caller, uintptr(p.IOClass)<<ioprioClassShift|uintptr(p.IOLevel))
}
