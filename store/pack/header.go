package pack

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	magic  = "YSTP"
	format = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// A Header stands at the start of every meta block and gives the whole geometry of the file.
type Header struct {
	Pack     ID
	Vault    [16]byte
	Shape    Shape
	Shard    uint8  // AllShards, or the one shard this file holds
	Index    uint16 // of this meta block
	Count    uint16 // of meta blocks at each end
	DataLen  uint32 // bytes of the data region
	TableLen uint32 // bytes of the sealed table
	Frames   uint32
}

// putBlock makes b, of BlockSize bytes with its payload in place, the meta block of h.
func (h *Header) putBlock(b []byte) {
	le := binary.LittleEndian
	copy(b, magic)
	b[8], b[9], b[10], b[11] = format, h.Shard, byte(h.Shape.Data), byte(h.Shape.Parity)
	le.PutUint16(b[12:], h.Index)
	le.PutUint16(b[14:], h.Count)
	copy(b[16:], h.Pack[:])
	copy(b[32:], h.Vault[:])
	le.PutUint32(b[48:], h.DataLen)
	le.PutUint32(b[52:], h.TableLen)
	le.PutUint32(b[56:], h.Frames)
	le.PutUint32(b[60:], 0)
	le.PutUint32(b[4:], sum(b[8:BlockSize]))
}

// ParseBlock reads one meta block. The payload is part of b. The error is ErrFormat for an intact block of a format
// other than 1, and ErrDamaged for everything else that is not a meta block.
func ParseBlock(b []byte) (h Header, payload []byte, err error) {
	if len(b) != BlockSize || string(b[:4]) != magic {
		return h, nil, fmt.Errorf("no meta block: %w", ErrDamaged)
	}
	le := binary.LittleEndian
	if le.Uint32(b[4:]) != sum(b[8:]) {
		return h, nil, fmt.Errorf("checksum of a meta block: %w", ErrDamaged)
	}
	if b[8] != format {
		return h, nil, fmt.Errorf("format %d: %w", b[8], ErrFormat)
	}
	h = Header{
		Pack: ID(b[16:32]), Vault: [16]byte(b[32:48]),
		Shape: Shape{Data: int(b[10]), Parity: int(b[11])}, Shard: b[9],
		Index: le.Uint16(b[12:]), Count: le.Uint16(b[14:]),
		DataLen: le.Uint32(b[48:]), TableLen: le.Uint32(b[52:]), Frames: le.Uint32(b[56:]),
	}
	if err := h.check(); err != nil || le.Uint32(b[60:]) != 0 {
		return Header{}, nil, fmt.Errorf("impossible meta block (%v): %w", err, ErrDamaged)
	}
	return h, b[headerSize:], nil
}

// appendMeta appends the meta blocks of h with payload, which is MetaBlocks times payloadSize bytes.
func (h Header) appendMeta(dst, payload []byte) []byte {
	var header [headerSize]byte
	for i := range h.Count {
		at := len(dst)
		dst = append(dst, header[:]...)
		dst = append(dst, payload[int(i)*payloadSize:][:payloadSize]...)
		h.Index = i
		h.putBlock(dst[at:])
	}
	return dst
}
