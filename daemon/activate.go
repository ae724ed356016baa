package daemon

import (
	"context"
	"os"
	"reflect"
	"slices"
	"time"

	"yester/control"
	"yester/snapshot/capture"
	"yester/store"
)

// activate begins daily backups, or gives an active instance other settings. Nothing changes if it fails.
func (d *Daemon) activate(ctx context.Context, r control.ActivateRequest) (control.Activation, error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	if d.serviceState() == control.StateNew {
		d.initializing.Store(true)
		defer d.initializing.Store(false)
	}
	return d.apply(ctx, &r)
}

// set gives an active instance other settings. Nothing changes if it fails.
func (d *Daemon) set(ctx context.Context, r control.ActivateRequest) (control.Activation, error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	if d.serviceState() == control.StateNew {
		return control.Activation{}, errNotActive()
	}
	return d.apply(ctx, &r)
}

// apply makes a policy of the one there is and what is asked for, and uses it. d.admin is held.
func (d *Daemon) apply(ctx context.Context, r *control.ActivateRequest) (control.Activation, error) {
	if d.serviceState() == control.StateCancelling {
		return control.Activation{}, errCancelling()
	}
	d.mu.Lock()
	old := d.policy
	d.mu.Unlock()
	v, err := d.findVault(ctx)
	if err != nil {
		return control.Activation{}, err
	}
	mounts, err := d.mounts() // by the names that they have in the vault
	if err != nil {
		return control.Activation{}, err
	}
	basis, err := d.basis(ctx, v)
	if err != nil {
		return control.Activation{}, err
	}
	policy, err := d.newPolicy(basis, r, mounts)
	if err != nil {
		return control.Activation{}, err
	}
	if old == nil {
		policy.ActivatedAt = d.o.Now().UTC().Truncate(time.Second)
	}
	a := control.Activation{Outcome: change(old, &policy), Instance: d.instance, Policy: policy}
	versions, _ := d.named()
	a.Warnings = slices.Concat(costs(&policy), absent(&policy, mounts), served(&policy, mounts, entries), awaiting(&policy, mounts, fstab(), versions, entries))
	if old == nil && v != nil {
		expired, err := d.outlived(ctx, v, &policy, "these settings", firstSweep)
		if err != nil {
			return a, err
		}
		a.Warnings = append(a.Warnings, expired...)
	}
	if v == nil {
		if a.VaultMade, err = d.makeVault(ctx); err != nil {
			return a, err
		}
	}
	if old == nil { // whatever the machine's id may become, its versions are under this one
		if err := d.db.PutInstance(d.instance.ID); err != nil {
			return a, err
		}
		if err := d.beginGrace(); err != nil {
			return a, err
		}
	}
	if a.Outcome != control.Unchanged {
		if err := d.usePolicy(old, policy); err != nil {
			return a, err
		}
	}
	if a.Outcome == control.Activated {
		a.Warnings = append(a.Warnings, d.beside(&policy, mounts)...)
	}
	d.tryMount()
	a.Mount, a.State = d.mountStatus(), d.serviceState()
	if next, ok := d.next(); ok {
		a.Next = &next
	}
	a.Partitions = selected(d.partitions(mounts))
	return a, nil
}

// fstab lists what is to be mounted when the machine starts, as /etc/fstab has it; nothing if there is none.
func fstab() string {
	b, _ := os.ReadFile("/etc/fstab")
	return string(b)
}

// change tells what becomes of an instance with a new policy.
func change(old, policy *control.Policy) string {
	switch {
	case old == nil:
		return control.Activated
	case reflect.DeepEqual(old, policy):
		return control.Unchanged
	}
	return control.Replaced
}

// findVault opens the vault if that is to be done still: its disk may have come since the daemon began, or a call that made it broke off. nil if there is none. d.admin is held.
func (d *Daemon) findVault(ctx context.Context) (*store.Vault, error) {
	d.mu.Lock()
	v := d.vault
	d.mu.Unlock()
	if v != nil {
		return v, nil
	}
	v, err := d.site.open(ctx, cacheBytes)
	if err != nil || v == nil {
		return nil, err
	}
	d.useVault(v)
	return v, nil
}

// makeVault makes a vault, and returns where. One that has come since is an error: it may have the settings of this machine.
func (d *Daemon) makeVault(ctx context.Context) (made string, err error) {
	v, err := d.site.init(ctx, control.VaultInitRequest{}, cacheBytes)
	if err != nil {
		return "", err
	}
	d.useVault(v)
	places, err := d.site.places()
	return list(places), err
}

// beside says that the vault is lost with the disk that it is to save.
func (d *Daemon) beside(p *control.Policy, mounts []capture.Mount) []string {
	places, err := d.site.places()
	if err != nil {
		return nil // the vault would not be open
	}
	return together(p, mounts, places, entries)
}

// usePolicy keeps a policy in place of an old one, nil for none, and lets it count.
func (d *Daemon) usePolicy(old *control.Policy, p control.Policy) error {
	if _, _, err := d.decide(); err != nil { // what is due already is so by the old one
		return err
	}
	if err := d.changePlan(old, &p); err != nil {
		return err
	}
	d.deleting.Lock() // a sweep at work deletes nothing more by the old one from here on
	d.log.Info("policy", "start", p.Start, "priority", p.Priority, "partitions", list(p.Partitions), "paths", list(p.Paths))
	d.deleting.Unlock()
	d.look()
	d.wake()
	d.wakeUpkeep()
	d.wakeSweep() // which brings the vault's copy up to date too
	return nil
}

// selected keeps the partitions that are backed up.
func selected(ps []control.Partition) []control.Partition {
	return slices.DeleteFunc(ps, func(p control.Partition) bool { return !p.Selected })
}
