package daemon

import (
	"context"

	"yester/control"
	"yester/snapshot"
	"yester/store"
)

// versions lists the instance's versions.
func (d *Daemon) versions(ctx context.Context, r control.VersionsRequest) (control.VersionList, error) {
	list := control.VersionList{Versions: []control.Version{}}
	v, err := d.openedVault()
	if err != nil {
		return list, err
	}
	var others []string
	for _, k := range v.Versions(d.instance.ID) {
		if r.Partition == "" || k.Partition == r.Partition {
			out, there := d.version(ctx, v, k)
			if err := ctx.Err(); err != nil {
				return list, err
			}
			if there {
				list.Versions = append(list.Versions, out)
			}
		} else if len(others) == 0 || others[len(others)-1] != k.Partition {
			others = append(others, k.Partition)
		}
	}
	d.addFates(ctx, v, list.Versions)
	if len(list.Versions) == 0 && r.Partition != "" {
		return list, noVersions(r.Partition, others)
	}
	return list, ctx.Err()
}

// addFates says of all versions of some partitions when they expire.
func (d *Daemon) addFates(ctx context.Context, v *store.Vault, all []control.Version) {
	d.mu.Lock()
	policy := d.policy
	d.mu.Unlock()
	kept, err := d.keptPolicy(ctx, v)
	if err != nil || policy == nil {
		return
	}
	keys := make([]store.VersionKey, len(all))
	for i, o := range all {
		keys[i] = store.VersionKey{Instance: d.instance.ID, Partition: o.Partition, Version: o.Version}
	}
	i := 0
	for _, of := range byPartition(keys) {
		for _, f := range d.fates(ctx, v, policy, kept, of, d.o.Now()) {
			all[i].Expires, all[i].Kept, all[i].Pinned = f.Expires, f.Kept, f.Kept == "pinned"
			i++
		}
	}
}

func noVersions(partition string, others []string) error {
	e := control.Errorf(control.NotFound, "there are no versions of a partition %q", partition)
	if len(others) == 0 {
		return e.WithHint("there are no versions at all yet")
	}
	return e.WithHint("there are some of: %s", list(others))
}

// version describes one version; what its record can't tell stays empty. One that was deleted meanwhile is not there, nor one that ctx ended before.
func (d *Daemon) version(ctx context.Context, v *store.Vault, k store.VersionKey) (out control.Version, there bool) {
	out, err := d.recorded(ctx, v, k)
	out.Path = d.browse(k)
	switch {
	case err == nil:
		return out, true
	case ctx.Err() != nil || !v.Remains(k):
		return out, false
	}
	d.log.Error("read a version's record", "partition", k.Partition, "version", k.Version, "err", err)
	out.Error = sentence(err)
	return out, true
}

// recorded is what the record of a version of this instance says. Records never change, so each is read once.
func (d *Daemon) recorded(ctx context.Context, v *store.Vault, k store.VersionKey) (control.Version, error) {
	if known, ok := d.records.Load(k); ok {
		return known.(control.Version), nil
	}
	out := control.Version{Instance: d.instance.Name, Partition: k.Partition, Version: k.Version}
	r, err := record(ctx, v, k)
	if err != nil {
		return out, err
	}
	out = fill(out, r)
	d.records.Store(k, out)
	return out, nil
}

// fill copies what the record knows.
func fill(out control.Version, r *snapshot.Version) control.Version {
	out.MountPoint, out.Start, out.End = r.Partition.MountPoint, r.Start, r.End
	out.Files, out.Dirs, out.Bytes = r.Totals.Files, r.Totals.Dirs, r.Totals.Bytes
	out.NewBytes, out.Stored, out.Warnings = r.NewBytes, r.Stored, r.WarningCount
	out.Method, out.Because = r.Method, r.Because
	out.Added, out.Changed, out.Deleted = r.Added, r.Changed, r.Deleted
	if out.State = control.Complete; r.WarningCount > 0 {
		out.State = control.Partial
	}
	return out
}

// openedVault returns the vault. NoVault.
func (d *Daemon) openedVault() (*store.Vault, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.vault == nil {
		return nil, d.noVault()
	}
	return d.vault, nil
}
