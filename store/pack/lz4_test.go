package pack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/pierrec/lz4/v4"
)

// checkLZ4 encodes raw and decodes it in two ways, encodes it once more where there is little room, and returns the
// length of the block.
func checkLZ4(t testing.TB, e *lz4Encoder, raw []byte) int {
	t.Helper()
	dst := bytes.Repeat([]byte{0xee}, len(raw)+len(raw)/200+100)
	n := e.encode(dst, raw)
	if n == 0 {
		if len(raw) > lz4Margin {
			t.Fatalf("%d bytes were not encoded though there is room", len(raw))
		}
		return 0
	}
	if back, err := strictLZ4(dst[:n]); err != nil || !bytes.Equal(back, raw) {
		t.Fatalf("%d bytes come back as %d: %v", len(raw), len(back), err)
	}
	back := make([]byte, len(raw))
	if m, err := lz4.UncompressBlock(dst[:n], back); err != nil || m != len(raw) || !bytes.Equal(back, raw) {
		t.Fatalf("the library decodes %d bytes to %d: %v", len(raw), m, err)
	}
	r := rand.New(rand.NewPCG(uint64(len(raw)), uint64(n)))
	for _, room := range []int{0, r.IntN(80), r.IntN(n + lz4Slack), n + lz4Slack - 8 + r.IntN(8), n + lz4Slack - 3, n + lz4Slack - 2, n + lz4Slack} {
		tight := make([]byte, room, room+100)
		switch m := e.encode(tight, raw); {
		case m == 0 && n <= room-lz4Slack:
			t.Fatalf("refused %d bytes in %d", n, room)
		case m != 0 && (n > room-lz4Slack+2 || !bytes.Equal(tight[:m], dst[:n])):
			t.Fatalf("%d bytes in %d become %d", n, room, m)
		}
		if after := tight[room:cap(tight)]; !bytes.Equal(after, make([]byte, len(after))) {
			t.Fatal("written to what lies behind dst")
		}
	}
	return n
}

// strictLZ4 decodes a block by the words of the format alone, its rules for the end included.
func strictLZ4(block []byte) (raw []byte, err error) {
	at, lastMatch := 0, -1
	get := func(n int) []byte {
		b := block[at : at+n] // panics where the block is short
		at += n
		return b
	}
	length := func(n int) int {
		for more := 255; n >= 15 && more == 255; n += more {
			more = int(get(1)[0])
		}
		return n
	}
	for {
		token := get(1)[0]
		literals := get(length(int(token >> 4)))
		raw = append(raw, literals...)
		if at == len(block) {
			switch {
			case token&15 != 0:
				err = fmt.Errorf("the last token has a match")
			case lastMatch >= 0 && len(literals) < 5:
				err = fmt.Errorf("%d literals at the end", len(literals))
			case lastMatch > len(raw)-12:
				err = fmt.Errorf("a match begins at %d of %d", lastMatch, len(raw))
			}
			return raw, err
		}
		back := int(binary.LittleEndian.Uint16(get(2)))
		if lastMatch = len(raw); back == 0 || back > lastMatch {
			return nil, fmt.Errorf("a match of %d back at %d", back, lastMatch)
		}
		for range length(int(token&15)) + 4 {
			raw = append(raw, raw[len(raw)-back])
		}
	}
}

// lz4Shapes are chunks whose matches and literals have the lengths and distances at which the format changes its mind.
func lz4Shapes(r *rand.Rand) (shapes [][]byte) {
	for n := range 700 {
		shapes = append(shapes, make([]byte, n), bytes.Repeat([]byte("abc"), n)[:n], randomBytes(r, n))
	}
	for _, back := range []int{4, 5, 8, 4095, 65533, 65534, 65535, 65536, 65537, 65540, 131072} {
		for _, n := range []int{4, 5, 6, 8, 18, 19, 20, 273, 274, 275, 529, 530, 3000} {
			piece := randomBytes(r, n)
			b := append(piece, randomBytes(r, max(back-n, 0))...)[:max(back, n)]
			shapes = append(shapes, append(append(b, piece...), randomBytes(r, r.IntN(40))...))
		}
	}
	// Matches that follow one another, at the farthest that there is.
	for at := range 40 {
		for _, back := range []int{65535, 65536, 65537} {
			b := append(randomBytes(r, 200), make([]byte, at+back-200)...)
			copy(b[len(b)-50:], b[100:150])
			b = append(b, b[at:at+16]...)
			shapes = append(shapes, append(b, randomBytes(r, 30)...))
		}
	}
	// Matches that begin a little after the chunk does, after some literals.
	for skip := range 16 {
		for gap := range 24 {
			b := randomBytes(r, 40+gap)
			b = append(b, b[skip:40]...)
			shapes = append(shapes, append(b, randomBytes(r, 20)...))
		}
	}
	for range 50 {
		shapes = append(shapes, mixed(r, r.IntN(1<<r.IntN(18))))
	}
	return append(shapes, make([]byte, 1<<20), append(randomBytes(r, 300<<10), make([]byte, 300<<10)...))
}

// mixed is n bytes of pieces that were there before, at any distance, among others.
func mixed(r *rand.Rand, n int) (b []byte) {
	alphabet := 1 + r.IntN(256)
	for len(b) < n {
		k := 1 + r.IntN(1<<r.IntN(12))
		if len(b) > 0 && r.IntN(3) > 0 {
			from := r.IntN(len(b))
			b = append(b, b[from:min(from+k, len(b))]...)
			continue
		}
		for range k {
			b = append(b, byte(r.IntN(alphabet)))
		}
	}
	return b[:n]
}

func TestLZ4GivesEveryChunkBack(t *testing.T) {
	r := seeded(t)
	var e lz4Encoder
	for _, raw := range lz4Shapes(r) {
		checkLZ4(t, &e, raw)
	}
	for range 300 {
		checkLZ4(t, &e, mixed(r, r.IntN(1<<r.IntN(20))))
	}
}

func TestLZ4LooksAtNothingBesideTheChunk(t *testing.T) {
	const room = 1 << 20
	page := os.Getpagesize()
	m, err := syscall.Mmap(-1, 0, room+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(m)
	for _, guard := range [][]byte{m[:page], m[page+room:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	r := seeded(t)
	var e lz4Encoder
	for _, raw := range lz4Shapes(r) {
		for _, b := range [][]byte{m[page : page+len(raw)], m[page+room-len(raw) : page+room]} {
			copy(b, raw)
			checkLZ4(t, &e, b)
		}
	}
}

func TestLZ4BlockDependsOnTheChunkAlone(t *testing.T) {
	r := seeded(t)
	raw := text(100 << 10)
	want := make([]byte, len(raw))
	want = want[:new(lz4Encoder).encode(want, raw)]
	var e lz4Encoder
	for range 20 {
		checkLZ4(t, &e, mixed(r, r.IntN(300<<10)))
		got := make([]byte, len(raw))
		if got = got[:e.encode(got, raw)]; !bytes.Equal(got, want) {
			t.Fatal("another block after another chunk")
		}
	}
}

func TestLZ4ShrinksWhatIsAlike(t *testing.T) {
	var e lz4Encoder
	for _, c := range []struct {
		raw  []byte
		most int
	}{
		{make([]byte, 512<<10), 2100}, // 255 bytes are one of a length
		{bytes.Repeat(randomBytes(seeded(t), 60000), 8), 62100},
		{text(128 << 10), 128 << 10 * 2 / 5},
		{append(noise(), make([]byte, 128<<10)...), 130 << 10},
		{append(noise(), text(128<<10)...), 192 << 10},
	} {
		if n := checkLZ4(t, &e, c.raw); n > c.most {
			t.Errorf("%d bytes come to %d, not %d", len(c.raw), n, c.most)
		}
	}
}

func FuzzLZ4(f *testing.F) {
	for _, n := range []int{0, 16, 17, 100, 5000} {
		f.Add(text(n), uint16(0))
		f.Add(make([]byte, n), uint16(n))
	}
	var e lz4Encoder
	f.Fuzz(func(t *testing.T, raw []byte, between uint16) {
		b := append(bytes.Clone(raw), randomBytes(rand.New(rand.NewPCG(1, uint64(between))), int(between))...)
		checkLZ4(t, &e, append(b, raw...))
	})
}

// BenchmarkEncodeLZ4 has the library's encoder beside ours, on Go's sources and a program.
func BenchmarkEncodeLZ4(b *testing.B) {
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 512<<10)
	var own lz4Encoder
	var library lz4.Compressor
	for name, raw := range map[string][]byte{"text": text(2 << 20), "program": program[:min(len(program), 8<<20)]} {
		for by, encode := range map[string]func(raw []byte) int{
			"own":     func(raw []byte) int { return own.encode(dst, raw) },
			"library": func(raw []byte) int { n, _ := library.CompressBlock(raw, dst); return n },
		} {
			b.Run(name+"/"+by, func(b *testing.B) {
				b.SetBytes(int64(len(raw)))
				var n int
				for b.Loop() {
					n = 0
					for at := 0; at < len(raw); at += 256 << 10 {
						n += encode(raw[at:min(at+256<<10, len(raw))])
					}
				}
				b.ReportMetric(float64(n)/float64(len(raw)), "of-raw")
			})
		}
	}
}
