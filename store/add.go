package store

import (
	"context"
	"fmt"

	"yester/store/pack"
	"yester/store/place"
)

// PlaceOptions say how to add or replace a place. All may be zero.
type PlaceOptions struct {
	Survive  int      // how many places may be lost once one is added; 0: as many as before, and of two places one
	Limiter  Limiter  // of what is written anew of packs that are whole; what a place lacks is written as fast as it goes
	Progress Progress // of the steps "fill" (files) and "spread" (packs)
}

// step is how far a step is.
func (o *PlaceOptions) step(name string) func(done, total int) {
	return func(done, total int) {
		if o.Progress != nil {
			o.Progress(name, done, total)
		}
	}
}

// AddPlace makes a new, empty place one of the vault's. Packs are written anew in their new shape, one after the other, and keep their protection
// until then; the vault is in use meanwhile. After an interruption the vault works as it is, and AddPlace with the same place goes on.
// ErrExists if the place is not empty; ErrMissing while another is missing: then the new one is used, and Rebalance does the rest when that is back.
func (v *Vault) AddPlace(ctx context.Context, p place.Place, o PlaceOptions) error {
	p = v.place.patience.with(p)
	v.changing.Lock()
	defer v.changing.Unlock()
	end, err := v.beginMaintenance(ctx)
	if err != nil {
		return fmt.Errorf("add place %s: %w", p, err)
	}
	defer end()
	id, err := v.newcomer(ctx, p)
	if err == nil && id == "" {
		err = v.redescribe(ctx, func(d *description, l *layout) error { return d.add(l, p, o.Survive) })
	}
	if err == nil {
		err = v.fill(ctx, p, o.step("fill"))
	}
	if err == nil {
		err = v.rebalance(ctx, &o)
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
