package snapshot

import (
	"context"
	"fmt"
	"strings"

	"yester/store"
)

// maxDepth bounds how deep index and list pages nest: 1024 items a page reach past any number of entries long before.
const maxDepth = 12

// A Reader iterates over a directory's entries in the order of their names. It holds one page per level.
type Reader struct {
	get   Getter
	tree  store.ID
	stack []cursor
	begun bool
	err   error
}

type cursor struct {
	page Page
	next int
}

// NewReader returns a reader of the directory whose topmost page is tree; a zero one is empty.
func NewReader(g Getter, tree store.ID) *Reader { return &Reader{get: g, tree: tree} }

// Next decodes the next entry into e, as Page.Entry does; false at the end or after an error.
func (r *Reader) Next(ctx context.Context, e *Entry) bool {
	if !r.begun {
		r.begun = true
		if r.tree != (store.ID{}) {
			r.push(ctx, r.tree)
		}
	}
	for r.err == nil && len(r.stack) > 0 {
		c := &r.stack[len(r.stack)-1]
		switch {
		case c.next == c.page.Len():
			r.stack = r.stack[:len(r.stack)-1]
		case c.page.Leaf():
			c.next++
			r.err = c.page.Entry(c.next-1, e)
			return r.err == nil
		default:
			c.next++
			r.descend(ctx, c.page, c.next-1)
		}
	}
	return false
}

func (r *Reader) descend(ctx context.Context, p Page, i int) {
	ref, err := p.Ref(i)
	if err != nil {
		r.err = err
		return
	}
	r.push(ctx, ref.ID)
}

func (r *Reader) push(ctx context.Context, id store.ID) {
	if len(r.stack) == maxDepth {
		r.err = fmt.Errorf("tree pages nest more than %d deep: %w", maxDepth, ErrFormat)
		return
	}
	p, err := GetPage(ctx, r.get, id)
	if err != nil {
		r.err = err
		return
	}
	r.stack = append(r.stack, cursor{page: p})
}

// Err tells what ended the iteration, nil at the end.
func (r *Reader) Err() error { return r.err }

// Lookup finds name in the directory whose topmost page is tree. ErrNotExist.
func Lookup(ctx context.Context, g Getter, tree store.ID, name []byte, e *Entry) error {
	if tree == (store.ID{}) {
		return ErrNotExist
	}
	for range maxDepth {
		p, err := GetPage(ctx, g, tree)
		if err != nil {
			return err
		}
		if p.Leaf() {
			i, found := p.Search(name)
			if !found {
				return ErrNotExist
			}
			return p.Entry(i, e)
		}
		ref, err := p.Ref(p.Find(name))
		if err != nil {
			return err
		}
		tree = ref.ID
	}
	return fmt.Errorf("tree pages nest more than %d deep: %w", maxDepth, ErrFormat)
}

// LookupPath finds a slash-separated path below the root entry; "" and "/" are the root itself. Symlinks are not followed.
// ErrNotExist, ErrNotDir.
func LookupPath(ctx context.Context, g Getter, root Entry, path string) (Entry, error) {
	at := root
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		if !at.IsDir() {
			return Entry{}, fmt.Errorf("%q in %q: %w", name, path, ErrNotDir)
		}
		var e Entry
		if err := Lookup(ctx, g, at.Tree, []byte(name), &e); err != nil {
			return Entry{}, fmt.Errorf("%q in %q: %w", name, path, err)
		}
		at = e
	}
	return at, nil
}
