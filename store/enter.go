package store

import "yester/store/pack"

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
