package daemon

import (
	"context"
	"errors"
	"slices"

	"yester/control"
	"yester/snapshot"
	"yester/store"
)

// find sends the paths that match a glob.
func (d *Daemon) find(ctx context.Context, r control.FindRequest, send func([]control.Found) error) error {
	return explained(d.sendFound(ctx, r, &batch[control.Found]{send: send}))
}

func (d *Daemon) sendFound(ctx context.Context, r control.FindRequest, out *batch[control.Found]) error {
	v, err := d.openedVault()
	if err != nil {
		return err
	}
	pattern, err := control.ParsePath(r.Glob)
	if err != nil {
		return control.Errorf(control.BadRequest, "%v", err)
	}
	glob, err := snapshot.ParseGlob(pattern)
	if err != nil {
		return control.Errorf(control.BadRequest, "the glob %s makes no sense", r.Glob).WithHint("an example: '/home/**/*.txt'")
	}
	all, err := named(d.held(ctx, v), r.Partition)
	if err != nil {
		return err
	}
	found := false
	for _, p := range all {
		keys := searched(&p, r.Version)
		found = found || len(keys) > 0
		f := finding{d: d, vault: v, p: &p, finder: snapshot.NewFinder(v, glob, p.point), out: out}
		for _, k := range keys {
			if err := f.version(ctx, k); err != nil {
				return err
			}
		}
	}
	switch {
	case !found && len(all) > 0:
		return control.Errorf(control.NotFound, "there is no version %q", r.Version).WithHint("`yester versions` lists them")
	case !found:
		return control.Errorf(control.NotFound, "there are no versions yet").WithHint("`yester backup` takes the first")
	}
	return out.flush()
}

// searched are the versions of a partition that are asked for, newest first.
func searched(p *held, version string) []store.VersionKey {
	if version == control.AllVersions {
		keys := slices.Clone(p.keys)
		slices.Reverse(keys)
		return keys
	}
	if version == "" {
		version = latest
	}
	if k, ok := p.version(version); ok {
		return []store.VersionKey{k}
	}
	return nil
}

// finding is a search of one partition.
type finding struct {
	d      *Daemon
	vault  *store.Vault
	p      *held
	finder *snapshot.Finder
	out    *batch[control.Found]

	begun bool // a version was looked through; what is found in an older one was deleted since
}

// version looks through one version.
func (f *finding) version(ctx context.Context, k store.VersionKey) error {
	root, err := rootOf(ctx, f.vault, k)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, store.ErrNotFound): // it was deleted just now
		return nil
	case err != nil:
		return f.out.add(f.unread(k, f.p.point, err))
	}
	deleted := f.begun
	f.begun = true
	return f.finder.Next(ctx, root, func(path string, e *snapshot.Entry, lost error) error {
		if lost != nil {
			return f.out.add(f.unread(k, path, lost))
		}
		return f.out.add(control.Found{
			Partition: k.Partition, Version: k.Version, Path: control.PathText(path), File: file(e), Deleted: deleted,
			Browse: f.d.browsePath(k, path[len(trimSlash(f.p.point)):]),
		})
	})
}

func (f *finding) unread(k store.VersionKey, path string, err error) control.Found {
	return control.Found{Partition: k.Partition, Version: k.Version, Path: control.PathText(path), Error: sentence(err)}
}
