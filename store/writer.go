package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"yester/store/pack"
)

// WriterOptions say how a writer works. They bound its memory: it holds one pack of file chunks and one of tree pages, with
// a worker one more of each that is being written, with several two more of file chunks, a few chunks for each worker, and a group of small chunks for each who
// puts them. Without, what is mapped of the index is bounded too.
type WriterOptions struct {
	Encoding Encoding // what to try on each chunk
	Workers  int      // goroutines that hash and compress beside the callers of Put, which do it too; 0: Put also waits for packs to be written

	// Run calls a function that works for long beside the callers of Put, on a thread that suits it; nil: it is just called.
	Run func(work func())
}

const (
	// maxPackFrames bounds the memory for tables, and for entering a pack in the index, when chunks are tiny.
	maxPackFrames = 1 << 15

	filePackSize = 32 << 20 // bytes of frames in a pack of file chunks
	maxJobsAhead = 32       // chunks that wait beside one for each worker, so that all have something to do while others do what takes long
	minHandOver  = 16 << 10 // bytes of a chunk; to hand over a smaller one takes about as long as to compress it
	treePackSize = 4 << 20  // in one of tree, list and xattr pages: each is read for itself, a backup has few
)

// A Writer stores chunks and commits versions. Put may be called from many goroutines, everything else from one.
type Writer struct {
	v        *Vault
	instance string
	o        WriterOptions
	packers  [2]*packer // file chunks, and all else
	groups   groups     // of small file chunks
	pending  pendingIDs // chunks put and not yet in the index
	jobs     chan job
	workers  sync.WaitGroup
	open     sync.WaitGroup // jobs under way
	err      firstError
	relies   reliance
	untrim   func()

	chunks, newChunks, raw, newRaw, stored atomic.Uint64
}

// Writer returns a writer that stores under an instance; it must be closed, or abandoned. Many may be open at once, and each stores what the others
// have not yet finished storing. Who commits a version with parts of another, without putting them, opens the writer before
// reading that one's record: from then on gc leaves those parts alone, even if the other version is deleted.
func (v *Vault) Writer(instance string, o WriterOptions) (*Writer, error) {
	if o.Run == nil {
		o.Run = func(work func()) { work() }
	}
	w := &Writer{v: v, instance: instance, o: o, pending: pendingIDs{ids: map[ID]struct{}{}}}
	w.packers[0] = &packer{w: w, size: filePackSize, beside: min(o.Workers, 2)} // while one waits for the disk another's parity is computed
	w.packers[1] = &packer{w: w, size: treePackSize, beside: min(o.Workers, 1)}
	if o.Workers > 0 {
		w.jobs = make(chan job, o.Workers+min(3*o.Workers, maxJobsAhead))
	}
	for range o.Workers {
		w.workers.Go(func() { w.o.Run(w.work) })
	}
	if w.untrim = func() {}; o.Workers == 0 {
		w.untrim = v.index.trim()
	}
	v.enlist(w)
	return w, nil
}

// A job is a chunk that a worker is to store.
type job struct {
	id     ID
	kind   Kind
	raw    *[]byte // of rawBufs
	ticket *Ticket // not nil: the id is not known, and the vault may have the chunk
}

var (
	rawBufs  = sync.Pool{New: func() any { return new([]byte) }}
	encoders = sync.Pool{New: func() any { return new(pack.Encoder) }}
)

// Put stores raw unless the vault has it, and returns its id. raw is the caller's again when Put returns. What was put is durable
// after Commit; an error in the background is returned by a later Put and by Commit. isNew tells that these bytes were neither in
// the vault nor put before.
func (w *Writer) Put(ctx context.Context, kind Kind, raw []byte) (id ID, isNew bool, err error) {
	if err := errors.Join(ctx.Err(), w.err.get()); err != nil {
		return id, false, err
	}
	if id, isNew, err = w.identify(raw); err != nil || !isNew {
		return id, false, err
	}
	if w.handOver(job{id: id, kind: kind}, raw) {
		return id, true, nil
	}
	err = w.store(id, kind, raw)
	w.err.set(err)
	return id, true, err
}

// A Ticket is for the id of a chunk given to PutLater; another chunk may have it afterwards.
type Ticket struct {
	id   ID
	err  error
	told chan struct{}
}

// NewTicket returns a ticket that no chunk has.
func NewTicket() *Ticket { return &Ticket{told: make(chan struct{}, 1)} }

func (t *Ticket) tell(id ID, err error) {
	t.id, t.err = id, err
	t.told <- struct{}{}
}

// ID waits for the id. It is called once for each call of PutLater.
func (t *Ticket) ID() (ID, error) {
	<-t.told
	return t.id, t.err
}

// PutLater is Put for who puts chunk after chunk: if a worker has nothing to do it finds out the chunk's id too, which then comes with the
// ticket. raw is the caller's again when PutLater returns.
func (w *Writer) PutLater(ctx context.Context, kind Kind, raw []byte, t *Ticket) {
	if errors.Join(ctx.Err(), w.err.get()) == nil && w.handOver(job{kind: kind, ticket: t}, raw) {
		return
	}
	id, _, err := w.Put(ctx, kind, raw)
	t.tell(id, err)
}

// identify returns a chunk's id, and whether it is for the caller to store.
func (w *Writer) identify(raw []byte) (id ID, isNew bool, err error) {
	id = w.v.hash.id(raw)
	w.chunks.Add(1)
	w.raw.Add(uint64(len(raw)))
	if isNew, err = w.claim(id); err != nil || !isNew {
		return id, false, err
	}
	w.newChunks.Add(1)
	w.newRaw.Add(uint64(len(raw)))
	return id, true, nil
}

// handOver has a worker store a chunk, unless that is no work to speak of or all are busy: then it is stored sooner by the caller.
func (w *Writer) handOver(j job, raw []byte) bool {
	if len(raw) < minHandOver || len(w.jobs) == cap(w.jobs) {
		return false
	}
	buf := rawBufs.Get().(*[]byte)
	*buf = append((*buf)[:0], raw...)
	j.raw = buf
	w.open.Add(1)
	select {
	case w.jobs <- j:
		return true
	default: // others were faster
		w.open.Done()
		rawBufs.Put(buf)
		return false
	}
}

// claim tells whether the chunk is for this caller to store.
func (w *Writer) claim(id ID) (bool, error) {
	if !w.pending.add(id) {
		return false, nil
	}
	_, p, err := w.v.lookUpWith(id, w.relies.hit)
	if err != nil || p != nil {
		w.pending.remove(id)
		return false, err
	}
	return true, nil
}

// Rely tells whether a chunk is in the vault, or was put by this writer, and has gc leave it alone as Put would: for who knows the id and not the bytes. It may
// be called from many goroutines.
func (w *Writer) Rely(id ID) (bool, error) {
	if w.pending.has(id) {
		return true, nil
	}
	_, p, err := w.v.lookUpWith(id, w.relies.hit)
	return p != nil, err
}

func (w *Writer) work() {
	for j := range w.jobs {
		if err := w.do(&j); err != nil {
			w.err.set(err)
		}
		rawBufs.Put(j.raw)
		w.open.Done()
	}
}

func (w *Writer) do(j *job) error {
	if j.ticket != nil {
		id, isNew, err := w.identify(*j.raw)
		j.ticket.tell(id, err)
		if err != nil || !isNew {
			return err
		}
		j.id = id
	}
	return w.store(j.id, j.kind, *j.raw)
}

// store encodes a chunk and appends it to a pack, or to a group if it is small.
func (w *Writer) store(id ID, kind Kind, raw []byte) error {
	f := pack.Frame{Chunk: id, Kind: kind, Raw: uint32(len(raw))}
	if grouped(kind, len(raw), w.o.Encoding) {
		return w.gather(f, raw)
	}
	e := encoders.Get().(*pack.Encoder)
	defer encoders.Put(e)
	payload, enc := e.Encode(raw, w.o.Encoding)
	f.Encoding = enc
	p := w.packers[0]
	if kind != pack.KindFile {
		p = w.packers[1]
	}
	return p.append(f, payload)
}

// Stats of a writer so far.
type Stats struct {
	Chunks, NewChunks uint64 // put; of those, not in the vault before
	Raw, NewRaw       uint64 // likewise, bytes before compression
	Stored            uint64 // bytes of files written to the vault, everything included
}

// Stats tells what the writer did so far.
func (w *Writer) Stats() Stats {
	return Stats{
		Chunks: w.chunks.Load(), NewChunks: w.newChunks.Load(),
		Raw: w.raw.Load(), NewRaw: w.newRaw.Load(), Stored: w.stored.Load(),
	}
}

// Flush makes everything put so far durable. Nothing may be put meanwhile.
func (w *Writer) Flush(ctx context.Context) error {
	w.open.Wait()
	w.flushGroups()
	for _, p := range w.packers {
		w.err.set(p.flush())
	}
	return errors.Join(ctx.Err(), w.err.get())
}

// Commit makes everything put durable and then writes the version's record: after it returned nil the version is there, before
// there is none. ErrExists if there is one of that name; ErrLost if something that was put, and stored, has been lost since, so that it must be put again. The writer can go on with
// another version.
func (w *Writer) Commit(ctx context.Context, k VersionKey, record []byte) error {
	if w.v.hasVersion(k) {
		return fmt.Errorf("commit version %v: %w", k, ErrExists)
	}
	if err := w.Flush(ctx); err != nil {
		return fmt.Errorf("commit version %v: %w", k, err)
	}
	if err := w.allThere(); err != nil {
		return fmt.Errorf("commit version %v: %w", k, err)
	}
	if err := w.v.room(ctx, uint64(len(record))); err != nil {
		return fmt.Errorf("commit version %v: %w", k, err)
	}
	n, err := w.v.commit(ctx, k, record)
	if err != nil {
		return fmt.Errorf("commit version %v: %w", k, err)
	}
	w.stored.Add(n)
	return nil
}

// allThere looks whether what a repair could not read meanwhile is stored elsewhere, if this writer relies on it. ErrLost.
func (w *Writer) allThere() error {
	for _, l := range w.v.doubted(&w.relies) {
		isThere := false // and not only where it could not be read
		_, _, err := w.v.lookUpWith(l.frame.Chunk, func(at *location, p *packInfo) {
			if isThere = at.pack != l.pack || at.num != l.num; isThere {
				w.relies.hit(at, p)
			}
		})
		if err != nil {
			return err
		}
		if !isThere {
			return fmt.Errorf("something that was stored already was %w meanwhile; the next backup stores it again", ErrLost)
		}
	}
	return nil
}

// Abandon frees the writer instead of Close, after a panic of who used it: nobody knows how it was left, so what is in no pack yet is dropped, and nothing is waited for.
func (w *Writer) Abandon() {
	w.err.set(errAbandoned)
	if w.jobs != nil {
		close(w.jobs)
	}
	w.untrim()
	w.v.dismiss(w)
}

var errAbandoned = errors.New("the writer was abandoned")

// Close makes durable what was put, if it can, for the next writer to use, and frees the writer. It returns an error that
// neither Put nor Commit returned.
func (w *Writer) Close() error {
	defer w.v.dismiss(w)
	defer w.untrim()
	told := w.err.get()
	if w.jobs != nil {
		close(w.jobs)
		w.workers.Wait()
	}
	err := w.Flush(context.Background())
	if told != nil {
		return nil
	}
	return err
}

// pendingIDs are the chunks put and not yet in the index.
type pendingIDs struct {
	mu  sync.Mutex
	ids map[ID]struct{}
}

func (p *pendingIDs) add(id ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.ids[id]; ok {
		return false
	}
	p.ids[id] = struct{}{}
	return true
}

func (p *pendingIDs) has(id ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.ids[id]
	return ok
}

func (p *pendingIDs) remove(ids ...ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		delete(p.ids, id)
	}
}

// firstError keeps the first error of many goroutines; nil is none.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (e *firstError) set(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
}

func (e *firstError) get() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
