package daemon

import (
	"context"
	"errors"
	"os"
	"slices"

	"yester/control"
	"yester/store"
	"yester/store/place"
)

// Where the vault lies is in its own vault.json, by ids; which folders these are is for the daemon to remember, or for the settings to say.
// While a place is added or replaced it remembers, in this order:
//
//  1. the folders of before, and the new one
//  2. the store does its work, which a crash may cut off anywhere
//  3. the vault's places as they are then, as soon as none is missing
//
// So at every moment what is remembered holds all places there are. Folders too many do no harm: in them is no place of this vault, and opening
// passes over them. When all of the vault is open the next time, they are forgotten (site.remember).

// apiPlace describes a place as the API does.
func apiPlace(p store.PlaceState) control.Place {
	out := control.Place{ID: p.ID, Name: p.Name, State: control.PlaceWell, Free: p.Free, Total: p.Total}
	switch {
	case p.Gone:
		out.State = control.PlaceMissing
	case p.Err != nil:
		out.State = control.PlaceFailed
	case p.Replaces:
		out.State = control.PlaceFilling
	case p.Behind:
		out.State = control.PlaceBehind
	}
	if p.Err != nil {
		out.Because = sentence(p.Err)
	}
	return out
}

// placeAdd starts to make a folder a place of the vault.
func (d *Daemon) placeAdd(ctx context.Context, r control.PlaceAddRequest) (control.Task, error) {
	if r.Survive < 0 {
		return control.Task{}, control.Errorf(control.BadRequest, "%d places cannot be lost", r.Survive)
	}
	return d.changePlaces(ctx, r.Place, func(m *maintenance, ctx context.Context, p place.Place, o store.PlaceOptions) error {
		o.Survive = r.Survive
		return m.spread(func() error { return m.vault.AddPlace(ctx, p, o) })
	})
}

// placeReplace starts to have a folder take over from a place.
func (d *Daemon) placeReplace(ctx context.Context, r control.PlaceReplaceRequest) (control.Task, error) {
	return d.changePlaces(ctx, r.New, func(m *maintenance, ctx context.Context, p place.Place, o store.PlaceOptions) error {
		return m.vault.ReplacePlace(ctx, r.Old, p, o)
	})
}

// changePlaces starts a task that has the vault use a new folder.
func (d *Daemon) changePlaces(_ context.Context, dir string,
	change func(*maintenance, context.Context, place.Place, store.PlaceOptions) error,
) (control.Task, error) {
	if _, err := d.openedVault(); err != nil {
		return control.Task{}, err
	}
	made, err := newFolder(dir)
	if err != nil {
		return control.Task{}, err
	}
	p, err := place.NewDir(dir)
	if err != nil {
		return control.Task{}, err
	}
	t, err := d.maintain(control.KindPlace, false, d.rate(), func(m *maintenance, ctx context.Context, j *job) error {
		if err := d.site.expect(dir); err != nil {
			return err
		}
		err := change(m, ctx, p, store.PlaceOptions{Limiter: m.limiter(j), Progress: j.progress.at})
		return errors.Join(err, m.places(ctx, j))
	})
	if err != nil && made {
		_ = os.Remove(dir)
	}
	return t, err
}

// newFolder makes a folder if it is not there. It tells whether it did.
func newFolder(dir string) (made bool, err error) {
	_, err = os.Stat(dir)
	made = errors.Is(err, os.ErrNotExist)
	return made, mkdir(dir, 0o700)
}

// spread does what may have packs of another shape than new ones be left when it is cut off, and then sees to it that they are written anew one
// day: but not if somebody cancelled it.
func (m *maintenance) spread(work func() error) error {
	wanted := func(is bool) error { return m.d.changeUpkeep(func(u *upkeepState) { u.Spread = is }) }
	if err := wanted(true); err != nil {
		return err
	}
	err := work()
	if m.d.tasks.stopping() {
		return err
	}
	return errors.Join(err, wanted(false))
}

// goOnSpreading goes on with what adding a place left to be done.
func (d *Daemon) goOnSpreading() error {
	_, err := d.maintain(control.KindPlace, true, d.rate(), func(m *maintenance, ctx context.Context, j *job) error {
		err := m.spread(func() error {
			return m.vault.Rebalance(ctx, store.PlaceOptions{Limiter: m.limiter(j), Progress: j.progress.at})
		})
		return errors.Join(err, m.places(ctx, j))
	})
	return err
}

// places reports and remembers where the vault lies now.
func (m *maintenance) places(ctx context.Context, j *job) error {
	r := &control.Report{}
	for _, p := range m.vault.Places(ctx) {
		r.Places = append(r.Places, p.Name)
	}
	hint := m.d.site.elsewhere(r.Places)
	if hint != "" {
		m.d.log.Warn(hint)
	}
	j.update(func(t *control.Task) { t.Report, t.Hint = r, hint })
	return m.d.site.settled(ctx, m.vault)
}

// expect has a folder looked into when the vault is opened the next time.
func (s *site) expect(dir string) error {
	v, ok, err := s.known()
	if err != nil || !ok {
		return err
	}
	if slices.Contains(v.Places, dir) {
		return nil
	}
	v.Places = append(v.Places, dir)
	s.seek(v.Places)
	return s.db.PutVault(v)
}

// settled remembers just the places of a vault, if all of them are there.
func (s *site) settled(ctx context.Context, vault *store.Vault) error {
	v, ok, err := s.known()
	if err != nil || !ok {
		return err
	}
	var dirs []string
	for _, p := range vault.Places(ctx) { // in place.NewDir's words, which are those of the remembered
		if p.Gone || p.Replaces {
			return nil
		}
		dirs = append(dirs, p.Name)
	}
	if slices.Equal(v.Places, dirs) {
		return nil
	}
	v.Places = dirs
	s.seek(dirs)
	return s.db.PutVault(v)
}

// elsewhere says what to change in the settings, if they name other places than the vault has; "" if nothing.
func (s *site) elsewhere(places []string) string {
	if len(s.settings.Vault.Places) == 0 {
		return ""
	}
	for _, p := range places {
		if !slices.Contains(s.settings.Vault.Places, p) {
			return "the vault has a place in " + p + " that " + s.home.Settings + " does not name under [vault] places: add it there before the daemon is started again"
		}
	}
	return ""
}
