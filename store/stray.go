package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A record that lies in fewer places than everything must was perhaps never committed: the power went while it was written. Or its version was deleted, and the place that
// has it came back from an old copy. Nobody was told of such a version, so chunks of it may have been collected while that place was away. It is a stray until all of it
// was found: not spread, and listed only while places are missing that may have its record too, as it may have been committed there. One of which parts are lost, when no
// missing place can make it more than that, is nothing to collecting; its record stays where it is, in case a place brings the rest, and goes when every place is there and
// not even the root of its tree is.
//
// Strays are the versions that are so, and whether they are lost.

// few tells whether so few places that could be listed have a record that it may be a stray.
func (s *survey) few(l *layout, name string) bool {
	in := s.files[name].shards()
	return in > 0 && in < l.need()
}

// might tells whether enough places for a version have a record, if those that are missing have it.
func (v *Vault) might(s *survey, l *layout, name string) bool {
	n := s.files[name].shards()
	for _, m := range l.members {
		if s.listed&(1<<m.shard) == 0 || m.reader() == nil {
			n++
		}
	}
	return n >= l.need()
}

// noteStrays has records that may be strays not listed by Open, unless missing places may have them.
func (v *Vault) noteStrays(s *survey) {
	v.strays = map[VersionKey]bool{}
	if v.o.Marker == nil || v.o.ReadOnly {
		return
	}
	l := v.place.layout()
	for name := range s.files {
		if k, ok := parseVersionName(name); ok && s.few(l, name) {
			v.strays[k] = false
			if !v.place.stones.has(name) && v.might(s, l, name) {
				v.versions[k] = struct{}{}
			}
		}
	}
}

// vouch tells whether a record that few places have is that of a version which is whole, or one of which there is nothing.
func (v *Vault) vouch(ctx context.Context, s *survey, k VersionKey) (whole, none bool, err error) {
	record, _, err := v.record(ctx, k)
	if notThere(err) { // it was removed meanwhile
		return false, false, ctx.Err()
	}
	r := newReach(v, nil, v.newLoss())
	if err == nil {
		err = r.record(ctx, record, v.o.Marker(v))
	}
	switch {
	case ctx.Err() != nil:
		return false, false, ctx.Err()
	case err == nil:
		return true, false, nil
	case !errors.Is(err, ErrLost) && !isDamage(err):
		return false, false, err
	}
	v.records.Lock() // or it may be deleted meanwhile
	defer v.records.Unlock()
	if _, _, err := v.record(ctx, k); notThere(err) {
		return false, false, ctx.Err()
	}
	lost := !v.might(s, v.place.layout(), k.file())
	if v.hasVersion(k) == lost {
		v.announce(k, !lost)
	}
	v.mu.Lock()
	v.strays[k] = lost
	v.mu.Unlock()
	v.log.Warn("a version that few places have is not whole", "version", k, "lost", lost, "err", err)
	if lost && v.mend.first(k.file()) {
		v.place.tell(Trouble{Kind: Stray, Place: v.place.String(), File: k.file(), Offset: -1, Err: err})
	}
	return false, len(record) > 0 && len(r.seen) == 0, nil
}

// dropStray removes a record of a version of which no place can bring the rest.
func (v *Vault) dropStray(ctx context.Context, k VersionKey) error {
	if err := v.place.Remove(ctx, k.file()); err != nil {
		return fmt.Errorf("remove what is left of version %v: %w", k, placeError(err))
	}
	v.announce(k, false)
	return nil
}

// ListStrays lists all strays of an instance, for who deletes all that it has.
func (v *Vault) ListStrays(instance string) {
	v.mu.RLock()
	strays := slices.Collect(maps.Keys(v.strays))
	v.mu.RUnlock()
	for _, k := range strays {
		if k.Instance == instance {
			v.announce(k, true)
		}
	}
}

// IsStray tells whether a version is one that few places have and of which not everything was found yet. It may be listed, and may be no version in the end: it is nothing to rely on.
func (v *Vault) IsStray(k VersionKey) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	_, is := v.strays[k]
	return is
}

// isLost tells whether a version is a stray of which parts are lost.
func (v *Vault) isLost(k VersionKey) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.strays[k]
}
