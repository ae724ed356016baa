package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/snapshot"
	"yester/snapshot/capture"
	"yester/store"
)

const lateCause = "late/"

// lookAtVersions makes a message of each partition that is to be backed up and has no version that was completed within the last day, and ends those of
// partitions that have one, or are not to be backed up any more. That one is gone from the machine ends nothing, nor does what cannot be looked at. The day is
// as long as the window that a backup may begin in makes it: within that nothing is late. It counts from when the
// partition was first to be backed up, or is again after it was left out or the service paused. By a clock that may be about to be set right nobody can tell.
func (d *Daemon) lookAtVersions(ctx context.Context, v *store.Vault) {
	if d.isBehind() {
		return
	}
	over := map[string]bool{}
	for _, m := range d.alerts.List(true) {
		if m.Kind == control.MessageLate {
			over[m.Cause] = true
		}
	}
	d.mu.Lock()
	policy, service := d.policy, d.service
	d.mu.Unlock()
	if policy == nil || service != control.StateReady {
		d.dues.Store(nil)
	} else {
		all, since, err := d.duties(ctx, v, policy)
		if err != nil {
			d.log.Error("look at what is to be backed up", "err", err)
			return
		}
		d.remember(since)
		d.keepDues(all, policy)
		d.holdLate(all, policy, over)
	}
	for cause, is := range over {
		if is {
			d.resolve(cause)
		}
	}
}

// A duty is a partition that is to be backed up.
type duty struct {
	target
	since  time.Time // it is to be, with the service on all the time
	newest string    // version there is of it; "": none
	end    time.Time // when that was completed, at the earliest; zero if its record cannot be read
}

// due is when it is late, unless it has a newer version by then; ok is false if nobody can tell.
func (u *duty) due(p *control.Policy) (at time.Time, ok bool) {
	at = u.since
	if u.end.After(at) {
		at = u.end
	}
	return at.Add(allowed(p)), u.newest == "" || !u.end.IsZero()
}

// duties lists what is to be backed up by a policy, of a service that is on. What was not known to be so is from now on, or if nothing is known, since the service is. since has that of all, and of what
// is merely not there: a disk that is not always mounted, and never when a backup begins, is late by when it was first to be backed up.
func (d *Daemon) duties(ctx context.Context, v *store.Vault, p *control.Policy) (all []duty, since map[string]time.Time, err error) {
	mounts, err := d.mounts()
	if err != nil {
		return nil, nil, err
	}
	now := d.o.Now().Round(0).UTC()
	begin := now
	kept, err := d.db.Wanted()
	switch {
	case errors.Is(err, state.ErrNotFound):
		begin = d.begun(now)
	case err != nil:
		return nil, nil, err
	}
	since = map[string]time.Time{}
	for name, at := range kept {
		if mayBeAway(p, mounts, name) && now.Sub(at) < maxAway {
			since[name] = at
		}
	}
	newest := map[string]store.VersionKey{}
	for _, k := range v.Versions(d.instance.ID) { // oldest first
		newest[k.Partition] = k
	}
	for _, t := range d.wantedOf(ctx, v, p, mounts) {
		u := duty{target: t, since: begin}
		if at, ok := kept[t.partition.Name]; ok && at.Before(now) { // else the clock was set back
			u.since = at
		}
		if k, ok := newest[t.partition.Name]; ok {
			u.newest, u.end = k.Version, d.completed(ctx, v, k).End
			if u.end.Sub(now) > allowed(p) { // by a clock that was far ahead: nobody knows when
				u.end = u.since
			}
		}
		all, since[t.partition.Name] = append(all, u), u.since
	}
	return all, since, nil
}

// keepDues has Prometheus be told when partitions are late: a scrape looks at no disk for it.
func (d *Daemon) keepDues(all []duty, p *control.Policy) {
	dues := map[string]time.Time{}
	for _, u := range all {
		if at, ok := u.due(p); ok {
			dues[u.partition.Name] = at
		}
	}
	d.dues.Store(&dues)
}

// begun is since when the service is on.
func (d *Daemon) begun(now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if since := d.history.At(now).Since; !since.IsZero() {
		return since.UTC()
	}
	return now
}

// maxAway is how long it is known since when a partition is to be backed up that is not there, and has no version.
const maxAway = 30 * 24 * time.Hour

// remember keeps since when there are duties. While it cannot, on a full disk, new ones are from now on again and again.
func (d *Daemon) remember(since map[string]time.Time) {
	kept, err := d.db.Wanted()
	if errors.Is(err, state.ErrNotFound) || err == nil && !maps.EqualFunc(kept, since, time.Time.Equal) {
		err = d.db.PutWanted(since)
	}
	if err != nil {
		d.log.Error("keep what is to be backed up", "err", err)
	}
}

// holdLate holds the messages of the partitions that are late, and marks the causes of which it cannot be said that they are over.
func (d *Daemon) holdLate(all []duty, p *control.Policy, over map[string]bool) {
	now := d.o.Now()
	for _, u := range all {
		name := u.partition.Name
		if !u.end.IsZero() && now.Sub(u.end) <= allowed(p) {
			continue
		}
		over[lateCause+name] = false
		if at, ok := u.due(p); !ok || !now.After(at) {
			continue // that a record cannot be read is told as damage
		}
		text := fmt.Sprintf("%s has no version yet, and is to be backed up since %s", name, u.since.In(d.zone()).Format("2006-01-02 15:04"))
		if u.newest != "" {
			text = fmt.Sprintf("for more than a day no version of %s was completed; the newest is %s", name, u.newest)
		}
		if u.err != nil {
			text += "; " + sentence(u.err)
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
	return d.wantedOf(ctx, v, p, mounts), nil
}

// wantedOf is the same with these mounts.
func (d *Daemon) wantedOf(ctx context.Context, v *store.Vault, p *control.Policy, mounts []capture.Mount) []target {
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
		all = append(all, target{partition: snapshot.Partition{Name: k.Partition}, err: away(mounts, k.Partition)})
	}
	return slices.DeleteFunc(all, func(t target) bool { return t.partition.Name == "" }) // a path that lies nowhere
}

func isTarget(all []target, name string) bool {
	return slices.ContainsFunc(all, func(t target) bool { return t.partition.Name == name })
}

// away is why a partition that may be away is not backed up: it is not mounted, or another file system covers it or lies in its place. Of autofs it is not mounted: that waits for somebody who needs it.
func away(mounts []capture.Mount, name string) error {
	i := slices.IndexFunc(mounts, func(m capture.Mount) bool { return m.Name == name && m.FSType != "autofs" })
	if i < 0 {
		return control.Errorf(control.NotFound, "it is not mounted").
			WithHint("mount it, or leave it out with `yester set`, or `yester forget` its versions")
	}
	return control.Errorf(control.NotFound, "it cannot be backed up: %s", mounts[i].Excluded).
		WithHint("see what is mounted there, or leave it out with `yester set`, or `yester forget` its versions")
}

// mayBeAway tells whether a partition would be backed up by a policy without paths if it were mounted. What is there and no target is left out on purpose.
func mayBeAway(p *control.Policy, mounts []capture.Mount, name string) bool {
	there := slices.ContainsFunc(mounts, func(m capture.Mount) bool { return m.Name == name && m.IsThere() })
	return !there && (len(p.Partitions) == 0 || slices.Contains(p.Partitions, name))
}

// wouldHold tells whether one of the paths would lie on what was mounted at a point, if it were again.
func wouldHold(paths []string, mounts []capture.Mount, point string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		m, ok := capture.MountOf(mounts, path)
		return isBelow(path, point) && (!ok || len(m.MountPoint) < len(point))
	})
}
