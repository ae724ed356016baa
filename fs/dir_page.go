package fs

import (
	"context"
	"fmt"

	"yester/snapshot"
	"yester/store"
)

// A leaf is a leaf page at its place in a directory; page is nil if there is none.
type leaf struct {
	id    store.ID
	page  snapshot.Page
	first uint64 // position of its first entry in the directory
}

// maxTreeDepth is more index pages above one another than a directory of any size has.
const maxTreeDepth = 12

// leafOf finds the leaf page of a directory in which name is, if it is anywhere.
func (v *view) leafOf(ctx context.Context, tree store.ID, name []byte) (leaf, error) {
	return v.descend(ctx, tree, func(p snapshot.Page, first uint64) (i int, at uint64, err error) {
		i = p.Find(name)
		at, err = skip(p, first, i)
		return i, at, err
	})
}

// leafAt finds the leaf page of a directory that has the entry at a position; past the end, there is none.
func (v *view) leafAt(ctx context.Context, tree store.ID, pos uint64) (leaf, error) {
	l, err := v.descend(ctx, tree, func(p snapshot.Page, first uint64) (i int, at uint64, err error) {
		return seek(p, first, pos)
	})
	if err == nil && l.page != nil && pos-l.first >= uint64(l.page.Len()) {
		return leaf{}, nil
	}
	return l, err
}

// descend goes from the topmost page of a directory down to a leaf. choose says which reference of an index page to follow, and at
// which position what is below that starts.
func (v *view) descend(ctx context.Context, tree store.ID, choose func(p snapshot.Page, first uint64) (int, uint64, error)) (l leaf, err error) {
	if tree == (store.ID{}) {
		return l, nil
	}
	l.id = tree
	for range maxTreeDepth {
		p, err := v.pages.get(ctx, v.chunks, l.id)
		if err != nil {
			return leaf{}, err
		}
		if p.Leaf() {
			l.page = p
			return l, nil
		}
		i, first, err := choose(p, l.first)
		if err != nil {
			return leaf{}, err
		}
		ref, err := p.Ref(i)
		if err != nil {
			return leaf{}, err
		}
		l.id, l.first = ref.ID, first
	}
	return leaf{}, fmt.Errorf("more than %d index pages above one another: %w", maxTreeDepth, snapshot.ErrFormat)
}

// skip returns the position of what lies below reference i.
func skip(p snapshot.Page, first uint64, i int) (uint64, error) {
	for j := range i {
		ref, err := p.Ref(j)
		if err != nil {
			return 0, err
		}
		first += ref.Count
	}
	return first, nil
}

// seek returns the reference below which position pos lies, and the position of what is first there; past the end, the last one.
func seek(p snapshot.Page, first, pos uint64) (int, uint64, error) {
	for i := 0; ; i++ {
		ref, err := p.Ref(i)
		if err != nil {
			return 0, 0, err
		}
		if pos-first < ref.Count || i == p.Len()-1 {
			return i, first, nil
		}
		first += ref.Count
	}
}
