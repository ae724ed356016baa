package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"yester/store/pack"
)

// Init makes a new vault in the places, with an open key or one under Options.Passphrase. ErrExists if one of them has a vault, unless that was never finished.
func Init(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return err
	}
	if err := o.vacant(ctx); err != nil {
		return err
	}
	var master pack.Key
	rand.Read(master[:])
	d := o.description(&master)
	s := newSpread(o, newLayout(&d, o.seen(&d)), new(patience))
	s.poke = func() {}
	if err := errors.Join(writeFirstKey(ctx, s, o, &d, &master), s.trouble()); err != nil {
		return fmt.Errorf("make vault in %s: %w", s, err)
	}
	for i, p := range o.Places {
		if err := writeDescription(ctx, p, d, d.Places[i].ID, 0); err != nil {
			return fmt.Errorf("make vault in %s: %w", p, err)
		}
	}
	return nil
}

// check tells whether a vault can be made so.
func (o *Options) check() error {
	n := len(o.Places)
	switch {
	case n == 0:
		return errors.New("a vault needs a place")
	case n > maxPlaces:
		return fmt.Errorf("a vault in %d places: %d is the most", n, maxPlaces)
	case o.Survive < 0, o.Survive >= n:
		return fmt.Errorf("a vault in %d places cannot survive the loss of %d", n, o.Survive)
	}
	if err := o.Cut.Check(); err != nil {
		return err
	}
	return o.Shape.Check()
}

// vacant tells whether there is no vault in any of the places. One that lacks in one of them and has no packs was not finished, and counts
// as none.
func (o *Options) vacant(ctx context.Context) error {
	var had error
	finished := true
	for _, p := range o.Places {
		_, err := seePlace(ctx, p)
		list, listErr := p.List(ctx, "instances")
		switch {
		case listErr != nil:
			return fmt.Errorf("make vault in %s: %w", p, listErr)
		case errors.Is(err, ErrNotFound) && len(list) == 0:
			finished = false
		case len(list) > 0:
			return fmt.Errorf("make vault in %s: %w: it has packs or versions", p, ErrExists)
		default:
			had = fmt.Errorf("make vault in %s: %w: it has a %s", p, ErrExists, vaultFile)
		}
	}
	if finished {
		return had
	}
	return nil
}

func (o *Options) description(master *pack.Key) description {
	d := description{
		Format: Format, Vault: randomHex(16), Created: o.Now().UTC(), Cut: o.Cut, Shards: o.Shape, KeyCheck: keyCheck(master),
	}
	for _, p := range o.Places {
		in := placeInVault{ID: randomHex(8), Kind: "dir"}
		if len(o.Places) > 1 {
			in.Name = p.String()
		}
		d.Places = append(d.Places, in)
	}
	if n := len(o.Places); n > 1 {
		d.Shards = pack.Shape{Data: n - o.Survive, Parity: o.Survive}
	}
	return d
}

// seen are the places as they will be.
func (o *Options) seen(d *description) []seenPlace {
	var all []seenPlace
	for i, p := range o.Places {
		mine := *d
		mine.Place = d.Places[i].ID
		all = append(all, seenPlace{place: p, desc: mine})
	}
	return all
}
