package snapshot

import (
	"bytes"
	"context"

	"yester/store"
)

// A position is where in a folder a walk is that opens pages only where it must. What comes next is a page that was not opened yet, an entry,
// or nothing. It holds one page per level.
type position struct {
	stack []cursor // next is what the position is at, or what it is below
	state positionState
	ref   PageRef // atPage
	bad   error   // atPage: why ref makes no sense
	name  []byte  // of the entry, or the first one below the page; nil for the topmost page: it may begin anywhere
}

type positionState uint8

const (
	atEnd positionState = iota
	atPage
	atEntry
)

// startOf is the position before everything in the folder of a tree.
func startOf(tree store.ID) position {
	if tree == (store.ID{}) {
		return position{}
	}
	return position{state: atPage, ref: PageRef{ID: tree, Count: 1<<64 - 1}}
}

// open opens the page that comes next, so that what is in it comes next.
func (p *position) open(ctx context.Context, g Getter) error {
	if p.bad != nil {
		return p.bad
	}
	page, err := pageAt(ctx, g, p.ref.ID, len(p.stack))
	if err != nil {
		return err
	}
	p.stack = append(p.stack, cursor{page: page})
	p.look()
	return nil
}

// skip goes past what comes next, without opening it.
func (p *position) skip() {
	for n := len(p.stack); n > 0; n-- {
		top := &p.stack[n-1]
		if top.next++; top.next < top.page.Len() {
			p.stack = p.stack[:n]
			p.look()
			return
		}
	}
	*p = position{stack: p.stack[:0]}
}

// look takes in what the topmost page of the stack is at.
func (p *position) look() {
	top := &p.stack[len(p.stack)-1]
	p.name = top.page.Name(top.next)
	if top.page.Leaf() {
		p.state = atEntry
		return
	}
	p.state = atPage
	p.ref, p.bad = top.page.Ref(top.next)
}

// entry decodes the entry that comes next. ErrFormat.
func (p *position) entry(e *Entry) error {
	top := &p.stack[len(p.stack)-1]
	return top.page.Entry(top.next, e)
}

// bytes are the entry that comes next, encoded.
func (p *position) bytes() []byte {
	top := &p.stack[len(p.stack)-1]
	return top.page.item(top.next)
}

// endsBefore tells whether nothing of what comes next has a name at or after that of limit.
func (p *position) endsBefore(limit *position) bool {
	if limit.state == atEnd {
		return true
	}
	if p.state == atEntry {
		return bytes.Compare(p.name, limit.name) < 0
	}
	for n := len(p.stack); n > 0; n-- {
		if c := p.stack[n-1]; c.next+1 < c.page.Len() {
			return bytes.Compare(c.page.Name(c.next+1), limit.name) <= 0
		}
	}
	return false
}

// beginsBefore tells whether what comes next begins with a name before that of limit.
func (p *position) beginsBefore(limit *position) bool {
	return p.state != atEnd && (limit.state == atEnd || bytes.Compare(p.name, limit.name) < 0)
}
