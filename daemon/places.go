package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"yester/control"
	"yester/fs"
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
// Where the settings name the folders, the order is the same by other hands: the new one is refused until it stands there, and when the work is done
// the answer says which to take out.
//
// So at every moment what is remembered holds all places there are. Folders too many do no harm: in them is no place of this vault, and opening
// passes over them. When all of the vault is open the next time, they are no longer looked into (site.settled), but what is left there of the vault comes into no
// version (site.left).

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
	v, err := d.openedVault()
	if err != nil {
		return control.Task{}, err
	}
	if n := len(v.Places(ctx)) + 1; r.Survive < 0 || r.Survive >= n {
		return control.Task{}, control.Errorf(control.BadRequest, "a vault in %d places cannot survive the loss of %d", n, r.Survive)
	}
	return d.changePlaces(ctx, v, r.Place, func(m *maintenance, ctx context.Context, p place.Place, o store.PlaceOptions) error {
		o.Survive = r.Survive
		return m.spread(func() error { return m.vault.AddPlace(ctx, p, o) })
	})
}

// placeReplace starts to have a folder take over from a place.
func (d *Daemon) placeReplace(ctx context.Context, r control.PlaceReplaceRequest) (control.Task, error) {
	v, err := d.openedVault()
	if err != nil {
		return control.Task{}, err
	}
	places := v.Places(ctx)
	number := func(name string) int {
		return slices.IndexFunc(places, func(p store.PlaceState) bool { return p.ID == name || p.Name == name })
	}
	old, by := number(r.Old), number(r.New)
	isAnew := old >= 0 && old == by && (places[old].Gone || places[old].Replaces) // another disk where the lost one was, or going on with that
	switch {
	case old >= 0 && by >= 0 && !isAnew:
		return control.Task{}, control.Errorf(control.Exists, "%s is a place of the vault already", r.New).WithHint("give an empty or a new folder")
	case old < 0 && by < 0: // the new one is when this goes on
		return control.Task{}, control.Errorf(control.NotFound, "the vault has no place %s", r.Old).WithHint("`yester vault place list` lists them")
	case len(places) == 1:
		return control.Task{}, control.Errorf(control.BadRequest, "a vault in one place has nothing to rebuild another from").
			WithHint("to move it, stop the daemon, copy its folder and name the copy under [vault] places in %s", d.o.Home.Settings)
	}
	return d.changePlaces(ctx, v, r.New, func(m *maintenance, ctx context.Context, p place.Place, o store.PlaceOptions) error {
		return m.vault.ReplacePlace(ctx, r.Old, p, o)
	})
}

// changePlaces starts a task that has the vault use a new folder.
func (d *Daemon) changePlaces(ctx context.Context, v *store.Vault, dir string,
	change func(*maintenance, context.Context, place.Place, store.PlaceOptions) error,
) (control.Task, error) {
	if err := d.site.mayLieIn(dir); err != nil {
		return control.Task{}, err
	}
	d.site.mu.Lock()
	_, err := d.site.dir(dir) // what does not answer is not waited for without end below
	d.site.mu.Unlock()
	if errors.Is(err, errNoAnswer) {
		return control.Task{}, control.Errorf(control.Conflict, "the folder %s does not answer", dir).WithHint("unmount what does not answer there first")
	}
	named := slices.DeleteFunc(v.Places(ctx), func(p store.PlaceState) bool { return p.Name != dir })
	isPlace := slices.ContainsFunc(named, func(p store.PlaceState) bool { return !p.Gone })
	if len(named) > 0 && !isPlace && onSystemDisk(dir) { // it would be filled with what is to lie on another
		return control.Task{}, control.Errorf(control.Conflict, "nothing is mounted at %s", dir).
			WithHint("mount the new disk there; a place that is to lie on the disk of the system is replaced in another folder")
	}
	made, err := newFolder(dir, isPlace)
	if err != nil {
		return control.Task{}, err
	}
	p, err := place.NewDir(dir)
	if err != nil {
		return control.Task{}, err
	}
	t, err := d.maintain(control.KindPlace, false, d.priority(), func(m *maintenance, ctx context.Context, j *job) error {
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

// mounted tells a folder from another one at the same path that another mount shows.
func mounted(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return strconv.Itoa(fs.MountOver(path)) + " " + path
}

// onSystemDisk tells whether a folder, which may not be there yet, lies in the mount of the root.
func onSystemDisk(dir string) bool {
	for {
		full, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return fs.MountOver(full) == fs.MountOver("/")
		}
		dir = filepath.Dir(dir)
	}
}

// newFolder makes a folder if it is not there, and refuses one that has something, unless it is a place already. It tells whether it made it.
func newFolder(dir string, isPlace bool) (made bool, err error) {
	if isPlace {
		return false, nil
	}
	_, err = os.Stat(dir)
	made = errors.Is(err, os.ErrNotExist)
	if err := mkdir(dir, 0o700); err != nil {
		return false, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return made, folderError(dir, err)
	}
	for _, f := range files {
		// A new file system has the first, and a place that was never finished the others.
		if name := f.Name(); name != "lost+found" && name != ".tmp" && !strings.HasPrefix(name, "vault.json") {
			return made, control.Errorf(control.Exists, "the folder %s is not empty, it has %s", dir, name).WithHint("give an empty or a new one")
		}
	}
	return made, nil
}

// spread does what may have packs of another shape than new ones be left, and keeps that in mind until none can be: when it was cut off, the next
// daemon goes on, and when a backup was at work, which may have begun a pack before, this one does.
func (m *maintenance) spread(work func() error) error {
	wanted := func(is bool) error { return m.d.changeUpkeep(func(u *upkeepState) { u.Spread = is }) }
	if err := wanted(true); err != nil {
		return err
	}
	backs := m.d.backs.Load()
	if err := work(); err != nil {
		m.d.spreadEnded.Store(true)
		m.d.spreadWaits.Store(!errors.Is(err, context.Canceled))
		if m.d.backs.Load() != backs { // maybe too late for the work, and too soon to find that it waits
			m.d.wakeSpread()
		}
		return err
	}
	m.d.spreadEnded.Store(false)
	if m.d.tasks.busy(control.KindBackup) {
		return nil
	}
	return wanted(false)
}

// wakeSpread has what failed go on: a place is there again, in which there may be packs that could not be spread, or seen.
func (d *Daemon) wakeSpread() {
	d.backs.Add(1)
	if d.spreadWaits.Swap(false) {
		d.spreadEnded.Store(false)
	}
}

// goOnSpreading goes on with what adding a place left to be done.
func (d *Daemon) goOnSpreading() error {
	_, err := d.maintain(control.KindPlace, true, d.priority(), func(m *maintenance, ctx context.Context, j *job) error {
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
		m.d.log.Info(hint)
	}
	j.update(func(t *control.Task) { t.Report, t.Hint = r, hint })
	m.d.lookAtPlaces(ctx, m.vault)
	return m.d.site.settled(ctx, m.vault)
}

// expect has a folder looked into when the vault is opened the next time.
func (s *site) expect(dir string) error {
	if looked := s.looked(); !slices.Contains(looked, dir) {
		s.seek(append(slices.Clone(looked), dir))
	}
	v, ok, err := s.known()
	if err != nil || !ok || slices.Contains(v.Places, dir) {
		return err
	}
	v.Places = append(v.Places, dir)
	return s.keep(v)
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
	return s.keep(v)
}

// named are the folders that the settings file says now, which may not be what it said when the daemon began; none if it leaves them to the daemon.
func (s *site) named() []string {
	if len(s.settings.Vault.Places) == 0 {
		return nil
	}
	if _, now, err := s.home.Load(); err == nil && len(now.Vault.Places) > 0 {
		return now.Vault.Places
	}
	return s.settings.Vault.Places
}

// mayLieIn refuses a new folder that the settings do not name: a daemon that starts would not look for the vault there.
func (s *site) mayLieIn(dir string) error {
	if named := s.named(); len(named) > 0 && !slices.Contains(named, dir) {
		return control.Errorf(control.Conflict, "%s says where the vault lies, and does not name %s", s.home.Settings, dir).
			WithHint("add it to [vault] places there, beside the others, and ask again")
	}
	return nil
}

// elsewhere says what to change in the settings, if they name other folders than the vault lies in; "" if nothing.
func (s *site) elsewhere(places []string) string {
	named := s.named()
	if len(named) == 0 {
		return ""
	}
	for _, p := range places {
		if !slices.Contains(named, p) {
			return "the vault has a place in " + p + " that " + s.home.Settings + " does not name under [vault] places: add it there before the daemon is started again"
		}
	}
	for _, p := range named {
		if !slices.Contains(places, p) {
			return s.home.Settings + " names " + p + " under [vault] places, where no place of the vault is: take it out"
		}
	}
	return ""
}
