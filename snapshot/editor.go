package snapshot

import (
	"bytes"
	"context"

	"yester/store"
)

// An Editor writes a directory again with some of its entries changed. It reads and puts only the pages that the changes lie in, and those above;
// all others are taken over by reference, so the cost goes by the number of changes. What comes out are the pages that a Builder makes of the same
// entries. It can be reused.
//
// For each name that may have changed, in ascending order: Seek, and then Add if there is such an entry now.
type Editor struct {
	get     Getter
	builder *Builder
	old     position
	tree    store.ID
	height  int // index pages above each leaf page
	edited  bool
	totals  Totals
}

// NewEditor returns an editor that reads from g and puts its pages to p.
func NewEditor(g Getter, p Putter) *Editor { return &Editor{get: g, builder: NewBuilder(p)} }

// Begin begins with a directory: its topmost page, and its totals.
func (d *Editor) Begin(ctx context.Context, tree store.ID, t Totals) error {
	d.builder.Reset()
	d.old, d.tree, d.totals, d.edited, d.height = startOf(tree), tree, t, false, 0
	if tree == (store.ID{}) {
		return nil
	}
	for id := tree; ; d.height++ {
		p, err := pageAt(ctx, d.get, id, d.height)
		if err != nil || p.Leaf() {
			return err
		}
		ref, err := p.Ref(0)
		if err != nil {
			return err
		}
		id = ref.ID
	}
}

// Seek takes over all entries before name. If there is one of that name it decodes it into e, as Page.Entry does, and leaves it out.
func (d *Editor) Seek(ctx context.Context, name []byte, e *Entry) (found bool, err error) {
	for d.old.state != atEnd && bytes.Compare(d.old.name, name) < 0 {
		if err := d.pass(ctx, name); err != nil {
			return false, err
		}
	}
	for d.old.state == atPage && bytes.Equal(d.old.name, name) {
		if err := d.old.open(ctx, d.get); err != nil {
			return false, err
		}
	}
	if d.old.state != atEntry || !bytes.Equal(d.old.name, name) {
		return false, nil
	}
	if err := d.old.entry(e); err != nil {
		return false, err
	}
	d.old.skip()
	d.edited = true
	d.totals.remove(e)
	return true, nil
}

// Add appends an entry: the one of the name that was sought.
func (d *Editor) Add(ctx context.Context, e *Entry) error {
	d.edited = true
	d.totals.add(e)
	return d.builder.Add(ctx, e)
}

// End takes over what is left and returns the topmost page, zero for an empty directory, and the totals.
func (d *Editor) End(ctx context.Context) (store.ID, Totals, error) {
	if !d.edited {
		return d.tree, d.totals, nil
	}
	for d.old.state != atEnd {
		if err := d.pass(ctx, nil); err != nil {
			return store.ID{}, Totals{}, err
		}
	}
	tree, _, err := d.builder.Finish(ctx)
	return tree, d.totals, err
}

// pass takes over what comes next, or opens it if it is a page that may not stay as it is. A page stays if the builder is about to begin one, and if
// neither it nor the entry behind it changes: where a page ends may depend on what did not fit. Before limit, nil for the end, nothing changes.
func (d *Editor) pass(ctx context.Context, limit []byte) error {
	p := &d.old
	switch {
	case p.state == atEntry:
		name, item := p.name, p.bytes()
		p.skip()
		return d.builder.addItem(ctx, name, item)
	case len(p.stack) == 0 || len(p.stack) != d.height || !d.builder.atPageStart() || !p.followedBefore(limit):
		return p.open(ctx, d.get)
	case p.bad != nil:
		return p.bad
	}
	ref := p.ref
	p.skip()
	return d.builder.addPage(ctx, ref)
}

// followedBefore tells whether what follows the page that comes next begins before limit; nil is behind everything.
func (p *position) followedBefore(limit []byte) bool {
	if limit == nil {
		return true
	}
	for n := len(p.stack); n > 0; n-- {
		if c := p.stack[n-1]; c.next+1 < c.page.Len() {
			return bytes.Compare(c.page.Name(c.next+1), limit) < 0
		}
	}
	return false
}

// addItem appends an entry as it lies in a page.
func (b *Builder) addItem(ctx context.Context, name, item []byte) error {
	b.last = append(b.last[:0], name...)
	return b.add(ctx, 0, name, item, 1)
}

// atPageStart tells whether the next entry begins a leaf page.
func (b *Builder) atPageStart() bool { return len(b.levels) == 0 || len(b.levels[0].ends) == 0 }

// addPage appends a leaf page where one begins. The builder's totals do not count it.
func (b *Builder) addPage(ctx context.Context, r PageRef) error {
	if len(b.levels) == 0 {
		b.grow()
	}
	b.last = append(b.last[:0], r.First...)
	return b.add(ctx, 1, r.First, appendPageRef(nil, r), r.Count)
}

// remove is the opposite of add.
func (t *Totals) remove(e *Entry) {
	var of Totals
	of.add(e)
	t.Files, t.Dirs, t.Bytes = t.Files-of.Files, t.Dirs-of.Dirs, t.Bytes-of.Bytes
}
