package daemon

import (
	"context"
	"errors"

	"yester/control"
	"yester/daemon/state"
	"yester/sched"
	"yester/store"
)

// serviceState is the state of the instance: new, initializing, ready, paused or cancelling.
func (d *Daemon) serviceState() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.service != "":
		return d.service
	case d.initializing.Load():
		return control.StateInitializing
	}
	return control.StateNew
}

// readService reads the state of an instance that has a policy. One that an earlier version of the program kept has none.
func readService(db *state.DB) (string, error) {
	s, err := db.Service()
	if errors.Is(err, state.ErrNotFound) {
		return control.StateReady, nil
	}
	return s, err
}

func errNotActive() error {
	return control.Errorf(control.NotActive, "this instance is not activated").WithHint("run `yester activate` first")
}

func errCancelling() error {
	return control.Errorf(control.Conflict, "this instance is being cancelled").WithHint("see `yester tasks`; it can be activated anew after that")
}

// pause ends scheduled backups. What runs goes on, and versions expire as always.
func (d *Daemon) pause(context.Context, control.None) (control.Lifecycle, error) {
	return d.switchTo(control.StatePaused, control.StateReady)
}

// resume goes on with scheduled backups: what was missed meanwhile is not made up for.
func (d *Daemon) resume(context.Context, control.None) (control.Lifecycle, error) {
	return d.switchTo(control.StateReady, control.StatePaused)
}

// switchTo changes the state of the instance, which must be from.
func (d *Daemon) switchTo(to, from string) (control.Lifecycle, error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	switch now := d.serviceState(); now {
	case from:
	case control.StateNew:
		return control.Lifecycle{}, errNotActive()
	case control.StateCancelling:
		return control.Lifecycle{}, errCancelling()
	default:
		return control.Lifecycle{}, control.Errorf(control.Conflict, "this instance is %s, not %s", now, from).WithHint("nothing was changed")
	}
	if _, _, err := d.decide(); err != nil { // what is due already is so by the state before
		return control.Lifecycle{}, err
	}
	d.look() // the day counts by the state before
	if err := d.keepService(to); err != nil {
		return control.Lifecycle{}, err
	}
	d.look()
	d.log.Info("service", "state", to)
	d.wake()
	d.wakeUpkeep()
	l := control.Lifecycle{Instance: d.instance, State: to}
	if next, ok := d.next(); ok {
		l.Next = &next
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if to == control.StatePaused {
		l.Warnings = costs(d.policy)
	}
	return l, nil
}

// keepService keeps a state, from which on turns count.
func (d *Daemon) keepService(to string) error {
	d.mu.Lock()
	h := d.history
	d.mu.Unlock()
	now := d.o.Now()
	h.Since = now
	h = h.At(now)
	if err := d.db.PutService(to, state.Schedule(h)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.service, d.history = to, h
	return nil
}

// cancel ends the service: everything of this instance is deleted.
func (d *Daemon) cancel(ctx context.Context, _ control.None) (control.Task, error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	v, err := d.openedVault()
	switch now := d.serviceState(); {
	case now == control.StateNew:
		return control.Task{}, errNotActive()
	case err != nil:
		return control.Task{}, err
	case now != control.StateCancelling:
		if err := d.keepOff(ctx, v); err != nil { // or it would delete them when they are its own again
			return control.Task{}, err
		}
		d.look()
		if err := d.keepService(control.StateCancelling); err != nil {
			return control.Task{}, err
		}
		d.look()
		d.log.Info("the service is cancelled, all versions of this instance are deleted")
	}
	return d.startCancel()
}

// goOnCancelling starts what a daemon that ended did not bring to its end. Where the versions are another daemon's since, there is nothing to delete: the service ends here only.
func (d *Daemon) goOnCancelling() error {
	d.admin.Lock()
	defer d.admin.Unlock()
	if d.serviceState() != control.StateCancelling {
		return nil
	}
	v, err := d.openedVault()
	if err != nil {
		return err
	}
	if err := d.keepOff(context.Background(), v); errors.Is(err, control.Conflict) && !d.tasks.busy(control.KindCancel) {
		d.log.Warn("the service ends, and the versions that are left stay: they are another daemon's", "err", err)
		d.keeping.Lock()
		defer d.keeping.Unlock()
		return d.forgetService()
	}
	_, err = d.startCancel()
	return err
}

func (d *Daemon) startCancel() (control.Task, error) {
	return d.maintain(control.KindCancel, false, sched.Max, (*maintenance).cancelService)
}

// cancelService stops what is at work, deletes the instance's versions and their space, and forgets the policy. Cut off, it is begun anew by the
// next daemon.
func (m *maintenance) cancelService(ctx context.Context, j *job) error {
	d := m.d
	d.rest(control.KindCancel)
	if err := d.tasks.stopOthers(ctx, j); err != nil {
		return err
	}
	if err := m.deleteAll(ctx, j); err != nil {
		return err
	}
	for { // somebody may have begun to collect or repair since
		err := m.collect(ctx, j)
		if errors.Is(err, store.ErrBusy) {
			if err = d.tasks.stopOthers(ctx, j); err == nil {
				continue
			}
		}
		if ctx.Err() != nil {
			return err
		}
		return errors.Join(err, m.endService(ctx))
	}
}

// deleteAll deletes the versions of the instance.
func (m *maintenance) deleteAll(ctx context.Context, j *job) error {
	m.vault.ListStrays(m.d.instance.ID)
	keys := m.vault.Versions(m.d.instance.ID)
	for i, k := range keys {
		j.progress.at("deleting versions", i, len(keys))
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.d.delete(ctx, m.vault, k, nil); err != nil && !errors.Is(err, control.NotFound) {
			return err
		}
	}
	return nil
}

// endService forgets the policy, and what the vault says of the instance; while some of its packs stay, that keeps its name, until a gc finds none, see dropGone.
func (m *maintenance) endService(ctx context.Context) error {
	d := m.d
	d.keeping.Lock()
	defer d.keeping.Unlock()
	var err error
	if m.vault.Holds(d.instance.ID) {
		err = m.vault.PutPolicy(ctx, store.Policy{Instance: d.instance.ID})
	} else {
		_, err = m.removeInstance(ctx, d.instance.ID)
	}
	if err != nil {
		return err
	}
	return d.forgetService()
}

// removeInstance removes what the vault says of an instance of which it holds nothing. Where that cannot be yet, as a place is away, a gc a day later is to see to it.
func (m *maintenance) removeInstance(ctx context.Context, id string) (gone bool, err error) {
	gone, err = m.vault.RemoveInstance(ctx, id)
	if gone || err != nil {
		return gone, err
	}
	m.unremoved = true
	m.d.rest(control.KindGC)
	return false, m.d.changeUpkeep(func(u *upkeepState) { u.Collect = true })
}

// dropGone removes what the vault says of instances of which it holds nothing, and that have no policy: their services were cancelled, and their last space was given back only now.
func (m *maintenance) dropGone(ctx context.Context) error {
	m.d.registering.Lock()
	defer m.d.registering.Unlock()
	all, err := m.vault.Instances(ctx)
	if err != nil {
		return err
	}
	for _, in := range all {
		if m.vault.Holds(in.ID) || in.ID == m.d.instance.ID && m.d.serviceState() != control.StateNew {
			continue
		}
		p, err := m.vault.Policy(ctx, in.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) || len(p.Policy)+len(p.Pinned) > 0 {
			continue
		}
		gone, err := m.removeInstance(ctx, in.ID)
		if err != nil {
			return err
		}
		if gone {
			m.d.log.Info("nothing of an instance is left", "instance", in.ID, "name", in.Name)
		}
	}
	return nil
}

// forgetService forgets the policy and what was told of it. d.keeping is held.
func (d *Daemon) forgetService() error {
	if err := d.db.EndService(); err != nil {
		return err
	}
	d.mu.Lock()
	d.policy, d.service, d.history = nil, "", sched.History{}
	d.mu.Unlock()
	d.records.Clear()
	d.forgetUnfinished()
	for _, cause := range []string{"backup/", "drill/", "missed/", lateCause, clockCause, policyCause} { // what was of its versions is no matter any more
		d.resolve(cause)
	}
	d.wake()
	return nil
}
