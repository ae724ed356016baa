package store

import (
	"context"
	"fmt"

	"yester/store/pack"
)

// A mover takes packs away and puts their chunks elsewhere, for gc and for repair.
type mover struct {
	v       *Vault
	limiter Limiter
	ended   reliance  // of writers that were closed meanwhile, if anybody asks; guarded by Vault.mu as theirs is
	owed    []retired // gone, but for their entries in the index
	freed   int64     // bytes of files removed, less those written
	written int       // packs
}

// A retired pack is out of Vault.packs.
type retired struct {
	number uint32
	pack   *packInfo
	ids    []ID // all that it holds
}

// What writers rely on of a pack.
type relied int

const (
	relyNone relied = iota
	relyFrames
	relyAll
)

// relied tells what writers rely on of a pack, and adds the frames to a bitmap, if it is not nil. The caller holds Vault.mu for writing.
func (m *mover) relied(number uint32, frames bitmap) (most relied) {
	for _, r := range m.all() {
		whole, hits := r.on(number)
		switch {
		case whole:
			most = relyAll
		case hits != nil:
			most = max(most, relyFrames)
		}
		frames.or(hits)
	}
	return most
}

// all are the writers there are, and those that were. The caller holds Vault.mu.
func (m *mover) all() []*reliance {
	all := []*reliance{&m.ended}
	for w := range m.v.holding.writers {
		all = append(all, w)
	}
	return all
}

// takeOut takes a pack out of Vault.packs. It does not if somebody relies on a frame that is not in moved, unless forced: those of a
// damaged pack are lost anyway. Who relies on frames that are relies on the packs into which they were moved from now on.
func (m *mover) takeOut(number uint32, moved bitmap, into []uint32, force bool) bool {
	v := m.v
	v.mu.Lock()
	defer v.mu.Unlock()
	all := m.all()
	for _, r := range all {
		if whole, hits := r.on(number); !force && (whole && !moved.full(v.packs[number].frames) || !hits.within(moved)) {
			return false
		}
	}
	for _, r := range all {
		if whole, hits := r.on(number); !whole && hits == nil {
			continue
		}
		for _, n := range into {
			r.owns(n)
		}
	}
	v.drop(number)
	return true
}

// retire removes a pack that was taken out, from the index first. On a full disk the index cannot be written, so there the file goes first: a
// crash then costs a new index, but there is room again.
func (m *mover) retire(ctx context.Context, r retired) error {
	ctx = context.WithoutCancel(ctx)
	if err := m.v.index.room(); err != nil {
		m.owed = append(m.owed, r)
	} else if err := m.v.index.removePack(r.number, r.ids); err != nil {
		return err
	}
	if err := m.v.removeStored(ctx, packName(r.pack.instance, r.pack.id)); err != nil {
		return fmt.Errorf("remove pack %v: %w", r.pack.id, err)
	}
	m.v.files.forget(r.pack.id)
	m.freed += int64(r.pack.size)
	return nil
}

// pay removes from the index what retire could not. If there is still no room, Open does it.
func (m *mover) pay() error {
	if len(m.owed) == 0 {
		return nil
	}
	if err := m.v.index.room(); err != nil {
		m.v.log.Warn("the index will be made anew at the next start", "err", err)
		return nil
	}
	for _, r := range m.owed {
		if err := m.v.index.removePack(r.number, r.ids); err != nil {
			return err
		}
	}
	m.owed = nil
	return nil
}

func idsOf(frames []pack.Frame) []ID {
	ids := make([]ID, len(frames))
	for i := range frames {
		ids[i] = frames[i].Chunk
	}
	return ids
}

func chunksOf(all []location) []ID {
	ids := make([]ID, len(all))
	for i := range all {
		ids[i] = all[i].frame.Chunk
	}
	return ids
}
