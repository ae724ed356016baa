package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"yester/store/pack"
)

const (
	packLive  = 70 // percent: a pack with fewer bytes of frames that are live is repacked
	manySmall = 8  // as many small packs of a size as are merged
)

// sweep drops what is dead, then repacks what is sparse, then merges what is small.
func (c *collection) sweep(ctx context.Context) error {
	p := c.plan()
	for i, number := range p.dead {
		c.progress("drop", i, len(p.dead))
		if err := errors.Join(ctx.Err(), c.drop(ctx, number)); err != nil {
			return err
		}
	}
	done := 0
	for _, s := range slices.SortedFunc(maps.Keys(p.repack), compareSorts) {
		r := c.repacker(s)
		for _, number := range p.repack[s] {
			c.progress("repack", done, p.repacks)
			if err := c.repack(ctx, r, number); err != nil {
				return err
			}
			done++
		}
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A packSort is what goes into a pack together.
type packSort struct {
	instance string
	file     bool // file content, else pages
}

func compareSorts(a, b packSort) int {
	if c := cmp.Compare(a.instance, b.instance); c != 0 || a.file == b.file {
		return c
	}
	if a.file {
		return 1
	}
	return -1
}

func (s packSort) size() int {
	if s.file {
		return filePackSize
	}
	return treePackSize
}

// A plan says what is to become of packs, by their numbers.
type plan struct {
	dead    []uint32
	repack  map[packSort][]uint32
	repacks int
}

// plan chooses by what was marked. Whether a pack may really go is looked at again when its turn comes.
func (c *collection) plan() plan {
	p := plan{repack: map[packSort][]uint32{}}
	small := map[packTier][]uint32{}
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	for _, number := range slices.Sorted(maps.Keys(c.marks)) {
		m := c.marks[number]
		sort := packSort{m.pack.instance, m.file}
		switch rely := c.relied(number, nil); {
		case rely == relyAll:
		case m.count == 0 && rely == relyNone:
			p.dead = append(p.dead, number)
		case m.count == 0: // all that is used of it was put again by a backup under way
		case 100*m.live < packLive*uint64(m.pack.data):
			p.repack[sort] = append(p.repack[sort], number)
		case int(m.pack.data) < sort.size()/2:
			t := packTier{sort, bits.Len32(m.pack.data) / 2}
			small[t] = append(small[t], number)
		}
	}
	for t, numbers := range small {
		if len(numbers) >= manySmall {
			p.repack[t.packSort] = append(p.repack[t.packSort], numbers...)
		}
	}
	for _, numbers := range p.repack {
		slices.Sort(numbers)
		p.repacks += len(numbers)
	}
	if !c.v.place.layout().complete() {
		c.result.Kept += p.repacks
		p.repack, p.repacks = nil, 0
	}
	return p
}

// A packTier is packs of a sort that are of one size, but for a factor of four. Merging those only, no chunk is copied more often than the
// vault has tiers.
type packTier struct {
	packSort
	bits int
}

// drop removes a pack that has nothing live.
func (c *collection) drop(ctx context.Context, number uint32) error {
	p := c.marks[number].pack
	if err := waitN(ctx, c.limiter, int(p.meta)*pack.BlockSize); err != nil {
		return err
	}
	m, err := c.inspect(ctx, number)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.keep(p, err)
		return nil
	case c.marks[number].count > 0: // as was found only now
		return nil
	case !c.takeOut(number, nil, nil, false):
		c.result.Kept++
		return nil
	}
	c.result.Dropped++
	return c.retire(ctx, retired{number, p, idsOf(m.frames)})
}

// inspect reads the table of a pack that is about to go. The error says why it must stay: its table cannot be read or is not what the index
// says, or it has a chunk that is missing, or is needed and cannot be read where it is found, and cannot be read here either. One that can is entered in the index, and marked.
func (c *collection) inspect(ctx context.Context, number uint32) (*moving, error) {
	p := c.marks[number].pack
	frames, err := c.v.tableOf(ctx, p)
	if errors.Is(err, errBadIndex) {
		return nil, c.v.index.failed(err)
	}
	if err != nil {
		return nil, err
	}
	for i := range frames {
		if err := errors.Join(ctx.Err(), c.inspectFrame(ctx, frames, &location{pack: number, num: uint32(i), frame: frames[i]}, p)); err != nil {
			return nil, err
		}
	}
	return &moving{number: number, pack: p, frames: frames}, nil
}

func (c *collection) inspectFrame(ctx context.Context, frames []pack.Frame, at *location, p *packInfo) error {
	if _, missing := c.missing[at.frame.Chunk]; missing {
		return c.recover(ctx, at, p)
	}
	l, in, err := c.v.lookUp(at.frame.Chunk)
	switch {
	case err != nil || in == nil:
		return err
	case l.pack != at.pack:
		if !c.needs(&l) {
			return nil
		}
		bad, err := c.try(ctx, &c.found, in, &l)
		if err == nil && bad == nil && !c.v.place.layout().complete() {
			return errFewer
		}
		if bad == nil || err != nil {
			return err
		}
		return c.take(ctx, at, p)
	case int(l.num) >= len(frames) || l.frame != frames[l.num]:
		return c.v.index.failed(fmt.Errorf("chunk %v: %w", at.frame.Chunk, errBadIndex))
	}
	return nil
}

// needs tells whether a version needs what lies at l, or somebody relies on it. Of packs written since the beginning that is not known, and taken for so.
func (c *collection) needs(l *location) bool {
	m := c.marks[l.pack]
	if m == nil || m.frames.has(l.num) {
		return true
	}
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	return slices.ContainsFunc(c.all(), func(r *reliance) bool {
		whole, hits := r.on(l.pack)
		return whole || hits.has(l.num)
	})
}

// recover enters a missing chunk in the index, where it was found.
func (c *collection) recover(ctx context.Context, at *location, p *packInfo) error {
	if err := c.take(ctx, at, p); err != nil {
		return err
	}
	delete(c.missing, at.frame.Chunk)
	c.result.Recovered++
	c.result.Missing--
	return nil
}

// take has a chunk of a pack that was to go be found there, and kept.
func (c *collection) take(ctx context.Context, at *location, p *packInfo) error {
	if bad, err := c.try(ctx, &c.here, p, at); bad != nil || err != nil {
		return firstOf(err, bad)
	}
	if err := c.v.index.enterChunk(*at); err != nil {
		return err
	}
	c.v.allRelyOn(at.pack) // one may have found it elsewhere, up to now
	c.marks[at.pack].set(at)
	return nil
}

// errFewer says that what is needed of a pack may lie in fewer places where it is found now: one lacks something, as the new pack if it failed when that was written.
var errFewer = errors.New("a place does not have everything")

// keep tells that a pack should go and cannot.
func (c *collection) keep(p *packInfo, err error) {
	c.result.Kept++
	if errors.Is(err, errFewer) {
		return
	}
	c.v.log.Error("a pack is kept because it is damaged", "instance", p.instance, "pack", p.id, "err", err)
}

// A trial is what came of trying a frame. It is asked again for each chunk of a group, one after the other.
type trial struct {
	of  location // the first of the chunks
	bad error    // why it cannot be read
}

// knows tells whether it is the frame that was tried last.
func (t *trial) knows(l *location) bool {
	return t.of.frame.Stored > 0 && t.of.pack == l.pack && t.of.frame.Offset == l.frame.Offset
}

// try tells why a frame cannot be read, nil if it can. The error is that of waiting for it to pass.
func (m *mover) try(ctx context.Context, last *trial, p *packInfo, l *location) (bad, err error) {
	if last.knows(l) {
		return last.bad, nil
	}
	if err := waitN(ctx, m.limiter, int(l.frame.Stored)); err != nil {
		return nil, err
	}
	*last = trial{*l, m.v.tryFrame(p, l)}
	return last.bad, nil
}

// tryFrame reads a frame and opens its seal.
func (v *Vault) tryFrame(p *packInfo, l *location) error {
	f, err := v.files.open(p)
	if err != nil {
		return err
	}
	defer v.files.release(f)
	_, err = v.readFrame(f, l, new([]byte))
	return err
}

func (c *collection) repacker(s packSort) *repacker {
	return &repacker{mover: &c.mover, instance: s.instance, size: s.size(), retired: func(m *moving, gone bool) {
		if gone {
			c.result.Repacked++
			return
		}
		c.result.Kept++
	}}
}

// repack copies what is live of a pack. One that is too damaged for that stays.
func (c *collection) repack(ctx context.Context, r *repacker, number uint32) error {
	v, p := c.v, c.marks[number].pack
	m, err := c.inspect(ctx, number)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.keep(p, err)
		return nil
	}
	f, err := v.files.fresh(p)
	if err != nil {
		return err
	}
	defer f.close()
	var buf []byte
	err = r.move(ctx, m, c.wanted(number), func(num uint32) ([]byte, error) {
		return v.readFrame(f, &location{pack: number, num: num, frame: m.frames[num]}, &buf)
	})
	if errors.Is(err, ErrCorrupt) {
		c.keep(p, err)
		return nil
	}
	return err
}

// wanted are the frames of a pack that are live now.
func (c *collection) wanted(number uint32) bitmap {
	m := c.marks[number]
	frames := newBitmap(m.pack.frames)
	frames.or(m.frames)
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	c.relied(number, frames)
	return frames
}
