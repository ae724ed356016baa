package store

import (
	"encoding/binary"

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
	v.packs[number], v.uses[number] = p, u
	return number
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
func (v *Vault) keepReadable(l *location) (bool, error) {
	at, in, err := v.lookUp(l.frame.Chunk)
	return in != nil && !v.onlyAt(l, &at, in), err
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

// onlyAt tells whether a chunk can be read at l and not where it is found, in a pack that a repair has kept because of its medium, say: what was lost there a later backup has stored
// again. Then all open writers rely on the pack of l: the chunk is about to be found there.
func (v *Vault) onlyAt(l, found *location, in *packInfo) bool {
	p := v.packOf(l, nil)
	if l.pack == found.pack || p == nil || v.tryFrame(in, found) == nil || v.tryFrame(p, l) != nil {
		return false
	}
	v.allRelyOn(l.pack)
	return true
}
