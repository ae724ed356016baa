package snapshot

import (
	"context"
	"errors"
	"fmt"

	"yester/store"
)

// Marker returns what store.Collect, store.Check and store.Repair want to know of versions: Mark, reading from g.
func Marker(g Getter) store.Mark {
	return func(ctx context.Context, record []byte, visit store.Visit) error { return Mark(ctx, g, record, visit) }
}

// Mark calls visit for every chunk that a version's record reaches: tree pages, list pages, extended attributes and content. It goes below a
// page only where visit says that it was seen first. Pages that are lost are passed over, and told by the error at the end, which is
// store.ErrLost and what was met: store.ErrNotFound, store.ErrCorrupt, ErrFormat. An error of visit, or any other, ends it.
func Mark(ctx context.Context, g Getter, record []byte, visit store.Visit) error {
	v, err := ParseVersion(record)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrLost, err)
	}
	root, err := v.RootEntry()
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrLost, err)
	}
	m := marker{get: g, visit: visit}
	if err := m.mark(ctx, &root); err != nil {
		return err
	}
	return m.lost.err()
}

// IsWhole tells whether a vault has all that an entry itself is made of: its attributes, and the content of a file. What lies in a folder is not asked for.
func IsWhole(ctx context.Context, g Getter, e *Entry, has func(store.ID) (bool, error)) (bool, error) {
	m := marker{get: g, visit: func(id store.ID, _ int64) (bool, error) {
		there, err := has(id)
		if err == nil && !there {
			err = store.ErrNotFound
		}
		return true, err
	}}
	own := *e
	own.Tree = store.ID{}
	err := m.mark(ctx, &own)
	if err == nil {
		err = m.lost.err()
	}
	if IsLost(err) {
		return false, nil
	}
	return err == nil, err
}

type marker struct {
	get   Getter
	visit store.Visit
	entry Entry // scratch
	lost  losses
}

// mark visits what an entry refers to. The entry may be m.entry: it is not looked at again after its folder was entered.
func (m *marker) mark(ctx context.Context, e *Entry) error {
	for _, r := range e.XattrRefs {
		if err := m.chunk(r); err != nil {
			return err
		}
	}
	for _, r := range e.Content {
		if err := m.ref(ctx, r, e.Depth); err != nil {
			return err
		}
	}
	if e.Tree == (store.ID{}) {
		return nil
	}
	return m.page(ctx, e.Tree, 0)
}

func (m *marker) chunk(r Ref) error {
	if r.Hole() {
		return nil
	}
	_, err := m.visit(r.ID, int64(r.Len))
	return err
}

// ref visits a chunk, or a list page of the depth below and what it lists.
func (m *marker) ref(ctx context.Context, r Ref, depth uint8) error {
	if depth == 0 {
		return m.chunk(r)
	}
	first, err := m.visit(r.ID, -1)
	if err != nil || !first {
		return err
	}
	l, err := getList(ctx, m.get, r.ID, depth-1)
	if err != nil {
		return m.lost.add(err)
	}
	for i := range l.len() {
		s, err := l.span(i)
		if err != nil {
			return m.lost.add(err)
		}
		if err := m.ref(ctx, s.Ref, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// page visits a tree page, which has depth pages of the same folder above it, and what lies below.
func (m *marker) page(ctx context.Context, id store.ID, depth int) error {
	first, err := m.visit(id, -1)
	if err != nil || !first {
		return err
	}
	p, err := pageAt(ctx, m.get, id, depth)
	if err != nil {
		return m.lost.add(err)
	}
	for i := range p.Len() {
		if err := m.item(ctx, p, i, depth); err != nil {
			return err
		}
	}
	return nil
}

func (m *marker) item(ctx context.Context, p Page, i, depth int) error {
	if p.Leaf() {
		if err := p.Entry(i, &m.entry); err != nil {
			return m.lost.add(err)
		}
		return m.mark(ctx, &m.entry)
	}
	ref, err := p.Ref(i)
	if err != nil {
		return m.lost.add(err)
	}
	return m.page(ctx, ref.ID, depth+1)
}

// pageAt is GetPage for a page with so many of the same folder above it.
func pageAt(ctx context.Context, g Getter, id store.ID, depth int) (Page, error) {
	if depth == maxDepth {
		return nil, fmt.Errorf("tree pages nest more than %d deep: %w", maxDepth, ErrFormat)
	}
	return GetPage(ctx, g, id)
}

// maxLosses is how many errors losses keeps.
const maxLosses = 10

// losses are the errors that were passed over.
type losses struct {
	errs  []error
	count int
}

// add keeps an error that says that something is lost, and returns any other.
func (l *losses) add(err error) error {
	if !IsLost(err) {
		return err
	}
	if l.count++; l.count <= maxLosses {
		l.errs = append(l.errs, err)
	}
	return nil
}

func (l *losses) err() error {
	if l.count == 0 {
		return nil
	}
	return fmt.Errorf("%d pages are %w: %w", l.count, store.ErrLost, errors.Join(l.errs...))
}

// IsLost tells whether an error of reading says that what was wanted is not to be had.
func IsLost(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, ErrFormat)
}
