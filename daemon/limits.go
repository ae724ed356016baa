package daemon

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync"

	"yester/control"
	"yester/sched"
	"yester/store"
)

// The limit of open files needs no care: Go's runtime raises it to the hard limit.

// gcPercent is how much garbage may come on top of what lives, in percent. What lives are a few large buffers without pointers,
// so a collection takes milliseconds, and Go's 100 would only double the memory.
const gcPercent = 50

// program is the process's memory that Go does not count and that is always there.
const program = 30e6

// A memoryLimit is that of Go's memory: what the priority at work leaves it, and on top what the vault needs for its packs, which is little up to some
// hundred gigabytes.
type memoryLimit struct {
	mu       sync.Mutex
	priority sched.Priority
	vault    int64 // bytes
}

// begin sets the limit that holds during a backup.
func (m *memoryLimit) begin(p sched.Priority) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.priority = p
	setMemoryLimit(p, m.vault)
}

// idle sets the limit that holds between backups: no more than a mount needs, even when backups may take all they want.
func (m *memoryLimit) idle(p sched.Priority) {
	p.Memory = min(p.Memory, sched.High.Memory)
	m.begin(p)
	debug.FreeOSMemory()
}

// follow has the limit follow what the vault needs.
func (m *memoryLimit) follow(v *store.Vault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vault = v.Memory()
	setMemoryLimit(m.priority, m.vault)
}

// setMemoryLimit keeps Go's memory under what the priority leaves it of the whole process's, and so much more. What the index has mapped of its files is not Go's either; where
// one thread stores it is given back, see store.WriterOptions, and elsewhere there is an eighth for it. To leave Go less than it needs is no use: where what
// lives comes near the limit it collects garbage all the time.
func setMemoryLimit(p sched.Priority, more int64) {
	debug.SetGCPercent(gcPercent)
	limit := p.Memory - program
	if writerOptions(p).Workers > 0 {
		limit -= p.Memory / 8
	}
	debug.SetMemoryLimit(limit + more)
}

// waiting is how many goroutines write packs at once where several store.
const waiting = 2

// leaveRoomToWait has Go run more goroutines at once than there are processors while several store. One that waits for a disk in a call of the kernel counts as running until Go's
// watchdog has noticed, which takes up to 10 ms, and a processor is idle meanwhile. At other times it would only be more to keep in step: tar from the mount took a twentieth
// longer. With one processor the mount does better without, see fs/conn.go.
func leaveRoomToWait(p sched.Priority) (end func()) {
	processors := runtime.GOMAXPROCS(0)
	if processors == 1 || writerOptions(p).Workers < waiting {
		return func() {}
	}
	runtime.GOMAXPROCS(processors + waiting)
	if os.Getenv("GOMAXPROCS") != "" {
		return func() { runtime.GOMAXPROCS(processors) }
	}
	return runtime.SetDefaultGOMAXPROCS // and Go follows the limits of its cgroup again
}

// awaited tells whether somebody has asked something of the mount since it was looked last, or restores.
func (d *Daemon) awaited() bool {
	if d.tasks.busy(control.KindRestore) {
		return true
	}
	d.mu.Lock()
	m := d.mount
	d.mu.Unlock()
	if m == nil {
		return false
	}
	n := m.Requests()
	return d.served.Swap(n) != n
}
