package cut

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// small parameters make many chunks of few bytes.
var small = Params{Min: 256, Mean: 1024, Max: 4096}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	for _, p := range []Params{Default, small, {64, 128, 129}, {1 << 20, 2 << 20, 16 << 20}} {
		if err := p.Check(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for _, p := range []Params{
		{},
		{63, 128, 256},
		{128, 128, 256},
		{200, 128, 256},
		{64, 129, 256},
		{64, 128, 128},
		{64, 128, 16<<20 + 1},
		{-1, 128, 256},
		{64, -128, 256},
	} {
		if err := p.Check(); !errors.Is(err, ErrParams) {
			t.Errorf("%+v: %v", p, err)
		}
		if c, err := New(p); c != nil || !errors.Is(err, ErrParams) {
			t.Errorf("New(%+v) = %v, %v", p, c, err)
		}
	}
}

func TestNextTellsWhenItNeedsMore(t *testing.T) {
	c := mustNew(t, small)
	data := noise(1, 2*small.Max)
	for _, x := range []struct {
		n     int
		final bool
		zero  bool
	}{
		{0, false, true},
		{0, true, true},
		{1, false, true},
		{1, true, false},
		{small.Max - 1, false, true},
		{small.Max - 1, true, false},
		{small.Max, false, false},
		{small.Max + 1, false, false},
		{2 * small.Max, true, false},
	} {
		if got := c.Next(data[:x.n], x.final); (got == 0) != x.zero || got > x.n {
			t.Errorf("Next(%d bytes, %v) = %d", x.n, x.final, got)
		}
	}
}

func TestFileUpToMinIsOneChunk(t *testing.T) {
	c := mustNew(t, small)
	for n := 1; n <= small.Min; n++ {
		if got := c.Next(noise(uint64(n), n), true); got != n {
			t.Fatalf("%d bytes: %d", n, got)
		}
	}
}

func TestEqualBytesMakeChunksOfMax(t *testing.T) {
	c := mustNew(t, Default)
	if n := c.Next(make([]byte, Default.Max), false); n != Default.Max {
		t.Errorf("zeros: %d", n)
	}
	for v := range 256 {
		if roll(0, bytes.Repeat([]byte{byte(v)}, window)) < c.loose {
			t.Errorf("%d times byte %#x is fit for a cut", window, v)
		}
	}
}

// The rule of the package comment, written down slowly, gives the same cuts.
func TestNextFollowsTheRule(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		p := Params{Min: 64 + rng.IntN(400), Mean: 512, Max: 513 + rng.IntN(4000)}
		b := noise(rng.Uint64(), 1+rng.IntN(6000))
		if got, want := mustNew(t, p).Next(b, true), slowNext(p, b); got != want {
			t.Fatalf("%+v, %d bytes: %d, want %d", p, len(b), got, want)
		}
	}
}

func slowNext(p Params, b []byte) int {
	for n := p.Min + 1; n < len(b) && n < p.Max; n++ {
		zeros := p.meanBits() - 2
		if n <= p.normal() {
			zeros = p.meanBits() + 2
		}
		var h uint64
		for _, c := range b[n-64 : n] {
			h = h*2 + gear[c]
		}
		if h>>(64-zeros) == 0 {
			return n
		}
	}
	return min(len(b), p.Max)
}

func FuzzNext(f *testing.F) {
	f.Add([]byte{}, uint16(0), uint16(0))
	f.Add(noise(1, 5000), uint16(100), uint16(900))
	f.Add(bytes.Repeat([]byte{'a'}, 9000), uint16(0), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, minimum, maximum uint16) {
		data = data[:min(len(data), 8<<10)] // slowNext is slow
		p := Params{Min: 64 + int(minimum)%192, Mean: 256, Max: 257 + int(maximum)}
		c := mustNew(t, p)
		for len(data) > 0 {
			n := c.Next(data, true)
			if n <= 0 || n > p.Max || n > len(data) || n <= p.Min && n < len(data) {
				t.Fatalf("%+v, %d bytes: %d", p, len(data), n)
			}
			if want := slowNext(p, data); n != want {
				t.Fatalf("%+v, %d bytes: %d, want %d", p, len(data), n, want)
			}
			data = data[n:]
		}
	})
}

func mustNew(t testing.TB, p Params) *Cutter {
	t.Helper()
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// noise is n bytes that look random, and are the same for the same seed for ever: cut points are pinned on them.
func noise(seed uint64, n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		b = append(b, byte(z), byte(z>>8), byte(z>>16), byte(z>>24), byte(z>>32), byte(z>>40), byte(z>>48), byte(z>>56))
	}
	return b[:n]
}
