package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"yester/store/place"
)

// ReplacePlace has a new, empty place take over from an old one, which is named by its id or its path and may be missing; then the new one may have the same path. What lies in
// the old one is rebuilt in the new one, from the old one too as long as it can be read; the vault is in use meanwhile. It goes on by itself when
// the vault is opened after an interruption, and when called again, also when it is done already. The old place is not one of the vault's any more
// when it returns nil. ErrNotFound if there is no such place, ErrExists if the new one is not empty. ErrMissing while another is missing, as what lies only in that and in the old one is seen
// nowhere: it goes on by itself when that is back. ErrMissing also if the old one drops out before it was read; called again, it is done without.
func (v *Vault) ReplacePlace(ctx context.Context, old string, p place.Place, o PlaceOptions) error {
	p = v.place.patience.with(p)
	v.changing.Lock()
	defer v.changing.Unlock()
	end, err := v.beginMaintenance(ctx)
	if err != nil {
		return fmt.Errorf("replace place %s by %s: %w", old, p, err)
	}
	defer end()
	id, err := v.newcomer(ctx, p)
	if err == nil && id == "" {
		err = v.redescribe(ctx, func(d *description, l *layout) error { return d.replace(l, old, p) })
	} else if err == nil && v.hasPlace(old, id) {
		err = fmt.Errorf("%w: %s is a place of the vault already", ErrExists, p)
	}
	lost := v.lostFormerOf(id) // one that only drops out meanwhile may be back in a moment
	if err == nil {
		err = v.fill(ctx, p, o.step("fill"))
	}
	if lost >= 0 && lost == v.lostFormerOf(id) && errors.Is(err, ErrMissing) {
		if err = v.doWithout(ctx, lost); err == nil {
			err = v.fill(ctx, p, o.step("fill"))
		}
	}
	if err != nil {
		return fmt.Errorf("replace place %s by %s: %w", old, p, err)
	}
	return nil
}

// hasPlace tells whether an id or a path names one of the vault's places, but for the one with the id heir if that takes over from what had the path before.
func (v *Vault) hasPlace(name, heir string) bool {
	return slices.ContainsFunc(v.place.layout().members, func(m *member) bool { return m.named(name) && !(m.id == heir && m.inherits()) })
}

// replace puts p in the place of old.
func (d *description) replace(l *layout, old string, p place.Place) error {
	if l.alone() { // there is nothing to rebuild from, and a copy of the files does as well
		return errors.New("a vault in one place is moved by copying its folder")
	}
	for i, m := range l.members {
		if !m.named(old) {
			continue
		}
		in := newPlace(p)
		in.Replaces = d.Places[i].Replaces
		if in.Replaces == "" {
			in.Replaces = m.id
			if m.reader() != nil {
				l.former = append(l.former, m)
			}
		}
		d.Places[i], l.members[i] = in, newMember(in, i, p)
		l.members[i].miss()
		return nil
	}
	return fmt.Errorf("place %s: %w", old, ErrNotFound)
}

// lostFormerOf is the number of the place with that id if the one that it takes over from is gone, and none of the others; else -1.
func (v *Vault) lostFormerOf(id string) int {
	l := v.place.layout()
	return slices.IndexFunc(l.members, func(m *member) bool { return m.id == id && l.lostFormer(m.shard) })
}

// lostFormer tells whether a place that was replaced by that of a number is gone, and none of the others.
func (l *layout) lostFormer(number int) bool {
	isGone := func(m *member) bool { return m.reader() == nil }
	return !slices.ContainsFunc(l.members, isGone) && slices.ContainsFunc(l.former, func(m *member) bool { return m.shard == number && isGone(m) })
}

// doWithout lets go of the place that was replaced by that of a number, and is gone.
func (v *Vault) doWithout(ctx context.Context, number int) error {
	return v.redescribe(ctx, func(_ *description, l *layout) error {
		l.former = slices.DeleteFunc(l.former, func(m *member) bool {
			goes := m.shard == number && m.reader() == nil
			if goes {
				v.log.Warn("a place that is replaced fails, and is done without", "place", m)
			}
			return goes
		})
		return nil
	})
}

// fill brings all places up to date that can be, and p among them.
func (v *Vault) fill(ctx context.Context, p place.Place, progress func(done, total int)) error {
	l := v.place.layout()
	for _, m := range slices.Concat(l.members, l.former) {
		if !m.well() {
			v.rejoin(ctx, m)
		}
	}
	var err error
	for range 10 { // what is written meanwhile may be missed again, while places fail
		if err = v.catchUp(ctx, progress); err != nil {
			return err
		}
		if v.someBehind() {
			err = errors.New("places fail again and again; it goes on when they are well")
			continue
		}
		if err = v.filled(p); err == nil || !v.mend.later.Load() { // else a place is back that may have what lacks
			return err
		}
	}
	return err
}

// filled tells why a place has not everything, or not yet taken over. Others may be missing for now, unless one may have what it lacks.
func (v *Vault) filled(p place.Place) error {
	l := v.place.layout()
	for _, m := range l.members {
		if !m.named(p.String()) {
			continue
		}
		if err := m.trouble(); err != nil {
			return fmt.Errorf("the new place fails; it goes on when it is well: %w", placeError(err))
		}
		switch gone := titles(l.gone()); {
		case !m.waits() && !m.inherits():
		case gone == "":
			return fmt.Errorf("%w, by which the new place cannot have all packs; it goes on when it is rebuilt", errBadIndex)
		case l.lostFormer(m.shard):
			return fmt.Errorf("%w: %s may have what the new place lacks; it goes on when that is there, or ask again to do without it", ErrMissing, gone)
		default:
			return fmt.Errorf("%w: %s may have what the new place lacks; it goes on when that is there or replaced", ErrMissing, gone)
		}
	}
	return nil
}

// endReplacing lets go of places whose successors have everything. It is for when every place could be asked: what lies only in the old one and in one that is missing is seen nowhere.
func (v *Vault) endReplacing(ctx context.Context) error {
	l := v.place.layout()
	var done []int
	v.describe.Lock()
	for i, p := range v.desc.Places {
		if p.Replaces != "" && l.members[i].current() {
			done = append(done, i)
		}
	}
	v.describe.Unlock()
	if len(done) == 0 {
		return nil
	}
	err := v.redescribe(ctx, func(d *description, l *layout) error {
		for _, i := range done {
			d.Places[i].Replaces = ""
			l.former = slices.DeleteFunc(l.former, func(m *member) bool { return m.shard == i })
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range done {
		l.members[i].inherited()
	}
	for _, m := range l.former {
		if slices.Contains(done, m.shard) {
			v.retire(ctx, m)
		}
	}
	if v.place.stones.any() { // they could not go while the old place might have had what they are about
		for _, m := range l.members {
			m.miss()
		}
	}
	return nil
}

// retire has a place that was replaced never be taken for one of the vault's again. If that fails, its id is not in vault.json all the same.
func (v *Vault) retire(ctx context.Context, m *member) {
	p := m.reader()
	if p == nil {
		return
	}
	for _, name := range []string{vaultFile, vaultFile + copySuffix} {
		if err := p.Remove(ctx, name); err != nil {
			v.log.Info("a place that was replaced keeps its "+vaultFile, "place", m, "err", err)
		}
	}
	v.log.Info("a place was replaced, its folder can be removed", "place", m)
}
