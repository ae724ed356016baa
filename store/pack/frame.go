package pack

import (
	"encoding/binary"
	"fmt"
)

// ChunkID names a chunk: BLAKE3-256 keyed with a key derived from the vault's master key, over the raw bytes.
type ChunkID [32]byte

// ID names a pack: 128 random bits, never used twice under one master key.
type ID [16]byte

// String is the id in hex.
func (id ID) String() string { return fmt.Sprintf("%x", id[:]) }

// String is the id in hex.
func (id ChunkID) String() string { return fmt.Sprintf("%x", id[:]) }

// Kind tells what a chunk is. It is written into every pack's table; the numbers are part of the format.
type Kind uint8

const (
	KindFile   Kind = 1 // a piece of a file's content
	KindTree   Kind = 2 // a page of a directory
	KindList   Kind = 3 // a page of a large file's chunk list
	KindXattr  Kind = 4 // a large set of extended attributes
	KindRecord Kind = 5 // a version record
)

// Encoding tells how a chunk's bytes are encoded in its frame. The numbers are part of the format.
type Encoding uint8

const (
	Raw  Encoding = 0
	LZ4  Encoding = 1 // LZ4 block format, no frame around it
	Zstd Encoding = 2 // one Zstandard frame

	grouped Encoding = 8 // and one of those but Raw: of a group, see Group
)

// Grouped tells whether it is that of a group.
func (e Encoding) Grouped() bool { return e&grouped != 0 }

// Single is the encoding that a group, or a chunk by itself, is in.
func (e Encoding) Single() Encoding { return e &^ grouped }

const (
	// MaxRaw is the longest chunk, in bytes.
	MaxRaw = 16 << 20
	// MaxFrames is the most frames a pack may hold.
	MaxFrames = 1 << 20
	// Overhead is what sealing adds to a frame, in bytes.
	Overhead = 16

	lineSize = 40
	lowBits  = 1<<28 - 1
)

// A Frame is one line of a pack's table: a chunk, and the frame that it is in, alone or with others. Its number is its place in the table, from 0.
type Frame struct {
	Chunk    ChunkID
	Kind     Kind
	Encoding Encoding
	Offset   uint32 // of the first byte in the data region; not written, but the sum of the earlier Stored
	Stored   uint32 // sealed length in the data region, tag included; of a group, that of all
	Raw      uint32 // length of the chunk
	Group    uint32 // length of the group, 0 if there is none; not written, but what its chunks make it
}

// Share is how many of the bytes stored are those of this chunk, with its line in the group.
func (f *Frame) Share() uint32 {
	if f.Group == 0 {
		return f.Stored
	}
	return uint32(uint64(f.Stored) * uint64(f.Raw+memberLine) / uint64(f.Group))
}

// With tells whether the chunk lies in the group of another one of its pack.
func (f *Frame) With(o *Frame) bool { return f.Group != 0 && o.Group != 0 && f.Offset == o.Offset }

// Length is how long what the frame holds is when it is decoded: the chunk, or the group.
func (f *Frame) Length() int {
	if f.Group != 0 {
		return int(f.Group)
	}
	return int(f.Raw)
}

// check says whether the line is one that a Builder writes: known numbers, lengths in their limits, and an encoding
// that shrank the chunk, or the group, if there is one.
func (f *Frame) check() error {
	length := uint32(f.Length())
	switch {
	case f.Kind < KindFile || f.Kind > KindRecord:
		return fmt.Errorf("unknown kind %d", f.Kind)
	case f.Encoding.Single() > Zstd || f.Encoding == grouped:
		return fmt.Errorf("unknown encoding %d", f.Encoding)
	case f.Raw > MaxRaw:
		return fmt.Errorf("chunk of %d bytes", f.Raw)
	case f.Encoding.Grouped() != (f.Group != 0) || f.Group > MaxGroup || f.Group != 0 && f.Raw > f.Group:
		return fmt.Errorf("chunk of %d bytes in a group of %d", f.Raw, f.Group)
	case f.Encoding == Raw && f.Stored != length+Overhead,
		f.Encoding != Raw && (f.Stored <= Overhead || f.Stored >= length+Overhead):
		return fmt.Errorf("%d bytes stored for %d in encoding %d", f.Stored, length, f.Encoding)
	}
	return nil
}

// appendLine appends the frame's line of the table, 40 bytes: chunk id, raw length (28 bits) with the kind above it
// (4 bits), stored length (28 bits) with the encoding above it (4 bits). Of a group only the first line has the stored length.
func (f *Frame) appendLine(dst []byte) []byte {
	dst = append(dst, f.Chunk[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, f.Raw|uint32(f.Kind)<<28)
	return binary.LittleEndian.AppendUint32(dst, f.Stored|uint32(f.Encoding)<<28)
}

// parseLine is the reverse of appendLine for the first 40 bytes of b. It checks nothing and leaves Offset and Group 0.
func parseLine(b []byte) (f Frame) {
	copy(f.Chunk[:], b)
	raw, stored := binary.LittleEndian.Uint32(b[32:]), binary.LittleEndian.Uint32(b[36:])
	f.Raw, f.Kind = raw&lowBits, Kind(raw>>28)
	f.Stored, f.Encoding = stored&lowBits, Encoding(stored>>28)
	return f
}
