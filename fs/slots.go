package fs

import (
	"sync"

	"yester/store"
)

// A slot is a leaf page of a directory in a version: what the entries of that page need to be found again.
type slot struct {
	page    store.ID
	dir     nodeID // the directory
	first   uint64 // position of the page's first entry in the directory
	version uint32 // ordinal
}

// slots gives each page that was read a number, from 1, for good: the kernel may come back to an id at any time, and a file
// handle of NFS even after it forgot it. That costs some 100 bytes a page, about one byte a file.
type slots struct {
	mu     sync.RWMutex
	blocks [][]slot // each of blockLen, so that nothing is copied when they grow
	n      uint64
	at     map[slotKey]uint64
}

type slotKey struct {
	dir   nodeID
	first uint64
}

const blockLen = 1024

// number returns the number of s, a new one if its page of its directory has none.
func (t *slots) number(s slot) uint64 {
	k := slotKey{s.dir, s.first}
	t.mu.RLock()
	n, ok := t.at[k]
	t.mu.RUnlock()
	if ok {
		return n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.at[k]; ok {
		return n
	}
	return t.add(k, s)
}

func (t *slots) add(k slotKey, s slot) uint64 {
	if t.at == nil {
		t.at = make(map[slotKey]uint64)
	}
	if t.n%blockLen == 0 {
		t.blocks = append(t.blocks, make([]slot, blockLen))
	}
	t.blocks[t.n/blockLen][t.n%blockLen] = s
	t.n++
	t.at[k] = t.n
	return t.n
}

// dir returns the directory of a slot that was given.
func (t *slots) dir(n uint64) nodeID {
	s, _ := t.get(n)
	return s.dir
}

// get returns slot n; false if no such number was given.
func (t *slots) get(n uint64) (slot, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n == 0 || n > t.n {
		return slot{}, false
	}
	return t.blocks[(n-1)/blockLen][(n-1)%blockLen], true
}
