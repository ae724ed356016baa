package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sort"

	"yester/store"
)

// A Page is the bytes of a tree page as stored; they are the decoded form too: every item is found by its position
// without decoding the others, so a cached page costs its bytes and nothing else.
//
//	0  u8       1 leaf page, 2 index page
//	1  u8       0
//	2  u16      count of items, little-endian like all that follows
//	4  u32 × n  end of each item, counted from the end of this table
//	…           the items
//
// An item of a leaf page is an entry (entry_codec.go). An item of an index page is the first name below it (varint length, bytes), the id of the
// page (32 bytes) and the number of entries below it (varint). Items ascend by name.
type Page []byte

const (
	leafPage  = 1
	indexPage = 2
	listPage  = 3

	pageHead = 4

	// MaxPageLen is the most items a page has.
	MaxPageLen = 1024
	// maxPageBytes is the most bytes of items a page has, unless it has one only.
	maxPageBytes = 256 << 10
)

// ParsePage checks the outer form of a page: kind, count, table. ErrFormat.
func ParsePage(b []byte) (Page, error) {
	p := Page(b)
	if len(b) < pageHead || (b[0] != leafPage && b[0] != indexPage) || b[1] != 0 {
		return nil, fmt.Errorf("parse tree page: %w", ErrFormat)
	}
	n := p.Len()
	if n == 0 || n > MaxPageLen || len(b) < pageHead+4*n {
		return nil, fmt.Errorf("parse tree page of %d items: %w", n, ErrFormat)
	}
	prev, room := uint32(0), uint32(len(b)-pageHead-4*n)
	for i := range n {
		end := p.end(i)
		if end < prev || end > room {
			return nil, fmt.Errorf("parse tree page item %d: %w", i, ErrFormat)
		}
		prev = end
	}
	if prev != room {
		return nil, fmt.Errorf("parse tree page: %d bytes too many: %w", room-prev, ErrFormat)
	}
	return p, nil
}

// GetPage reads and checks the page id.
func GetPage(ctx context.Context, g Getter, id store.ID) (Page, error) {
	b, err := g.Get(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read tree page: %w", err)
	}
	return ParsePage(b)
}

// Leaf tells whether the page holds entries; otherwise it holds PageRefs.
func (p Page) Leaf() bool { return p[0] == leafPage }

// Len is the number of items.
func (p Page) Len() int { return int(binary.LittleEndian.Uint16(p[2:])) }

func (p Page) end(i int) uint32 { return binary.LittleEndian.Uint32(p[pageHead+4*i:]) }

func (p Page) item(i int) []byte {
	items := p[pageHead+4*p.Len():]
	start := uint32(0)
	if i > 0 {
		start = p.end(i - 1)
	}
	return items[start:p.end(i)]
}

// Name returns the name of entry i, or the first name below reference i, aliasing the page; nil if it is malformed.
func (p Page) Name(i int) []byte {
	d := decoder{b: p.item(i)}
	return d.bytes()
}

// Entry decodes entry i of a leaf page into e. Everything in e is overwritten, the arrays behind its Content and XattrRefs too: who keeps those of an
// earlier entry clones them. ErrFormat. The first of a directory may have no name, as versions of before had it for one of 256 bytes or a multiple.
func (p Page) Entry(i int, e *Entry) error { return decodeEntry(p.item(i), e) }

// A PageRef is an item of an index page.
type PageRef struct {
	First []byte   // first name below, aliasing the page
	ID    store.ID // a leaf page, or an index page again
	Count uint64   // entries below
}

// Ref decodes reference i of an index page. ErrFormat.
func (p Page) Ref(i int) (r PageRef, err error) {
	d := decoder{b: p.item(i)}
	r.First = d.bytes()
	copy(r.ID[:], d.take(len(r.ID)))
	r.Count = d.uint()
	if d.bad || len(d.b) != 0 {
		return PageRef{}, fmt.Errorf("decode page reference: %w", ErrFormat)
	}
	return r, nil
}

func appendPageRef(b []byte, r PageRef) []byte {
	b = append(appendBytes(b, r.First), r.ID[:]...)
	return binary.AppendUvarint(b, r.Count)
}

// Search returns the position of name in a leaf page, or where it would be.
func (p Page) Search(name []byte) (i int, found bool) {
	i = sort.Search(p.Len(), func(i int) bool { return bytes.Compare(p.Name(i), name) >= 0 })
	return i, i < p.Len() && bytes.Equal(p.Name(i), name)
}

// Find returns the position of the reference of an index page under which name is, if it is anywhere.
func (p Page) Find(name []byte) int {
	i := sort.Search(p.Len(), func(i int) bool { return bytes.Compare(p.Name(i), name) > 0 })
	return max(i-1, 0)
}

// A pageBuf collects the items of one page.
type pageBuf struct {
	ends  []uint32
	items []byte
	first []byte // name of the first item
	count uint64 // entries below
}

// full tells whether a further item of n bytes must go to the next page.
func (p *pageBuf) full(n int) bool {
	return len(p.ends) == MaxPageLen || len(p.ends) > 0 && len(p.items)+n > maxPageBytes
}

func (p *pageBuf) add(name, item []byte, entries uint64) {
	if len(p.ends) == 0 {
		p.first = append(p.first[:0], name...)
	}
	p.items = append(p.items, item...)
	p.ends = append(p.ends, uint32(len(p.items)))
	p.count += entries
}

// appendTo appends the page's bytes to b.
func (p *pageBuf) appendTo(b []byte, kind byte) []byte {
	b = append(b, kind, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(p.ends)))
	for _, end := range p.ends {
		b = binary.LittleEndian.AppendUint32(b, end)
	}
	return append(b, p.items...)
}

func (p *pageBuf) reset() {
	p.ends, p.items, p.count = p.ends[:0], p.items[:0], 0
}
