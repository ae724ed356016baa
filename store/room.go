package store

import (
	"context"
	"fmt"

	"yester/store/place"
)

// room tells whether n more bytes fit in enough of the places without touching the reserve. ErrNoSpace.
func (v *Vault) room(ctx context.Context, n uint64) error {
	l := v.place.layout()
	if l.alone() {
		return v.o.roomIn(ctx, l.members[0].place, n)
	}
	e := effort{layout: l}
	for _, m := range l.members {
		p := m.reader()
		if p == nil {
			e.errs = append(e.errs, m.trouble())
			continue
		}
		v.place.settle(&e, result{m, v.o.roomIn(ctx, p, n)})
	}
	return e.err()
}

func (o *Options) roomIn(ctx context.Context, p place.Place, n uint64) error {
	free, total, err := p.Space(ctx)
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	reserve := o.Reserve
	if reserve == 0 {
		reserve = max(total/100, minReserve)
	}
	if free < reserve+n {
		return fmt.Errorf("%w: %s has %d MB free, of which %d MB are kept in reserve", ErrNoSpace, p, free/1e6, reserve/1e6)
	}
	return nil
}
