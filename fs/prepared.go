package fs

import (
	"context"
	"iter"
	"slices"
	"sync"

	"yester/snapshot"
	"yester/store"
)

// A prepared has small files decoded before the kernel knows them: those of the folders that are likely to be listed next, beside the one that was listed last.
// One goroutine at a time adds to them, and goes on from where whoever lists folders is by then.
type prepared struct {
	mu           sync.Mutex
	pages        []*preparedPage
	bytes        int    // of them
	busy         bool   // somebody is adding to them
	before, last nodeID // the folders that were listed last

	slot uint64    // of a page of the folder above
	plan []entryAt // the folders in it, in the order in which they will probably be listed
}

// A preparedPage has files of one page of a folder.
type preparedPage struct {
	id    store.ID
	above uint64 // slot of the page that the folder is in
	pos   int    // and where
	small []entryAt

	mu    sync.Mutex // held while one is added
	tried int        // how many of small were added
	files *decoded   // nil if there are none
	taken bool       // by whoever gives them to the kernel, or throws them away
}

const (
	preparedBytes = 2 << 20 // and one file
	preparedPages = 64      // at most, most of which may have no small files
)

// begin tells which folder was listed last, and that somebody begins to prepare what comes after it; false if another does, or if there is enough.
func (p *prepared) begin(dir nodeID) bool {
	p.listed(dir)
	p.tidy()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || p.bytes > preparedBytes/2 || len(p.pages) > preparedPages/2 {
		return false
	}
	p.busy = true
	return true
}

func (p *prepared) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
}

func (p *prepared) listed(dir nodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dir != p.last { // which has more than one page
		p.before, p.last = p.last, dir
	}
}

func (p *prepared) lastListed() (before, last nodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.before, p.last
}

// follow says in which order the folders of a page will probably be listed.
func (p *prepared) follow(slot uint64, plan []entryAt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slot, p.plan = slot, plan
}

// left returns what of the plan comes after the folder that was listed last.
func (p *prepared) left() []entryAt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leftLocked()
}

func (p *prepared) leftLocked() []entryAt {
	if p.last.kind() != entryKind || p.last.slot() != p.slot {
		return nil
	}
	return p.plan[slices.IndexFunc(p.plan, func(f entryAt) bool { return f.pos == p.last.pos() })+1:]
}

// tidy throws away the pages of folders that are not in what is left of the plan.
func (p *prepared) tidy() {
	for _, page := range p.stale() {
		p.drop(page).free()
	}
}

func (p *prepared) stale() (stale []*preparedPage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.leftLocked()
	for _, page := range p.pages {
		if page.above != p.slot || !slices.ContainsFunc(left, func(f entryAt) bool { return f.pos == page.pos }) {
			stale = append(stale, page)
		}
	}
	return stale
}

func (p *prepared) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes >= preparedBytes || len(p.pages) > preparedPages
}

// find returns a page, nil if it is not there.
func (p *prepared) find(id store.ID) *preparedPage {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, page := range p.pages {
		if page.id == id {
			return page
		}
	}
	return nil
}

// start adds a page of a folder, without files yet.
func (p *prepared) start(l leaf, folder nodeID) *preparedPage {
	page := &preparedPage{id: l.id, above: folder.slot(), pos: folder.pos(), small: smallFiles(l.page, 0)}
	if len(page.small) > 0 {
		page.files = newDecoded()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages = append(p.pages, page)
	return page
}

// add has the next file of a page decoded; false if that went wrong, or if the page was taken.
func (p *prepared) add(page *preparedPage, decode func(*decoded) error) bool {
	page.mu.Lock()
	defer page.mu.Unlock()
	if page.taken {
		return false
	}
	before := len(page.files.buf)
	if decode(page.files) != nil {
		return false
	}
	page.tried++
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += len(page.files.buf) - before
	return true
}

// take returns the small files of a page, and what was decoded of it, for whoever takes it to free; nil if there is nothing.
func (p *prepared) take(id store.ID) ([]entryAt, *decoded) {
	page := p.find(id)
	if page == nil {
		return nil, nil
	}
	return page.small, p.drop(page)
}

// drop takes a page away; nil if another did. It waits for the file that is being added.
func (p *prepared) drop(page *preparedPage) *decoded {
	page.mu.Lock()
	defer page.mu.Unlock()
	if page.taken {
		return nil
	}
	d := page.files
	page.files, page.taken = nil, true
	p.mu.Lock()
	defer p.mu.Unlock()
	if d != nil {
		p.bytes -= len(d.buf)
	}
	p.pages = slices.DeleteFunc(p.pages, func(q *preparedPage) bool { return q == page })
	return d
}

// isPrepared tells whether all small files of a slot are prepared. It does not wait for one that is being added.
func (v *view) isPrepared(slot uint64) bool {
	id, _, err := v.slotPage(calm, slot)
	if err != nil {
		return false
	}
	page := v.ahead.prepared.find(id)
	if page == nil || !page.mu.TryLock() {
		return false
	}
	defer page.mu.Unlock()
	return !page.taken && page.tried == len(page.small)
}

// prepareAfter sees to it that the folders after dir are prepared, in pauses between requests if it can be.
func (c *conn) prepareAfter(dir nodeID) {
	select {
	case <-c.view.dead:
		return
	default:
	}
	if c.view.ahead.prepared.begin(dir) && !c.giveLate(c.prepare) {
		c.beside(newWork(c.prepare))
	}
}

// prepare decodes the small files of the folders that are likely to be listed next, until there are enough.
func (c *conn) prepare(yield func(struct{}) bool) {
	p := &c.view.ahead.prepared
	defer p.end()
	defer func() {
		if p := recover(); p != nil {
			c.view.panicked(p)
		}
	}()
	ctx := newInterrupt(nil, c.view.dead)
	defer ctx.end()
	pages := 0
	for l, folder := range c.view.foldersAfter(ctx, p) {
		if pages++; pages > preparedPages || p.full() {
			return
		}
		page := p.find(l.id)
		if page == nil {
			if !yield(struct{}{}) {
				return
			}
			page = p.start(l, folder)
		}
		if !c.preparePage(ctx, page, l.page, yield) {
			return
		}
	}
}

// preparePage returns false if there is enough, or if yield says no.
func (c *conn) preparePage(ctx context.Context, page *preparedPage, entries snapshot.Page, yield func(struct{}) bool) bool {
	p := &c.view.ahead.prepared
	var e snapshot.Entry
	pause := func() bool { return yield(struct{}{}) }
	for page.tried < len(page.small) { // nobody else changes that
		if p.full() || !pause() {
			return false
		}
		pos := page.small[page.tried].pos
		known := entries.Entry(pos, &e) == nil
		if known && !c.view.warm(ctx, &e, pause) {
			return false
		}
		if !known || !p.add(page, func(d *decoded) error { return c.view.decode(ctx, d, pos, &e) }) {
			break // whoever reads it will be told
		}
	}
	return true
}

// foldersAfter returns the leaf pages of the folders that are likely to be listed after the one that was listed last, and which folders they are.
func (v *view) foldersAfter(ctx context.Context, p *prepared) iter.Seq2[leaf, nodeID] {
	return func(yield func(leaf, nodeID) bool) {
		before, last := p.lastListed()
		if last.kind() != entryKind {
			return
		}
		slot := last.slot()
		_, above, err := v.slotPage(ctx, slot)
		if err != nil {
			return // whoever comes there will be told
		}
		p.follow(slot, subfolders(above, before, last))
		p.tidy()
		next := p.left()
		for len(next) > 0 {
			folder := entryNode(slot, next[0].pos)
			if !v.leaves(ctx, above, folder, yield) {
				return
			}
			next = next[1:]
			if now := p.left(); len(now) < len(next) {
				next = now // whoever lists them overtook
			}
		}
	}
}

// leaves yields the leaf pages of a folder that is an entry of a page; false if yield said no.
func (v *view) leaves(ctx context.Context, page snapshot.Page, folder nodeID, yield func(leaf, nodeID) bool) bool {
	var e snapshot.Entry
	if page.Entry(folder.pos(), &e) != nil {
		return true
	}
	for at := uint64(0); ; {
		l, err := v.leafAt(ctx, e.Tree, at)
		if err != nil || l.page == nil {
			return true
		}
		if !yield(l, folder) {
			return false
		}
		at = l.first + uint64(l.page.Len())
	}
}

// subfolders lists those of a page in the order in which they will probably be listed: that of their inode numbers, as cp and tar do, or that of their names if
// the last two were listed so.
func subfolders(page snapshot.Page, before, last nodeID) []entryAt {
	var list []entryAt
	var e snapshot.Entry
	for i := range page.Len() {
		if err := page.Entry(i, &e); err != nil {
			return nil // whoever comes there will be told
		}
		if e.IsDir() {
			list = append(list, entryAt{e.Ino, i})
		}
	}
	if byName := slices.IndexFunc(list, func(f entryAt) bool { return f.pos == last.pos() }); byName > 0 && entryNode(last.slot(), list[byName-1].pos) == before {
		return list
	}
	slices.SortFunc(list, byInode)
	return list
}
