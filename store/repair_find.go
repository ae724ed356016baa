package store

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// reach finds out what is lost to versions, having looked for it in all packs.
func (r *repair) reach(ctx context.Context) error {
	for {
		problems, err := r.reached(ctx)
		if err != nil {
			return err
		}
		found := 0
		if len(r.lost.ids) > 0 {
			found, err = r.find(ctx)
		}
		if err != nil || found == 0 {
			r.result.Problems = append(r.result.Problems, problems...)
			return err
		}
		r.result.Found += found
	}
}

// reached makes lost what versions reach and the index does not know, and returns which these are.
func (r *repair) reached(ctx context.Context) (problems []Problem, err error) {
	if r.o.Mark == nil {
		return nil, nil
	}
	r.lost = r.v.newLoss()
	reach := newReach(r.v, r.limiter, r.lost)
	keys := r.v.allVersions()
	for i, k := range keys {
		r.progress("versions", i, len(keys))
		err := reach.version(ctx, k, r.o.Mark)
		switch {
		case err == nil || !r.v.Remains(k):
		case errors.Is(err, ErrLost):
			problems = append(problems, Problem{Version: k, Place: r.v.placeName(), Err: err})
		case !isDamage(err): // of the record's damage was told already
			return nil, err
		}
	}
	return problems, nil
}

// find looks for lost chunks in the tables of all packs, and enters in the index what it finds.
func (r *repair) find(ctx context.Context) (found int, err error) {
	known := r.v.known()
	for i, number := range slices.Sorted(maps.Keys(known)) {
		r.progress("search", i, len(known))
		n, err := r.findIn(ctx, number, known[number])
		if err = errors.Join(ctx.Err(), err); err != nil {
			return found, err
		}
		found += n
	}
	return found, nil
}

func (r *repair) findIn(ctx context.Context, number uint32, p *packInfo) (found int, err error) {
	frames, err := r.v.tableOf(ctx, p)
	switch {
	case isDamage(err), errors.Is(err, errBadIndex):
		return 0, nil
	case err != nil:
		return 0, err
	}
	for i := range frames {
		l := location{pack: number, num: uint32(i), frame: frames[i]}
		if !r.lost.ids.Has(l.frame.Chunk) || r.v.tryFrame(p, &l) != nil {
			continue
		}
		r.v.allRelyOn(number)
		if err := r.v.index.enterChunk(l); err != nil {
			return found, err
		}
		delete(r.lost.ids, l.frame.Chunk)
		found++
	}
	return found, nil
}
