package store

import (
	"context"

	"yester/store/pack"
)

// leftovers removes what there is of packs that were never written to enough places, because the power went. A pack that was lost looks the same, so it
// does so only if every place is there, and all chunks that versions need are.
func (c *collection) leftovers(ctx context.Context) error {
	v := c.v
	if l := v.place.layout(); l.alone() || !l.complete() || len(c.missing) > 0 {
		return nil
	}
	s, err := v.survey(ctx)
	if err != nil {
		return err
	}
	for _, p := range v.known() {
		delete(s.packs, p.id)
	}
	for id, seen := range s.packs {
		if err := ctx.Err(); err != nil {
			return err
		}
		info, _, err := v.readTable(ctx, seen.instance, id)
		if err != nil || info.readable(seen.in.shards()) {
			continue
		}
		if err := v.removeLeftover(ctx, packName(seen.instance, id), id); err != nil {
			return err
		}
	}
	return nil
}

// removeLeftover removes a pack unless it was just being written.
func (v *Vault) removeLeftover(ctx context.Context, name string, id pack.ID) error {
	defer v.place.locks.lock(name)()
	if v.packByID(id) != nil {
		return nil
	}
	v.log.Info("a pack that was not written to its end is removed", "pack", id)
	v.place.using.RLock()
	defer v.place.using.RUnlock()
	return placeError(v.place.removeAll(context.WithoutCancel(ctx), v.place.layout(), name))
}
