package pack

import (
	"slices"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdWindow is the farthest back a Zstd match may reach, in bytes: the longest piece a file is cut into.
	// Together with the option for less memory it holds an encoder of level 1 at some 1 MiB (see
	// BenchmarkEncoderMemory).
	zstdWindow = 512 << 10

	// encodeSlack is how much longer than the chunk an encoder's output may become before it is thrown away; at least lz4Slack.
	encodeSlack = 1024
)

// An Encoder shrinks chunks. It belongs to one goroutine at a time; its zero value is ready, and takes memory for a
// compressor when that is first used.
type Encoder struct {
	lz4  *lz4Encoder
	zstd [3]*zstd.Encoder // by level
	own  []byte           // where dst is too small
}

// Encode returns raw in the wanted encoding; or raw itself and Raw where that does not save at least one byte in 32.
// For Zstd, level goes from 1, fastest, to 3, smallest.
//
// The result is in the memory of dst (whose length does not matter) if that is 1 KiB larger than raw, otherwise in
// the encoder's own and valid until the next call, so that nil does for a chunk that is sealed at once.
func (e *Encoder) Encode(dst, raw []byte, want Encoding, level int) (out []byte, got Encoding) {
	limit := len(raw) - max(1, len(raw)/32)
	if want == Raw || limit <= 0 {
		return raw, Raw
	}
	if cap(dst) < len(raw)+encodeSlack {
		e.own = slices.Grow(e.own[:0], len(raw)+encodeSlack)
		dst = e.own
	}
	switch want {
	case LZ4:
		out = e.encodeLZ4(dst[:limit+lz4Slack], raw)
	case Zstd:
		out = e.zstdEncoder(level).EncodeAll(raw, dst[:0])
	}
	if len(out) == 0 || len(out) > limit {
		return raw, Raw
	}
	return out, want
}

// encodeLZ4 returns nothing if raw does not shrink into dst. What does not shrink at all costs next to nothing, so that
// it needs no test beforehand.
func (e *Encoder) encodeLZ4(dst, raw []byte) []byte {
	if e.lz4 == nil {
		e.lz4 = new(lz4Encoder)
	}
	return dst[:e.lz4.encode(dst, raw)]
}

func (e *Encoder) zstdEncoder(level int) *zstd.Encoder {
	level = min(max(level, 1), len(e.zstd))
	if e.zstd[level-1] == nil {
		e.zstd[level-1] = newZstd(zstd.EncoderLevel(level))
	}
	return e.zstd[level-1]
}

// newZstd returns an encoder of single-segment frames, which state the chunk's length and have no checksum: the seal
// and the blocks' sums are enough.
func newZstd(level zstd.EncoderLevel) *zstd.Encoder {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("pack: " + err.Error()) // options that do not fit together
	}
	return z
}
