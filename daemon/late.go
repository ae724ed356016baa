package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
	"yester/store"
)

const lateCause = "late/"

// lookAtVersions makes a message of each partition that is to be backed up and has no version that was completed within the last day, and ends those of
// partitions that have one, or are not to be backed up any more. That one is gone from the machine ends nothing, nor does what cannot be looked at. The day is
// as long as the window that a backup may begin in makes it: within that nothing is late. It counts from when the service began, or went on after a pause.
func (d *Daemon) lookAtVersions(ctx context.Context, v *store.Vault) {
	over := map[string]bool{}
	for _, m := range d.alerts.List(true) {
		if m.Kind == control.MessageLate {
			over[m.Cause] = true
		}
	}
	d.mu.Lock()
	policy, service, since := d.policy, d.service, d.history.Since
	d.mu.Unlock()
	if policy != nil && service == control.StateReady {
		targets, err := d.wanted(ctx, v, policy)
		if err != nil {
			d.log.Error("list the partitions", "err", err)
			return
		}
		d.holdLate(ctx, v, policy, targets, since, over)
	}
	for cause, is := range over {
		if is {
			d.resolve(cause)
		}
	}
}

// holdLate holds the messages of the partitions that are late, and marks the causes of which it cannot be said that they are over.
func (d *Daemon) holdLate(ctx context.Context, v *store.Vault, policy *control.Policy, targets []target, since time.Time, over map[string]bool) {
	newest := map[string]store.VersionKey{}
	for _, k := range v.Versions(d.instance.ID) { // oldest first
		newest[k.Partition] = k
	}
	now := d.o.Now()
	for _, t := range targets {
		name := t.partition.Name
		k, any := newest[name]
		var end time.Time
		if any {
			end = d.completed(ctx, v, k).End
		}
		if !end.IsZero() && now.Sub(end) <= allowed(policy) {
			continue
		}
		over[lateCause+name] = false
		if any && end.IsZero() || now.Sub(since) <= allowed(policy) {
			continue // that a record cannot be read is told as damage
		}
		text := fmt.Sprintf("%s has no version yet, and the service began or was resumed more than a day ago", name)
		if any {
			text = fmt.Sprintf("for more than a day no version of %s was completed; the newest is %s", name, k.Version)
		}
		if t.err != nil {
			text += "; " + sentence(t.err)
		}
		d.kept(d.alerts.Hold(control.MessageLate, lateCause+name, text))
	}
}

// allowed is how old the newest version may be before it is told.
func allowed(p *control.Policy) time.Duration {
	return 24*time.Hour + time.Duration(p.WindowSeconds)*time.Second
}

// wanted lists what a policy would have backed up: what a backup makes versions of now, and what has versions and is not mounted.
func (d *Daemon) wanted(ctx context.Context, v *store.Vault, p *control.Policy) ([]target, error) {
	mounts, err := d.mounts()
	if err != nil {
		return nil, err
	}
	all := plan(p, mounts, exists)
	for _, of := range byPartition(v.Versions(d.instance.ID)) {
		k := of[len(of)-1]
		if isTarget(all, k.Partition) || !mayBeAway(p, mounts, k.Partition) {
			continue
		}
		if len(p.Paths) > 0 {
			r, err := record(ctx, v, k)
			if err == nil && !wouldHold(p.Paths, mounts, r.Partition.MountPoint) {
				continue
			}
		}
		err := control.Errorf(control.NotFound, "it is not mounted").
			WithHint("mount it, or leave it out with `yester set`, or `yester forget` its versions")
		all = append(all, target{partition: snapshot.Partition{Name: k.Partition}, err: err})
	}
	return slices.DeleteFunc(all, func(t target) bool { return t.partition.Name == "" }), nil // a path that lies nowhere
}

func isTarget(all []target, name string) bool {
	return slices.ContainsFunc(all, func(t target) bool { return t.partition.Name == name })
}

// mayBeAway tells whether a partition would be backed up by a policy without paths if it were mounted. What is mounted and no target is left out on purpose.
func mayBeAway(p *control.Policy, mounts []capture.Mount, name string) bool {
	there := slices.ContainsFunc(mounts, func(m capture.Mount) bool { return m.Name == name && m.FSType != "autofs" }) // which waits for somebody who needs it
	return !there && (len(p.Partitions) == 0 || slices.Contains(p.Partitions, name))
}

// wouldHold tells whether one of the paths would lie on what was mounted at a point, if it were again.
func wouldHold(paths []string, mounts []capture.Mount, point string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		m, ok := mountOf(mounts, path)
		return isBelow(path, point) && (!ok || len(m.MountPoint) < len(point))
	})
}
