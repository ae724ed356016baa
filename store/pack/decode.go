package pack

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// DecodeSlack is how much longer than the chunk the memory of dst must be: it lets the Zstd decoder copy in whole words.
const DecodeSlack = 32

// Decode returns the chunk that payload encodes, in the memory of dst (whose length does not matter) if that is 32
// bytes larger than rawLen. The chunk has just rawLen bytes, or the error is ErrDamaged. dst and payload must not
// overlap, and the result never does: for Raw the bytes are copied. Any number of goroutines may decode.
func Decode(dst []byte, enc Encoding, payload []byte, rawLen int) ([]byte, error) {
	if rawLen < 0 || rawLen > MaxRaw || enc != Raw && len(payload) >= rawLen || enc == Raw && len(payload) != rawLen {
		return nil, fmt.Errorf("decode %d bytes as %d of encoding %d: %w", len(payload), rawLen, enc, ErrDamaged)
	}
	dst = Memory(dst, rawLen+DecodeSlack)
	dst, err := decode(dst[:0:rawLen+DecodeSlack], enc, payload, rawLen)
	if err == nil && len(dst) != rawLen {
		err = fmt.Errorf("gives %d bytes", len(dst))
	}
	if err != nil {
		return nil, fmt.Errorf("decode %d bytes of encoding %d: %w: %w", rawLen, enc, ErrDamaged, err)
	}
	return dst, nil
}

// Memory returns n bytes, in the memory of b if that is large enough. Nothing is known of what they are: to clear what is written over anyhow takes a tenth of the
// time of reading a chunk, and only a strings.Builder gives memory that is not cleared. The caller writes all that it then reads.
func Memory(b []byte, n int) []byte {
	if cap(b) >= n {
		return b[:n]
	}
	var s strings.Builder
	s.Grow(n)
	s.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(s.String()), n) // of which nobody else knows, though it is a string's
}

func decode(dst []byte, enc Encoding, payload []byte, rawLen int) ([]byte, error) {
	switch enc {
	case Raw:
		return append(dst, payload...), nil
	case LZ4:
		n, err := lz4.UncompressBlock(payload, dst[:rawLen])
		return dst[:n], err
	case Zstd:
		return decodeZstd(dst, payload, rawLen)
	}
	return nil, errors.New("unknown encoding")
}

// decodeZstd decodes within the capacity of dst.
func decodeZstd(dst, payload []byte, rawLen int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(payload); err != nil {
		return nil, err
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(rawLen) || h.DictionaryID != 0 {
		return nil, errors.New("not a frame of this length")
	}
	d := unzstds.Get().(*zstd.Decoder)
	defer unzstds.Put(d)
	return d.DecodeAll(payload, dst)
}

// unzstds holds decoders, each for one goroutine; those long unused go with the garbage.
var unzstds = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxRaw), zstd.WithDecoderMaxWindow(MaxRaw), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("pack: " + err.Error()) // options that do not fit together
	}
	return d
}}
