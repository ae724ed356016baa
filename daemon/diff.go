package daemon

import (
	"context"
	"errors"

	"yester/control"
	"yester/snapshot"
	"yester/store"
)

// diff sends what differs between two versions.
func (d *Daemon) diff(ctx context.Context, r control.DiffRequest, send func([]control.Difference) error) error {
	return explained(d.sendDiff(ctx, r, &batch[control.Difference]{send: send}))
}

func (d *Daemon) sendDiff(ctx context.Context, r control.DiffRequest, out *batch[control.Difference]) error {
	v, err := d.openedVault()
	if err != nil {
		return err
	}
	p, at, err := d.diffPartition(ctx, v, r)
	if err != nil {
		return err
	}
	var roots [2]*snapshot.Entry
	for i, name := range []string{r.From, r.To} {
		k, ok := p.version(name)
		if !ok {
			return noVersion(name, p.name)
		}
		if roots[i], err = rootOf(ctx, v, k); err != nil {
			return err
		}
	}
	err = snapshot.Diff(ctx, v, roots[0], roots[1], at, func(c *snapshot.Change) error { return out.add(difference(&p, c)) })
	if errors.Is(err, snapshot.ErrNotExist) {
		return control.Errorf(control.NotFound, "neither version has %s", control.PathText(p.whole(at))).WithHint("check its spelling")
	}
	return errors.Join(out.flush(), err)
}

func noVersion(name, partition string) error {
	return control.Errorf(control.NotFound, "there is no version %q of %s", name, partition).WithHint("`yester versions` lists them")
}

// diffPartition finds the partition that is spoken of: that of the path, the one that is named, or the only one that has both versions.
func (d *Daemon) diffPartition(ctx context.Context, v *store.Vault, r control.DiffRequest) (p held, at string, err error) {
	if r.Path != "" {
		p, at, err = d.locate(ctx, v, r.Path)
		if err == nil && r.Partition != "" && r.Partition != p.name {
			err = control.Errorf(control.BadRequest, "%s lies on partition %s, not on %s", r.Path, p.name, r.Partition)
		}
		return p, at, err
	}
	all, err := named(d.held(ctx, v), r.Partition)
	if err != nil {
		return p, "", err
	}
	var have []string
	for _, q := range all {
		_, from := q.version(r.From)
		_, to := q.version(r.To)
		if from && to || r.Partition != "" {
			p, have = q, append(have, q.name)
		}
	}
	switch len(have) {
	case 0:
		return p, "", control.Errorf(control.NotFound, "no partition has both versions, %q and %q", r.From, r.To).
			WithHint("`yester versions` lists them")
	case 1:
		return p, "/", nil
	}
	return p, "", control.Errorf(control.BadRequest, "there are such versions of %s", list(have)).
		WithHint("say which with --partition, or give a path")
}

func difference(p *held, c *snapshot.Change) control.Difference {
	out := control.Difference{
		Kind: control.DiffChanged, Path: control.PathText(p.whole(string(c.Path))), Changed: c.What.Names(), Old: file(c.Old), New: file(c.New),
	}
	switch {
	case c.Err != nil:
		out.Kind, out.Error = control.DiffUnread, sentence(c.Err)
	case c.Old == nil:
		out.Kind = control.DiffCreated
	case c.New == nil:
		out.Kind = control.DiffDeleted
	}
	return out
}
