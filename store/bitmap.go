package store

// A bitmap is a set of small numbers.
type bitmap []uint64

// newBitmap returns an empty set for the numbers below n.
func newBitmap(n uint32) bitmap { return make(bitmap, (uint64(n)+63)/64) }

// set adds i and tells whether it is new. A number that the set is not made for is not added, and never new.
func (b bitmap) set(i uint32) (fresh bool) {
	if int(i/64) >= len(b) {
		return false
	}
	fresh = !b.has(i)
	b[i/64] |= 1 << (i % 64)
	return fresh
}

func (b bitmap) has(i uint32) bool { return int(i/64) < len(b) && b[i/64]&(1<<(i%64)) != 0 }

// full tells whether all numbers below n are in the set.
func (b bitmap) full(n uint32) bool {
	for i := range n {
		if !b.has(i) {
			return false
		}
	}
	return true
}

// or adds another set of the same size.
func (b bitmap) or(other bitmap) {
	for i := range min(len(b), len(other)) {
		b[i] |= other[i]
	}
}

// within tells whether all of b are in other too.
func (b bitmap) within(other bitmap) bool {
	for i, x := range b {
		if i < len(other) {
			x &^= other[i]
		}
		if x != 0 {
			return false
		}
	}
	return true
}
