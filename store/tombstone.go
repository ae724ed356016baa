package store

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
)

// A file that was removed while a place was away would come back with that place, and a version record would come back without its chunks. So
// for what is removed from a vault in several places an empty file of the same name lies under "deleted", for instance
//
//	deleted/instances/<id>/versions/<partition>/<version>
//
// from before the first copy goes until every place is there and none has it; one that is being replaced, and may be missing, counts among them. What is found of a record or a key that has such a tombstone
// is removed; but a removal is done only when no more places have the file than may be lost, so if more do, it failed or a place made the note by itself, and the key
// stays. A pack that can still be read, from a place that came back, is taken up again instead, as versions that were made there
// meanwhile may need it, and collected again if none does; what is left of one that cannot be read is removed.
type stones struct {
	mu    sync.RWMutex
	names map[string]bool // removed
}

const deletedFolder = "deleted"

func stone(name string) string { return path.Join(deletedFolder, name) }

// has tells whether the file was removed.
func (s *stones) has(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.names[name]
}

// any tells whether anything was.
func (s *stones) any() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.names) > 0
}

func (s *stones) set(name string, removed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]bool{}
	}
	if removed {
		s.names[name] = true
	} else {
		delete(s.names, name)
	}
}

// Remove removes a file from every place.
func (s *spread) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.locks.lock(name)()
	s.using.RLock()
	defer s.using.RUnlock()
	l := s.layout()
	if l.alone() {
		return l.members[0].place.Remove(ctx, name)
	}
	return s.removeAll(context.WithoutCancel(ctx), l, name)
}

func (s *spread) removeAll(ctx context.Context, l *layout, name string) error {
	if err := s.bury(ctx, l, name); err != nil {
		return err
	}
	e := s.tryRemove(ctx, l, name)
	if err := e.err(); err != nil {
		return err
	}
	if !e.missed() && !l.inheriting() {
		s.unbury(ctx, l, name)
	}
	return nil
}

// bury notes that a file is removed.
func (s *spread) bury(ctx context.Context, l *layout, name string) error {
	if err := s.writeAll(ctx, l, stone(name)); err != nil {
		return fmt.Errorf("note that %s is removed: %w", name, err)
	}
	s.stones.set(name, true)
	return nil
}

// noteUndeleted lists the versions whose deletion failed, as was told then: more places have the record than may be lost. Whether it is made up for is for Leave to say.
func (v *Vault) noteUndeleted(s *survey) {
	v.versions = map[VersionKey]struct{}{}
	l := v.place.layout()
	for name, in := range s.files {
		if k, ok := parseVersionName(name); ok && v.place.stones.has(name) && in.shards() > l.shape.Parity {
			v.versions[k] = struct{}{}
		}
	}
}

// unbury forgets that, as the file is nowhere any more. What it cannot remove, Mend does; until then it stays known, or a file that is made anew meanwhile would go with it.
func (s *spread) unbury(ctx context.Context, l *layout, name string) {
	if e := s.tryRemove(ctx, l, stone(name)); !e.missed() {
		s.stones.set(name, false)
	}
}

// stays tells that a file other than a pack or a record was not removed, whatever notes say: more places have it than may be lost. Of records see noteUndeleted.
func (s *spread) stays(ctx context.Context, l *layout, name string) bool {
	if _, isVersion := parseVersionName(name); isVersion || isPack(name) {
		return false
	}
	n := 0
	for _, m := range l.members {
		if f, err := s.open(ctx, m, name); err == nil {
			f.Close()
			n++
		}
	}
	return n > l.shape.Parity
}

// loadStones reads what was removed.
func (s *spread) loadStones(ctx context.Context) error {
	l := s.layout()
	if l.alone() {
		return nil
	}
	for _, m := range l.sources() {
		p := m.reader()
		if p == nil {
			continue // it dropped out while another was read
		}
		err := walk(ctx, p, deletedFolder, func(name string) {
			if name = strings.TrimPrefix(name, deletedFolder+"/"); !s.stones.has(name) && !s.stays(ctx, l, name) {
				s.stones.set(name, true)
			}
		})
		if err != nil && ctx.Err() == nil {
			s.note(m, err, true)
		}
	}
	return ctx.Err()
}
