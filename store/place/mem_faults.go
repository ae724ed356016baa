package place

import (
	"slices"
	"syscall"
)

// faults are the troubles a memDisk is in. None is the zero value.
type faults struct {
	reads    error         // everything that reads
	writes   error         // everything that adds
	steps    map[int]error // one step, by its number
	readOnly bool
	capacity uint64 // bytes, 0 for no end
}

// boundless is the size of a disk without a capacity.
const boundless = 1 << 50

// onChange says what is in the way of step n.
func (f *faults) onChange(n int, grows bool) error {
	switch {
	case f.readOnly:
		return syscall.EROFS
	case grows && f.writes != nil:
		return f.writes
	}
	return f.steps[n]
}

// FailWrites makes every step that adds something fail with err; removals go on. nil ends that.
func (m *Mem) FailWrites(err error) { m.setFaults(func(f *faults) { f.writes = err }) }

// FailReads makes opening, reading and listing fail with err, as on a disk that is gone. nil ends that.
func (m *Mem) FailReads(err error) { m.setFaults(func(f *faults) { f.reads = err }) }

// FailOp makes step number n fail with err without taking place; those after it work again. The next one is Ops()+1.
func (m *Mem) FailOp(n int, err error) {
	m.setFaults(func(f *faults) {
		if f.steps == nil {
			f.steps = map[int]error{}
		}
		f.steps[n] = err
	})
}

// SetReadOnly makes every change fail with syscall.EROFS.
func (m *Mem) SetReadOnly(on bool) { m.setFaults(func(f *faults) { f.readOnly = on }) }

// SetCapacity bounds the sum of all file lengths, temporary files included. A write beyond it fails with
// syscall.ENOSPC, and Space tells what is left. 0 takes the bound away.
func (m *Mem) SetCapacity(bytes uint64) { m.setFaults(func(f *faults) { f.capacity = bytes }) }

func (m *Mem) setFaults(change func(*faults)) {
	m.mem.mu.Lock()
	defer m.mem.mu.Unlock()
	change(&m.mem.faults)
}

// Damage replaces the stored bytes of a file, in open files too, by what change makes of a copy of them: flipped,
// overwritten, shorter or longer. fs.ErrNotExist if there is none.
func (m *Mem) Damage(name string, change func(data []byte) []byte) error {
	return m.onFile("damage", name, func(n *node) {
		n.data = slices.Clip(change(slices.Clone(n.data)))
		n.synced = n.data
	})
}

// BadRange makes reads that touch bytes [off, off+length) of a file fail with syscall.EIO, until another file takes the
// name. Such a read returns the bytes before the bad ones. fs.ErrNotExist if there is no such file.
func (m *Mem) BadRange(name string, off, length int64) error {
	return m.onFile("make bad", name, func(n *node) { n.bad = append(slices.Clip(n.bad), span{off, off + length}) })
}

func (m *Mem) onFile(what, name string, do func(*node)) error {
	m.mem.mu.Lock()
	defer m.mem.mu.Unlock()
	n, err := m.mem.find(name)
	if err == nil && n.isFolder() {
		err = syscall.EISDIR
	}
	if err == nil {
		do(n)
	}
	return m.failed(what, name, err)
}

// A span is the bytes [from, to) of a file.
type span struct{ from, to int64 }

// readable tells how many of the length bytes at off can be read before a bad one, and the error if that is not all.
func (n *node) readable(off int64, length int) (int, error) {
	var err error
	for _, s := range n.bad {
		if s.from < off+int64(length) && s.to > off {
			length = int(max(0, s.from-off))
			err = syscall.EIO
		}
	}
	return length, err
}

// used is the sum of all file lengths. The caller holds mu.
func (n *node) used() uint64 {
	sum := uint64(len(n.data))
	for _, child := range n.names {
		sum += child.used()
	}
	return sum
}

// room tells whether n more bytes fit. The caller holds mu.
func (d *memDisk) room(n int) error {
	if d.faults.capacity > 0 && d.top.used()+uint64(n) > d.faults.capacity {
		return syscall.ENOSPC
	}
	return nil
}

func (d *memDisk) space() (free, total uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	total = boundless
	if d.faults.capacity > 0 {
		total = d.faults.capacity
	}
	return total - min(total, d.top.used()), total, d.beginRead()
}
