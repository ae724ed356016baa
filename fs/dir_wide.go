package fs

import "sync/atomic"

// wideDirs are directories of more than fullNames names in which someone looked for a later one: the last few, each at its number modulo.
type wideDirs [16]atomic.Uint64

func (w *wideDirs) add(dir nodeID) { w.at(dir).Store(uint64(dir)) }

func (w *wideDirs) has(dir nodeID) bool { return w.at(dir).Load() == uint64(dir) }

func (w *wideDirs) at(dir nodeID) *atomic.Uint64 {
	return &w[(uint64(dir)>>slotShift^uint64(dir))%uint64(len(w))]
}
