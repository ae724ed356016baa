package snapshot

import (
	"bytes"
	"context"
	"fmt"

	"yester/store"
	"yester/store/pack"
)

// A Builder writes a directory: entries are added in ascending order of their names, pages are put as they fill. It holds
// one page per level, and can be reused.
//
// A page ends after a name whose hash says so, one in 256, and at the limits of MaxPageLen and maxPageBytes; index pages end
// likewise after the first name of the reference. So which page a name lies in depends on the names near it only, and one new name changes
// one page on each level.
type Builder struct {
	put    Putter
	levels []pageBuf // 0 leaves, above them index pages
	last   []byte    // name added last
	item   []byte    // scratch
	page   []byte    // scratch
	totals Totals
}

// NewBuilder returns a builder that puts its pages to p.
func NewBuilder(p Putter) *Builder { return &Builder{put: p} }

// Add appends an entry. A name that does not ascend is a broken promise of the caller and panics.
func (b *Builder) Add(ctx context.Context, e *Entry) error {
	if len(b.levels) > 0 && bytes.Compare(e.Name, b.last) <= 0 {
		panic(fmt.Sprintf("snapshot: entry %q added after %q", e.Name, b.last))
	}
	b.last = append(b.last[:0], e.Name...)
	b.totals.add(e)
	b.item = appendEntry(b.item[:0], e)
	return b.add(ctx, 0, e.Name, b.item, 1)
}

func (t *Totals) add(e *Entry) {
	switch {
	case e.IsDir():
		t.Files += e.Totals.Files
		t.Dirs += e.Totals.Dirs + 1
		t.Bytes += e.Totals.Bytes
	case e.IsRegular():
		t.Bytes += e.Size
		fallthrough
	default:
		t.Files++
	}
}

func (b *Builder) add(ctx context.Context, level int, name, item []byte, entries uint64) error {
	if level == len(b.levels) {
		b.grow()
	}
	if b.levels[level].full(len(item)) {
		if err := b.flush(ctx, level); err != nil {
			return err
		}
	}
	b.levels[level].add(name, item, entries)
	if endsPage(name, level) {
		return b.flush(ctx, level)
	}
	return nil
}

// grow adds a level, with the buffers it had in an earlier directory.
func (b *Builder) grow() {
	n := len(b.levels)
	if n == cap(b.levels) {
		b.levels = append(b.levels, pageBuf{})
		return
	}
	b.levels = b.levels[:n+1]
	b.levels[n].reset()
}

// flush puts the page of a level and adds its reference to the one above.
func (b *Builder) flush(ctx context.Context, level int) error {
	id, err := b.putPage(ctx, level)
	if err != nil {
		return err
	}
	p := &b.levels[level]
	ref := appendPageRef(nil, PageRef{First: p.first, ID: id, Count: p.count})
	name := bytes.Clone(p.first)
	count := p.count
	p.reset()
	return b.add(ctx, level+1, name, ref, count)
}

func (b *Builder) putPage(ctx context.Context, level int) (store.ID, error) {
	kind := byte(leafPage)
	if level > 0 {
		kind = indexPage
	}
	b.page = b.levels[level].appendTo(b.page[:0], kind)
	id, _, err := b.put.Put(ctx, pack.KindTree, b.page)
	if err != nil {
		return id, fmt.Errorf("store tree page: %w", err)
	}
	return id, nil
}

// Finish puts what is left and returns the topmost page, zero for an empty directory, and the totals of what was added.
func (b *Builder) Finish(ctx context.Context) (tree store.ID, t Totals, err error) {
	t = b.totals
	tree, err = b.top(ctx)
	b.Reset()
	return tree, t, err
}

func (b *Builder) top(ctx context.Context) (store.ID, error) {
	for level := 0; level < len(b.levels); level++ {
		p, last := &b.levels[level], level == len(b.levels)-1
		switch {
		case len(p.ends) == 0: // it ended with the last name
		case last && level > 0 && len(p.ends) == 1: // one page below is the whole
			page := Page(p.appendTo(nil, indexPage))
			ref, err := page.Ref(0)
			return ref.ID, err
		case last:
			return b.putPage(ctx, level)
		default:
			if err := b.flush(ctx, level); err != nil {
				return store.ID{}, err
			}
		}
	}
	return store.ID{}, nil
}

// Reset forgets what was added.
func (b *Builder) Reset() {
	b.levels, b.last, b.totals = b.levels[:0], b.last[:0], Totals{}
}

// endsPage tells whether a page of a level ends after name: by 8 bits of its hash, others on each level.
func endsPage(name []byte, level int) bool {
	return byte(nameHash(name)>>(8*(level%8))) == 0
}

// nameHash is 64-bit FNV-1a (Fowler, Noll, Vo), its bits mixed.
func nameHash(name []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range name {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return Mix(h)
}

// Mix has each bit of h change about half of all bits: the finalizer of MurmurHash3 (Appleby). No two numbers become one.
func Mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
