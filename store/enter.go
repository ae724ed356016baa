package store

import (
	"context"
	"encoding/binary"
	"errors"

	"yester/store/pack"
)

// A keeper tells of a chunk of a pack that is being entered in the index whether it stays where it is found already.
type keeper func(*location) (bool, error)

// enterPack enters a pack in memory and in the index, and returns its number there. It is relied on as a whole by who wrote it, nil for none. The pack is
// known before the first of its chunks is found in it: these may have been found elsewhere before.
func (v *Vault) enterPack(p *packInfo, frames []pack.Frame, by *reliance) (number uint32, err error) {
	u := newUse(frames)
	v.mu.Lock()
	number = v.number(p, u)
	var keep keeper
	if by != nil {
		by.owns(number)
		if by.shares {
			keep = v.keepFor(by)
		}
	}
	v.mu.Unlock()
	return number, v.index.add(number, p, frames, u, keep)
}

// number enters a pack in memory. The caller holds Vault.mu.
func (v *Vault) number(p *packInfo, u use) (number uint32) {
	number = v.nextPack
	v.nextPack++
	v.packs[number], v.uses[number], v.numbers[p.id] = p, u, number
	return number
}

// drop takes a pack out of memory, if it is there. The caller holds Vault.mu.
func (v *Vault) drop(number uint32) {
	if p := v.packs[number]; p != nil && v.numbers[p.id] == number {
		delete(v.numbers, p.id)
	}
	delete(v.packs, number)
	delete(v.uses, number)
}

// packByID returns what is known of a pack, nil if nothing is.
func (v *Vault) packByID(id pack.ID) *packInfo {
	v.mu.RLock()
	defer v.mu.RUnlock()
	number, known := v.numbers[id]
	if !known {
		return nil
	}
	return v.packs[number]
}

// keepFor has chunks that another writer stored meanwhile stay where they are, and be relied on there: where the index finds a chunk is
// where it is kept from being collected, for all who rely on it.
func (v *Vault) keepFor(by *reliance) keeper {
	return func(l *location) (bool, error) {
		_, p, err := v.lookUpWith(l.frame.Chunk, by.hit)
		return p != nil, err
	}
}

// keepFound has chunks that are found already stay where they are: whoever relies on one does so there.
func (v *Vault) keepFound(l *location) (bool, error) {
	_, p, err := v.lookUp(l.frame.Chunk)
	return p != nil, err
}

// keepReadable is keepFound but for a chunk that can be read only from the pack that is being entered.
func (v *Vault) keepReadable(ctx context.Context) keeper {
	c := choice{v: v, silent: map[uint32]bool{}}
	return func(l *location) (bool, error) {
		at, in, err := v.lookUp(l.frame.Chunk)
		if err = errors.Join(ctx.Err(), err); err != nil || in == nil {
			return false, err
		}
		return !c.onlyAt(l, &at, in), nil
	}
}

// unlessNew asks keep only for chunks that it was asked for before, and a few others, if the index was empty at first: to look up each would take longer than to enter it. It takes
// 16 MiB, for up to some ten million chunks; of more it asks for more.
func unlessNew(keep keeper) keeper {
	const bits = 1 << 27
	asked := newBitmap(bits)
	return func(l *location) (bool, error) {
		isNew := false
		for i := 0; i < 16; i += 4 { // bytes of an id are as good as random
			isNew = asked.set(binary.LittleEndian.Uint32(l.frame.Chunk[i:])%bits) || isNew
		}
		if isNew {
			return false, nil
		}
		return keep(l)
	}
}

// A choice finds out which of two copies of a chunk can be read. It is for one goroutine at a time.
type choice struct {
	v           *Vault
	found, here trial
	silent      map[uint32]bool // packs of which the medium did not let a frame be read; to try each of these takes long
}

// onlyAt tells whether a chunk can be read at l and not where it is found, in a pack that a repair has kept because of its medium, say: what was lost there a later backup has stored
// again. What takes parity to be read counts as if it could not be: there may be much of it.
func (c *choice) onlyAt(l, found *location, in *packInfo) bool {
	p := c.v.packOf(l, nil)
	if l.pack == found.pack || p == nil {
		return false
	}
	if c.silent[found.pack] && !c.silent[l.pack] && c.reads(&c.here, p, l) {
		return true
	}
	return !c.reads(&c.found, in, found) && c.reads(&c.here, p, l)
}

// reads tells whether a frame can be read as it is.
func (c *choice) reads(last *trial, p *packInfo, l *location) bool {
	if !last.knows(l) {
		*last = trial{*l, c.v.tryPlainly(p, l)}
		c.silent[l.pack] = c.silent[l.pack] || pack.OfMedium(last.bad)
	}
	return last.bad == nil
}

// tryPlainly is tryFrame, but not around damage.
func (v *Vault) tryPlainly(p *packInfo, l *location) error {
	f, err := v.files.open(p)
	if err != nil {
		return err
	}
	defer v.files.release(f)
	sealed := make([]byte, l.frame.Stored)
	if err := f.readAt(sealed, int64(l.frame.Offset)); err != nil {
		return err
	}
	_, err = f.sealer.Open(sealed[:0], l.num, l.frame, sealed)
	return err
}
