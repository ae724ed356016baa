package fs

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// An ahead gives small files to the kernel before it asks for them. Who has read aheadAfter files of a page of a directory is likely to be
// copying it: then all other small files of that page are put into the kernel's page cache, and reading them takes no request at all.
// For a file of some kilobytes the request is most of what reading it costs. When the kernel then lists a folder beside it or in it, the
// same is done at once (conn.lead); by then its files were decoded already, if it is one that was likely to come next (prepared). Versions do not change, so nothing
// can be put there that is not so.
//
// Memory is bounded by aheadPages, aheadBytes for each of maxAhead pages, twice preparedBytes, and what of decodedBytes is not used in each of preparedPages.
type ahead struct {
	mu      sync.Mutex
	pages   [aheadPages]aheadPage // each slot's at its number, modulo
	running int
	put     int       // files so far
	copied  nodeID    // the directory whose files were last put there and not in vain
	beside  nodeID    // its parent
	read    time.Time // when a small file was read last
	heat    time.Duration

	more atomic.Int64 // when more was asked of a file, by nanotime

	prepared prepared // the files of the folders that are likely to be listed next

	listing   nodeID // the directory being listed
	listingAt uint64 // slot of its page listed last
}

// An aheadPage is what was read lately of a page of a directory.
type aheadPage struct {
	slot    uint64
	reads   int // may be negative: so many more are needed
	running bool
	ready   *decoded               // while it is running: what is decoded, nil if nothing is kept
	last    uint64                 // inode number of the file read last
	read    [posMask/64 + 1]uint64 // positions
}

const (
	aheadAfter = 3        // files
	aheadSkip  = 2        // files that are asked for before they could be given
	aheadSize  = 64 << 10 // bytes of a file at most
	aheadPages = 64
	maxAhead   = 2  // pages at once
	aheadVain  = 4  // files in a row that the kernel does not know: whoever reads does not list before
	aheadPause = 64 // reads after that until it is tried again

	aheadBytes   = 4 << 20 // of a page at once, decoded and given
	decodedBytes = 1 << 20
	aheadHeat    = time.Second           // after the last read, listing a folder is not the start of copying it
	aheadMore    = 20 * time.Millisecond // after more was asked of a file, see slow
)

// small tells whether a read is one of a whole small file.
func small(e *snapshot.Entry, off uint64) bool { return off == 0 && e.Size > 0 && e.Size <= aheadSize }

// saw notes that a small file was read; true if its page is to be read ahead.
func (a *ahead) saw(id nodeID, ino uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.page(id.slot())
	if p.slot != id.slot() {
		if p.running {
			return false
		}
		*p = aheadPage{slot: id.slot()}
	}
	a.read = time.Now()
	p.reads++
	p.last = ino
	p.read[id.pos()/64] |= 1 << (id.pos() % 64)
	if p.reads < aheadAfter || p.running || a.running == maxAhead {
		return false
	}
	p.running = true
	a.running++
	return true
}

// listed is told which page of a directory was listed last, and then, with 0, that its end came: only now does the kernel know all files. It
// returns the page that is to be read ahead then; 0 if none is.
func (a *ahead) listed(dir, parent nodeID, slot uint64) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slot != 0 {
		a.listing, a.listingAt = dir, slot
		return 0
	}
	if slot = a.listingAt; a.listing != dir || a.running == maxAhead || a.copied == 0 || parent != a.copied && parent != a.beside || time.Since(a.read) > a.heat {
		return 0
	}
	p := a.page(slot)
	if p.slot == slot || p.running {
		return 0
	}
	*p = aheadPage{slot: slot, running: true}
	a.running++
	return slot
}

func (a *ahead) page(slot uint64) *aheadPage { return &a.pages[slot%aheadPages] }

// wasRead tells whether the kernel asked for a file by itself.
func (a *ahead) wasRead(slot uint64, pos int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.page(slot).read[pos/64]>>(pos%64)&1 != 0
}

func (a *ahead) lastRead(slot uint64) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.page(slot).last
}

// setReady says what there is of a page already while it is read ahead.
func (a *ahead) setReady(slot uint64, d *decoded) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.page(slot).ready = d
}

// readyFile appends to b what is in a file if that is there already and the kernel asks before it is given it.
func (a *ahead) readyFile(id nodeID, b []byte) ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.page(id.slot())
	if p.slot != id.slot() || p.ready == nil {
		return b, false
	}
	content := p.ready.of(id.pos())
	if content == nil {
		return b, false
	}
	a.read = time.Now()
	p.read[id.pos()/64] |= 1 << (id.pos() % 64)
	return append(b, content[storeHead:]...), true
}

// decodeNow decodes a file of a page that is read ahead, before its turn.
func (v *view) decodeNow(id nodeID) {
	a := &v.ahead
	a.mu.Lock()
	p := a.page(id.slot())
	d := p.ready
	ok := p.slot == id.slot() && d != nil && len(d.buf) <= aheadBytes && d.adding.TryLock()
	a.mu.Unlock()
	if !ok {
		return
	}
	defer d.adding.Unlock()
	ctx := newInterrupt(nil, v.dead)
	defer ctx.end()
	var e snapshot.Entry
	if _, page, err := v.slotPage(ctx, id.slot()); err == nil && page.Entry(id.pos(), &e) == nil && e.IsRegular() && small(&e, 0) {
		_ = v.decodeLocked(ctx, d, id.pos(), &e) // whoever reads it will be told
	}
}

// askedMore notes that more was asked of a file than what is in it.
func (a *ahead) askedMore() { a.more.Store(nanotime()) }

// slow tells whether files are being read by someone who asks more of each, as cp does: there are pauses between his requests, and he is
// easily overtaken. Who only reads them, as tar does, hardly pauses, and is only kept up with by a goroutine beside the one that answers him.
func (a *ahead) slow() bool {
	last := a.more.Load()
	return last != 0 && nanotime()-last < int64(aheadMore)
}

// done says that a page of a directory was read ahead, so many files of it, and whether the rest was in vain.
func (a *ahead) done(slot uint64, dir, parent nodeID, put int, vain bool) {
	a.mu.Lock()
	a.running--
	a.put += put
	p := a.page(slot)
	ready := p.ready
	if *p = (aheadPage{slot: slot}); vain {
		p.reads = -aheadPause
	} else {
		a.copied, a.beside = dir, parent
	}
	a.mu.Unlock()
	ready.free()
}

// readAhead gives the kernel the small files of a slot that it has not asked for, and prepares those of the folders that are likely to be next.
//
// Between requests it gives files one right after the other when all are decoded, or it would meet who reads them again and again: giving a file waits for the
// one who has asked for it.
func (c *conn) readAhead(slot uint64, between bool) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		r := c.newReading(slot)
		defer r.end()
		r.pause = func() bool {
			r.ended = r.ended || !yield(struct{}{})
			return !r.ended
		}
		if between {
			if r.ready == nil {
				r.ready = newDecoded()
				c.view.ahead.setReady(slot, r.ready)
			}
			if !r.known() {
				r.vain = aheadVain
				return
			}
			r.decodeAll()
			r.files = r.files[min(len(r.files), aheadSkip):]
		}
		for r.pause() && r.give() {
		}
	}
}

// rest gives what is left of a page.
func (r *reading) rest(yield func(struct{}) bool) {
	defer r.end()
	for yield(struct{}{}) && r.give() {
	}
}

// A reading is one page that is read ahead.
type reading struct {
	*conn
	ctx   *interrupt
	slot  uint64
	dir   nodeID
	page  snapshot.Page
	files []entryAt // to be given
	ready *decoded  // what was decoded before
	own   *decoded  // the last that was decoded when it was to be given
	room  int       // bytes that may be given yet
	put   int       // files given
	vain  int       // of those the kernel does not know, in a row

	pause func() bool // lets others do something; false if it is to end
	ended bool        // pause was false
}

// newReading begins to read a page ahead.
func (c *conn) newReading(slot uint64) *reading {
	r := &reading{conn: c, ctx: newInterrupt(nil, c.view.dead), slot: slot, dir: c.view.slots.dir(slot), room: aheadBytes}
	id, page, err := c.view.slotPage(r.ctx, slot)
	if err != nil {
		return r // whoever reads them will be told
	}
	r.page = page
	r.files, r.ready = c.view.ahead.prepared.take(id)
	if r.ready == nil {
		r.files = smallFiles(page, c.view.ahead.lastRead(slot))
	}
	c.view.ahead.setReady(slot, r.ready)
	return r
}

// end ends it, and has those be prepared that are likely to be next, unless it was in vain.
func (r *reading) end() {
	if p := recover(); p != nil {
		r.view.panicked(p)
	}
	r.ctx.end()
	r.own.free()
	vain := r.vain >= aheadVain
	r.view.ahead.done(r.slot, r.dir, r.view.parent(r.dir), r.put, vain)
	if !vain {
		r.prepareAfter(r.dir)
	}
}

// give gives the kernel the next file that it has not asked for; false if it was the last.
func (r *reading) give() bool {
	a := &r.view.ahead
	for ; len(r.files) > 0; r.files = r.files[1:] {
		f := r.files[0]
		if a.wasRead(r.slot, f.pos) {
			continue
		}
		d := r.ready
		if a.of(d, f.pos) == nil {
			if d = r.alone(f); d == nil {
				return false
			}
		}
		b, err := r.store(f.pos, d)
		switch {
		case err == nil:
			r.put++
			r.room -= b
			r.vain = 0
		case errors.Is(err, unix.ENOENT):
			r.vain++
		default:
			return false
		}
		r.files = r.files[1:]
		return r.vain < aheadVain && r.room >= 0 && len(r.files) > 0
	}
	return false
}

// alone decodes a file that was not decoded before; nil if that went wrong.
func (r *reading) alone(f entryAt) *decoded {
	var e snapshot.Entry
	if r.own == nil {
		r.own = newDecoded()
	}
	r.own.reset()
	if r.page.Entry(f.pos, &e) != nil || r.view.decode(r.ctx, r.own, f.pos, &e) != nil {
		return nil // whoever reads it will be told
	}
	return r.own
}

// known gives the kernel the file that will be asked for last, and tells whether it knows it: it knows all files of a page or just those that are opened.
func (r *reading) known() bool {
	a := &r.view.ahead
	var e snapshot.Entry
	for _, f := range slices.Backward(r.files) {
		if a.wasRead(r.slot, f.pos) {
			continue
		}
		if a.of(r.ready, f.pos) == nil && (r.page.Entry(f.pos, &e) != nil || r.view.decode(r.ctx, r.ready, f.pos, &e) != nil) {
			return true // whoever reads it will be told
		}
		_, err := r.store(f.pos, r.ready)
		return !errors.Is(err, unix.ENOENT)
	}
	return true
}

// store gives the kernel a file that is decoded, and returns its length.
func (r *reading) store(pos int, d *decoded) (int, error) {
	id := entryNode(r.slot, pos)
	d.adding.Lock() // nobody moves it
	b := r.view.ahead.of(d, pos)
	storeHeader(id, b)
	d.adding.Unlock()
	if r.busy() {
		// What is ready to run on this P must not wait until Go finds out that this goroutine waits in the kernel, up to 20 ms: the kernel may wait for just that.
		runtime.Gosched()
	}
	return len(b), r.conn.store(b)
}

// decodeAll decodes the files that were not asked for.
func (r *reading) decodeAll() {
	a := &r.view.ahead
	var e snapshot.Entry
	for _, f := range r.files {
		if a.wasRead(r.slot, f.pos) || a.of(r.ready, f.pos) != nil {
			continue
		}
		if a.full(r.ready, aheadBytes) || !r.pause() || r.page.Entry(f.pos, &e) != nil || !r.view.warm(r.ctx, &e, r.pause) ||
			r.view.decode(r.ctx, r.ready, f.pos, &e) != nil {
			return
		}
	}
}

// slotPage returns the page of a slot, and its id.
func (v *view) slotPage(ctx context.Context, n uint64) (store.ID, snapshot.Page, error) {
	s, ok := v.slots.get(n)
	if !ok {
		return store.ID{}, nil, errNoNode
	}
	page, err := v.pages.get(ctx, v.chunks, s.page)
	return s.page, page, err
}

// A decoded has small files, each after room for what comes before it for the kernel. A nil one has none.
type decoded struct {
	adding sync.Mutex // one file at a time
	buf    []byte
	at     map[int][2]int // begin and end in buf, by position in the page
}

// decodeds are used again, unless they are longer than decodedBytes: clearing one with room for any chunk would take longer than a folder of a few small files.
var decodeds = sync.Pool{New: func() any { return &decoded{at: make(map[int][2]int)} }}

// newDecoded returns an empty one.
func newDecoded() *decoded {
	d := decodeds.Get().(*decoded)
	d.reset()
	return d
}

func (d *decoded) reset() {
	d.buf = d.buf[:0]
	clear(d.at)
}

// free is called when nobody finds it any more.
func (d *decoded) free() {
	if d == nil {
		return
	}
	d.adding.Lock() // waits for who found it before
	defer d.adding.Unlock()
	if cap(d.buf) > decodedBytes {
		d.buf = nil // or each that is prepared, however small, would come to have as much
	}
	decodeds.Put(d)
}

// of returns a file with room for its head, nil if it is not there.
func (a *ahead) of(d *decoded, pos int) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return d.of(pos)
}

// full tells whether what is decoded takes more than so many bytes.
func (a *ahead) full(d *decoded, bytes int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(d.buf) > bytes
}

// of is called under the lock of ahead. What it returns stays there until the decoded is free, and only who gives it to the kernel changes the room for its head.
func (d *decoded) of(pos int) []byte {
	if d == nil {
		return nil
	}
	at, ok := d.at[pos]
	if !ok {
		return nil
	}
	return d.buf[at[0]:at[1]]
}

// warm brings what a small file is decoded from into the vault's cache, step by step; false if pause said no.
func (v *view) warm(ctx context.Context, e *snapshot.Entry, pause func() bool) bool {
	more := true
	_ = snapshot.Spans(ctx, v.chunks, e, 0, e.Size, func(s snapshot.Span) bool { // whoever reads it will be told
		if !s.Hole() {
			v.vault.Warm(s.ID, func() bool {
				more = more && pause()
				return more
			})
		}
		return more
	})
	return more
}

// decode adds a file to d, in which others may look for files meanwhile.
func (v *view) decode(ctx context.Context, d *decoded, pos int, e *snapshot.Entry) error {
	d.adding.Lock()
	defer d.adding.Unlock()
	return v.decodeLocked(ctx, d, pos, e)
}

// decodeLocked is decode for who is the only one to add.
func (v *view) decodeLocked(ctx context.Context, d *decoded, pos int, e *snapshot.Entry) error {
	begin := (len(d.buf) + 7) &^ 7
	b := slices.Grow(d.buf, begin-len(d.buf)+storeHead+aheadSize+store.ReadSlack) // of a chunk
	b, err := v.appendContent(ctx, b[:begin+storeHead], e)
	if err != nil {
		return err
	}
	v.ahead.mu.Lock()
	defer v.ahead.mu.Unlock()
	d.buf, d.at[pos] = b, [2]int{begin, len(b)}
	return nil
}

// An entryAt is an entry of a page.
type entryAt struct {
	ino uint64
	pos int
}

func byInode(a, b entryAt) int { return cmp.Compare(a.ino, b.ino) }

// smallFiles lists those of a page in the order in which they will probably be read: that of their inode numbers, as cp and tar do, from
// the one read last.
func smallFiles(page snapshot.Page, last uint64) []entryAt {
	var files []entryAt
	var e snapshot.Entry
	for i := range page.Len() {
		if err := page.Entry(i, &e); err != nil {
			return nil // whoever reads them will be told
		}
		if e.IsRegular() && small(&e, 0) {
			files = append(files, entryAt{e.Ino, i})
		}
	}
	slices.SortFunc(files, byInode)
	i, _ := slices.BinarySearchFunc(files, last, func(f entryAt, ino uint64) int { return cmp.Compare(f.ino, ino) })
	return slices.Concat(files[i:], files[:i])
}

// appendContent appends what is in a file.
func (v *view) appendContent(ctx context.Context, b []byte, e *snapshot.Entry) ([]byte, error) {
	begin := len(b)
	var failed error
	err := snapshot.Spans(ctx, v.chunks, e, 0, e.Size, func(s snapshot.Span) bool {
		if s.Hole() {
			b = append(b, zeroBytes[:s.Len]...)
			return true
		}
		chunk, err := v.vault.GetInto(ctx, s.ID, b[len(b):])
		if failed = err; err == nil {
			b = append(b, chunk...)
		}
		return err == nil
	})
	if err == nil {
		err = failed
	}
	if err == nil && uint64(len(b)-begin) != e.Size {
		err = snapshot.ErrFormat
	}
	return b, err
}

// storeHead is what comes before the bytes of a file for the kernel.
const storeHead = int(unsafe.Sizeof(storeNews{}))

type storeNews struct {
	fuse.OutHeader
	fuse.NotifyStoreOut
}

// storeHeader writes what comes before the bytes of a file; b has storeHead bytes of room for it.
func storeHeader(id nodeID, b []byte) {
	*(*storeNews)(unsafe.Pointer(unsafe.SliceData(b))) = storeNews{
		fuse.OutHeader{Length: uint32(len(b)), Status: notifyStore},
		fuse.NotifyStoreOut{Nodeid: uint64(id), Size: uint32(len(b) - storeHead)},
	}
}

// store puts a file from its beginning into the page cache; b is its header and then the file's bytes. ENOENT if the kernel does not know the file.
func (c *conn) store(b []byte) error {
	_, err := unix.Write(c.fd, b)
	return err
}
