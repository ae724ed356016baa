package store

import (
	"context"
	"fmt"
	"sync"

	"yester/store/pack"
)

// A packer fills packs of one sort, and writes them when they are full. Beside it is how many may be written while the next is filled; 0: none, who fills one
// waits until it is written.
type packer struct {
	w      *Writer
	size   int
	beside int

	mu      sync.Mutex
	filling *pack.Builder   // nil: none begun
	sealing sync.WaitGroup  // frames that have their place in it
	spares  []*pack.Builder // memory of packs that were written
	flying  []flight        // being written, the oldest first
}

// A flight is a pack being written.
type flight struct {
	b    *pack.Builder
	done chan written
}

// written is what came of writing a pack.
type written struct {
	busy bool // a slow place still reads its memory
	err  error
}

// append seals a frame beside others: the lock is held only while it gets its place.
func (p *packer) append(f pack.Frame, payload []byte) error {
	return p.seal(1, payload, func() pack.Reserved { return p.filling.Reserve(f, len(payload)) })
}

func (p *packer) appendGroup(frames []pack.Frame, enc Encoding, payload []byte) error {
	return p.seal(len(frames), payload, func() pack.Reserved { return p.filling.ReserveGroup(frames, enc, len(payload)) })
}

func (p *packer) seal(chunks int, payload []byte, reserve func() pack.Reserved) error {
	p.mu.Lock()
	if err := p.ready(chunks, len(payload)); err != nil {
		p.mu.Unlock()
		return err
	}
	if p.filling.Moves(len(payload)) {
		p.sealing.Wait()
	}
	r := reserve()
	p.sealing.Add(1)
	p.mu.Unlock()
	defer p.sealing.Done()
	r.Seal(payload)
	return nil
}

// ready has a pack being filled into which a payload of so many chunks fits.
func (p *packer) ready(chunks, payload int) error {
	if p.filling != nil && (!p.filling.Fits(payload) || len(p.filling.Frames())+chunks > maxPackFrames) {
		if err := p.writeFilling(); err != nil {
			return err
		}
	}
	if p.filling == nil {
		return p.begin()
	}
	return nil
}

func (p *packer) begin() error {
	id, sealer, err := p.w.v.newPack()
	if err != nil {
		return err
	}
	shape := p.w.v.place.shape()
	for n := len(p.spares); n > 0; n = len(p.spares) {
		b := p.spares[n-1]
		p.spares = p.spares[:n-1]
		if b.Shape() == shape {
			b.Reset(id, sealer)
			p.filling = b
			return nil
		}
	}
	p.filling, err = pack.NewBuilder(p.w.v.id, id, sealer, shape, p.size)
	return err
}

// writeFilling writes the pack that is being filled, when fewer than may be are being written.
func (p *packer) writeFilling() error {
	if err := p.land(max(p.most()-1, 0)); err != nil {
		return err
	}
	p.sealing.Wait()
	b := p.filling
	p.filling = nil
	if p.beside == 0 {
		busy, err := p.w.writePack(b)
		p.keep(b, busy)
		return err
	}
	f := flight{b, make(chan written, 1)}
	p.flying = append(p.flying, f)
	go func() {
		p.w.o.Run(func() {
			busy, err := p.w.writePack(b)
			p.w.err.set(err)
			f.done <- written{busy, err}
		})
	}()
	return nil
}

// most is how many packs may be written beside the next. It is one where they are much longer than what is in them, for their memory.
func (p *packer) most() int {
	if s := p.filling.Shape(); 4*s.Parity > s.Data {
		return min(p.beside, 1)
	}
	return p.beside
}

// flush writes what there is, and waits for all that is being written also after an error.
func (p *packer) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.filling != nil {
		err = p.writeFilling()
	}
	return firstOf(err, p.land(0))
}

// land waits until no more than n packs are being written.
func (p *packer) land(n int) (err error) {
	for len(p.flying) > n {
		f := p.flying[0]
		p.flying = p.flying[1:]
		d := <-f.done
		p.keep(f.b, d.busy)
		if err == nil {
			err = d.err
		}
	}
	return err
}

// keep keeps a builder's memory for another pack, unless somebody still reads it: then it is held beside that of the next packs, which are fewer at once from now on.
func (p *packer) keep(b *pack.Builder, busy bool) {
	if busy {
		p.beside = min(p.beside, 1)
		return
	}
	p.spares = append(p.spares, b)
}

// writePack writes a pack to its places, enters it in the index, and ends its chunks' being pending. Busy is as for the spread's.
func (w *Writer) writePack(b *pack.Builder) (busy bool, err error) {
	if busy, err = w.tryPack(b); err != nil {
		return busy, fmt.Errorf("write pack: %w", err)
	}
	frames := b.Frames()
	ids := make([]ID, len(frames))
	for i := range frames {
		ids[i] = frames[i].Chunk
	}
	w.pending.remove(ids...)
	return busy, nil
}

// tryPack is not stopped by a task's end: what is stored is stored, and a pack takes well under a second.
func (w *Writer) tryPack(b *pack.Builder) (busy bool, err error) {
	built, err := b.Finish()
	if err != nil {
		return false, err
	}
	ctx, h := context.Background(), built.Header()
	need := w.v.place.share(h.FileSize())
	defer w.v.underway.Add(-need)
	if err := w.v.room(ctx, w.v.underway.Add(need)); err != nil {
		return false, err
	}
	if err := w.v.index.room(); err != nil {
		return false, err
	}
	s, err := w.v.savePack(ctx, w.instance, built, b.Frames(), w.o.Run, &w.relies)
	if err == nil {
		w.stored.Add(s.pack.size)
	}
	return s.busy, err
}

// A savedPack is what came of writing a pack.
type savedPack struct {
	pack   *packInfo
	number uint32
	busy   bool // a slow place still reads its memory
}

// savePack writes a pack to its places and enters it in the index; run, if not nil, calls what writes to several places at once. It is relied on as a
// whole by who wrote it, nil for none. What is begun is ended, whatever becomes of the context.
func (v *Vault) savePack(
	ctx context.Context, instance string, built *pack.Built, frames []pack.Frame, run func(func()), by *reliance,
) (s savedPack, err error) {
	h := built.Header()
	defer v.place.locks.lock(packName(instance, h.Pack))()
	if err := ctx.Err(); err != nil {
		return s, err
	}
	if h, s.busy, err = v.place.writePack(context.WithoutCancel(ctx), instance, built, run); err != nil {
		return s, placeError(err)
	}
	s.pack = newPackInfo(instance, h)
	s.number, err = v.enterPack(s.pack, frames, by)
	return s, err
}
