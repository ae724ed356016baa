package pack

import (
	"bytes"
	"slices"
	"testing"
)

// gfMul multiplies in GF(2^8) with the polynomial 0x11D, one bit at a time.
func gfMul(a, b byte) (product byte) {
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			product ^= a
		}
		carry := a&0x80 != 0
		a <<= 1
		if carry {
			a ^= 0x1D
		}
	}
	return product
}

func gfInverse(a byte) byte {
	for b := 1; b < 256; b++ {
		if gfMul(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	panic("0 has no inverse")
}

func TestParityIsTheDocumentedCauchyMatrix(t *testing.T) {
	r := seeded(t)
	for _, shape := range []Shape{{1, 1}, {3, 1}, {2, 3}, {32, 2}, {200, 55}} {
		p := filled(t, shape, shape.Data*4096+r.IntN(4096)) // with virtual blocks
		for range 50 {
			at, parity := r.IntN(p.header.ShardBlocks()*BlockSize), r.IntN(shape.Parity)
			var want byte
			for c := range shape.Data {
				want ^= gfMul(gfInverse(byte(shape.Data+parity)^byte(c)), p.shard(c)[at])
			}
			if got := p.shard(shape.Data + parity)[at]; got != want {
				t.Fatalf("%v: parity %d byte %d is %02x, want %02x", shape, parity, at, got, want)
			}
		}
	}
}

func TestRebuildAnyTwoOfARow(t *testing.T) {
	p := filled(t, Shape{32, 2}, 32*4096)
	codec, err := newCodec(Shape{32, 2})
	if err != nil {
		t.Fatal(err)
	}
	row := append(split(p.data, 32), split(p.parity, 2)...)
	for a := range row {
		for b := range a + 1 {
			lost := slices.Clone(row)
			lost[a], lost[b] = nil, nil
			if err := rebuild(codec, lost); err != nil {
				t.Fatal(a, b, err)
			}
			if !bytes.Equal(lost[a], row[a]) || !bytes.Equal(lost[b], row[b]) {
				t.Fatal(a, b)
			}
		}
	}
	lost := slices.Clone(row)
	lost[1], lost[2], lost[33] = nil, nil, nil
	wantErr(t, rebuild(codec, lost), ErrDamaged)
	wantErr(t, rebuild(codec, lost[:5]), ErrDamaged)
	if _, err := newCodec(Shape{0, 2}); err == nil {
		t.Error("shape 0+2")
	}
}
