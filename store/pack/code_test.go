package pack

import (
	"bytes"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestEncodeIsRawWhereNothingShrinks(t *testing.T) {
	r := seeded(t)
	var e Encoder
	for _, n := range []int{0, 1, 10, 100, 5000, 128 << 10} {
		raw := randomBytes(r, n)
		for _, want := range []Encoding{Raw, LZ4, Zstd} {
			out, got := e.Encode(raw, want)
			if got != Raw || len(out) != n || n > 0 && &out[0] != &raw[0] {
				t.Errorf("%d random bytes: encoding %d, %d bytes", n, got, len(out))
			}
		}
	}
}

func TestEncodedIsAtLeastOnePartIn32Shorter(t *testing.T) {
	r := seeded(t)
	var e Encoder
	seen := map[Encoding]int{}
	for zeros := range 200 {
		raw := append(randomBytes(r, 4000), make([]byte, zeros)...)
		for _, want := range []Encoding{LZ4, Zstd} {
			out, got := e.Encode(raw, want)
			seen[got]++
			if got != Raw && len(out) > len(raw)-len(raw)/32 {
				t.Fatalf("%d bytes for %d", len(out), len(raw))
			}
		}
	}
	if seen[Raw] == 0 || seen[LZ4] == 0 || seen[Zstd] == 0 {
		t.Error(seen)
	}
}

func TestDecodeTakesAnyMemory(t *testing.T) {
	raw := bytes.Repeat([]byte("yester"), 1000)
	var e Encoder
	for _, want := range []Encoding{LZ4, Zstd} {
		out, got := e.Encode(raw, want)
		if got != want {
			t.Error(want, got)
		}
		back, err := Decode(make([]byte, 4000), want, out, len(raw))
		if err != nil || !bytes.Equal(back, raw) {
			t.Error(want, err)
		}
	}
}

func TestDecodeWantsTheRightLength(t *testing.T) {
	raw := bytes.Repeat([]byte("yester"), 1000)
	var e Encoder
	for _, enc := range []Encoding{Raw, LZ4, Zstd} {
		out, got := e.Encode(raw, enc)
		out = bytes.Clone(out)
		if got != enc {
			t.Fatal(got)
		}
		for _, n := range []int{len(raw) - 1, len(raw) + 1, 0, -1, MaxRaw + 1, len(out) - 1} {
			_, err := Decode(nil, enc, out, n)
			wantErr(t, err, ErrDamaged)
		}
		long, ones := append(out[:len(out):len(out)], 1), bytes.Repeat([]byte{0xFF}, len(out))
		for _, bad := range [][]byte{nil, out[:len(out)-1], long, ones} {
			if bytes, err := Decode(nil, enc, bad, len(raw)); err == nil && (enc != Raw || len(bad) != len(raw)) {
				t.Errorf("encoding %d: %d bytes for %d became %d", enc, len(bad), len(out), len(bytes))
			}
		}
	}
	_, err := Decode(nil, 3, make([]byte, 5), 10)
	wantErr(t, err, ErrDamaged)
}

func TestDecodeGivesHostileZstdNoMoreThanAskedFor(t *testing.T) {
	for name, opts := range map[string][]zstd.EOption{
		"unknown length": {zstd.WithWindowSize(8 << 20)},
		"stated length":  {zstd.WithSingleSegment(true)},
	} {
		var frame bytes.Buffer
		w, err := zstd.NewWriter(&frame, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if name == "stated length" {
			frame.Write(w.EncodeAll(make([]byte, 64<<20), nil))
		} else {
			w.Write(make([]byte, 64<<20))
		}
		w.Close()
		payload := frame.Bytes()[:min(frame.Len(), 100000)]
		_, err = Decode(nil, Zstd, payload, 200000)
		wantErr(t, err, ErrDamaged)
	}
	var e Encoder
	one, _ := e.Encode(make([]byte, 5000), Zstd)
	_, err := Decode(nil, Zstd, bytes.Repeat(one, 2), 5000)
	wantErr(t, err, ErrDamaged)
	_, err = Decode(nil, Zstd, bytes.Repeat(one, 2), 10000)
	wantErr(t, err, ErrDamaged)
}

func TestManyGoroutinesDecode(t *testing.T) {
	raw := bytes.Repeat([]byte("yester"), 30000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var e Encoder
			for i := range 20 {
				out, enc := e.Encode(raw[i:], Encoding(1+i%2))
				back, err := Decode(nil, enc, out, len(raw)-i)
				if err != nil || !bytes.Equal(back, raw[i:]) {
					t.Error(i, err)
				}
			}
		})
	}
	wg.Wait()
}
