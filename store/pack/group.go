package pack

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	// MaxGroup is the longest group, in bytes before it is encoded.
	MaxGroup = 1 << 20

	memberID   = 8            // bytes of a chunk's id in a group
	memberLine = memberID + 4 // and its length
	groupTail  = 4
)

// A Group is small chunks that are encoded and sealed together, as one frame: alone they shrink less, and each would have a seal of its own. It is the chunks
// back to back, then a line for each, then their number:
//
//	[8] first bytes of the chunk id, u32 length of the chunk        for each
//	u32 number of chunks
//
// The zero value is an empty one. It belongs to one goroutine at a time.
type Group struct {
	frames []Frame
	raw    []byte
	lines  []byte
}

// Add appends a chunk. Of f it reads Chunk, Kind and Raw, which is the chunk's length. A group must not become longer than MaxGroup.
func (g *Group) Add(f Frame, chunk []byte) {
	g.frames = append(g.frames, Frame{Chunk: f.Chunk, Kind: f.Kind, Raw: f.Raw})
	g.raw = append(g.raw, chunk...)
	g.lines = append(g.lines, f.Chunk[:memberID]...)
	g.lines = binary.LittleEndian.AppendUint32(g.lines, uint32(len(chunk)))
}

// Len is the length of the group, in bytes.
func (g *Group) Len() int { return len(g.raw) + len(g.lines) + groupTail }

// Frames are its chunks, for Builder.AppendGroup, valid until Reset.
func (g *Group) Frames() []Frame { return g.frames }

// Chunk is one of them by its number, valid until Reset.
func (g *Group) Chunk(i int) []byte {
	at := uint32(0)
	for _, f := range g.frames[:i] {
		at += f.Raw
	}
	return g.raw[at:][:g.frames[i].Raw]
}

// Bytes is the group, to be encoded, valid until the next call of Add or Reset.
func (g *Group) Bytes() []byte {
	n := len(g.raw)
	all := append(g.raw, g.lines...)
	all = binary.LittleEndian.AppendUint32(all, uint32(len(g.frames)))
	g.raw = all[:n]
	return all
}

// Reset empties the group.
func (g *Group) Reset() { g.frames, g.raw, g.lines = g.frames[:0], g.raw[:0], g.lines[:0] }

// groupLen is how long a group is of so many chunks, with so many bytes.
func groupLen(chunks, raw int) int { return raw + chunks*memberLine + groupTail }

// Members is how many chunks a decoded group holds. ErrDamaged.
func Members(group []byte) (int, error) {
	lines, err := memberLines(group)
	return len(lines) / memberLine, err
}

// Member is a chunk of a decoded group, in its memory. ErrDamaged if it does not hold the chunk of f.
func Member(group []byte, f *Frame) ([]byte, error) {
	lines, err := memberLines(group)
	if err != nil {
		return nil, err
	}
	for at := 0; len(lines) > 0; lines = lines[memberLine:] {
		n := int(binary.LittleEndian.Uint32(lines[memberID:]))
		if bytes.Equal(lines[:memberID], f.Chunk[:memberID]) && n == int(f.Raw) {
			return group[at:][:n:n], nil
		}
		at += n
	}
	return nil, fmt.Errorf("chunk %v is not in its group: %w", f.Chunk, ErrDamaged)
}

// memberLines are the lines of a group, which are those of just the chunks before them.
func memberLines(group []byte) ([]byte, error) {
	end := len(group) - groupTail
	if end >= 0 && int64(binary.LittleEndian.Uint32(group[end:])) <= int64(end/memberLine) {
		chunks := end - int(binary.LittleEndian.Uint32(group[end:]))*memberLine
		sum := 0
		for at := chunks + memberID; at < end && sum <= chunks; at += memberLine {
			sum += int(min(binary.LittleEndian.Uint32(group[at:]), MaxGroup+1))
		}
		if sum == chunks {
			return group[chunks:end], nil
		}
	}
	return nil, fmt.Errorf("a group of %d bytes: %w", len(group), ErrDamaged)
}
