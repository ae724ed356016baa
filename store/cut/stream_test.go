package cut

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// The streams the properties are tested on.
var streams = map[string]func(seed uint64, n int) []byte{"noise": noise, "text": text}

func TestChunksAreWithinBoundsAndWhole(t *testing.T) {
	for name, stream := range streams {
		data := stream(1, 1<<20)
		var joined []byte
		chunks := split(t, small, data)
		for i, b := range chunks {
			if len(b) > small.Max || len(b) <= small.Min && i < len(chunks)-1 {
				t.Errorf("%s: chunk %d of %d has %d bytes", name, i, len(chunks), len(b))
			}
			joined = append(joined, b...)
		}
		if !bytes.Equal(joined, data) {
			t.Errorf("%s: the chunks are not the file", name)
		}
	}
}

func TestCutsDoNotDependOnBuffers(t *testing.T) {
	data := noise(2, 300_000)
	want := fmt.Sprint(lengths(split(t, small, data)))
	for _, size := range []int{small.Max, small.Max + 1, 5000, 1 << 16, 1 << 20} {
		if got := fmt.Sprint(buffered(t, small, data, size)); got != want {
			t.Errorf("buffer of %d: other cuts", size)
		}
	}
}

// buffered cuts as a reader does: through one buffer, refilled by reads of any length.
func buffered(t *testing.T, p Params, data []byte, size int) (lens []int) {
	c := mustNew(t, p)
	rng := rand.New(rand.NewPCG(uint64(size), 0))
	r := bytes.NewReader(data)
	var buf []byte
	for final := false; ; {
		for n := c.Next(buf, final); n > 0; n = c.Next(buf, final) {
			lens, buf = append(lens, n), buf[n:]
		}
		if final {
			return lens
		}
		piece := make([]byte, 1+rng.IntN(size-len(buf)))
		n, err := r.Read(piece)
		buf = append(buf, piece[:n]...)
		final = err == io.EOF
	}
}

func TestInsertionMovesOnlyNearbyCuts(t *testing.T) {
	for name, stream := range streams {
		data := stream(3, 1<<20)
		old := hashes(split(t, small, data))
		for at := 1000; at < len(data); at += 97_001 {
			changed := bytes.Join([][]byte{data[:at], []byte("inserted"), data[at:]}, nil)
			fresh := 0
			for h := range hashes(split(t, small, changed)) {
				if !old[h] {
					fresh++
				}
			}
			if fresh == 0 || fresh > 8 {
				t.Errorf("%s: 8 bytes at %d made %d new chunks of about %d", name, at, fresh, len(old))
			}
		}
	}
}

func TestChunksAreMeanOnAverage(t *testing.T) {
	for name, stream := range streams {
		for _, p := range []Params{Default, {2 << 10, 16 << 10, 256 << 10}, {8 << 10, 16 << 10, 128 << 10}} {
			data := stream(4, 150*p.Mean)
			got := len(data) / len(split(t, p, data))
			if got < p.Mean*88/100 || got > p.Mean*112/100 {
				t.Errorf("%s: %+v: mean is %d", name, p, got)
			}
			t.Logf("%s: %+v: mean is %.3f of what was asked for", name, p, float64(got)/float64(p.Mean))
		}
	}
}

func split(t *testing.T, p Params, data []byte) (chunks [][]byte) {
	c := mustNew(t, p)
	for len(data) > 0 {
		n := c.Next(data, true)
		chunks, data = append(chunks, data[:n]), data[n:]
	}
	return chunks
}

func lengths(chunks [][]byte) (lens []int) {
	for _, b := range chunks {
		lens = append(lens, len(b))
	}
	return lens
}

func hashes(chunks [][]byte) map[[32]byte]bool {
	set := map[[32]byte]bool{}
	for _, b := range chunks {
		set[sha256.Sum256(b)] = true
	}
	return set
}

// text is n bytes of lines of made-up words, the short ones far more often than the others.
func text(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	words := make([][]byte, 2000)
	for i := range words {
		for range 1 + min(i/50, 3) + rng.IntN(6) {
			words[i] = append(words[i], "etaoinshrdlucmfwypvbgkjqxz"[min(rng.IntN(26), rng.IntN(26))])
		}
	}
	b := make([]byte, 0, n+64)
	for len(b) < n {
		b = append(b, words[min(rng.IntN(2000), rng.IntN(2000), rng.IntN(2000))]...)
		b = append(b, "       ,.\n"[rng.IntN(10)])
	}
	return b[:n]
}
