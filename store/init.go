package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"yester/store/pack"
	"yester/store/place"
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

// vacant tells whether there is no vault in any of the places. What an Init left that was cut off counts as none.
func (o *Options) vacant(ctx context.Context) error {
	var had error
	for _, p := range o.Places {
		_, err := seePlace(ctx, p)
		list, listErr := p.List(ctx, InstanceFolder)
		switch {
		case listErr != nil:
			return fmt.Errorf("make vault in %s: %w", p, listErr)
		case len(list) > 0:
			return fmt.Errorf("make vault in %s: %w: it has packs or versions", p, ErrExists)
		case !errors.Is(err, ErrNotFound):
			had = fmt.Errorf("make vault in %s: %w: it has a %s", p, ErrExists, vaultFile)
		}
	}
	if had == nil {
		return nil
	}
	if left, err := Unfinished(ctx, o.Places); !left || err != nil {
		return firstOf(err, had)
	}
	return nil
}

// Unfinished tells whether the places hold what an Init left in them that was cut off, and certainly nothing else: it writes the key in all of them, and vault.json in one after the other
// then. So the key lies in each, which one that is not mounted has not; they are those that vault.json names; it lacks in one; and there is nothing more.
func Unfinished(ctx context.Context, places []place.Place) (bool, error) {
	var names []string // of places
	var keys map[string]bool
	var made []description
	for _, p := range places {
		s, err := seePlace(ctx, p)
		if err == nil && s.renewed == 0 {
			made = append(made, s.desc)
		} else if !errors.Is(err, ErrNotFound) {
			return false, nil
		}
		if err := vacantFor(ctx, p, "lost+found", keyFolder, vaultFile, vaultFile+copySuffix); err != nil {
			if errors.Is(err, ErrExists) {
				err = nil
			}
			return false, err
		}
		in, err := keyIDs(ctx, p)
		if err != nil {
			return false, err
		}
		if keys == nil {
			keys = in
		}
		maps.DeleteFunc(keys, func(id string, _ bool) bool { return !in[id] })
		names = append(names, p.String())
	}
	if len(made) == 0 || len(made) == len(places) || len(keys) == 0 {
		return false, nil
	}
	return !slices.ContainsFunc(made, func(d description) bool { return !d.isIn(names) }), nil
}

// isIn tells whether the vault's places are those of the names, and were from the first.
func (d *description) isIn(names []string) bool {
	var own []string
	for _, p := range d.Places {
		own = append(own, p.Name)
		if p.Replaces != "" {
			return false
		}
	}
	return slices.Equal(slices.Sorted(slices.Values(own)), slices.Sorted(slices.Values(names)))
}

// keyIDs are the ids of the keys in a place.
func keyIDs(ctx context.Context, p place.Place) (map[string]bool, error) {
	list, err := p.List(ctx, keyFolder)
	ids := map[string]bool{}
	for _, f := range list {
		if isKeyID(f.Name) {
			ids[f.Name] = true
		}
	}
	return ids, err
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
