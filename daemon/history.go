package daemon

import (
	"context"
	"errors"

	"yester/control"
	"yester/snapshot"
	"yester/store"
)

// pathHistory tells what a path was in all versions of its partition.
func (d *Daemon) pathHistory(ctx context.Context, r control.HistoryRequest) (control.History, error) {
	v, err := d.openedVault()
	if err != nil {
		return control.History{}, err
	}
	p, at, err := d.locate(ctx, v, r.Path)
	if err != nil {
		return control.History{}, err
	}
	stays, err := follow(ctx, v, &p, at)
	out := control.History{Partition: p.name, Path: control.PathText(p.whole(at)), Stays: []control.Stay{}}
	if err == nil && len(stays) == 0 {
		err = control.Errorf(control.NotFound, "no version of %s has %s", p.name, out.Path).
			WithHint("`yester find --all-versions` finds by a part of the name")
	}
	for _, s := range stays {
		out.Stays = append(out.Stays, d.stay(ctx, v, &p, at, s))
	}
	return out, err
}

// follow looks at a path in all versions of a partition.
func follow(ctx context.Context, v *store.Vault, p *held, at string) ([]snapshot.Stay, error) {
	line := snapshot.NewTimeline(v, at)
	for _, k := range p.keys {
		root, err := rootOf(ctx, v, k)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, store.ErrNotFound): // it was deleted just now
			continue
		case err != nil:
			line.AddUnread(k.Version, err)
			continue
		}
		if err := line.Add(ctx, k.Version, root); err != nil {
			return nil, err
		}
	}
	return line.Stays(), nil
}

var stayKinds = map[snapshot.StayKind]string{
	snapshot.Created: control.DiffCreated, snapshot.Changed: control.DiffChanged, snapshot.Deleted: control.DiffDeleted,
	snapshot.Unread: control.DiffUnread,
}

func (d *Daemon) stay(ctx context.Context, v *store.Vault, p *held, at string, s snapshot.Stay) control.Stay {
	out := control.Stay{
		First: s.First, Last: s.Last, Versions: s.Versions, Kind: stayKinds[s.Kind], Changed: s.What.Names(), File: file(s.Entry),
	}
	if s.Err != nil {
		out.Error = sentence(s.Err)
	}
	k, ok := p.version(s.First)
	if !ok {
		return out
	}
	if s.Entry != nil {
		out.Browse = d.browsePath(k, at)
	}
	if r, err := record(ctx, v, k); err == nil {
		out.Method, out.Because = r.Method, r.Because
	}
	return out
}
