package place

import (
	"errors"
	"fmt"
)

// ErrCrashed is what everything answers after the power was lost.
var ErrCrashed = errors.New("power lost")

// A Mem is a place in memory for tests. It lies on a simulated disk that knows what is durable and what is not, takes
// the same steps as a Dir and numbers those that change it. So a test can cut the power after each of them and look at
// what is left:
//
//	for n := 0; ; n++ {
//		m := place.NewMem(seed)
//		m.CrashAfter(n)
//		err := work(m)         // ErrCrashed, unless n is beyond its last step
//		check(m.Crash())       // a place with what may be left
//		…
//	}
//
// It can also be made to fail and its files be damaged, see the methods that name the trouble. All methods may be called
// from many goroutines; in one goroutine everything that happens follows from the seed.
type Mem struct {
	*files
	mem *memDisk
}

var _ Place = (*Mem)(nil)

// NewMem returns an empty place. Print the seed where a test fails.
func NewMem(seed uint64) *Mem {
	return onDisk(newMemDisk(fmt.Sprintf("mem-%d", seed), seed))
}

func onDisk(d *memDisk) *Mem {
	return &Mem{files: newFiles(d.title, d, d.random), mem: d}
}

// Ops tells how many steps that change the disk were taken since NewMem, Crash or Restart made this Mem.
func (m *Mem) Ops() int {
	m.mem.mu.Lock()
	defer m.mem.mu.Unlock()
	return m.mem.ops
}

// CrashAfter cuts the power when Ops has reached n: step n+1 and all after it, reads too, fail with ErrCrashed.
func (m *Mem) CrashAfter(n int) {
	m.mem.mu.Lock()
	defer m.mem.mu.Unlock()
	m.mem.crashAt = n
}

// Crash cuts the power, unless that happened, and returns a place with what the disk may hold when it is back. Whatever
// was synced is there. Of what was not,
//
//   - each name made, replaced or removed in a folder is as it was before or after, whatever became of the others
//   - bytes of a file are lost or torn: it has any length up to the one written, and each block of 4 KiB holds what was
//     written, zeros, or what the medium held there before
//
// Each call returns one more of the possible outcomes. Bad ranges and the capacity stay, other faults are gone.
func (m *Mem) Crash() *Mem { return onDisk(m.mem.after(powerLoss)) }

// Restart is what a killed process leaves to the next one: all of m, synced or not. m itself is of no use any more.
// Faults remain as with Crash.
func (m *Mem) Restart() *Mem { return onDisk(m.mem.after(kill)) }
