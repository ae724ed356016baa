package daemon

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"yester/control"
	"yester/sched"
	"yester/snapshot/capture"
)

// activate begins daily backups, or gives an active instance other settings. Nothing changes if it fails.
func (d *Daemon) activate(ctx context.Context, r control.ActivateRequest) (control.Activation, error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	d.mu.Lock()
	old := d.policy
	d.mu.Unlock()
	mounts, err := d.o.Discover()
	if err != nil {
		return control.Activation{}, err
	}
	policy, err := d.newPolicy(old, r, mounts)
	if err != nil {
		return control.Activation{}, err
	}
	a := control.Activation{Outcome: change(old, &policy), Instance: d.instance, Policy: policy}
	if a.VaultMade, err = d.needVault(ctx); err != nil {
		return a, err
	}
	if a.Outcome != control.Unchanged {
		if err := d.usePolicy(old, policy); err != nil {
			return a, err
		}
	}
	d.tryMount()
	a.Mount = d.mountStatus()
	a.Next, _ = d.next()
	a.Partitions = selected(d.partitions(mounts))
	return a, nil
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

// newPolicy is the old policy, or the default one if there is none, with what is asked for.
func (d *Daemon) newPolicy(old *control.Policy, r control.ActivateRequest, mounts []capture.Mount) (control.Policy, error) {
	p := control.Policy{Start: randomStart(), Priority: sched.Low.Name, ActivatedAt: d.o.Now().UTC().Truncate(time.Second)}
	if old != nil {
		p = *old
	}
	if r.Start != "" {
		p.Start = r.Start
	}
	if r.Priority != "" {
		p.Priority = r.Priority
	}
	p.Partitions, p.Paths, p.Excludes = given(r.Partitions, p.Partitions), given(r.Paths, p.Paths), given(r.Excludes, p.Excludes)
	p.IncludeSystem = p.IncludeSystem || r.IncludeSystem
	return p, checkPolicy(&p, mounts)
}

// given is what was asked for, or else what there was; a copy, for it will be changed.
func given(asked, old []string) []string {
	if len(asked) > 0 {
		return slices.Clone(asked)
	}
	return slices.Clone(old)
}

// checkPolicy refuses a policy that makes no sense here, and puts it into its one form.
func checkPolicy(p *control.Policy, mounts []capture.Mount) error {
	if _, err := sched.ParseDaily(p.Start); err != nil {
		return control.Errorf(control.BadRequest, "the start time %v", err)
	}
	if _, err := sched.ParsePriority(p.Priority); err != nil {
		return control.Errorf(control.BadRequest, "%v", err)
	}
	for _, e := range p.Excludes {
		if e == "" || !doublestar.ValidatePattern(e) {
			return control.Errorf(control.BadRequest, "the exclude %q is no pattern", e).
				WithHint("write globs like '*.iso', '/home/*/.cache' or '**/node_modules'")
		}
	}
	return choose(p, mounts)
}

// needVault makes a vault if there is none, and returns where.
func (d *Daemon) needVault(ctx context.Context) (made string, err error) {
	d.mu.Lock()
	there := d.vault != nil
	d.mu.Unlock()
	if there {
		return "", nil
	}
	// One may have been made by a call that broke off.
	v, err := d.site.open(ctx, cacheBytes)
	switch {
	case err != nil:
		return "", err
	case v != nil:
		d.useVault(v)
		return "", nil
	}
	if v, err = d.site.init(ctx, control.VaultInitRequest{}, cacheBytes); err != nil {
		return "", err
	}
	d.useVault(v)
	places, err := d.site.places()
	return list(places), err
}

// usePolicy keeps a policy in place of an old one, nil for none, and lets it count.
func (d *Daemon) usePolicy(old *control.Policy, p control.Policy) error {
	if _, _, err := d.decide(); err != nil { // what is due already is so by the old one
		return err
	}
	if err := d.changePlan(old, &p); err != nil {
		return err
	}
	d.log.Info("policy", "start", p.Start, "priority", p.Priority, "partitions", list(p.Partitions), "paths", list(p.Paths))
	d.wake()
	return nil
}

// selected keeps the partitions that are backed up.
func selected(ps []control.Partition) []control.Partition {
	return slices.DeleteFunc(ps, func(p control.Partition) bool { return !p.Selected })
}
