package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"yester/store/pack"
)

// versions looks at every record, and at every chunk that it reaches.
func (c *check) versions(ctx context.Context) error {
	keys := c.v.allVersions()
	r := newReach(c.v, c.o.Limiter, c.lost)
	for i, k := range keys {
		c.progress("versions", i, len(keys))
		c.result.Versions++
		if err := c.record(ctx, k); err != nil {
			return err
		}
		if c.o.Mark == nil {
			continue
		}
		err := r.version(ctx, k, c.o.Mark)
		switch {
		case err == nil || !c.v.Remains(k):
		case errors.Is(err, ErrLost) || isDamage(err):
			c.problem(Problem{Version: k, Err: err})
		default:
			return err
		}
	}
	return nil
}

// allVersions lists the committed versions of all instances, sorted.
func (v *Vault) allVersions() []VersionKey {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(v.versions), compareKeys)
}

// record looks at the files of a record.
func (c *check) record(ctx context.Context, k VersionKey) error {
	g, err := c.v.gather(ctx, k.file())
	if err != nil {
		return err
	}
	if g != nil {
		defer g.close()
		err = errors.Join(g.failed(), c.v.checkSources(ctx, g))
	}
	switch {
	case err != nil:
		return err
	case !c.v.Remains(k):
	case g != nil && len(g.sources) > 0:
		c.files(Problem{Version: k, Heals: g.heals()}, g)
	case c.o.Mark == nil: // who marks tells it himself
		c.problem(Problem{Version: k, Err: fmt.Errorf("its record: %w", g.why())})
	}
	return nil
}

// why says why there is nothing to read.
func (g *gathering) why() error {
	if g == nil {
		return fs.ErrNotExist
	}
	if err := g.certain(g.all, g.want); err != nil {
		return err
	}
	return asCorrupt(firstOf(g.damage, pack.ErrDamaged))
}

// A reach looks up what versions reach.
type reach struct {
	v       *Vault
	limiter Limiter
	seen    map[uint32]*packMarks
	lost    *loss // that are not in the index, added to what was lost before
	missing int   // references of the version being looked at to chunks that are lost, or have another length
}

func newReach(v *Vault, l Limiter, lost *loss) *reach {
	return &reach{v: v, limiter: l, seen: map[uint32]*packMarks{}, lost: lost}
}

// version looks at all that a version reaches and no earlier one did.
func (r *reach) version(ctx context.Context, k VersionKey, mark Mark) error {
	record, err := r.v.Record(ctx, k)
	if err != nil {
		return err
	}
	return r.record(ctx, record, mark)
}

// record is version for its record.
func (r *reach) record(ctx context.Context, record []byte, mark Mark) error {
	r.missing = 0
	err := mark(ctx, record, func(id ID, n int64) (bool, error) { return r.visit(ctx, id, n) })
	if r.missing > 0 {
		err = errors.Join(fmt.Errorf("%d pieces are %w", r.missing, ErrLost), err)
	}
	return err
}

func (r *reach) visit(ctx context.Context, id ID, n int64) (first bool, err error) {
	l, p, err := r.v.lookUp(id)
	if err != nil {
		return false, err
	}
	if p == nil {
		return r.lose(id), nil
	}
	if r.lost.ids.Has(id) || n >= 0 && n != int64(l.frame.Raw) { // the latter is there, for versions that say so rightly
		r.missing++
	}
	m := r.seen[l.pack]
	if m == nil {
		m = newPackMarks(p)
		r.seen[l.pack] = m
	}
	if first = m.set(&l); first && l.frame.Kind != pack.KindFile {
		err = waitN(ctx, r.limiter, int(l.frame.Stored))
	}
	return first, err
}

func (r *reach) lose(id ID) (first bool) {
	r.missing++
	return r.lost.add(id)
}
