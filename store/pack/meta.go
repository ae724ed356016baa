package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Meta is what the meta blocks of one file of a pack say. It does not change, so that many goroutines may use it.
type Meta struct {
	Header Header // its Index is 0

	// Shift is the file's size less what it should be: less than 0 if bytes were lost, be it at the head, at the tail
	// or between, more than 0 if there are too many. Every block is looked for both at its place and that much after
	// it.
	Shift int64

	payload []byte // of the meta blocks, joined
}

// firstRead is how much ReadMeta reads at once. It holds the meta blocks of a pack of 32 MiB with chunks of usual
// size.
const firstRead = 16 * BlockSize

// maxScan is how far from each end ReadMeta looks for a meta block: farther than any pack is long that is not at the same time one of the
// longest, and unprotected. A file of holes may be longer than there is time to read.
const maxScan = MaxFile

// ReadMeta reads the meta blocks of a file of size bytes, which may be damaged: it wants one intact copy of each,
// from either end. Of an undamaged file it reads the head, usually in one read of 64 KiB. It takes memory for the
// meta blocks and not more than size. Where the ends tell of two packs, it believes the one that this size fits, or
// else the head. The error is ErrFormat for a file of a newer version, ErrDamaged for one that is no pack or is
// damaged past that, and that of the storage if it is not about its medium.
func ReadMeta(r io.ReaderAt, size int64) (*Meta, error) {
	s := metaScan{file: blockReader{r: r, size: size}}
	head := make([]byte, min(firstRead, max(size, 0)/BlockSize*BlockSize))
	s.file.read(head, 0)
	var found *Meta
	for h := range s.headers(head) {
		m := s.join(h, head)
		if m != nil && (found == nil || m.Shift == 0) {
			found = m
		}
		if m != nil && m.Shift == 0 {
			break
		}
	}
	switch {
	case found != nil:
		return found, nil
	case s.newer != nil && s.file.lost == nil:
		return nil, s.newer
	}
	return nil, failed("read meta", &s.file)
}

// A metaScan looks for meta blocks.
type metaScan struct {
	file  blockReader
	newer error // of a block of an unknown format
}

// headers gives the first header there is from the head of the file on, and the first from its tail back if that is
// another. It goes from both ends to the middle at the same pace, so that it soon meets one unless there is none.
func (s *metaScan) headers(head []byte) iter.Seq[Header] {
	return func(yield func(Header) bool) {
		front := s.find(head)
		if front.Count != 0 && !yield(front) {
			return
		}
		var back Header
		buf := make([]byte, len(head))
		for off := int64(0); off < min(s.file.size/2+firstRead, maxScan) && back.Count == 0; off += firstRead {
			s.file.read(buf, s.file.size-off-int64(len(buf)))
			back = s.find(buf)
			if front.Count != 0 {
				continue
			}
			s.file.read(buf, off+firstRead)
			front = s.find(buf)
			if front.Count != 0 && !yield(front) {
				return
			}
		}
		if back.Count != 0 && back != front {
			yield(back)
		}
	}
}

// find returns the header of the first meta block in b, with Index 0, or one with Count 0.
func (s *metaScan) find(b []byte) Header {
	for ; len(b) >= BlockSize; b = b[BlockSize:] {
		if string(b[:len(magic)]) != magic {
			continue // without the error that this is: there may be many
		}
		if h, ok := s.parse(b[:BlockSize]); ok {
			return h
		}
	}
	return Header{}
}

func (s *metaScan) parse(block []byte) (Header, bool) {
	h, _, err := ParseBlock(block)
	if errors.Is(err, ErrFormat) {
		s.newer = err
	}
	h.Index = 0
	return h, err == nil
}

// join collects the meta blocks that go with h, or returns nil if not all are there. Head is the start of the file.
func (s *metaScan) join(h Header, head []byte) *Meta {
	if int64(h.Count)*BlockSize > s.file.size {
		return nil
	}
	m := &Meta{Header: h, Shift: s.file.size - h.FileSize()}
	blocks := make([]byte, h.MetaBlocks()*BlockSize)
	copy(blocks, head)
	var wanted []int
	for i, block := range split(blocks, h.MetaBlocks()) {
		if !h.owns(i, block) {
			wanted = append(wanted, i)
		}
	}
	tail := h.FileSize() - int64(len(blocks))
	for _, start := range []int64{0, tail, tail + m.Shift, m.Shift} {
		at := func(i int) (int64, bool) { return start + int64(i)*BlockSize, true }
		wanted = s.file.gather(blocks, 0, wanted, at, h.owns)
	}
	if len(wanted) > 0 {
		return nil
	}
	m.payload = payloads(blocks)
	return m
}

// owns says whether a block is meta block i of the file that h, with Index 0, is of.
func (h Header) owns(i int, block []byte) bool {
	got, _, err := ParseBlock(block)
	h.Index = uint16(i)
	return err == nil && got == h
}

// payloads joins the payloads of meta blocks, in place.
func payloads(blocks []byte) []byte {
	n := len(blocks) / BlockSize
	for i := range n {
		copy(blocks[i*payloadSize:], blocks[i*BlockSize+headerSize:(i+1)*BlockSize])
	}
	return blocks[: n*payloadSize : n*payloadSize]
}

// Sum is the checksum (CRC32C) of a block, numbered through the shards.
func (m *Meta) Sum(block int) uint32 {
	h := &m.Header
	if h.virtual(block) {
		return zeroSum
	}
	if block >= h.DataBlocks() {
		block -= h.virtualBlocks()
	}
	return binary.LittleEndian.Uint32(m.payload[int(h.TableLen)+4*block:])
}

// zeroSum is the checksum of a block of zeros.
const zeroSum = 0x98f94189

// CheckBlock says whether b is the content of a block, numbered through the shards.
func (m *Meta) CheckBlock(block int, b []byte) bool {
	return len(b) == BlockSize && block >= 0 && block < m.Header.Blocks() && sum(b) == m.Sum(block)
}

// Table opens and checks the table. The error is ErrSeal if it does not open, and ErrDamaged if it opens to what no
// Builder writes.
func (m *Meta) Table(s *Sealer) ([]Frame, error) {
	lines, err := s.openTable(m.payload[:m.Header.TableLen])
	if err != nil {
		return nil, err
	}
	frames := make([]Frame, m.Header.Frames)
	for i := range frames {
		frames[i] = parseLine(lines[i*lineSize:])
	}
	end := uint32(0)
	for i := 0; i < len(frames); {
		n := joinGroup(frames[i:])
		for k := i; k < i+n; k++ {
			f := &frames[k]
			f.Offset = end
			if err := f.check(); err != nil || f.Stored > m.Header.DataLen-end {
				return nil, fmt.Errorf("table of pack %v: line %d (%v): %w", m.Header.Pack, k, err, ErrDamaged)
			}
		}
		end += frames[i].Stored
		i += n
	}
	if end != m.Header.DataLen {
		return nil, fmt.Errorf("table of pack %v: %d bytes of %d: %w", m.Header.Pack, end, m.Header.DataLen, ErrDamaged)
	}
	return frames, nil
}

// joinGroup gives the lines of the group that lines begins with what they have in common, and returns how many they are: 1 if there is none.
func joinGroup(lines []Frame) (n int) {
	first := lines[0]
	if !first.Encoding.Grouped() {
		return 1
	}
	raw := int(first.Raw)
	for n = 1; n < len(lines) && lines[n].Encoding == first.Encoding && lines[n].Stored == 0; n++ {
		raw += int(lines[n].Raw)
	}
	size := uint32(min(groupLen(n, raw), MaxGroup+1)) // which is too long
	for i := range lines[:n] {
		lines[i].Stored, lines[i].Group = first.Stored, size
	}
	return n
}
