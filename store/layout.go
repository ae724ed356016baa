package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"yester/store/place"
)

// vault.json says what a vault's places are, and lies in each of them. It is changed in this order:
//
//  1. in the new places, if there are any
//  2. in the others, with the same number of renewal; it holds when as many have it as must have everything
//
// A crash in between leaves places of which some say the one thing and some the other, and the newest that is found holds: with the new place
// the change is made, and goes on; without it, it was never begun. The vault can be read both ways, since a place that is replaced keeps its files until its
// successor has everything, and a pack says itself how it is spread.

// redescribe changes what the vault's places are. The change gets copies to change. The mender's work must be held up meanwhile.
func (v *Vault) redescribe(ctx context.Context, change func(*description, *layout) error) error {
	v.describe.Lock()
	defer v.describe.Unlock()
	old := v.place.layout()
	d, l := v.desc, &layout{members: slices.Clone(old.members), former: slices.Clone(old.former), shape: old.shape}
	d.Places = slices.Clone(d.Places)
	if err := change(&d, l); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	v.renewed++
	if err := v.writeDescriptions(ctx, d, l, old); err != nil {
		v.renewed++
		_ = v.writeDescriptions(context.WithoutCancel(ctx), v.desc, old, old)
		return fmt.Errorf("write %s: %w", vaultFile, placeError(err))
	}
	v.place.using.Lock() // so that nobody is still at work with the old ones
	v.place.use(l)
	v.place.using.Unlock()
	v.desc = d
	v.files.close()
	return nil
}

// writeDescriptions writes vault.json to the members of l, those first that old has not.
func (v *Vault) writeDescriptions(ctx context.Context, d description, l, old *layout) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	var rest []*member
	for _, m := range l.members {
		if slices.Contains(old.members, m) {
			rest = append(rest, m)
		} else if err := writeDescription(ctx, m.place, d, m.id, v.renewed); err != nil {
			return err
		}
	}
	e := v.place.try(l, rest, func(m *member, p place.Place) error {
		return writeDescription(ctx, p, d, m.id, v.renewed)
	})
	for range len(l.members) - len(rest) {
		e.done = append(e.done, nil)
	}
	return e.err()
}

// newcomer tells whether p can become a place of the vault: it is empty, or it was about to become one before. Then id is the one that it
// has. ErrExists.
func (v *Vault) newcomer(ctx context.Context, p place.Place) (id string, err error) {
	vacant := func(but ...string) error {
		if err := vacantFor(ctx, p, but...); err != nil {
			return err
		}
		return p.Sweep(ctx) // of what an earlier try left, for it was cut off before this was a place
	}
	s, err := seePlace(ctx, p)
	switch {
	case errors.Is(err, ErrNotFound):
		return "", vacant("lost+found")
	case err != nil:
		return "", err
	case s.desc.Vault != v.desc.Vault:
		return "", fmt.Errorf("%w: %s holds another vault", ErrExists, p)
	}
	v.describe.Lock()
	defer v.describe.Unlock()
	if n, former := v.desc.number(s.desc.Place); n < 0 || former {
		return "", vacant("lost+found", vaultFile, vaultFile+copySuffix)
	}
	return s.desc.Place, nil
}

// vacantFor tells whether nothing but the named files lies in a place. ErrExists.
func vacantFor(ctx context.Context, p place.Place, but ...string) error {
	list, err := p.List(ctx, "")
	if err != nil {
		return err
	}
	for _, i := range list {
		if !slices.Contains(but, i.Name) {
			return fmt.Errorf("%w: %s is not empty, it has %s", ErrExists, p, i.Name)
		}
	}
	return nil
}

func newPlace(p place.Place) placeInVault {
	return placeInVault{ID: randomHex(8), Kind: "dir", Name: p.String()}
}
