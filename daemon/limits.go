package daemon

import (
	"runtime/debug"

	"yester/control"
	"yester/sched"
)

// The limit of open files needs no care: Go's runtime raises it to the hard limit.

// gcPercent is how much garbage may come on top of what lives, in percent. What lives are a few large buffers without pointers,
// so a collection takes milliseconds, and Go's 100 would only double the memory.
const gcPercent = 50

// notGo is some of the process's memory that Go does not count: the program itself, and what the index has mapped of its files, some 80 bytes for each that was backed up.
const notGo = 30e6

// setMemoryLimit keeps Go's memory under what the priority leaves it of the whole process's.
func setMemoryLimit(p sched.Priority) {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(p.Memory/8*7 - notGo)
}

// setIdleMemory sets the limit that holds between backups: no more than a mount needs, even when backups may take all they want.
func setIdleMemory(p sched.Priority) {
	p.Memory = min(p.Memory, sched.High.Memory)
	setMemoryLimit(p)
	debug.FreeOSMemory()
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
