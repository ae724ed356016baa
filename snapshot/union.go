package snapshot

import (
	"container/heap"
	"context"
	"fmt"
	"slices"

	"yester/store"
)

// A Union iterates over the names that any of several directories has, in their order, each once. A page that several have in common is read
// once. It holds the names of the pages that it is at, the id of each page it met, and no page.
type Union struct {
	get   Getter
	lost  func(error)
	met   map[store.ID]struct{}
	pages unionPages // not read yet
	names []string   // read and not told yet
}

// NewUnion returns a Union of the directories whose topmost pages are trees; a zero one is empty. lost is called for each page that is lost: the names
// that only it has are missing.
func NewUnion(g Getter, trees []store.ID, lost func(error)) *Union {
	u := &Union{get: g, lost: lost, met: make(map[store.ID]struct{})}
	for _, id := range trees {
		u.add(unionPage{id: id})
	}
	return u
}

// Next returns the next name; false at the end. An error other than of a lost page ends the iteration.
func (u *Union) Next(ctx context.Context) (name string, ok bool, err error) {
	for len(u.pages) > 0 && (len(u.names) == 0 || u.pages[0].first <= u.names[0]) {
		err := u.read(ctx, heap.Pop(&u.pages).(unionPage))
		switch {
		case IsLost(err):
			u.lost(err)
		case err != nil:
			return "", false, err
		}
	}
	if len(u.names) == 0 {
		return "", false, nil
	}
	name, u.names = u.names[0], u.names[1:]
	return name, true, nil
}

func (u *Union) add(p unionPage) {
	if _, ok := u.met[p.id]; ok || p.id == (store.ID{}) {
		return
	}
	u.met[p.id] = struct{}{}
	heap.Push(&u.pages, p)
}

func (u *Union) read(ctx context.Context, at unionPage) error {
	p, err := pageAt(ctx, u.get, at.id, at.depth)
	if err != nil {
		return err
	}
	if p.Leaf() {
		return u.merge(p)
	}
	for i := range p.Len() {
		ref, err := p.Ref(i)
		if err != nil {
			return err
		}
		u.add(unionPage{string(ref.First), ref.ID, at.depth + 1})
	}
	return nil
}

// merge takes in the names of a leaf page.
func (u *Union) merge(p Page) error {
	all := make([]string, 0, len(u.names)+p.Len())
	old := u.names
	for i := range p.Len() {
		name := p.Name(i)
		if name == nil {
			return fmt.Errorf("decode name %d of a tree page: %w", i, ErrFormat)
		}
		if len(name) == 0 {
			continue // as old versions may have
		}
		for len(old) > 0 && old[0] < string(name) {
			all, old = append(all, old[0]), old[1:]
		}
		if len(old) == 0 || old[0] != string(name) {
			all = append(all, string(name))
		}
	}
	u.names = slices.Concat(all, old)
	return nil
}

// A unionPage is a page that was met and not read.
type unionPage struct {
	first string // no name in it comes before this
	id    store.ID
	depth int
}

// unionPages is a heap.
type unionPages []unionPage

func (h unionPages) Len() int           { return len(h) }
func (h unionPages) Less(i, j int) bool { return h[i].first < h[j].first }
func (h unionPages) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *unionPages) Push(p any)        { *h = append(*h, p.(unionPage)) }

func (h *unionPages) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
