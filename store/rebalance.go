package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"yester/store/pack"
)

// Rebalance writes packs that have another shape than new ones anew, as AddPlace does at its end: to go on with one that was interrupted, and for packs that
// were being written when it was called, or could not be read. ErrMissing while a place is missing.
func (v *Vault) Rebalance(ctx context.Context, o PlaceOptions) error {
	end, err := v.beginMaintenance(ctx)
	if err != nil {
		return fmt.Errorf("rebalance: %w", err)
	}
	defer end()
	return v.rebalance(ctx, &o)
}

// errLater says that a pack cannot be read for a reason that may pass.
var errLater = errors.New("it cannot be read for now")

// rebalance writes packs of another shape than new ones have anew, and removes the old ones. A pack that cannot be read any more stays as it is. One that cannot be read for now keeps
// no other waiting, and is an error; so is a missing place, in which there may be packs that nobody knows while it is. While a place lacks something nothing is written: the old packs
// could not go, and all of the vault would be there twice.
func (v *Vault) rebalance(ctx context.Context, o *PlaceOptions) error {
	progress := o.step("spread")
	seen := map[pack.ID]bool{}
	var later []error
	for todo := v.misshapen(seen); len(todo) > 0; todo = v.misshapen(seen) { // some may be written meanwhile
		done := 0
		for number, p := range todo {
			progress(done, len(todo))
			if err := v.upToDate(ctx); err != nil {
				return errors.Join(append([]error{err}, later...)...)
			}
			done++
			seen[p.id] = true
			err := v.reshape(ctx, number, p, o.Limiter)
			if errors.Is(err, errLater) {
				later = append(later, err)
				continue
			}
			if err != nil {
				return fmt.Errorf("spread pack %v anew: %w", p.id, err)
			}
			if !v.place.layout().complete() {
				delete(seen, p.id) // it may have had to stay
			}
		}
		progress(done, done)
	}
	if len(later) > 0 {
		return fmt.Errorf("%d packs keep their old shape until it goes on, the first of them: %w", len(later), later[0])
	}
	if gone := v.place.layout().gone(); len(gone) > 0 {
		return fmt.Errorf("%w: %s may have packs that keep their old shape until it goes on", ErrMissing, titles(gone))
	}
	return nil
}

// upToDate is nil if every place has all that it should have, if need be after it was looked whether one is back. ErrMissing.
func (v *Vault) upToDate(ctx context.Context) error {
	if v.place.layout().complete() {
		return nil
	}
	err := v.mend.tend(ctx, v.mend.retry)
	l := v.place.layout()
	if ctx.Err() != nil || l.complete() {
		return ctx.Err()
	}
	lacking := slices.DeleteFunc(slices.Clone(l.members), func(m *member) bool { return m.current() && !m.inherits() })
	return errors.Join(fmt.Errorf("%w: packs keep their old shape until %s has everything", ErrMissing, titles(lacking)), err)
}

// misshapen are the packs that have not the shape of new ones, but for those in seen.
func (v *Vault) misshapen(seen map[pack.ID]bool) map[uint32]*packInfo {
	l := v.place.layout()
	v.mu.RLock()
	defer v.mu.RUnlock()
	todo := map[uint32]*packInfo{}
	for number, p := range v.packs {
		if !seen[p.id] && (p.shape != l.shape || p.whole != l.alone()) {
			todo[number] = p
		}
	}
	return todo
}

// reshape writes what a pack holds to a new one, and then removes it. Chunks that can be read elsewhere too are left out, unless somebody relies on their lying
// here, so that after an interruption it does not write what it wrote before.
func (v *Vault) reshape(ctx context.Context, number uint32, p *packInfo, limiter Limiter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, meta, err := v.readAll(ctx, p)
	if data == nil || err != nil {
		return err
	}
	keeps := func(err error) { v.log.Error("a pack keeps its old shape", "pack", p.id, "err", err) }
	sealer, err := pack.NewSealer(v.master, p.id)
	if err != nil {
		return err
	}
	m := &moving{number: number, pack: p}
	if m.frames, err = meta.Table(sealer); err != nil {
		keeps(err)
		return nil
	}
	r := &repacker{mover: &mover{v: v, limiter: limiter}, instance: p.instance, size: int(p.data), retired: func(*moving, bool) {}}
	wanted, err := r.foundIn(ctx, number, m.frames)
	if err != nil {
		return err
	}
	err = r.move(ctx, m, wanted, func(num uint32) ([]byte, error) {
		f := m.frames[num]
		return sealer.Open(nil, num, f, data[f.Offset:][:f.Stored])
	})
	if isUnreadable(err) {
		keeps(err)
		return nil
	}
	if err == nil {
		err = r.flush(ctx)
	}
	return errors.Join(err, r.pay())
}

// foundIn are the frames of a pack that are found in it, or nowhere where they can be read, and those that somebody relies on.
func (m *mover) foundIn(ctx context.Context, number uint32, frames []pack.Frame) (bitmap, error) {
	wanted := newBitmap(uint32(len(frames)))
	m.v.mu.Lock()
	whole := m.relied(number, wanted) == relyAll
	m.v.mu.Unlock()
	var last trial
	for i, f := range frames {
		l, in, err := m.v.lookUp(f.Chunk)
		want := whole || in == nil || l.pack == number
		if err == nil && !want && !wanted.has(uint32(i)) {
			var bad error
			bad, err = m.try(ctx, &last, in, &l)
			want = bad != nil
		}
		if err = errors.Join(ctx.Err(), err); err != nil {
			return nil, err
		}
		if want {
			wanted.set(uint32(i))
		}
	}
	return wanted, nil
}

// readAll reads a pack's data region, brought back where it is damaged; nil if it cannot be, or the pack is gone. errLater.
func (v *Vault) readAll(ctx context.Context, p *packInfo) ([]byte, *pack.Meta, error) {
	name := packName(p.instance, p.id)
	defer v.place.locks.lock(name)()
	g, err := v.gather(ctx, name)
	if g == nil || err != nil {
		return nil, nil, err
	}
	defer g.close()
	past := firstOf(g.damage, pack.ErrDamaged)
	if len(g.sources) > 0 {
		var built *pack.Built
		if built, _, past = g.sources.Repair(); past == nil {
			return built.File(pack.AllShards)[1], g.sources[0].Meta, nil
		}
		if v.probe(g.detour) {
			return nil, nil, fmt.Errorf("pack %v: %w: %w", p.id, errLater, past)
		}
	}
	if err := g.certain(g.all, g.want); err != nil {
		return nil, nil, fmt.Errorf("pack %v: %w: %w", p.id, errLater, err)
	}
	return nil, nil, v.pastHealing(ctx, damagedFile{name: name, offset: -1}, g, past)
}
