package snapshot

import (
	"context"

	"yester/store"
)

// A Search finds the paths that lost chunks are part of, in one version after the other. What versions share it looks at once, if nothing is
// lost there.
type Search struct {
	get   Getter
	bad   func(store.ID) bool
	clean map[store.ID]struct{} // pages with nothing lost below
	above map[store.ID]struct{} // pages that are being looked at; one that is below itself was forged
}

// NewSearch returns a search for the chunks that bad tells. Pages that cannot be read are lost too, whatever bad says.
func NewSearch(g Getter, bad func(store.ID) bool) *Search {
	return &Search{get: g, bad: bad, clean: map[store.ID]struct{}{}, above: map[store.ID]struct{}{}}
}

// Affected is NewSearch(g, bad).Affected.
func Affected(ctx context.Context, g Getter, v *Version, bad func(store.ID) bool, report func(path string, off, n uint64)) error {
	return NewSearch(g, bad).Affected(ctx, v, report)
}

// Affected calls report for every piece of a file in v that is lost: bytes [off, off+n) of the file at path. With n 0 it is something else: of a
// file its extended attributes, of a folder these or some of its names, with all below them. Paths begin with "/", the version's root. The
// error is nil, the context's, or one that says nothing about what is lost.
func (s *Search) Affected(ctx context.Context, v *Version, report func(path string, off, n uint64)) error {
	root, err := v.RootEntry()
	if err != nil {
		return err
	}
	w := searchWalk{Search: s, report: report}
	_, err = w.entry(ctx, &root)
	return err
}

type searchWalk struct {
	*Search
	report  func(path string, off, n uint64)
	path    []byte // of what is looked at, without the slash of the root
	scratch Entry
}

func (w *searchWalk) lost(off, n uint64) {
	if len(w.path) == 0 {
		w.report("/", off, n)
		return
	}
	w.report(string(w.path), off, n)
}

// entry tells whether nothing is lost of an entry and of what lies below it. It is not looked at again after its folder was entered.
func (w *searchWalk) entry(ctx context.Context, e *Entry) (clean bool, err error) {
	clean = true
	for _, r := range e.XattrRefs {
		if clean && w.bad(r.ID) {
			clean = false
			w.lost(0, 0)
		}
	}
	var at uint64
	for _, r := range e.Content {
		ok, err := w.span(ctx, Span{at, r}, e.Depth)
		if err != nil {
			return false, err
		}
		at += r.Len
		clean = clean && ok
	}
	if e.Tree == (store.ID{}) {
		return clean, nil
	}
	ok, err := w.page(ctx, e.Tree, 0)
	return clean && ok, err
}

func (w *searchWalk) span(ctx context.Context, s Span, depth uint8) (clean bool, err error) {
	if s.Hole() || w.isClean(s.ID) {
		return true, nil
	}
	if w.bad(s.ID) {
		w.lost(s.Off, s.Len)
		return false, nil
	}
	if depth == 0 {
		return true, nil
	}
	l, err := getList(ctx, w.get, s.ID, depth-1)
	if err != nil {
		return false, w.unread(err, s.Off, s.Len)
	}
	clean = true
	for i := range l.len() {
		t, err := l.span(i)
		if err != nil {
			return false, w.unread(err, s.Off, s.Len)
		}
		t.Off += s.Off
		ok, err := w.span(ctx, t, depth-1)
		if err != nil {
			return false, err
		}
		clean = clean && ok
	}
	w.remember(s.ID, clean)
	return clean, nil
}

// unread reports what could not be read, if it is lost.
func (w *searchWalk) unread(err error, off, n uint64) error {
	if !IsLost(err) {
		return err
	}
	w.lost(off, n)
	return nil
}

func (w *searchWalk) page(ctx context.Context, id store.ID, depth int) (clean bool, err error) {
	if w.isClean(id) {
		return true, nil
	}
	if _, within := w.above[id]; within || w.bad(id) {
		w.lost(0, 0)
		return false, nil
	}
	w.above[id] = struct{}{}
	defer delete(w.above, id)
	p, err := pageAt(ctx, w.get, id, depth)
	if err != nil {
		return false, w.unread(err, 0, 0)
	}
	clean = true
	for i := range p.Len() {
		ok, err := w.item(ctx, p, i, depth)
		if err != nil {
			return false, err
		}
		clean = clean && ok
	}
	w.remember(id, clean)
	return clean, nil
}

func (w *searchWalk) item(ctx context.Context, p Page, i, depth int) (clean bool, err error) {
	if !p.Leaf() {
		ref, err := p.Ref(i)
		if err != nil {
			return false, w.unread(err, 0, 0)
		}
		return w.page(ctx, ref.ID, depth+1)
	}
	e := &w.scratch
	if err := p.Entry(i, e); err != nil {
		return false, w.unread(err, 0, 0)
	}
	keep := len(w.path)
	defer func() { w.path = w.path[:keep] }()
	w.path = append(append(w.path, '/'), e.Name...)
	return w.entry(ctx, e)
}

func (w *searchWalk) isClean(id store.ID) bool {
	_, clean := w.clean[id]
	return clean
}

func (w *searchWalk) remember(id store.ID, clean bool) {
	if clean {
		w.clean[id] = struct{}{}
	}
}
