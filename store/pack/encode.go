package pack

import (
	"slices"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdWindow is the farthest back a Zstd match may reach, in bytes: the longest piece a file is cut into.
	// Together with the option for less memory it holds an encoder at some 2.3 MiB (see
	// BenchmarkEncoderMemory).
	zstdWindow = 512 << 10

	// encodeSlack is how much longer than the chunk an encoder's output may become before it is thrown away; at least lz4Slack.
	encodeSlack = 1024
)

// An Encoder shrinks chunks. It belongs to one goroutine at a time; its zero value is ready, and takes memory for a
// compressor when that is first used.
type Encoder struct {
	lz4  *lz4Encoder
	zstd *zstd.Encoder
	out  []byte
}

// Encode returns raw in the wanted encoding; or raw itself and Raw where that does not save at least one byte in 32.
// The result is in the encoder's memory and valid until the next call: a chunk is sealed at once.
func (e *Encoder) Encode(raw []byte, want Encoding) (out []byte, got Encoding) {
	limit := len(raw) - max(1, len(raw)/32)
	if want == Raw || limit <= 0 {
		return raw, Raw
	}
	e.out = slices.Grow(e.out[:0], len(raw)+encodeSlack)
	switch want {
	case LZ4:
		out = e.encodeLZ4(e.out[:limit+lz4Slack], raw)
	case Zstd:
		if e.zstd == nil {
			e.zstd = newZstd()
		}
		out = e.zstd.EncodeAll(raw, e.out)
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

// newZstd returns an encoder of single-segment frames, which state the chunk's length and have no checksum: the seal
// and the blocks' sums are enough.
func newZstd() *zstd.Encoder {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("pack: " + err.Error()) // options that do not fit together
	}
	return z
}
