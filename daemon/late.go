package daemon

import (
	"context"
	"fmt"
	"time"

	"yester/control"
	"yester/store"
)

const lateCause = "late/"

// lookAtVersions makes a message of each partition that is backed up and has no version that was completed within the last day, and ends those of
// others. The day is as long as the window that a backup may begin in makes it: within that nothing is late. It counts from when the service began,
// or went on after a pause.
func (d *Daemon) lookAtVersions(ctx context.Context, v *store.Vault) {
	late := map[string]bool{}
	for _, m := range d.alerts.List(true) {
		if m.Kind == control.MessageLate {
			late[m.Cause] = false
		}
	}
	d.mu.Lock()
	policy, service, since := d.policy, d.service, d.history.Since
	d.mu.Unlock()
	if policy != nil && service == control.StateReady {
		d.holdLate(ctx, v, policy, since, late)
	}
	for cause, is := range late {
		if !is {
			d.resolve(cause)
		}
	}
}

// holdLate holds the messages of the partitions that are late, and marks their causes.
func (d *Daemon) holdLate(ctx context.Context, v *store.Vault, policy *control.Policy, since time.Time, late map[string]bool) {
	mounts, err := d.o.Discover()
	if err != nil {
		d.log.Error("list the partitions", "err", err)
		return
	}
	newest := map[string]store.VersionKey{}
	for _, k := range v.Versions(d.instance.ID) { // oldest first
		newest[k.Partition] = k
	}
	now := d.o.Now()
	for _, t := range plan(policy, mounts, exists) {
		name := t.partition.Name
		k, any := newest[name]
		last := since
		if any {
			end := d.completed(ctx, v, k).End
			if end.IsZero() {
				continue // its record cannot be read, which is told as damage
			}
			if end.After(last) {
				last = end
			}
		}
		if now.Sub(last) <= allowed(policy) {
			continue
		}
		text := fmt.Sprintf("%s has no version yet, and the service began or was resumed more than a day ago", name)
		if any {
			text = fmt.Sprintf("for more than a day no version of %s was completed; the newest is %s", name, k.Version)
		}
		late[lateCause+name] = true
		d.kept(d.alerts.Hold(control.MessageLate, lateCause+name, text))
	}
}

// allowed is how old the newest version may be before it is told.
func allowed(p *control.Policy) time.Duration {
	return 24*time.Hour + time.Duration(p.WindowSeconds)*time.Second
}
