package pack

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/klauspost/reedsolomon"
)

// A Builder collects the frames of one pack in memory. It belongs to one goroutine at a time. Reset makes it ready
// for another pack in the same memory.
type Builder struct {
	built    Built
	sealer   *Sealer
	codec    reedsolomon.Encoder
	capacity int // bytes of data region that fit
	whole    int // bytes of memory that these take
	frames   []Frame
	lines    []byte   // the table so far, open
	sums     []uint32 // of the data blocks so far, 0 where not known
}

// NewBuilder returns a builder of pack id, which must never have been used before, sealed by sealer, which must be
// that pack's. It takes memory for capacity bytes of data region as frames need it, and more only if Append goes past
// that. The error is that of an impossible shape, or of one whose shards would be longer than MaxFile.
func NewBuilder(vault [16]byte, id ID, sealer *Sealer, shape Shape, capacity int) (*Builder, error) {
	codec, err := newCodec(shape)
	if err != nil {
		return nil, err
	}
	b := &Builder{codec: codec, capacity: capacity}
	b.built.header = Header{Vault: vault, Shape: shape, Shard: AllShards, DataLen: uint32(min(max(capacity, 0), MaxData))}
	if b.built.header.Blocks() > MaxFile/BlockSize {
		return nil, fmt.Errorf("packs of %d bytes with %d+%d shards are too long", capacity, shape.Data, shape.Parity)
	}
	b.whole = b.built.header.firstParity() * BlockSize
	b.sums = make([]uint32, 0, b.built.header.firstParity()) // which do not move while frames are sealed
	b.Reset(id, sealer)
	return b, nil
}

// Reset empties the builder for pack id. What Finish gave before is no longer valid.
func (b *Builder) Reset(id ID, sealer *Sealer) {
	if sealer.id != id {
		panic("pack: sealer of another pack")
	}
	b.sealer = sealer
	b.built.header.Pack = id
	b.built.data, b.frames, b.lines, b.sums = b.built.data[:0], b.frames[:0], b.lines[:0], b.sums[:0]
}

// Len is the length of the data region so far, in bytes.
func (b *Builder) Len() int { return len(b.built.data) }

// Shape is the shape of the pack.
func (b *Builder) Shape() Shape { return b.built.header.Shape }

// Frames is the table so far, valid until Reset.
func (b *Builder) Frames() []Frame { return b.frames }

// Fits says whether a payload of n bytes may be appended within the capacity.
func (b *Builder) Fits(n int) bool {
	return b.Len()+n+Overhead <= b.capacity && len(b.frames) < MaxFrames
}

// Moves says whether the frames so far move in memory when a payload of n bytes gets its place: those that were reserved must be sealed before.
func (b *Builder) Moves(n int) bool { return b.Len()+n+Overhead > cap(b.built.data) }

// Append seals payload, a chunk as Encode gave it, as the next frame. Of f it reads Chunk, Kind, Encoding and Raw; it
// returns f with Offset and Stored. The frame's number is the length of Frames before the call. Append grows the
// buffer where Fits said no, and panics past the format's limits (MaxRaw, MaxData, MaxFrames) and for a frame that
// could not be read back.
func (b *Builder) Append(f Frame, payload []byte) Frame {
	s := b.Reserve(f, len(payload))
	s.Seal(payload)
	return s.frame
}

// Reserve is Append of a payload of n bytes that is sealed later: before Finish, and before Reset.
func (b *Builder) Reserve(f Frame, n int) Reserved {
	r := b.reserve(&f, n)
	b.frames = append(b.frames, f)
	b.lines = f.appendLine(b.lines)
	return r
}

// AppendGroup is Append for a group, which Encode gave as payload in the encoding enc. Of the frames it reads Chunk, Kind and Raw; they are all those of
// the group, in its order, and with it they have one frame of the pack.
func (b *Builder) AppendGroup(frames []Frame, enc Encoding, payload []byte) {
	r := b.ReserveGroup(frames, enc, len(payload))
	r.Seal(payload)
}

// ReserveGroup is Reserve for a group.
func (b *Builder) ReserveGroup(frames []Frame, enc Encoding, n int) Reserved {
	raw := 0
	for i := range frames {
		raw += int(frames[i].Raw)
	}
	common := frames[0]
	common.Encoding, common.Group = enc|grouped, uint32(groupLen(len(frames), raw))
	r := b.reserve(&common, n)
	for i, f := range frames {
		f.Encoding, f.Group, f.Offset, f.Stored = common.Encoding, common.Group, common.Offset, common.Stored
		if err := f.check(); err != nil {
			panic("pack: " + err.Error())
		}
		b.frames = append(b.frames, f)
		if i > 0 {
			f.Stored = 0
		}
		b.lines = f.appendLine(b.lines)
	}
	return r
}

// A Reserved is the place of a frame in its pack. Many may be sealed at once, and while the pack takes more frames, unless it Moves for these.
type Reserved struct {
	sealer *Sealer
	number uint32
	frame  Frame
	at     []byte   // empty, with room for the frame
	sums   []uint32 // of the blocks that no other frame has part of
}

// Seal seals the payload into its place. It is called once.
func (r *Reserved) Seal(payload []byte) {
	if len(payload)+Overhead != cap(r.at) {
		panic("pack: another length was reserved")
	}
	sealed := r.sealer.Seal(r.at, r.number, r.frame, payload)
	// Finish comes when the frame is no longer in the processor's cache: fetching it again takes several times as long as the sums.
	at := -int(r.frame.Offset) & (BlockSize - 1)
	for i := range r.sums {
		r.sums[i] = sum(sealed[at:][:BlockSize])
		at += BlockSize
	}
}

// reserve makes room in the data region for the next frame, with a payload of n bytes.
func (b *Builder) reserve(f *Frame, n int) Reserved {
	from, to := b.Len(), b.Len()+n+Overhead
	f.Offset, f.Stored = uint32(from), uint32(n+Overhead)
	if err := f.check(); err != nil {
		panic("pack: " + err.Error())
	}
	if to > MaxData {
		panic("pack: data region too long")
	}
	if to > cap(b.built.data) {
		b.grow(to)
	}
	b.built.data = b.built.data[:to]
	r := Reserved{sealer: b.sealer, number: uint32(len(b.frames)), frame: *f, at: b.built.data[from:from:to]}
	if first, end := ceil(from, BlockSize), to/BlockSize; first < end {
		b.sums = extend(b.sums, end)
		r.sums = b.sums[first:end]
	}
	return r
}

// grow takes memory for n bytes of data region: a small backup never needs that of a whole pack, and what does has moved twice by then.
func (b *Builder) grow(n int) {
	room := max(n, b.whole)
	for _, less := range []int{4 << 20, 512 << 10} {
		if n <= less {
			room = min(room, less)
		}
	}
	b.built.data = append(make([]byte, 0, room), b.built.data...)
}

// Finish computes parity, sums and table. The result is in the builder's memory: valid until Reset, and nothing may
// be appended before that. The error is that of a shape whose parity makes the pack longer than MaxFile.
func (b *Builder) Finish() (*Built, error) {
	p := &b.built
	h := &p.header
	h.DataLen, h.Frames = uint32(b.Len()), uint32(len(b.frames))
	h.TableLen = uint32(len(b.lines) + Overhead)
	if h.Blocks() > MaxFile/BlockSize {
		return nil, fmt.Errorf("finish pack %v: %d blocks are too many", h.Pack, h.Blocks())
	}
	p.data = extend(p.data, h.firstParity()*BlockSize)
	p.parity = extend(p.parity[:0], h.ParityBlocks()*BlockSize)
	if err := b.encodeParity(); err != nil {
		return nil, fmt.Errorf("finish pack %v: %w", h.Pack, err)
	}
	p.payload = b.appendSums(b.sealer.sealTable(p.payload[:0], b.lines))
	h.Count = uint16(h.metaBlocks())
	if err := h.check(); err != nil { // nobody could read it
		return nil, fmt.Errorf("finish pack %v: %w", h.Pack, err)
	}
	p.payload = extend(p.payload, h.MetaBlocks()*payloadSize)
	p.clearMeta()
	return p, nil
}

// appendSums appends the checksums of the data blocks and then of the parity blocks.
func (b *Builder) appendSums(dst []byte) []byte {
	p := &b.built
	b.sums = extend(b.sums, p.header.DataBlocks())
	for i, s := range b.sums {
		if s == 0 {
			s = sum(p.data[i*BlockSize:][:BlockSize])
		}
		dst = binary.LittleEndian.AppendUint32(dst, s)
	}
	for block := range slices.Chunk(p.parity, BlockSize) {
		dst = binary.LittleEndian.AppendUint32(dst, sum(block))
	}
	return dst
}

func (b *Builder) encodeParity() error {
	if len(b.built.parity) == 0 {
		return nil
	}
	shape := b.built.header.Shape
	return b.codec.Encode(append(split(b.built.data, shape.Data), split(b.built.parity, shape.Parity)...))
}

// extend lengthens s to n elements, the new ones zero.
func extend[S ~[]E, E any](s S, n int) S {
	old := len(s)
	s = slices.Grow(s, n-old)[:n]
	clear(s[old:])
	return s
}
