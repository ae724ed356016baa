package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"

	"yester/store"
)

// A Change is a path that two versions do not have alike.
type Change struct {
	Path []byte  // from the roots: "/", "/etc/hosts"
	Old  *Entry  // nil: it was not there
	New  *Entry  // nil: it is there no more
	What Aspects // in which ways New differs from Old, if both are there
	Err  error   // a part of one of the versions cannot be read: of Path itself, or if it is a folder, of the names in it
}

// Diff calls visit for every path at or below path that the version with root a has and the one with root b has not, or the other way round, or that
// they have differently. A nil root stands for a version that has nothing. Paths come in the order of their names, a folder before what is in it; what
// a folder that came or went holds is visited too. A Change and what it points to are the visitor's until it returns.
//
// Only tree pages are read, and only those the two have not in common: some per folder on the way to each change. Memory grows with the
// depth of the tree, not with its size or the number of changes.
//
// Where pages are lost there is a Change with Err, nothing is said of the names that lie between those that can be read, and Diff goes on behind
// them. ErrNotExist if neither has the path, the error of visit, or any other error that says nothing about what is lost.
func Diff(ctx context.Context, g Getter, a, b *Entry, path string, visit func(*Change) error) error {
	d := differ{get: g, visit: visit}
	return d.run(ctx, a, b, path)
}

type differ struct {
	get   Getter
	visit func(*Change) error
	enter func(path []byte) bool // tells which folders to look into; nil: all

	path     []byte // of what is looked at; empty for the root
	old, new Entry  // scratch
}

func (d *differ) run(ctx context.Context, a, b *Entry, at string) error {
	at = path.Clean("/" + at)
	x, errX := d.find(ctx, a, at)
	y, errY := d.find(ctx, b, at)
	if at != "/" {
		d.path = append(d.path[:0], at...)
	}
	switch err := errors.Join(errX, errY); {
	case err != nil && IsLost(err):
		return d.lost(err)
	case err != nil:
		return err
	case x == nil && y == nil:
		return fmt.Errorf("%q: %w", at, ErrNotExist)
	}
	return d.pair(ctx, x, y)
}

// find is LookupPath, and nil for what is not there.
func (d *differ) find(ctx context.Context, root *Entry, at string) (*Entry, error) {
	if root == nil {
		return nil, nil
	}
	e, err := LookupPath(ctx, d.get, *root, at)
	if errors.Is(err, ErrNotExist) || errors.Is(err, ErrNotDir) {
		return nil, nil
	}
	return &e, err
}

// pair visits one path, and what lies below. The entries are not looked at again after a folder was entered.
func (d *differ) pair(ctx context.Context, a, b *Entry) error {
	c := Change{Path: d.shown(), Old: a, New: b}
	if a != nil && b != nil {
		c.What = Compare(a, b)
	}
	treeA, treeB := treeOf(a), treeOf(b)
	if a == nil || b == nil || c.What != 0 {
		if err := d.visit(&c); err != nil {
			return err
		}
	}
	if treeA == treeB || d.enter != nil && !d.enter(d.shown()) {
		return nil
	}
	f := folderPair{differ: d, a: startOf(treeA), b: startOf(treeB)}
	return f.walk(ctx)
}

// treeOf is the topmost page of a folder, zero for what is none.
func treeOf(e *Entry) (tree store.ID) {
	if e != nil && e.IsDir() {
		tree = e.Tree
	}
	return tree
}

func (d *differ) shown() []byte {
	if len(d.path) == 0 {
		return []byte("/")
	}
	return d.path
}

func (d *differ) lost(err error) error { return d.visit(&Change{Path: d.shown(), Err: err}) }

// A folderPair walks two folders of one path side by side.
type folderPair struct {
	*differ
	a, b position
}

func (f *folderPair) walk(ctx context.Context) error {
	for f.a.state != atEnd || f.b.state != atEnd {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step goes past a page or an entry, or opens a page. Pages that are the same begin with the same name, so they always meet: of two pages
// the one that begins first is opened, and of two that begin alike the one with more below it.
func (f *folderPair) step(ctx context.Context) error {
	a, b := &f.a, &f.b
	switch {
	case a.state == atEnd:
		return f.alone(ctx, b, a)
	case b.state == atEnd:
		return f.alone(ctx, a, b)
	case a.state == atPage && b.state == atPage && a.ref.ID == b.ref.ID:
		a.skip()
		b.skip()
		return nil
	}
	switch c := bytes.Compare(a.name, b.name); {
	case c < 0:
		return f.alone(ctx, a, b)
	case c > 0:
		return f.alone(ctx, b, a)
	case a.state == atPage && (b.state == atEntry || a.ref.Count >= b.ref.Count):
		return f.open(ctx, a, b)
	case b.state == atPage:
		return f.open(ctx, b, a)
	}
	return f.both(ctx)
}

// alone goes into what only one has, or may have.
func (f *folderPair) alone(ctx context.Context, p, other *position) error {
	if p.state == atPage {
		return f.open(ctx, p, other)
	}
	e := &f.old
	if p == &f.b {
		e = &f.new
	}
	name := p.name
	err := p.entry(e)
	p.skip()
	return f.named(name, err, func() error {
		if e == &f.new {
			return f.pair(ctx, nil, e)
		}
		return f.pair(ctx, e, nil)
	})
}

// both compares two entries of one name. Most are the same bytes.
func (f *folderPair) both(ctx context.Context) error {
	a, b := &f.a, &f.b
	if bytes.Equal(a.bytes(), b.bytes()) {
		a.skip()
		b.skip()
		return nil
	}
	name := a.name
	err := errors.Join(a.entry(&f.old), b.entry(&f.new))
	a.skip()
	b.skip()
	return f.named(name, err, func() error { return f.pair(ctx, &f.old, &f.new) })
}

// named calls do with the path of a name in the folder, or tells that the entry makes no sense.
func (f *folderPair) named(name []byte, err error, do func() error) error {
	keep := len(f.path)
	f.path = append(append(f.path, '/'), name...)
	if err != nil {
		err = f.lost(err)
	} else {
		err = do()
	}
	f.path = f.path[:keep]
	return err
}

// open opens the page that p is at. If it is lost, what other has between the names before and after it is passed over too, for nobody can
// tell what became of it.
func (f *folderPair) open(ctx context.Context, p, other *position) error {
	err := p.open(ctx, f.get)
	if err == nil || !IsLost(err) {
		return err
	}
	p.skip()
	for other.beginsBefore(p) {
		if other.endsBefore(p) {
			other.skip()
			continue
		}
		if more := other.open(ctx, f.get); more != nil && !IsLost(more) {
			return more
		} else if more != nil {
			err = errors.Join(err, more)
			other.skip()
		}
	}
	return f.lost(err)
}
