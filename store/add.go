package store

import (
	"context"
	"fmt"

	"yester/store/pack"
	"yester/store/place"
)

// AddPlace makes a new, empty place one of the vault's, which then survives the loss of as many places as before, or as survive says
// if that is not 0; of two places, one may be lost. Packs are written anew in their new shape, one after the other, and keep their protection
// until then; the vault is in use meanwhile. After an interruption the vault works as it is, and AddPlace with the same place goes on. Progress, which
// may be nil, is told how many files are done. ErrExists if the place is not empty.
func (v *Vault) AddPlace(ctx context.Context, p place.Place, survive int, progress func(done, total int)) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	end, err := v.beginMaintenance(ctx)
	if err != nil {
		return fmt.Errorf("add place %s: %w", p, err)
	}
	defer end()
	id, err := v.newcomer(ctx, p)
	if err == nil && id == "" {
		err = v.redescribe(ctx, func(d *description, l *layout) error { return d.add(l, p, survive) })
	}
	if err == nil {
		err = v.fill(ctx, nil)
	}
	if err == nil {
		err = v.rebalance(ctx, progress)
	}
	if err != nil {
		return fmt.Errorf("add place %s: %w", p, err)
	}
	return nil
}

func (d *description) add(l *layout, p place.Place, survive int) error {
	n := len(l.members) + 1
	if survive == 0 {
		survive = 1
		if !l.alone() {
			survive = l.shape.Parity
		}
	}
	if n > maxPlaces || survive < 1 || survive >= n {
		return fmt.Errorf("a vault in %d places cannot survive the loss of %d", n, survive)
	}
	d.Places = append(d.Places, newPlace(p))
	for i, m := range l.members {
		d.Places[i].Name = m.String()
	}
	m := newMember(d.Places[n-1], n-1, p)
	m.miss()
	l.members = append(l.members, m)
	d.Shards = pack.Shape{Data: n - survive, Parity: survive}
	l.shape = d.Shards
	return nil
}
