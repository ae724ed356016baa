package daemon

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"yester/control"
	"yester/snapshot/capture"
	"yester/store"
)

// status describes daemon and instance.
func (d *Daemon) status(ctx context.Context, _ control.None) (control.Status, error) {
	d.mu.Lock()
	policy, vault := d.policy, d.vault
	d.mu.Unlock()
	s := control.Status{
		Version: d.o.Version, PID: os.Getpid(), Instance: d.instance, State: control.StateNew,
		Policy: policy, Mount: d.mountStatus(), Partitions: []control.Partition{}, Places: []control.Place{},
	}
	s.State = d.serviceState()
	if next, ok := d.next(); ok {
		s.Next = &next
	}
	mounts, err := d.mounts()
	if err != nil {
		return s, err
	}
	s.Partitions = d.partitions(mounts)
	r, err := d.tasks.recent()
	if err != nil {
		return s, err
	}
	if s.Drills, err = d.drills(); err != nil {
		return s, err
	}
	s.Running, s.Last, s.Others = r.running, r.last, r.others
	if vault != nil {
		if err := describe(ctx, vault, &s); err != nil {
			return s, err
		}
	}
	d.attend(&s, slices.Concat(d.unopenedVault(), d.longPause(), attention(&s)))
	return s, nil
}

// describe fills in what is said of the vault.
func describe(ctx context.Context, v *store.Vault, s *control.Status) error {
	info, err := v.Info(ctx)
	if err != nil {
		return explain(err)
	}
	s.Vault, s.Stored = info.ID, info.Stored
	for _, p := range info.Places {
		s.Places = append(s.Places, apiPlace(p))
	}
	return nil
}

// partitions describes the mounts with their versions, and versions of partitions that are not mounted now.
func (d *Daemon) partitions(mounts []capture.Mount) []control.Partition {
	d.mu.Lock()
	policy, vault := d.policy, d.vault
	d.mu.Unlock()
	ps := make([]control.Partition, 0, len(mounts))
	for _, m := range mounts {
		ps = append(ps, control.Partition{
			Name: m.Name, MountPoint: m.MountPoint, Device: m.Device, FSType: m.FSType, Size: m.Size, Used: m.Used,
			Excluded: m.Excluded,
		})
	}
	var targets []target
	if policy != nil {
		targets = plan(policy, mounts, exists)
		markSelected(ps, policy, mounts, targets)
	}
	if vault != nil {
		ps = addVersions(ps, vault.Versions(d.instance.ID))
	}
	d.journals(ps, mounts, policy, targets)
	return ps
}

// markSelected marks the partitions that a backup would make versions of, and what it would not take of them.
func markSelected(ps []control.Partition, policy *control.Policy, mounts []capture.Mount, targets []target) {
	for i := range ps {
		t := slices.IndexFunc(targets, func(t target) bool { return t.partition.Name == ps[i].Name })
		if ps[i].Selected = ps[i].Excluded == "" && t >= 0; ps[i].Selected {
			ps[i].LeftOut = leftOut(policy, &targets[t], mounts)
		}
	}
}

// addVersions counts each partition's versions; keys are sorted.
func addVersions(ps []control.Partition, keys []store.VersionKey) []control.Partition {
	for _, k := range keys {
		i := slices.IndexFunc(ps, func(p control.Partition) bool { return p.Excluded == "" && p.Name == k.Partition })
		if i < 0 {
			i, ps = len(ps), append(ps, control.Partition{Name: k.Partition})
		}
		if ps[i].Versions++; ps[i].Oldest == "" {
			ps[i].Oldest = k.Version
		}
		ps[i].Newest = k.Version
	}
	return ps
}

// A sight is what somebody should look at.
type sight struct {
	cause string // of the messages that are about the same
	text  string
}

// attention lists what somebody should look at as things are now.
func attention(s *control.Status) (seen []sight) {
	add := func(cause, format string, args ...any) {
		seen = append(seen, sight{cause, fmt.Sprintf(format, args...)})
	}
	if !s.Mount.Mounted && s.Vault != "" {
		add("", "not mounted because %s", s.Mount.Because)
	}
	switch t := s.Last; {
	case t == nil:
	case t.State == control.Failed:
		add("backup/failed", "the last backup failed: %s", t.Error)
	case t.State == control.Skipped:
		add("backup/skipped", "the last scheduled backup was skipped: %s", t.Error)
	case t.State == control.Partial:
		add(partialBackup, "the last backup has %d warnings, see `yester tasks show %s`", t.WarningCount, t.ID)
	}
	for _, p := range s.Places {
		if p.Total > 0 && nearlyFull(p.Free, p.Total) {
			add("space/"+p.Name, "%s", fullText(p.Name, p.Free, p.Total))
		}
	}
	return seen
}

// forgotten is how long a pause may last until it is told: somebody may have forgotten it.
const forgotten = 7 * 24 * time.Hour

// pausedSince is when the service was paused; ok is false if it is not.
func (d *Daemon) pausedSince() (since time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.history.Since, d.service == control.StatePaused
}

// longPause says that the service is paused for long.
func (d *Daemon) longPause() []sight {
	since, ok := d.pausedSince()
	if !ok || d.o.Now().Sub(since) < forgotten {
		return nil
	}
	return []sight{{"", "paused since " + since.In(d.zone()).Format("2006-01-02 15:04") + ", and no scheduled backups are made before `yester resume`"}}
}

// unopenedVault says why the vault that there was is not open.
func (d *Daemon) unopenedVault() []sight {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unopened == nil {
		return nil
	}
	return []sight{{unopenedCause, sentence(d.unopened)}}
}

// attend fills in what somebody should look at: what is seen now, the messages that are not over and not about the same, and what the settings should say. How a restore ended, or
// a change of places, is left to the messages: nobody may ever ask for another one, which would end them.
func (d *Daemon) attend(s *control.Status, seen []sight) {
	for _, w := range seen {
		s.Attention = append(s.Attention, w.text)
	}
	for _, m := range d.alerts.List(true) {
		byHand := m.Cause == taskCause+control.KindRestore || m.Cause == taskCause+control.KindPlace
		if !byHand && !slices.ContainsFunc(seen, func(w sight) bool { return w.cause == m.Cause }) {
			s.Attention = append(s.Attention, m.Text)
		}
	}
	s.Attention = append(s.Attention, d.failingChannels()...)
	var places []string
	for _, p := range s.Places {
		places = append(places, p.Name)
	}
	if text := d.ownership(); text != "" {
		s.Attention = append(s.Attention, text)
	}
	if hint := d.site.elsewhere(places); hint != "" && s.Vault != "" {
		s.Attention = append(s.Attention, hint)
	}
}
