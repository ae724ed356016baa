package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"yester/store/pack"
)

// RebuildIndex makes the index anew from the packs, beside everything else that goes on: it enters all that their tables say, and then
// removes what they do not. An index that does not open, or has errors in it, is made anew by Open; this is for one that says wrong
// things. It returns the packs entered. The error is the context's, ErrBusy, or that of a place or the index; the next run does it all again.
func (v *Vault) RebuildIndex(ctx context.Context, p Progress) (packs int, err error) {
	end, err := v.beginMaintenance(ctx)
	if err != nil {
		return 0, fmt.Errorf("rebuild index: %w", err)
	}
	defer end()
	r := &rebuild{v: v, progress: p, chunks: map[uint32][]uint32{}, choice: choice{v: v, silent: map[uint32]bool{}}}
	for _, step := range []func(context.Context) error{v.present, r.enterNew, r.readKnown, r.enterKnown, r.removeStale} {
		if err := errors.Join(ctx.Err(), step(ctx)); err != nil {
			return len(r.chunks), fmt.Errorf("rebuild index: %w", err)
		}
	}
	return len(r.chunks), nil
}

// A rebuild under way.
type rebuild struct {
	v        *Vault
	progress Progress
	seen     map[pack.ID]packSeen
	chunks   map[uint32][]uint32 // by pack, the first bytes of the ids of its chunks
	choice   choice
}

// enterNew enters packs that are not known at all. While a writer is open, one may be just about to be entered by it.
func (r *rebuild) enterNew(ctx context.Context) error {
	s, err := r.v.survey(ctx)
	if err != nil {
		return err
	}
	r.seen = maps.Clone(s.packs)
	if r.v.isWritten() {
		r.v.log.Info("packs that the index does not know are not looked for, as a backup is under way")
		return nil
	}
	before := r.v.known()
	for _, p := range before {
		delete(s.packs, p.id)
	}
	err = r.v.enter(ctx, s.packs)
	for number := range r.v.known() {
		if before[number] == nil { // a writer opened meanwhile may have found a chunk elsewhere that is found here now
			r.v.allRelyOn(number)
		}
	}
	return err
}

func (v *Vault) isWritten() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.holding.writers) > 0
}

// readKnown reads the tables of the packs that are known.
func (r *rebuild) readKnown(ctx context.Context) error {
	return r.each(ctx, "tables", func(number uint32, _ *packInfo, frames []pack.Frame) error {
		short := make([]uint32, len(frames))
		for i := range frames {
			short[i] = shortID(&frames[i].Chunk)
		}
		r.chunks[number] = short
		return nil
	})
}

// enterKnown enters their chunks, but for those that are found in another pack that has them, and can be read there. On where others are found now all open writers rely: one may have
// found a chunk where it was, up to the moment at which it was entered.
func (r *rebuild) enterKnown(ctx context.Context) error {
	return r.each(ctx, "packs", func(number uint32, p *packInfo, frames []pack.Frame) error {
		r.v.mu.RLock()
		u := r.v.uses[number]
		r.v.mu.RUnlock()
		moved := false
		err := r.v.index.add(number, p, frames, u, func(l *location) (bool, error) {
			right, wrong, err := r.right(ctx, l)
			moved = moved || wrong
			return right, err
		})
		if moved {
			r.v.allRelyOn(number)
		}
		return err
	})
}

// right tells whether the index knows where a chunk lies, perhaps elsewhere, and else whether it believed it to lie somewhere.
func (r *rebuild) right(ctx context.Context, l *location) (right, wrong bool, err error) {
	at, found, err := r.v.index.find(l.frame.Chunk)
	if err = errors.Join(ctx.Err(), err); err != nil || !found || at.pack == l.pack {
		return false, found && at != *l, err
	}
	in := r.v.packOf(&at, nil)
	right = in != nil && r.has(&at) && !r.choice.onlyAt(l, &at, in)
	return right, !right, nil
}

// has tells whether a chunk lies where the index says. Of a pack whose table was not read, written since or damaged, it is believed.
func (r *rebuild) has(at *location) bool {
	short, read := r.chunks[at.pack]
	if !read {
		return r.v.packOf(at, nil) != nil
	}
	return int(at.num) < len(short) && short[at.num] == shortID(&at.frame.Chunk)
}

// each calls f for every known pack whose table can be read.
func (r *rebuild) each(ctx context.Context, step string, f func(uint32, *packInfo, []pack.Frame) error) error {
	known := r.v.known()
	for i, number := range slices.Sorted(maps.Keys(known)) {
		if r.progress != nil {
			r.progress(step, i, len(known))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		p := known[number]
		number, p, frames, err := r.table(ctx, number, p)
		if err == nil {
			err = f(number, p, frames)
		} else if isDamage(err) || errors.Is(err, errBadIndex) {
			r.v.log.Error("a pack cannot be read, what the index knows of it stays", "instance", p.instance, "pack", p.id, "err", err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// table reads the table of a known pack. One of which the index says other things than most of its files is entered anew, by another number.
func (r *rebuild) table(ctx context.Context, number uint32, p *packInfo) (uint32, *packInfo, []pack.Frame, error) {
	info, frames, err := r.v.readTable(ctx, p.instance, p.id)
	if err != nil || *info != *p {
		if err == nil && info.readable(r.seen[p.id].in.shards()) && r.v.isOutvoted(ctx, p) {
			number, err = r.enterAnew(ctx, number, p, info, frames)
			return number, info, frames, err
		}
		frames, err = r.v.tableOf(ctx, p)
	}
	return number, p, frames, err
}

// isOutvoted tells whether the index says other things of a pack than most of its files.
func (v *Vault) isOutvoted(ctx context.Context, p *packInfo) bool {
	g := v.gatherPack(ctx, p)
	defer g.close()
	return errors.Is(g.unread, errOutvoted)
}

// enterAnew enters a pack as info says it is, instead of as the index does. It is taken out first, for were it known by two numbers, and one be of no use, its files would be collected;
// until it is entered, by the next start at the latest, its chunks are not found.
func (r *rebuild) enterAnew(ctx context.Context, number uint32, p, info *packInfo, frames []pack.Frame) (uint32, error) {
	v := r.v
	defer v.place.locks.lock(packName(p.instance, p.id))()
	if err := errors.Join(ctx.Err(), v.index.room()); err != nil {
		return number, err
	}
	forget := func(number uint32) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.drop(number)
	}
	forget(number)
	v.files.forget(p.id)
	if err := v.index.removePack(number, idsOf(frames)); err != nil {
		return number, err
	}
	u := newUse(frames)
	v.mu.Lock()
	number = v.number(info, u)
	v.mu.Unlock()
	if err := v.index.add(number, info, frames, u, v.keepFound); err != nil {
		forget(number)
		return number, err
	}
	v.allRelyOn(number) // a backup under way may have found its chunks where they were
	v.log.Warn("a pack was entered anew, as the index said wrong things of it", "instance", p.instance, "pack", p.id)
	v.mend.later.Store(true) // places may lack it
	v.mend.poke()
	return number, nil
}

func shortID(id *ID) uint32 { return binary.LittleEndian.Uint32(id[:]) }

// removeStale removes entries that no table has.
func (r *rebuild) removeStale(ctx context.Context) error {
	stale := map[uint32][]location{}
	err := r.v.index.each(ctx, func(l location) error {
		if !r.has(&l) {
			stale[l.pack] = append(stale[l.pack], l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for number, all := range stale {
		r.v.doubt(all) // a backup under way may have believed them
		if err := r.v.index.removeChunks(number, chunksOf(all)); err != nil {
			return err
		}
	}
	return nil
}
