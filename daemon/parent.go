package daemon

import (
	"context"

	"yester/snapshot"
	"yester/store"
)

// chooseParents finds each target's parent. None of them can be deleted until leaveParents.
func (b *backup) chooseParents(ctx context.Context, targets []target) {
	b.d.deleting.Lock()
	defer b.d.deleting.Unlock()
	b.d.parents = map[store.VersionKey]struct{}{}
	for i := range targets {
		if p := b.parent(ctx, targets[i].partition.Name); p != nil {
			targets[i].parent = p
			b.d.parents[p.Key()] = struct{}{}
		}
	}
}

func (d *Daemon) leaveParents() {
	d.deleting.Lock()
	defer d.deleting.Unlock()
	d.parents = nil
}

// parent is the newest version of a partition that is sure to be one and whose record can be read, nil if there is none.
func (b *backup) parent(ctx context.Context, partition string) *snapshot.Version {
	keys := b.vault.Versions(b.instance.ID)
	for i := len(keys) - 1; i >= 0; i-- {
		if keys[i].Partition != partition || b.vault.IsStray(keys[i]) {
			continue
		}
		v, err := record(ctx, b.vault, keys[i])
		if err == nil {
			return v
		}
		b.log.log.Error("a version's record cannot be read, an older one serves as parent", "task", b.log.task,
			"partition", partition, "version", keys[i].Version, "err", err)
	}
	return nil
}

// record reads and parses the record of a version.
func record(ctx context.Context, v *store.Vault, k store.VersionKey) (*snapshot.Version, error) {
	raw, err := v.Record(ctx, k)
	if err != nil {
		return nil, err
	}
	return snapshot.ParseVersion(raw)
}
