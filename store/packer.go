package store

import (
	"context"
	"fmt"
	"sync"

	"yester/store/pack"
)

// A packer fills packs of one sort, and writes them when they are full. With beside it fills the next while one is written.
type packer struct {
	w      *Writer
	size   int
	beside bool

	mu      sync.Mutex
	filling *pack.Builder // nil: none begun
	spare   *pack.Builder // memory of a pack that was written
	flying  *pack.Builder // being written; nil: none is
	done    chan written  // its result
}

// written is what came of writing a pack.
type written struct {
	busy bool // a slow place still reads its memory
	err  error
}

func (p *packer) append(f pack.Frame, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(1, len(payload)); err != nil {
		return err
	}
	p.filling.Append(f, payload)
	return nil
}

func (p *packer) appendGroup(frames []pack.Frame, enc Encoding, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(len(frames), len(payload)); err != nil {
		return err
	}
	p.filling.AppendGroup(frames, enc, payload)
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
	if b := p.spare; b != nil && b.Shape() == shape {
		p.spare = nil
		b.Reset(id, sealer)
		p.filling = b
		return nil
	}
	p.filling, err = pack.NewBuilder(p.w.v.id, id, sealer, shape, p.size)
	return err
}

// writeFilling writes the pack that is being filled, after the one before.
func (p *packer) writeFilling() error {
	if err := p.wait(); err != nil {
		return err
	}
	b := p.filling
	p.filling = nil
	if !p.beside {
		busy, err := p.w.writePack(b)
		p.keep(b, busy)
		return err
	}
	done := make(chan written, 1)
	p.flying, p.done = b, done
	go func() {
		p.w.o.Run(func() {
			busy, err := p.w.writePack(b)
			p.w.err.set(err)
			done <- written{busy, err}
		})
	}()
	return nil
}

// flush writes what there is and waits for it.
func (p *packer) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.filling != nil {
		if err := p.writeFilling(); err != nil {
			return err
		}
	}
	return p.wait()
}

// wait waits for the pack being written.
func (p *packer) wait() error {
	if p.flying == nil {
		return nil
	}
	d := <-p.done
	p.keep(p.flying, d.busy)
	p.flying = nil
	return d.err
}

// keep keeps a builder's memory for another pack, unless somebody still reads it.
func (p *packer) keep(b *pack.Builder, busy bool) {
	if !busy {
		p.spare = b
	}
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
	if err := w.v.room(ctx, w.v.place.share(h.FileSize())); err != nil {
		return false, err
	}
	if err := indexRoom(w.v.o.IndexDir); err != nil {
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
