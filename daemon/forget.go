package daemon

import (
	"context"
	"errors"
	"slices"

	"yester/control"
	"yester/store"
)

// forget deletes a version of this instance, and has the space given back.
func (d *Daemon) forget(ctx context.Context, r control.ForgetRequest) (control.Forgotten, error) {
	out := control.Forgotten{Partition: r.Partition, Version: r.Version}
	v, err := d.openedVault()
	if err != nil {
		return out, err
	}
	k := store.VersionKey{Instance: d.instance.ID, Partition: r.Partition, Version: r.Version}
	if err := d.forgetUnpinned(ctx, v, k); err != nil {
		return out, err
	}
	d.log.Info("deleted a version", "partition", k.Partition, "version", k.Version)
	t, err := d.vaultGC(ctx, control.None{})
	if err != nil { // it is due all the same: one that has begun may not give it all back
		d.wakeUpkeep()
		out.Because = explain(err).Message
		return out, nil
	}
	out.Task = &t
	return out, nil
}

func (d *Daemon) forgetUnpinned(ctx context.Context, v *store.Vault, k store.VersionKey) error {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	p, err := d.keptPolicy(ctx, v)
	switch {
	case err != nil:
		return err
	case pinned(p, k):
		return control.Errorf(control.Conflict, "version %s of %s is pinned", k.Version, k.Partition).WithHint("`yester unpin` lets it go")
	}
	return d.delete(ctx, v, k, nil)
}

// delete deletes a version unless a running backup builds on it, or the policy is another one than by, if that is not nil. That a gc is due is kept before, so that it is so whatever
// happens in between.
func (d *Daemon) delete(ctx context.Context, v *store.Vault, k store.VersionKey, by *control.Policy) error {
	d.deleting.Lock()
	defer d.deleting.Unlock()
	if by != nil && !d.isPolicy(by) {
		return control.Errorf(control.Busy, "the policy was changed meanwhile")
	}
	if _, used := d.parents[k]; used {
		return control.Errorf(control.Busy, "version %s of %s is the one that the running backup compares with", k.Version, k.Partition).
			WithHint("try again when the backup has ended")
	}
	if d.restoring[k] > 0 {
		return control.Errorf(control.Busy, "version %s of %s is being restored", k.Version, k.Partition).
			WithHint("try again when that has ended")
	}
	if err := d.keepOff(ctx, v); err != nil {
		return err
	}
	if !v.Remains(k) {
		return control.Errorf(control.NotFound, "there is no version %s of %s", k.Version, k.Partition).WithHint("`yester versions` lists them")
	}
	if err := d.collectDue(); err != nil {
		return err
	}
	if err := v.Delete(ctx, k); err != nil {
		return err
	}
	d.records.Delete(k)
	return nil
}

// collectDue keeps that a gc is due because of a deletion. d.deleting is held.
func (d *Daemon) collectDue() error {
	d.deletions++
	return d.changeUpkeep(func(u *upkeepState) {
		u.Collect = true
		delete(d.resting, control.KindGC)
	})
}

// leave gives the vault leave to complete the deletion of a version that failed half-way, until end is called. One that is wanted stays until its deletion is asked for anew; of one that is
// neither it cannot be told without waiting, see store.Options. The space is given back as after every deletion.
func (d *Daemon) leave(k store.VersionKey) (end func(), wanted bool) {
	if !d.keeping.TryLock() { // somebody may be about to pin it
		return nil, false
	}
	if !d.deleting.TryLock() {
		d.keeping.Unlock()
		return nil, false
	}
	unlock := func() {
		d.deleting.Unlock()
		d.keeping.Unlock()
	}
	v, wanted := d.isWanted(k)
	if v == nil || wanted {
		unlock()
		return nil, wanted
	}
	return func() {
		defer unlock()
		if v.Remains(k) {
			return // it failed again
		}
		if err := d.collectDue(); err != nil {
			d.log.Warn("keep that space can be given back", "err", err)
		}
		d.log.Info("completed a deletion", "partition", k.Partition, "version", k.Version)
		d.wakeUpkeep()
	}, false
}

// isWanted tells whether a version whose deletion failed half-way is needed after all, and by which vault; v is nil if that cannot be told now. Of this instance's only those are not that a sweep
// would delete now: of a deletion that was asked for by hand it was said that it failed. d.keeping and d.deleting are held. It does not wait for d.mu, for who closes the vault has that.
func (d *Daemon) isWanted(k store.VersionKey) (v *store.Vault, wanted bool) {
	if !d.mu.TryLock() {
		return nil, false
	}
	policy, service, v := d.policy, d.service, d.vault
	d.mu.Unlock()
	if v == nil {
		return nil, false
	}
	if _, parent := d.parents[k]; parent || d.restoring[k] > 0 {
		return v, true
	}
	ctx := context.Background()
	kept, err := v.Policy(ctx, k.Instance)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return v, true
	}
	switch {
	case k.Instance != d.instance.ID:
		return v, pinned(kept, k)
	case service != control.StateCancelling && (policy == nil || !d.isExpired(ctx, v, policy, kept, k)):
		return v, true
	case !d.registering.TryLock():
		return nil, false
	}
	defer d.registering.Unlock()
	_, err = d.mine(ctx, v)
	return v, err != nil
}

// isExpired tells whether a sweep would delete a version of this instance now. d.keeping is held.
func (d *Daemon) isExpired(ctx context.Context, v *store.Vault, p *control.Policy, kept store.Policy, k store.VersionKey) bool {
	clock, err := d.watchBy(p)
	half, halfErr := d.halfRestored()
	if err != nil || halfErr != nil || clock.Passed < firstSweep || half[k.Partition+"/"+k.Version] {
		return false
	}
	for _, of := range d.expiring(v) {
		if i := slices.Index(of, k); i >= 0 {
			return d.fates(ctx, v, p, kept, of, clock.Wall)[i].Gone(clock.Wall.Add(-clock.Ahead()))
		}
	}
	return false
}

// deleted counts the deletions so far.
func (d *Daemon) deleted() int {
	d.deleting.Lock()
	defer d.deleting.Unlock()
	return d.deletions
}

// collected keeps that no gc is due any more, after one that began when so many deletions had been and went well, unless there were more since.
func (d *Daemon) collected(deletions int, well bool) error {
	d.deleting.Lock()
	defer d.deleting.Unlock()
	if d.deletions != deletions {
		d.wakeUpkeep()
		return nil
	}
	if !well {
		return nil
	}
	return d.changeUpkeep(func(u *upkeepState) {
		u.Collect, u.Full = false, false
		delete(d.resting, control.KindGC)
	})
}
