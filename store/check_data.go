package store

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"

	"yester/store/pack"
)

// read reads every byte of those packs whose turn it is.
func (c *check) read(ctx context.Context) error {
	turn := c.turn()
	for i, number := range turn {
		c.progress("data", i, len(turn))
		p := c.v.packOf(&location{pack: number}, nil)
		if p == nil { // collected meanwhile
			continue
		}
		read, err := c.data(ctx, number, p)
		if err != nil {
			return err
		}
		c.result.Cursor = p.id.String()
		if read {
			c.result.Read++
			c.result.Bytes += p.size
		}
	}
	return nil
}

// turn are the packs to be read, by their ids from the one after the cursor on.
func (c *check) turn() []uint32 {
	known := c.v.known()
	order := slices.SortedFunc(maps.Keys(known), func(a, b uint32) int {
		return strings.Compare(known[a].id.String(), known[b].id.String())
	})
	first := slices.IndexFunc(order, func(n uint32) bool { return known[n].id.String() > c.o.Cursor })
	if first > 0 {
		order = append(order[first:], order[:first]...)
	}
	n := int(math.Ceil(min(max(c.o.ReadData, 0), 1) * float64(len(order))))
	return order[:n]
}

// data reads one pack, in each of its places. What is wrong with its table, and files that are not there, is for packs to tell; one without a table is not read.
func (c *check) data(ctx context.Context, number uint32, p *packInfo) (read bool, err error) {
	if err := waitN(ctx, c.o.Limiter, int(p.size)); err != nil {
		return false, err
	}
	g := c.v.gatherPack(ctx, p)
	defer g.close()
	known := maps.Clone(g.errs)
	frames, err := c.v.tableOf(ctx, p)
	if err == nil {
		err = g.enough(p)
	}
	if isDamage(err) || errors.Is(err, errBadIndex) || err != nil && c.v.went(ctx, number, p) {
		return false, nil
	}
	if err == nil {
		err = c.v.checkSources(ctx, g)
	}
	if err != nil {
		return false, err
	}
	lost, err := c.unreadable(ctx, number, p, g, frames)
	switch {
	case (err != nil || len(lost) > 0 || g.damage != nil) && c.v.went(ctx, number, p): // collected meanwhile
		return true, nil
	case isDamage(err) || errors.Is(err, errBadIndex):
		c.problem(Problem{Pack: p.id, Err: err})
		return true, nil
	case err != nil:
		return false, err
	}
	for m := range known {
		delete(g.errs, m)
	}
	return true, c.damage(p, g, lost)
}

// unreadable returns the frames of a pack that do not open, even with parity.
func (c *check) unreadable(ctx context.Context, number uint32, p *packInfo, g *gathering, frames []pack.Frame) ([]location, error) {
	r, err := c.v.frameReader(p, g.sources)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return r.unreadable(ctx, number, frames)
}

// damage tells what is damaged of a pack, and what is lost with it.
func (c *check) damage(p *packInfo, g *gathering, lost []location) error {
	for _, l := range lost {
		at, found, err := c.v.index.find(l.frame.Chunk)
		if err != nil {
			return err
		}
		if found && at.pack == l.pack { // else it is a copy that nobody reads
			c.unread.add(l.frame.Chunk)
		}
	}
	switch {
	case len(g.errs) > 0:
		c.files(Problem{Pack: p.id, Heals: len(lost) == 0 && g.heals()}, g)
	case len(lost) > 0:
		c.problem(Problem{Pack: p.id, Err: errors.Join(ErrCorrupt, pack.ErrSeal)})
	}
	return nil
}
