package fs

import (
	"encoding/binary"
	"sync"

	"yester/store"
)

// A slot is a leaf page of a directory in a version: what the entries of that page need to be found again.
type slot struct {
	page store.ID
	dir  nodeID // the directory
}

// slots gives each page that was read a number, from 1: the kernel may come back to an id at any time, and a file handle of NFS even after it forgot it. That
// costs some 50 bytes a page, about half a byte a file, until the version was deleted and the kernel knows nothing in it any more. No number is given twice.
type slots struct {
	mu     sync.RWMutex
	blocks []*slotBlock // by number; nil if it was dropped
}

// A slotBlock has the slots of blockLen numbers, all of one version. It grows, for many versions have few pages that anybody looks at.
type slotBlock struct {
	version *version
	slots   []slot
}

// versionSlots say which slots a version has. They are read and changed under the lock of slots.
type versionSlots struct {
	blocks []int    // numbers of its blocks
	n      uint32   // slots
	table  []uint32 // which of them, from 1, each at or after its hash, 0 where there is none; its length is a power of two
}

// number returns the number of a slot by which of the version's it is, from 1.
func (of *versionSlots) number(i uint32) uint64 {
	return uint64(of.blocks[(i-1)/blockLen])*blockLen + uint64((i-1)%blockLen) + 1
}

const blockLen = 1024

// number returns the number of s in a version, a new one if its page of its directory has none.
func (t *slots) number(ver *version, s slot) uint64 {
	t.mu.RLock()
	n, _ := t.search(&ver.slots, &s)
	t.mu.RUnlock()
	if n != 0 {
		return n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, _ := t.search(&ver.slots, &s); n != 0 {
		return n
	}
	return t.add(ver, s)
}

// search returns the number of s, 0 if it has none, and where in the table it is or would be.
func (t *slots) search(of *versionSlots, s *slot) (n uint64, at int) {
	if len(of.table) == 0 {
		return 0, 0
	}
	const odd = 0x9e3779b97f4a7c15 // directories with the same page come apart
	hash := binary.LittleEndian.Uint64(s.page[:]) + uint64(s.dir)*odd
	for at = int(hash>>32) & (len(of.table) - 1); ; at = (at + 1) & (len(of.table) - 1) {
		i := of.table[at]
		if i == 0 {
			return 0, at
		}
		if n = of.number(i); *t.at(n) == *s {
			return n, at
		}
	}
}

// at returns slot n, which must be there.
func (t *slots) at(n uint64) *slot { return &t.blocks[(n-1)/blockLen].slots[(n-1)%blockLen] }

func (t *slots) add(ver *version, s slot) uint64 {
	of := &ver.slots
	if of.n%blockLen == 0 {
		of.blocks = append(of.blocks, len(t.blocks))
		t.blocks = append(t.blocks, &slotBlock{version: ver})
	}
	if int(of.n) >= len(of.table)/4*3 {
		t.grow(of)
	}
	b := t.blocks[of.blocks[len(of.blocks)-1]]
	b.slots = append(b.slots, s)
	_, at := t.search(of, &s)
	of.n++
	of.table[at] = of.n
	return of.number(of.n)
}

func (t *slots) grow(of *versionSlots) {
	old := of.table
	of.table = make([]uint32, max(8, 2*len(old)))
	for _, i := range old {
		if i != 0 {
			_, at := t.search(of, t.at(of.number(i)))
			of.table[at] = i
		}
	}
}

// drop forgets the slots of a version.
func (t *slots) drop(ver *version) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range ver.slots.blocks {
		t.blocks[b] = nil
	}
	ver.slots = versionSlots{}
}

// dir returns the directory of a slot that was given.
func (t *slots) dir(n uint64) nodeID {
	s, _ := t.get(n)
	return s.dir
}

// get returns slot n; false if no such number was given, or if it was dropped.
func (t *slots) get(n uint64) (slot, bool) {
	s, ver := t.find(n)
	return s, ver != nil
}

// find returns slot n and its version; nil if no such number was given, or if it was dropped.
func (t *slots) find(n uint64) (slot, *version) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n == 0 || (n-1)/blockLen >= uint64(len(t.blocks)) {
		return slot{}, nil
	}
	b, i := t.blocks[(n-1)/blockLen], (n-1)%blockLen
	if b == nil || i >= uint64(len(b.slots)) {
		return slot{}, nil
	}
	return b.slots[i], b.version
}
