package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/snapshot"
	"yester/store"
)

// sweepEvery is how often versions that have expired are deleted, if nothing else asks for it.
const sweepEvery = 30 * time.Minute

// firstSweep is how long after its activation an instance's versions do not expire: those of a machine that was lost for longer than they are kept would all go at once, and
// whoever brings it back needs some time to see what they are worth. So it is when an active one comes to other versions than it had, those of another vault or those that another
// daemon had meanwhile. It is time that really passed while the machine was on: the clock may be set right meanwhile.
const firstSweep = 24 * time.Hour

// beginGrace has no version expire until firstSweep has passed.
func (d *Daemon) beginGrace() error {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	w, err := d.watch()
	if err != nil {
		return err
	}
	w.Passed = 1 // 0 is what a version before kept, see watch
	return d.db.PutWatch(state.Watch(w))
}

// anotherVault has no version expire for a day in a vault that an active service did not have before, and says how many do then.
func (d *Daemon) anotherVault(ctx context.Context, v *store.Vault) error {
	if d.serviceState() == control.StateNew {
		return nil // the activation does
	}
	if err := d.beginGrace(); err != nil {
		return err
	}
	expired, err := d.spared(ctx, v)
	if err != nil {
		d.log.Warn("look how many versions have expired in another vault than before", "err", err)
	}
	for _, text := range expired {
		d.kept(d.alerts.Note(control.MessagePlace, "vault/another", "this is another vault than before: "+text))
	}
	return nil
}

// wakeSweep has the loop look again at which versions have expired.
func (d *Daemon) wakeSweep() {
	select {
	case d.sweeping <- struct{}{}:
	default:
	}
}

// sweeps goes on until ctx ends.
func (d *Daemon) sweeps(ctx context.Context) {
	sweepAgain(ctx, d.o.timer, d.sweeping, func() {
		if err := d.sweep(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("delete expired versions", "err", err)
		}
	})
}

// sweepAgain sweeps now, half an hour after each sweep, and whenever asked to, until ctx ends.
func sweepAgain(ctx context.Context, timer func(time.Duration) *time.Timer, asked <-chan struct{}, sweep func()) {
	for ctx.Err() == nil {
		sweep()
		t := timer(sweepEvery)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-asked:
		}
		t.Stop()
	}
}

// sweep deletes the versions that have expired, by a clock that is believed, and has their space given back. One that a running backup builds on goes with a later sweep. It
// brings the copy of the policy in the vault up to date first: what cannot be kept there, or read from there, ends it.
func (d *Daemon) sweep(ctx context.Context) error {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	clock, unkept := d.lookAtClock() // also for whoever else goes by it
	d.mu.Lock()
	policy, vault, service := d.policy, d.vault, d.service
	d.mu.Unlock()
	if vault == nil || service != control.StateReady && service != control.StatePaused {
		return unkept
	}
	if err := d.keepOff(ctx, vault); errors.Is(err, control.Conflict) {
		return unkept // they are another daemon's, as status says
	}
	kept, err := d.copyPolicy(ctx, vault, policy)
	if err != nil {
		return errors.Join(unkept, err)
	}
	if clock.Passed < firstSweep {
		return unkept
	}
	half, err := d.halfRestored()
	if err != nil {
		return errors.Join(unkept, err)
	}
	errs := []error{unkept}
	deleted, stay := 0, 0
	for _, of := range d.expiring(vault) {
		if !d.isPolicy(policy) {
			break // whoever changed it has another sweep begin
		}
		for i, f := range d.fates(ctx, vault, policy, kept, of, clock.Wall) {
			if !f.Gone(clock.Wall) || half[of[i].Partition+"/"+of[i].Version] {
				continue
			}
			if !f.Gone(clock.Wall.Add(-clock.Ahead())) {
				stay++
				continue
			}
			switch err := d.delete(ctx, vault, of[i], policy); {
			case err == nil:
				deleted++
				d.log.Info("deleted an expired version", "partition", of[i].Partition, "version", of[i].Version, "expired", f.Expires)
			case !errors.Is(err, control.Busy) && !errors.Is(err, control.NotFound):
				errs = append(errs, err)
			}
		}
	}
	d.doubtClock(clock, stay)
	if deleted > 0 {
		d.wakeUpkeep()
	}
	return errors.Join(errs...)
}

// expiring are the versions that the policy is for, by partition: strays neither expire nor have any other expire.
func (d *Daemon) expiring(v *store.Vault) [][]store.VersionKey {
	return byPartition(slices.DeleteFunc(v.Versions(d.instance.ID), v.IsStray))
}

// spared says how many versions of an active service have expired and stay until its first day has passed.
func (d *Daemon) spared(ctx context.Context, v *store.Vault) ([]string, error) {
	d.mu.Lock()
	policy := d.policy
	d.mu.Unlock()
	w, err := d.watch()
	if err != nil || policy == nil || w.Passed >= firstSweep {
		return nil, err
	}
	return d.outlived(ctx, v, policy, "the settings of this machine", (firstSweep - w.Passed).Round(time.Second))
}

// outlived says how many versions have expired already by a policy, which is called so, and go after a while. d.admin is held, or nothing else runs yet.
func (d *Daemon) outlived(ctx context.Context, v *store.Vault, p *control.Policy, called string, after time.Duration) ([]string, error) {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	kept, err := d.keptPolicy(ctx, v)
	if err != nil {
		return nil, err
	}
	n, now := 0, d.o.Now()
	for _, of := range d.expiring(v) {
		for _, f := range d.fates(ctx, v, p, kept, of, now) {
			if f.Gone(now) {
				n++
			}
		}
	}
	if n == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("%s by %s and will be deleted from %s on; `yester pin VERSION` keeps one, and `yester set --retention DAYS` those that are younger",
		expired(n), called, now.Add(after).In(d.zone()).Format("2006-01-02 15:04"))}, nil
}

// isPolicy tells whether that is the policy still.
func (d *Daemon) isPolicy(p *control.Policy) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.policy == p
}

// byPartition splits sorted keys into those of each partition.
func byPartition(keys []store.VersionKey) (parts [][]store.VersionKey) {
	for len(keys) > 0 {
		n := slices.IndexFunc(keys, func(k store.VersionKey) bool { return k.Partition != keys[0].Partition })
		if n < 0 {
			n = len(keys)
		}
		parts, keys = append(parts, keys[:n]), keys[n:]
	}
	return parts
}

// fates says what becomes of all versions of one partition, as of now. One that was made while the clock was behind, whose name comes after that of its parent all the same, was completed
// at the time in its name at the earliest: by its record it would be gone as soon as the clock is right. A name that is ahead of now says nothing, for the parent of one that was made since may have
// been named by a clock that was ahead.
func (d *Daemon) fates(ctx context.Context, v *store.Vault, p *control.Policy, kept store.Policy, keys []store.VersionKey, now time.Time) []snapshot.Fate {
	all := make([]snapshot.Completed, len(keys))
	for i, k := range keys {
		all[i] = d.completed(ctx, v, k)
		if named, err := time.Parse(snapshot.NameLayout, k.Version); err == nil && !all[i].End.IsZero() && named.After(all[i].End) && !named.After(now) {
			all[i].End = named
		}
		all[i].Pinned = pinned(kept, k)
	}
	r := snapshot.Retention{
		Days: p.RetentionDays, Latest: p.KeepLatest,
		Daily: p.KeepDaily, Weekly: p.KeepWeekly, Monthly: p.KeepMonthly, Yearly: p.KeepYearly,
	}
	return r.Fates(all, d.zone())
}

// completed tells when a version was begun and completed, and of what. The times of one whose record cannot be read are not known.
func (d *Daemon) completed(ctx context.Context, v *store.Vault, k store.VersionKey) snapshot.Completed {
	r, _ := d.recorded(ctx, v, k)
	return snapshot.Completed{Name: k.Version, MountPoint: r.MountPoint, Start: r.Start, End: r.End}
}

func pinned(p store.Policy, k store.VersionKey) bool {
	return slices.Contains(p.Pinned, store.Pin{Partition: k.Partition, Version: k.Version})
}

// pin keeps a version from expiring.
func (d *Daemon) pin(ctx context.Context, r control.PinRequest) (control.None, error) {
	return control.None{}, d.changePins(ctx, r, func(v *store.Vault, p *store.Policy, k store.VersionKey) error {
		if !slices.Contains(v.Versions(d.instance.ID), k) {
			return control.Errorf(control.NotFound, "there is no version %s of %s", k.Version, k.Partition).WithHint("`yester versions` lists them")
		}
		if !pinned(*p, k) {
			p.Pinned = append(p.Pinned, store.Pin{Partition: k.Partition, Version: k.Version})
		}
		return nil
	})
}

// unpin lets a version expire again.
func (d *Daemon) unpin(ctx context.Context, r control.PinRequest) (control.None, error) {
	return control.None{}, d.changePins(ctx, r, func(_ *store.Vault, p *store.Policy, k store.VersionKey) error {
		if !pinned(*p, k) {
			return control.Errorf(control.NotFound, "version %s of %s is not pinned", k.Version, k.Partition).WithHint("`yester versions` tells which are")
		}
		p.Pinned = slices.DeleteFunc(p.Pinned, func(q store.Pin) bool { return q == store.Pin{Partition: k.Partition, Version: k.Version} })
		return nil
	})
}

// changePins changes the pins in the vault.
func (d *Daemon) changePins(ctx context.Context, r control.PinRequest, change func(*store.Vault, *store.Policy, store.VersionKey) error) error {
	v, err := d.openedVault()
	if err != nil {
		return err
	}
	defer d.wakeSweep()
	d.keeping.Lock()
	defer d.keeping.Unlock()
	if d.serviceState() == control.StateCancelling {
		return errCancelling()
	}
	if err := d.keepOff(ctx, v); err != nil {
		return err
	}
	p, err := d.keptPolicy(ctx, v)
	if err != nil {
		return err
	}
	k := store.VersionKey{Instance: d.instance.ID, Partition: r.Partition, Version: r.Version}
	if err := change(v, &p, k); err != nil {
		return err
	}
	return v.PutPolicy(ctx, p)
}
