package snapshot

import (
	"context"
	"encoding/binary"
	"fmt"
	"sort"

	"yester/store"
	"yester/store/pack"
)

// A list page, the chunks of a part of a large file:
//
//	0  u8        3
//	1  u8        depth: 0 if it lists chunks and holes, else one more than the pages it lists
//	2  u16       count of items, little-endian like all that follows
//	4  40 × n    items: id (32 bytes, zero for a hole), and where the item ends, u64, in bytes from the start of the page
//
// Offsets count from the start of the page, so a part of a file that only moved has the same page. A page ends after a chunk whose id ends in nine
// zero bits, and at maxListLen items.
const (
	listItem   = 40
	maxListLen = 1024

	// MaxInlineRefs is how many refs an entry holds itself.
	MaxInlineRefs = 4
)

// A FileBuilder collects the chunks of one file and pages long lists. It holds one page per level, and can be reused.
type FileBuilder struct {
	put    Putter
	levels [][]Ref
	data   uint64 // bytes added that are no holes
	page   []byte // scratch
}

// NewFileBuilder returns a builder that puts list pages to p.
func NewFileBuilder(p Putter) *FileBuilder { return &FileBuilder{put: p} }

// Add appends a chunk of the file; a ref with a zero id is a hole. Adjacent holes become one; nothing of length 0 is added.
func (b *FileBuilder) Add(ctx context.Context, r Ref) error {
	if r.Len == 0 {
		return nil
	}
	if r.Hole() && len(b.levels) > 0 {
		if l := b.levels[0]; len(l) > 0 && l[len(l)-1].Hole() {
			l[len(l)-1].Len += r.Len
			return nil
		}
	}
	if !r.Hole() {
		b.data += r.Len
	}
	return b.add(ctx, 0, r)
}

func (b *FileBuilder) add(ctx context.Context, level int, r Ref) error {
	if level == len(b.levels) {
		if level < cap(b.levels) {
			b.levels = b.levels[:level+1]
			b.levels[level] = b.levels[level][:0]
		} else {
			b.levels = append(b.levels, nil)
		}
	}
	b.levels[level] = append(b.levels[level], r)
	if len(b.levels[level]) == maxListLen || endsList(r) {
		return b.flush(ctx, level)
	}
	return nil
}

func endsList(r Ref) bool {
	return !r.Hole() && binary.BigEndian.Uint16(r.ID[30:])&0x1ff == 0
}

func (b *FileBuilder) flush(ctx context.Context, level int) error {
	refs := b.levels[level]
	if len(refs) == 0 {
		return nil
	}
	b.page = append(b.page[:0], listPage, byte(level))
	b.page = binary.LittleEndian.AppendUint16(b.page, uint16(len(refs)))
	var end uint64
	for _, r := range refs {
		end += r.Len
		b.page = binary.LittleEndian.AppendUint64(append(b.page, r.ID[:]...), end)
	}
	id, _, err := b.put.Put(ctx, pack.KindList, b.page)
	if err != nil {
		return fmt.Errorf("store list page: %w", err)
	}
	b.levels[level] = refs[:0]
	return b.add(ctx, level+1, Ref{ID: id, Len: end})
}

// Finish sets e's Content, Depth and Data. The builder can be used anew.
func (b *FileBuilder) Finish(ctx context.Context, e *Entry) error {
	defer b.Reset()
	e.Content, e.Depth, e.Data = nil, 0, b.data
	for level := 0; level < len(b.levels); level++ {
		if refs := b.levels[level]; level == len(b.levels)-1 && len(refs) <= MaxInlineRefs {
			e.Content, e.Depth = append([]Ref(nil), refs...), uint8(level)
			return nil
		}
		if err := b.flush(ctx, level); err != nil {
			return err
		}
	}
	return nil
}

// Reset forgets what was added.
func (b *FileBuilder) Reset() { b.levels, b.data = b.levels[:0], 0 }

// A list is a checked list page.
type list []byte

func getList(ctx context.Context, g Getter, id store.ID, depth uint8) (list, error) {
	b, err := g.Get(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read list page: %w", err)
	}
	l := list(b)
	if len(b) < pageHead || b[0] != listPage || b[1] != depth || l.len() == 0 || len(b) != pageHead+listItem*l.len() {
		return nil, fmt.Errorf("parse list page: %w", ErrFormat)
	}
	return l, nil
}

func (l list) len() int { return int(binary.LittleEndian.Uint16(l[2:])) }

func (l list) end(i int) uint64 { return binary.LittleEndian.Uint64(l[pageHead+listItem*i+32:]) }

// span returns item i, its offset counted from the start of the page. ErrFormat if it ends before it starts.
func (l list) span(i int) (s Span, err error) {
	copy(s.ID[:], l[pageHead+listItem*i:])
	if i > 0 {
		s.Off = l.end(i - 1)
	}
	end := l.end(i)
	if end <= s.Off {
		return Span{}, fmt.Errorf("list page item %d: %w", i, ErrFormat)
	}
	s.Len = end - s.Off
	return s, nil
}

// A Span is a chunk or a hole at its place in a file.
type Span struct {
	Off uint64 // in the file
	Ref
}

// Spans calls f for every chunk and hole of e that overlaps [off, off+n), in order, until f returns false. A file that is longer than
// its refs ends in a hole. Only list pages on the way are read.
func Spans(ctx context.Context, g Getter, e *Entry, off, n uint64, f func(Span) bool) error {
	if off >= e.Size || n == 0 {
		return nil
	}
	w := spanWalk{get: g, from: off, to: off + min(n, e.Size-off), f: f}
	var at uint64
	for _, r := range e.Content {
		if more, err := w.visit(ctx, Span{at, r}, e.Depth); !more || err != nil {
			return err
		}
		at += r.Len
	}
	if at < w.to {
		f(Span{Off: at, Ref: Ref{Len: e.Size - at}})
	}
	return nil
}

type spanWalk struct {
	get      Getter
	from, to uint64
	f        func(Span) bool
}

func (w *spanWalk) visit(ctx context.Context, s Span, depth uint8) (more bool, err error) {
	if s.Off >= w.to {
		return false, nil
	}
	if s.Off+s.Len <= w.from {
		return true, nil
	}
	if depth == 0 {
		return w.f(s), nil
	}
	l, err := getList(ctx, w.get, s.ID, depth-1)
	if err != nil {
		return false, err
	}
	skip := w.from - min(w.from, s.Off)
	for i := sort.Search(l.len(), func(i int) bool { return l.end(i) > skip }); i < l.len(); i++ {
		t, err := l.span(i)
		if err != nil {
			return false, err
		}
		t.Off += s.Off
		if more, err := w.visit(ctx, t, depth-1); !more || err != nil {
			return more, err
		}
	}
	return true, nil
}
