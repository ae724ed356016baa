package cut

// window is the number of bytes a gear hash depends on: the bits of its state.
const window = 64

// gear holds a random-looking number for each byte. It is part of the format.
//
// Entry i is output i (counted from 0) of the generator SplitMix64 started with seed 0, the one of Java's
// SplittableRandom and of Vigna's splitmix64.c. The first is e220a8397b1dcdaf.
var gear = gearTable()

func gearTable() (t [256]uint64) {
	var state uint64
	for i := range t {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		t[i] = z ^ z>>31
	}
	return t
}

// roll takes b into the hash h.
func roll(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = h<<1 + gear[c]
	}
	return h
}

// scan takes b into the hash h byte by byte until the hash is below limit. It returns the hash and the number of bytes
// taken with the one that did it, or -1 if none did.
//
// Four bytes are taken a turn. As written on paper each step waits for the one before it, a shift and an add per byte;
// here the table's values are joined in pairs beside that chain, which leaves a shift and an add for two bytes.
func scan(h uint64, b []byte, limit uint64) (uint64, int) {
	t := &gear
	i := 0
	for ; i < len(b)-3; i += 4 {
		g0, g1, g2, g3 := t[b[i]], t[b[i+1]], t[b[i+2]], t[b[i+3]]
		h0 := h<<1 + g0
		h1 := h<<2 + (g0<<1 + g1)
		h2 := h1<<1 + g2
		h = h1<<2 + (g2<<1 + g3)
		if h0 < limit {
			return h0, i + 1
		}
		if h1 < limit {
			return h1, i + 2
		}
		if h2 < limit {
			return h2, i + 3
		}
		if h < limit {
			return h, i + 4
		}
	}
	for j, c := range b[i:] {
		if h = h<<1 + t[c]; h < limit {
			return h, i + j + 1
		}
	}
	return h, -1
}
