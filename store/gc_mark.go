package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"yester/store/pack"
)

// packMarks are the frames of a pack that versions need.
type packMarks struct {
	pack    *packInfo
	frames  bitmap
	count   uint32 // of them
	live    uint64 // bytes of them
	liveRaw uint64 // before compression
	file    bool   // they are file content
}

func newPackMarks(p *packInfo) *packMarks { return &packMarks{pack: p, frames: newBitmap(p.frames)} }

func (m *packMarks) set(l *location) (fresh bool) {
	if fresh = m.frames.set(l.num); fresh {
		m.live += uint64(l.frame.Share())
		if m.count++; m.count == m.pack.frames {
			m.live = uint64(m.pack.data) // shares are rounded
		}
		m.liveRaw += uint64(l.frame.Raw)
		m.file = l.frame.Kind == pack.KindFile
	}
	return fresh
}

// maxMissing bounds the memory for chunks that are in no known pack.
const maxMissing = 1 << 19

// markAll marks what all versions reach. There may be records that Vault.versions does not know: just written, or put back by hand.
func (c *collection) markAll(ctx context.Context) error {
	err := c.v.eachRecord(ctx, func(k VersionKey) {
		if !c.v.isLost(k) {
			c.versions[k] = struct{}{}
		}
	})
	if err != nil {
		return err
	}
	total := len(c.versions) + len(c.held)
	for i, k := range slices.SortedFunc(maps.Keys(c.versions), compareKeys) {
		c.progress("mark", i, total)
		record, err := c.record(ctx, k)
		if err := c.mark(ctx, k, record, err); err != nil {
			return err
		}
		c.result.Versions++
	}
	for i, d := range c.held {
		c.progress("mark", len(c.versions)+i, total)
		if err := c.mark(ctx, d.key, d.record, d.err); err != nil {
			return fmt.Errorf("deleted while a backup was under way that may need parts of it: %w", err)
		}
	}
	c.result.Missing = len(c.missing)
	return nil
}

// mark marks what a record reaches; err says why there is none.
func (c *collection) mark(ctx context.Context, k VersionKey, record []byte, err error) error {
	if err == nil {
		err = c.o.Mark(ctx, record, func(id ID, _ int64) (bool, error) { return c.visit(ctx, id) })
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("version %v: %w", k, err)
	}
	return nil
}

// record returns the record of a version, also if it was deleted since the beginning.
func (c *collection) record(ctx context.Context, k VersionKey) ([]byte, error) {
	record, tell, err := c.v.record(ctx, k)
	if tell != nil && c.v.Remains(k) {
		tell()
	}
	if err == nil {
		return record, nil
	}
	c.v.mu.RLock()
	defer c.v.mu.RUnlock()
	if d := c.v.holding.held(k); d != nil && d.err == nil {
		return d.record, nil
	}
	return nil, err
}

// visit marks one chunk.
func (c *collection) visit(ctx context.Context, id ID) (first bool, err error) {
	l, p, err := c.v.lookUp(id)
	if err != nil {
		return false, err
	}
	if p == nil {
		return c.miss(id)
	}
	if l.num >= p.frames {
		return false, fmt.Errorf("chunk %v: %w: frame %d of %d", id, errBadIndex, l.num, p.frames)
	}
	if first = c.marksOf(l.pack, p).set(&l); first && l.frame.Kind != pack.KindFile {
		err = waitN(ctx, c.limiter, int(l.frame.Stored))
	}
	return first, err
}

func (c *collection) miss(id ID) (first bool, err error) {
	if _, known := c.missing[id]; known {
		return false, nil
	}
	if len(c.missing) == maxMissing {
		return false, fmt.Errorf("more than %d chunks are missing: %w", maxMissing, ErrNotFound)
	}
	c.missing[id] = struct{}{}
	return true, nil
}

func (c *collection) marksOf(number uint32, p *packInfo) *packMarks {
	if m := c.marks[number]; m != nil {
		return m
	}
	m := c.young[number]
	if m == nil {
		m = newPackMarks(p)
		c.young[number] = m
	}
	return m
}
