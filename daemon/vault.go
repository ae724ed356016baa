package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/snapshot"
	"yester/snapshot/capture"
	"yester/store"
	"yester/store/place"
)

// A site knows where the vault of a home lies, and makes and opens it.
type site struct {
	home     Home
	settings Settings
	db       *state.DB
	log      *slog.Logger
	now      func() time.Time
	trouble  func(store.Trouble) // what the vault meets; may be nil
	leave    func(store.VersionKey) (end func(), wanted bool)
	another  func(context.Context, *store.Vault) error // called before a vault is remembered that is not the one that was; may be nil

	given atomic.Pointer[[]string] // passphrases or recovery keys of the vault that somebody gave, the last one first; kept in memory only

	looking atomic.Pointer[[]string] // folders that may be places of the vault; nil: none yet

	mu      sync.Mutex
	overdue map[string]chan openedDir // those that have not answered
	answers time.Duration             // how long they are waited for; 0: dirAnswers
}

// seek has a vault look for its places in these folders.
func (s *site) seek(dirs []string) {
	dirs = slices.Clone(dirs)
	s.looking.Store(&dirs)
}

// looked are the folders that a vault looks for its places in.
func (s *site) looked() []string {
	if dirs := s.looking.Load(); dirs != nil {
		return *dirs
	}
	return nil
}

// seen opens the folders that are there: of several places some may be missing, and come back.
func (s *site) seen() (places []place.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range s.looked() {
		if p, err := s.dir(dir); err == nil {
			places = append(places, p)
		}
	}
	return places
}

// dir opens a folder. It is not waited for without end: that of a server that is gone may answer never; nor is it asked again until it does, or another one is mounted there. s.mu is held.
func (s *site) dir(path string) (*place.Dir, error) {
	key := mounted(path)
	done, wait := s.overdue[key], time.Duration(0)
	if done == nil {
		done, wait = make(chan openedDir, 1), cmp.Or(s.answers, dirAnswers)
		go func() {
			dir, err := place.NewDir(path)
			if err == nil {
				readSome(dir)
			}
			done <- openedDir{dir, err}
		}()
	}
	select {
	case o := <-done:
		delete(s.overdue, key)
		return o.dir, o.err
	case <-time.After(wait):
	}
	if s.overdue == nil {
		s.overdue = map[string]chan openedDir{}
	}
	s.overdue[key] = done
	return nil, fmt.Errorf("open place %s: %w", path, errNoAnswer)
}

// readSome reads what is read first of a place. The system may say by itself that its folder is there, and whoever opens the vault waits without end.
func readSome(dir *place.Dir) {
	if f, err := dir.Open(context.Background(), "vault.json"); err == nil {
		_, _ = f.ReadAt(make([]byte, 1), 0)
		_ = f.Close()
	}
}

type openedDir struct {
	dir *place.Dir
	err error
}

const dirAnswers = 2 * time.Minute

var errNoAnswer = errors.New("it does not answer in time")

// known returns the vault that the home had when it was last used; ok is false if it never had one.
func (s *site) known() (v state.Vault, ok bool, err error) {
	v, err = s.db.Vault()
	if errors.Is(err, state.ErrNotFound) {
		return v, false, nil
	}
	return v, err == nil, err
}

// places lists the vault's folders: those of the settings, else those it was last opened in, else the home's.
func (s *site) places() ([]string, error) {
	if len(s.settings.Vault.Places) > 0 {
		return s.settings.Vault.Places, nil
	}
	v, ok, err := s.known()
	if err != nil {
		return nil, err
	}
	if ok {
		return v.Places, nil
	}
	return []string{s.home.Vault}, nil
}

// keep keeps where the vault lies. What was a place and is none any more stays known: packs may be left there.
func (s *site) keep(v state.Vault) error {
	old, _, err := s.known()
	if err != nil {
		return err
	}
	v.Former = nil
	for _, dir := range slices.Concat(old.Former, old.Places) {
		dir = filepath.Clean(dir)
		if !slices.Contains(v.Places, dir) && !slices.Contains(v.Former, dir) {
			v.Former = append(v.Former, dir)
		}
	}
	return s.db.PutVault(v)
}

// held lists the folders that may be places of the vault, whatever the settings said when the daemon began, and those where it is looked for.
func (s *site) held() ([]string, error) {
	dirs, err := s.places()
	v, _, knownErr := s.known()
	isFormer := func(dir string) bool { return slices.Contains(v.Former, dir) } // the settings may still name it
	return slices.Concat(slices.DeleteFunc(slices.Clone(dirs), isFormer), v.Places, s.looked()), errors.Join(err, knownErr)
}

// left lists the folders that the vault has left in what were places of it, as they are now. What else lies there is somebody's own. Only what can be backed up is
// asked: the disk of a place that was replaced may never answer.
func (s *site) left(ctx context.Context, mounts []capture.Mount) (dirs []string) {
	v, _, err := s.known()
	if err != nil {
		s.log.Error("find what were the vault's places", "err", err)
	}
	for _, former := range v.Former {
		dir, ok := capture.Reach(mounts, former)
		if !ok {
			continue
		}
		p, err := place.NewDir(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		var names []string
		if err == nil {
			names, err = store.Left(ctx, p)
		}
		if err != nil {
			s.log.Warn("look what is left in a place that was replaced", "place", former, "err", err)
		}
		for _, name := range names {
			dirs = append(dirs, filepath.Join(dir, name))
		}
	}
	return dirs
}

// open opens the vault. It is nil without an error if there never was one; one that was there and does not open is an *unopened, so that no empty one takes its place when a disk is
// not mounted, and somebody is told.
func (s *site) open(ctx context.Context, cache int64) (*store.Vault, error) {
	dirs, err := s.places()
	if err != nil {
		return nil, err
	}
	v, err := s.openIn(ctx, dirs, cache) // it tells of folders too many, see places.go
	if err == nil {
		err = s.remember(ctx, v, dirs, false)
	}
	if err != nil {
		return nil, s.whyUnopened(ctx, dirs, err)
	}
	if err := s.settled(ctx, v); err != nil {
		s.log.Warn("remember the vault's places", "err", err)
	}
	return v, nil
}

// whyUnopened says why the vault is not open, and what to do; nil if there never was one.
func (s *site) whyUnopened(ctx context.Context, dirs []string, err error) error {
	if u, is := errors.AsType[*unopened](err); is {
		return u
	}
	old, had, knownErr := s.known()
	gone := errors.Is(err, store.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case knownErr != nil:
		return knownErr
	case gone && had:
		return &unopened{control.Errorf(control.NoVault, "the vault %s is no longer in %s", short(old.ID), list(dirs)).
			WithHint("is its disk mounted? to begin a new vault there, stop the daemon and run `yester vault init`")}
	case gone:
		return nil
	}
	e := s.openError(dirs, err)
	if !had || errors.Is(err, store.ErrLocked) {
		return e
	}
	switch e.Kind {
	case control.WrongKey:
		if errors.Is(err, store.ErrNoKey) {
			break
		}
		e = e.WithHint("%s; with another passphrase or the recovery key `yester vault adopt` opens it until the daemon ends", e.Hint)
	case control.NoSpace:
		e = control.Errorf(control.NoVault, "%s", e.Message).WithHint("%s", e.Hint)
	case control.Internal, control.Denied: // a disk or server is away or fails, or does not let even root in
		e = control.Errorf(control.NoVault, "%s", e.Message).WithHint("are its disks mounted, and well?")
	}
	return &unopened{e}
}

// openError adds where it happened, and what to do, to the errors of a vault that does not open.
func (s *site) openError(dirs []string, err error) *control.Error {
	if e, said := errors.AsType[*control.Error](err); said {
		return e
	}
	e := explain(err)
	e.Message = "the vault in " + list(dirs) + " cannot be opened: " + strings.TrimPrefix(sentence(err), "open vault: ")
	if file := s.secretFile(); file != "" && e.Kind == control.WrongKey && !errors.Is(err, store.ErrNoKey) {
		e.Hint = "the passphrase is read from " + file + ": put the one there that opens it"
	}
	return e
}

func (s *site) openIn(ctx context.Context, dirs []string, cache int64) (*store.Vault, error) {
	o, err := s.options(dirs)
	if err != nil {
		return nil, err
	}
	o.Accept = func(id, keyCheck string) error { return s.accept(dirs, id, keyCheck) }
	known, _, err := s.known()
	if err != nil {
		return nil, err
	}
	o.Known = known.ID
	for _, text := range s.passphrases() {
		o.Secret = func(context.Context, []store.KeyInfo) (store.Secret, error) { return store.Secret{Text: text}, nil }
		if v, err := s.openWith(ctx, o, cache); !errors.Is(err, store.ErrKey) {
			return v, err
		} // it opens the vault no more
	}
	o.Secret = s.filed
	return s.openWith(ctx, o, cache)
}

func (s *site) openWith(ctx context.Context, o store.Options, cache int64) (*store.Vault, error) {
	o.IndexDir, o.Cache = s.home.Index, cache
	return store.Open(ctx, o)
}

func (s *site) options(dirs []string) (store.Options, error) {
	s.seek(dirs)
	s.mu.Lock()
	defer s.mu.Unlock()
	o := store.Options{Log: s.log, Now: s.now, Secret: s.secret, OnTrouble: s.trouble, Leave: s.leave, Look: s.seen}
	o.Marker = func(v *store.Vault) store.Mark { return snapshot.Marker(v) }
	var missing error
	for _, dir := range dirs {
		p, err := s.dir(dir)
		if err != nil {
			missing = errors.Join(missing, err)
			continue
		}
		o.Places = append(o.Places, p)
	}
	if len(dirs) == 1 || len(o.Places) == 0 {
		return o, missing
	}
	return o, nil
}

// remember keeps which vault is open; isNew tells that it was just made. On a disk too full for that, the vault is still good to read.
func (s *site) remember(ctx context.Context, v *store.Vault, dirs []string, isNew bool) error {
	info, err := v.Info(ctx)
	if err != nil {
		return errors.Join(err, v.Close())
	}
	old, ok, err := s.known()
	switch {
	case err != nil:
		return errors.Join(err, v.Close())
	case ok && old.ID == info.ID && old.Key == info.KeyCheck && slices.Equal(old.Places, dirs):
		return nil
	case ok && old.ID != info.ID && !isNew:
		s.log.Warn("the settings name another vault than before", "old", old.ID, "new", info.ID, "places", list(dirs))
	}
	if old.ID != info.ID && s.another != nil {
		if err := s.another(ctx, v); err != nil {
			return errors.Join(&unopened{explain(err)}, v.Close())
		}
	}
	if err := s.keep(state.Vault{ID: info.ID, Places: dirs, Key: info.KeyCheck}); err != nil {
		s.log.Warn("remember the vault", "err", err)
	}
	return nil
}

// accept refuses a vault in some folders that is not the one this daemon had there, or not with the key it had.
func (s *site) accept(dirs []string, id, keyCheck string) error {
	old, ok, err := s.known()
	switch {
	case err != nil:
		return err
	case ok && old.ID == id && old.Key != "" && old.Key != keyCheck:
		return &unopened{control.Errorf(control.WrongKey, "the vault in %s has another master key than it had: whoever put it there could read what is backed up from now on", list(dirs)).
			WithHint("see who can write there; vault.json and the folder keys are not those of before. If that is meant, `yester vault adopt` goes on with it")}
	case ok && old.ID != id && share(dirs, old.Places):
		return &unopened{control.Errorf(control.Conflict, "in %s lies another vault than the one this daemon had there: it has the id %s, not %s", list(dirs), short(id), short(old.ID)).
			WithHint("is the right disk mounted, and who put this one there? If that is meant, `yester vault adopt` goes on with it")}
	}
	return nil
}

// share tells whether two lists of folders have one in common.
func share(a, b []string) bool {
	return slices.ContainsFunc(a, func(dir string) bool {
		return slices.ContainsFunc(b, func(other string) bool { return filepath.Clean(dir) == filepath.Clean(other) })
	})
}

// An unopened is the error of a vault that this daemon has, and does not open for now: it is away or damaged, or nothing that the daemon has opens it, or the one that lies there is not
// the one this daemon had, or has not the key it had. Who can write in a folder could put one there to be given all that is backed up, so that is used only when somebody has said so.
type unopened struct{ err *control.Error }

func (u *unopened) Error() string { return u.err.Error() }
func (u *unopened) Unwrap() error { return u.err }

// init makes a vault in the folders of r, or where places says if it names none, and opens it. Exists if the home has one.
func (s *site) init(ctx context.Context, r control.VaultInitRequest, cache int64) (*store.Vault, error) {
	dirs, err := s.target(ctx, r.Places)
	if err != nil {
		return nil, err
	}
	if r.Survive < 0 || r.Survive > 0 && r.Survive >= len(dirs) {
		return nil, control.Errorf(control.BadRequest, "a vault in %s cannot survive the loss of %d of its places", list(dirs), r.Survive).
			WithHint("give more places, or a smaller number")
	}
	if err := s.vacant(ctx, dirs); err != nil {
		return nil, err
	}
	o, err := s.options(dirs)
	if err == nil {
		o.Passphrase, o.Survive = r.Passphrase, r.Survive
		err = store.Init(ctx, o)
	}
	if err != nil {
		e := explain(err)
		e.Message = "no vault can be made in " + list(dirs) + " (" + sentence(err) + ")"
		return nil, e
	}
	s.log.Info("made a vault", "places", list(dirs))
	s.give(r.Passphrase)
	v, err := s.openWith(ctx, o, cache)
	if err != nil {
		return nil, s.openError(dirs, err)
	}
	return v, s.remember(ctx, v, dirs, true)
}

// target says where a new vault goes, and that there is none yet.
func (s *site) target(ctx context.Context, wanted []string) ([]string, error) {
	dirs, err := s.places()
	if err != nil {
		return nil, err
	}
	left, err := s.unfinished(ctx, dirs)
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		if _, err := os.Stat(d + "/vault.json"); err == nil && !left {
			return nil, control.Errorf(control.Exists, "%s has a vault already, in %s", s.home.Name(), list(dirs)).
				WithHint("`yester vault info` describes it")
		}
	}
	if len(wanted) == 0 || slices.Equal(dirs, wanted) {
		return dirs, nil
	}
	if len(s.settings.Vault.Places) > 0 {
		return nil, control.Errorf(control.BadRequest, "%s puts the vault in %s, not in %s", s.home.Settings, list(dirs), list(wanted)).
			WithHint("change it there, or leave out --place")
	}
	return wanted, nil
}

// taken says that the daemon has a vault, also when its folder is gone: a new one there would be in the way when it comes back. It does not look into the folder, which may never answer.
func (s *site) taken() error {
	dirs, err := s.places()
	if err != nil {
		return err
	}
	return control.Errorf(control.Exists, "%s has a vault already, in %s", s.home.Name(), list(dirs)).
		WithHint("`yester vault info` describes it; if it is not there, is its disk mounted? To begin another one, stop the daemon first")
}

// vacant makes the folders of a new vault, and refuses those that hold something else.
func (s *site) vacant(ctx context.Context, dirs []string) error {
	if left, err := s.unfinished(ctx, dirs); left || err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := mkdir(dir, 0o700); err != nil {
			return err
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			return folderError(dir, err)
		}
		for _, f := range files {
			switch f.Name() {
			case "vault.json", "vault.json.copy":
				return control.Errorf(control.Exists, "there is a vault in %s already", dir).
					WithHint("to go on with it, run `yester vault adopt --place %s` while the daemon runs, with all its folders; if `yester vault init` was cut off, run it again with the same folders", dir)
			case "lost+found", "keys": // of a new file system, and of a vault that was not finished
			default:
				if f.Name()[0] != '.' {
					return control.Errorf(control.Exists, "the folder %s is not empty", dir).
						WithHint("give an empty or a new one")
				}
			}
		}
	}
	return nil
}

// unfinished tells whether the folders hold nothing but what was left of a vault when its making was cut off. If the daemon had a vault in one of them they do not.
func (s *site) unfinished(ctx context.Context, dirs []string) (bool, error) {
	old, had, err := s.known()
	if err != nil || had && share(dirs, old.Places) {
		return false, err
	}
	for _, dir := range dirs {
		if i, err := os.Stat(dir); err != nil || !i.IsDir() {
			return false, nil // who makes it, or cannot, says so
		}
	}
	o, err := s.options(dirs)
	if err != nil || len(o.Places) < len(dirs) {
		return false, err
	}
	return store.Unfinished(ctx, o.Places)
}

// made describes a vault that was just made.
func (s *site) made(ctx context.Context, v *store.Vault) (control.VaultInfo, error) {
	info, err := vaultInfo(ctx, v)
	if err == nil {
		info.Warnings = s.closed(ctx, v)
	}
	return info, err
}

// vaultInfo describes a vault as the API does.
func vaultInfo(ctx context.Context, v *store.Vault) (control.VaultInfo, error) {
	in, err := v.Info(ctx)
	if err != nil {
		return control.VaultInfo{}, explain(err)
	}
	out := control.VaultInfo{
		ID: in.ID, Format: in.Format, Packs: in.Packs, Chunks: in.Chunks, Stored: in.Stored,
		Versions: in.Versions, Instances: in.Instances,
		Raw: in.Raw, Data: in.Data, Parity: in.Parity, Dead: in.Dead, Healed: in.Healed,
	}
	if !in.Collected.IsZero() {
		out.Collected = &in.Collected
	}
	if in.Data > 0 {
		out.Compress = float64(in.Raw) / float64(in.Data)
	}
	if len(in.Places) == 1 && in.Places[0].Err != nil { // it may never answer
		out.Unread = in.Versions
	} else if err := addLogical(ctx, v, &out); err != nil {
		return out, err
	}
	if used := in.Raw - min(in.DeadRaw, in.Raw); used > 0 {
		out.Dedup = float64(out.Logical) / float64(used)
	}
	for _, p := range in.Places {
		out.Places = append(out.Places, apiPlace(p))
	}
	return out, nil
}

// addLogical adds up the sizes of all files of all versions.
func addLogical(ctx context.Context, v *store.Vault, out *control.VaultInfo) error {
	all, err := v.Instances(ctx)
	if err != nil {
		return explain(err)
	}
	for _, in := range all {
		for _, k := range v.Versions(in.ID) {
			r, err := record(ctx, v, k)
			if err != nil {
				out.Unread++
				continue
			}
			out.Logical += r.Totals.Bytes
		}
	}
	return ctx.Err()
}

// InitVault makes a vault for a home that no daemon serves. Busy if one does.
func InitVault(ctx context.Context, o Options, r control.VaultInitRequest) (control.VaultInfo, error) {
	o = o.withDefaults()
	var info control.VaultInfo
	err := o.alone(func(s *site) error {
		v, err := s.init(ctx, r, cacheBytes)
		if err != nil {
			return err
		}
		info, err = s.made(ctx, v)
		return errors.Join(err, v.Close())
	})
	return info, explained(err)
}

// alone calls f with the site of a home that is locked meanwhile.
func (o *Options) alone(f func(*site) error) error {
	if err := o.Home.make(); err != nil {
		return err
	}
	l, err := o.Home.lock()
	if err != nil {
		return err
	}
	defer l.free()
	db, err := o.openState()
	if err != nil {
		return err
	}
	return errors.Join(f(&site{home: o.Home, settings: o.Settings, db: db, log: o.Log, now: o.Now}), db.Close())
}
