package track

import (
	"bytes"
	"hash/maphash"
)

// A table is a set of keys with a short value each, made for many of them: a key costs its bytes, those of its value, four more, and some six for its place. Keys are never
// removed. A key is known by its place, which is never 0.
type table struct {
	seed  maphash.Seed
	slots []uint32 // places, 0 for none; a power of two
	n     int
	tail  uint32   // where the next record goes
	chunk [][]byte // records: length of the key, length of the value, key, value
}

const (
	chunkBits = 18
	chunkSize = 1 << chunkBits
	headSize  = 4
	maxRecord = 1 << 12
)

// add adds a key with a value, or finds it with the value it has.
func (t *table) add(key, value []byte) (place uint32, isNew bool) {
	if 4*(t.n+1) > 3*len(t.slots) {
		t.grow()
	}
	i := t.slot(key)
	if t.slots[i] != 0 {
		return t.slots[i], false
	}
	t.slots[i] = t.put(key, value)
	t.n++
	return t.slots[i], true
}

// find returns the place of a key, 0 if it is not there.
func (t *table) find(key []byte) (place uint32) {
	if len(t.slots) == 0 {
		return 0
	}
	return t.slots[t.slot(key)]
}

// slot is where a key is, or would go.
func (t *table) slot(key []byte) uint64 {
	mask := uint64(len(t.slots) - 1)
	for i := maphash.Bytes(t.seed, key) & mask; ; i = (i + 1) & mask {
		if p := t.slots[i]; p == 0 || bytes.Equal(t.key(p), key) {
			return i
		}
	}
}

func (t *table) grow() {
	if t.slots == nil {
		t.seed = maphash.MakeSeed()
	}
	old := t.slots
	t.slots = make([]uint32, max(64, 2*len(old)))
	for _, p := range old {
		if p != 0 {
			t.slots[t.slot(t.key(p))] = p
		}
	}
}

func (t *table) put(key, value []byte) uint32 {
	size := uint32(headSize + len(key) + len(value))
	if size > maxRecord {
		panic("track: a key that is no handle or name")
	}
	if len(t.chunk) == 0 || chunkSize-t.tail%chunkSize < size || t.tail%chunkSize == 0 {
		t.tail = uint32(len(t.chunk)) << chunkBits
		t.chunk = append(t.chunk, nil)
		if t.tail == 0 {
			t.tail = headSize // so that no place is 0
			t.chunk[0] = make([]byte, headSize, 1<<10)
		}
	}
	c := &t.chunk[len(t.chunk)-1]
	*c = append(*c, byte(len(key)), byte(len(key)>>8), byte(len(value)), byte(len(value)>>8))
	*c = append(append(*c, key...), value...)
	place := t.tail
	t.tail += size
	return place
}

func (t *table) record(place uint32) (b []byte, key, value int) {
	b = t.chunk[place>>chunkBits][place%chunkSize:]
	return b, int(b[0]) | int(b[1])<<8, int(b[2]) | int(b[3])<<8
}

// key returns the key at a place.
func (t *table) key(place uint32) []byte {
	b, n, _ := t.record(place)
	return b[headSize:][:n:n]
}

// value returns the value of the key at a place. Its bytes may be changed.
func (t *table) value(place uint32) []byte {
	b, n, v := t.record(place)
	return b[headSize+n:][:v:v]
}

// each calls visit for every place, in the order in which keys were added.
func (t *table) each(visit func(place uint32)) {
	for i, c := range t.chunk {
		at := 0
		if i == 0 {
			at = headSize
		}
		for at < len(c) {
			p := uint32(i)<<chunkBits | uint32(at)
			_, k, v := t.record(p)
			visit(p)
			at += headSize + k + v
		}
	}
}

// size is how many bytes the table takes.
func (t *table) size() (n int) {
	for _, c := range t.chunk {
		n += cap(c)
	}
	return n + 4*len(t.slots)
}
