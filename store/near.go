package store

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"yester/store/pack"
)

// A near knows all chunks of the packs that are being read one chunk after the other. Who copies a folder reads chunks that were stored one after
// the other, thousands in a pack; to look up each in the index took longer than to read, open and decode it (7 µs and 5 µs of small files in a vault of
// half a million; here it is 0.06 µs, BenchmarkLocate). It is a shortcut for reading only. What counts is where the index finds a chunk, and what near finds it is
// asked for when the other cannot be read.
type near struct {
	tables [nearPacks]atomic.Pointer[frameTable]

	mu   sync.Mutex
	next int // of tables, to be replaced
	seen [nearPacks]struct {
		pack  uint32
		times int
	}
	tried     [nearTried]triedPack // not learnt again soon
	nextTried int
}

// A triedPack is one that was learnt, or could not be. The zero value is none.
type triedPack struct {
	pack  uint32
	again int // after so many look-ups in it
}

const (
	nearPacks  = 4
	nearTried  = 16
	nearAfter  = 16      // look-ups in a pack, among not many more in packs that are not learnt
	nearAgain  = 1024    // look-ups, which take longer than to learn a pack once more
	nearFrames = 1 << 15 // of a pack that is learnt, at most: 52 bytes each, and up to 8 more
)

const _ = uint16(nearFrames) // frames are counted from 1 in slots

// A frameTable has the frames of a pack, and where to find each: at the first free slot from that of its id's beginning on is its number and one.
type frameTable struct {
	pack   uint32
	frames []pack.Frame
	slots  []uint16
}

func newFrameTable(number uint32, frames []pack.Frame) *frameTable {
	t := &frameTable{pack: number, frames: frames, slots: make([]uint16, 2<<bits.Len(uint(len(frames))))}
	for i := range frames {
		s := t.slot(&frames[i].Chunk)
		for t.slots[s] != 0 {
			s = t.after(s)
		}
		t.slots[s] = uint16(i + 1)
	}
	return t
}

func (t *frameTable) slot(id *ID) int {
	return int(binary.LittleEndian.Uint32(id[:])) & (len(t.slots) - 1)
}
func (t *frameTable) after(slot int) int { return (slot + 1) & (len(t.slots) - 1) }

func (t *frameTable) find(id *ID) (location, bool) {
	for s := t.slot(id); t.slots[s] != 0; s = t.after(s) {
		if i := int(t.slots[s]) - 1; t.frames[i].Chunk == *id {
			return location{pack: t.pack, num: uint32(i), frame: t.frames[i]}, true
		}
	}
	return location{}, false
}

// find returns where a chunk lies, if it lies in one of these packs.
func (n *near) find(id *ID) (location, bool) {
	for i := range n.tables {
		if t := n.tables[i].Load(); t != nil {
			if l, ok := t.find(id); ok {
				return l, true
			}
		}
	}
	return location{}, false
}

// saw notes that the index was asked for a chunk of a pack, and returns true if all of that pack is to be learnt. It is the counting of Misra and Gries,
// "Finding repeated elements" (1982): a pack that is asked for often among others is found with a few counters.
func (n *near) saw(number uint32) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.IndexFunc(n.tried[:], func(t triedPack) bool { return t.again > 0 && t.pack == number }); i >= 0 {
		t := &n.tried[i]
		if t.again--; t.again > 0 {
			return false
		}
		t.again = nearAgain
		return true
	}
	free := -1
	for i := range n.seen {
		switch s := &n.seen[i]; {
		case s.times > 0 && s.pack == number:
			if s.times++; s.times < nearAfter {
				return false
			}
			s.times = 0
			n.tried[n.nextTried] = triedPack{number, nearAgain}
			n.nextTried = (n.nextTried + 1) % nearTried
			return true
		case s.times == 0:
			free = i
		}
	}
	if free >= 0 {
		n.seen[free].pack, n.seen[free].times = number, 1
		return false
	}
	for i := range n.seen {
		n.seen[i].times--
	}
	return false
}

// learn keeps the table of a pack.
func (n *near) learn(t *frameTable) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tables[n.next].Store(t)
	n.next = (n.next + 1) % nearPacks
}

// forget tells whether a pack had been learnt, and forgets it.
func (n *near) forget(number uint32) (known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.tables {
		if t := n.tables[i].Load(); t != nil && t.pack == number {
			n.tables[i].Store(nil)
			known = true
		}
	}
	return known
}

// learn has near know a pack, from a file of it that is open and tells what it holds. Where that is not so the index goes on to be asked.
func (v *Vault) learn(number uint32, p *packInfo) {
	if p.frames > nearFrames {
		return
	}
	f := v.files.get(p.id)
	if f == nil {
		return
	}
	defer v.files.release(f)
	for i := range f.shards {
		s := f.shards[i].Load()
		if s == nil || s.err != nil {
			continue
		}
		meta, err := pack.ReadMeta(s, s.Size())
		if err != nil || p.matches(meta, v.id) != nil {
			return
		}
		if frames, err := meta.Table(f.sealer); err == nil {
			v.near.learn(newFrameTable(number, frames))
		}
		return
	}
}
