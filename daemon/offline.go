package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"syscall"
	"time"

	"yester/control"
	yesterfs "yester/fs"
	"yester/snapshot"
	"yester/snapshot/capture"
	"yester/store"
	"yester/store/place"
)

// OfflineOptions say which vault to open without a daemon. Places are needed.
type OfflineOptions struct {
	Places []string     // folders of the vault; of several, some may be missing
	Own    []string     // folders of the machine's own home, which a restore leaves alone
	Log    *slog.Logger // default: slog.Default()

	// Secret is asked for a passphrase or recovery key when no open key is there.
	Secret func(ctx context.Context) (string, error)
}

// An Offline is a vault that is read without a daemon: on a machine that has nothing else of yester. Nothing in the vault is written; a daemon elsewhere may go
// on writing to it.
type Offline struct {
	vault   *store.Vault
	places  []string
	own     []string
	log     *slog.Logger
	mounted bool // still, as it could not be unmounted
}

// OpenOffline opens a vault for reading. Errors are *control.Error.
func OpenOffline(ctx context.Context, o OfflineOptions) (*Offline, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	f := &Offline{log: o.Log, places: o.Places, own: slices.Concat(o.Places, o.Own)}
	so := store.Options{Log: o.Log, ReadOnly: true, Cache: cacheBytes}
	var missing error
	for _, dir := range o.Places {
		p, err := place.NewDir(dir)
		if err != nil {
			missing = errors.Join(missing, err)
			o.Log.Warn("a place is not there", "place", dir, "err", cause(err))
			continue
		}
		so.Places = append(so.Places, p)
	}
	if errors.Is(missing, syscall.ENOSYS) {
		return nil, explain(missing)
	}
	if len(so.Places) == 0 {
		return nil, control.Errorf(control.NoVault, "there is no folder %s", list(o.Places)).WithHint("is its disk mounted?")
	}
	if o.Secret != nil {
		so.Secret = func(ctx context.Context, _ []store.KeyInfo) (store.Secret, error) {
			text, err := o.Secret(ctx)
			return store.Secret{Text: text}, err
		}
	}
	var err error
	if f.vault, err = store.Open(ctx, so); err != nil {
		return nil, unlessEnded(ctx, offlineError(o.Places, err))
	}
	return f, nil
}

// offlineError says what is wrong with a vault that does not open.
func offlineError(places []string, err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return control.Errorf(control.NoVault, "there is no vault in %s", list(places)).WithHint("give the folder that has the vault.json")
	}
	return (&site{}).openError(places, err)
}

// unlessEnded is the error, or that of the context if it has ended: no daemon is.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Close closes the vault, unless it is still read through a mount.
func (f *Offline) Close() error {
	if f.mounted {
		return nil
	}
	return f.vault.Close()
}

// Versions lists all versions of all instances; of an instance alone if one is named, by its name or id, and of a partition likewise.
func (f *Offline) Versions(ctx context.Context, instance, partition string) ([]control.Version, error) {
	all, err := f.instances(ctx, instance)
	if err != nil {
		return nil, err
	}
	versions := []control.Version{}
	for _, in := range all {
		for _, k := range f.vault.Versions(in.ID) {
			if partition != "" && k.Partition != partition {
				continue
			}
			out := control.Version{Instance: in.Name, Partition: k.Partition, Version: k.Version}
			if r, err := record(ctx, f.vault, k); err != nil {
				out.Error = sentence(err)
			} else {
				out = fill(out, r)
				if err := rootIsThere(ctx, f.vault, r); err != nil {
					out.State, out.Error = "", fmt.Sprintf("the vault has not all of it: %s (%s)", lacking, sentence(err))
				}
			}
			versions = append(versions, out)
		}
	}
	return versions, ctx.Err()
}

// rootIsThere reads the first page of a version. That of a version whose packs were not copied with its record is missing.
func rootIsThere(ctx context.Context, v *store.Vault, r *snapshot.Version) error {
	root, err := r.RootEntry()
	if err == nil && root.Tree != (store.ID{}) {
		_, err = snapshot.GetPage(ctx, v, root.Tree)
	}
	return err
}

// instances are those of a name or id that have versions, or all, by names that tell them apart.
func (f *Offline) instances(ctx context.Context, name string) (found []store.Instance, err error) {
	all, err := f.vault.Instances(ctx)
	if err != nil {
		return nil, unlessEnded(ctx, explain(err))
	}
	all = slices.DeleteFunc(all, func(in store.Instance) bool { return len(f.vault.Versions(in.ID)) == 0 })
	names := distinctNames(all)
	for i, in := range all {
		if name == "" || isCalled(&in, name) {
			in.Name = names[i]
			found = append(found, in)
		}
	}
	if len(found) == 0 && name != "" {
		return nil, control.Errorf(control.NotFound, "the vault has no versions of an instance %q", name).WithHint("it has versions of: %s", list(names))
	}
	return found, nil
}

// Mount shows all versions in a folder until ctx ends or it is unmounted by hand. They are root's alone: nobody knows whose users this machine's are.
func (f *Offline) Mount(ctx context.Context, dir string, ready func()) error {
	m, err := yesterfs.Serve(yesterfs.Options{Dir: dir, Vault: f.vault, Log: f.log})
	if err != nil {
		return explain(err)
	}
	ready()
	select {
	case <-ctx.Done():
	case <-m.Done():
	}
	err = m.Unmount()
	f.mounted = err != nil
	return err
}

// Restore restores from the vault, and tells show how far it is. The task that comes back has no id, and is kept nowhere.
func (f *Offline) Restore(ctx context.Context, r control.RestoreRequest, instance string, show func(control.Task)) (control.Task, error) {
	o, err := f.settle(ctx, r, instance)
	if err != nil {
		return control.Task{}, unlessEnded(ctx, explain(err))
	}
	defer o.target.Close()
	return f.task(ctx, control.KindRestore, show, o.run), nil
}

// settle finds out what is to be restored.
func (f *Offline) settle(ctx context.Context, r control.RestoreRequest, instance string) (*restoration, error) {
	all, err := f.instances(ctx, instance)
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, control.Errorf(control.NotFound, "the vault has no versions")
	case len(all) > 1:
		var names []string
		for _, in := range all {
			names = append(names, in.Name)
		}
		return nil, control.Errorf(control.BadRequest, "the vault has versions of %s", list(names)).WithHint("say which with --instance")
	}
	p, paths, err := findPaths(heldBy(ctx, f.vault, all[0].ID), nil, all[0].Name, &r)
	if err != nil {
		return nil, err
	}
	o := &restoration{vault: f.vault, request: r, paths: paths}
	if err := o.choose(ctx, &p, time.Now()); err != nil {
		return nil, err
	}
	policy, err := policyOf(ctx, f.vault, all[0].ID, r.Delete)
	if err != nil {
		return nil, err
	}
	o.goBy(policy)
	return o, o.aim(aim{own: f.own, discover: capture.Discover})
}

// Check looks for damage, and reads a part of the data, 0 to 1: from anywhere on, as nobody keeps where the last check ended. The task has no id.
func (f *Offline) Check(ctx context.Context, part float64, show func(control.Task)) control.Task {
	m := &maintenance{d: &Daemon{log: slog.New(slog.DiscardHandler), o: Options{Now: time.Now}}, vault: f.vault}
	var from packID
	rand.Read(from[:])
	return f.task(ctx, control.KindCheck, show, func(ctx context.Context, j *job) error {
		c, err := f.vault.Check(ctx, store.CheckOptions{
			Mark: snapshot.Marker(f.vault), ReadData: part, Cursor: from.String(), Limiter: m.limiter(j), Progress: j.progress.at,
		})
		r := &control.Report{Versions: c.Versions, Packs: c.Packs, ReadPacks: c.Read, ReadBytes: c.Bytes}
		return m.report(ctx, j, r, c.Problems, c.Lost, err)
	})
}

// task does the work of a task, and shows it meanwhile. When ctx ends, that is because somebody wants it to stop.
func (f *Offline) task(ctx context.Context, kind string, show func(control.Task), work func(context.Context, *job) error) control.Task {
	now := time.Now()
	j := &job{done: make(chan struct{}), task: control.Task{Kind: kind, State: control.Running, Start: now.UTC()}}
	j.progress.rate(sample{at: now})
	working, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { stop(stopped(kind, "stopped on request")) })()
	go func() {
		defer close(j.done)
		err := safely(slog.Default(), func() error { return work(working, j) })
		j.finish(working, err, time.Now().UTC())
	}()
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-j.done:
			return j.look(time.Now())
		case <-tick.C:
			show(j.look(time.Now()))
		}
	}
}
