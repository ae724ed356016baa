package pack

import (
	"bytes"
	"fmt"
	"io"
)

// Damage is what Check found wrong in one file.
type Damage struct {
	Shift  int64 // as in Meta: the file has the wrong size
	Meta   []int // meta blocks that are not intact at their place: those of the head from 0, those of the tail from Count
	Blocks []int // blocks, numbered through the shards, that are not intact at their place
}

// None says whether the file is just as it was written.
func (d Damage) None() bool { return d.Shift == 0 && len(d.Meta)+len(d.Blocks) == 0 }

// checkBytes is how much Check reads at once.
const checkBytes = 1 << 20

// Check reads the whole of a file, in pieces of 1 MiB, and compares it with what its meta blocks say. It needs no
// key. The error is that of the storage if it is not about its medium; damage is none.
func Check(r io.ReaderAt, m *Meta) (Damage, error) {
	h := m.Header
	d := Damage{Shift: m.Shift}
	f := &blockReader{r: r, size: h.FileSize() + m.Shift}
	buf := make([]byte, min(checkBytes, h.FileSize()))

	meta := h.appendMeta(nil, m.payload)
	d.Meta = f.sweep(buf, 2*h.MetaBlocks(), func(i int) (int64, bool) {
		if i < h.MetaBlocks() {
			return int64(i) * BlockSize, true
		}
		return h.FileSize() - int64(2*h.MetaBlocks()-i)*BlockSize, true
	}, func(i int, block []byte) bool {
		at := i % h.MetaBlocks() * BlockSize
		return bytes.Equal(block, meta[at:at+BlockSize])
	})
	d.Blocks = f.sweep(buf, h.Blocks(), h.BlockOffset, func(b int, block []byte) bool {
		return m.CheckBlock(b, block)
	})
	if f.lost != nil {
		return Damage{}, fmt.Errorf("check pack %v: %w", h.Pack, f.lost)
	}
	return d, nil
}

// sweep is gather for blocks 0 to n-1 that does not keep them, and passes over those without a place.
func (f *blockReader) sweep(buf []byte, n int, at func(int) (int64, bool), good func(int, []byte) bool) (bad []int) {
	step := len(buf) / BlockSize
	var wanted []int
	for first := 0; first < n && f.lost == nil; first += step {
		wanted = wanted[:0]
		for b := first; b < min(n, first+step); b++ {
			if _, ok := at(b); ok {
				wanted = append(wanted, b)
			}
		}
		bad = append(bad, f.gather(buf, first, wanted, at, good)...)
	}
	return bad
}
