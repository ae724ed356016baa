package daemon

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/sched"
	"yester/store"
)

// Upkeep is what the daemon does for the vault by itself: every day it reads a slice of all packs, so that each is read once in
// scrubDays; what it finds damaged it repairs; it collects what could not be collected at once; and it tries to restore, see drill. All of it at the rate of the lowest priority, but for the reading of a vault so large that this would not come round.

// scrubDays is how many days it may take to read the whole vault, unless the settings say otherwise.
const scrubDays = 30

// scrubEvery is how often a slice is read.
const scrubEvery = 24 * time.Hour

// restTime is how long what failed waits to be tried again.
const restTime = 24 * time.Hour

// shortRest is how long a repair waits at least for which more may heal now, and what is left of a service that is cancelled to be deleted.
const shortRest = time.Hour

type upkeepState = state.Upkeep

// upkeepState is what is to be done and what was.
func (d *Daemon) upkeepState() (upkeepState, error) {
	u, err := d.db.Upkeep()
	if errors.Is(err, state.ErrNotFound) {
		err = nil
	}
	return u, err
}

// changeUpkeep changes what is kept.
func (d *Daemon) changeUpkeep(f func(*upkeepState)) error {
	d.upkeeping.Lock()
	defer d.upkeeping.Unlock()
	u, err := d.upkeepState()
	if err != nil {
		return err
	}
	f(&u)
	return d.db.PutUpkeep(u)
}

// wakeUpkeep has the loop look again at what is to be done.
func (d *Daemon) wakeUpkeep() {
	select {
	case d.due <- struct{}{}:
	default:
	}
}

// upkeep goes on until ctx ends.
func (d *Daemon) upkeep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := d.chores(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("look after the vault", "err", err)
		}
		timer := d.o.timer(nap)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-d.due:
		}
		timer.Stop()
	}
}

// chores starts what is due; what cannot start now is left for the next time. When ctx ends it opens the vault no further.
func (d *Daemon) chores(ctx context.Context) error {
	d.kept(d.alerts.Remind())
	if err := errors.Join(d.tasks.keepEnds(), d.pay()); err != nil {
		d.log.Error("keep how tasks ended", "err", err)
	}
	v, err := d.openedVault()
	if err != nil {
		return d.openAgain(ctx)
	}
	if d.tasks.idle() && isElsewhere(ctx, v) {
		d.log.Error("the vault is no longer where it was opened; the daemon begins anew, and looks for it")
		d.anew(&anew{passphrases: d.site.passphrases()})
		return nil
	}
	if v.IndexBroken() && d.mayMendIndex() && d.tasks.idle() {
		d.log.Error("the index of the vault is broken; the daemon begins anew, and makes it anew from the packs")
		d.anew(&anew{passphrases: d.site.passphrases(), mended: d.o.Now().Round(0)})
		return nil
	}
	d.memory.follow(v) // a backup may have stored much
	d.mountAgain()
	d.lookAtPlaces(context.Background(), v)
	d.lookAtVersions(context.Background(), v)
	d.lookAtService(context.Background(), v)
	if d.serviceState() == control.StateCancelling {
		if d.rests(control.KindCancel) {
			return nil
		}
		return ifFree(d.goOnCancelling())
	}
	u, err := d.upkeepState()
	if err != nil {
		return err
	}
	if len(u.Repair) > 0 && !d.rests(control.KindRepair) {
		return ifFree(d.repairFound(u.Repair))
	}
	if is, err := d.collectsNow(v, &u); is || err != nil {
		return errors.Join(err, ifFree(d.collectLater()))
	}
	if u.Spread && !d.spreadEnded.Load() && d.tasks.idle() {
		return ifFree(d.goOnSpreading())
	}
	if ok, err := d.drillDue(v); ok || err != nil {
		return err
	}
	return ifFree(d.scrub(&u))
}

// mayMendIndex tells whether the daemon may begin anew for a broken index: not within an hour of doing so, as it takes long, and does not help where the disk fails.
func (d *Daemon) mayMendIndex() bool {
	passed := d.o.Now().Sub(d.o.mended)
	return d.o.mended.IsZero() || passed < 0 || passed >= shortRest
}

// rest has the daemon begin no task of a kind by itself for a day, or an hour, unless that is taken back: one that fails, or is cancelled, stays due and would be begun again at once.
func (d *Daemon) rest(kind string) {
	d.upkeeping.Lock()
	defer d.upkeeping.Unlock()
	d.resting[kind] = d.o.Now().Round(0) // the monotonic clock stands still while the machine sleeps
	if kind == control.KindRepair {
		d.mayHeal = false
	}
}

// rests tells whether such a time has not passed yet.
func (d *Daemon) rests(kind string) bool {
	d.upkeeping.Lock()
	defer d.upkeeping.Unlock()
	since, is := d.resting[kind]
	passed, limit := d.o.Now().Sub(since), restTime
	if kind == control.KindRepair && d.mayHeal || kind == control.KindCancel {
		limit = shortRest
	}
	return is && passed >= 0 && passed < limit
}

// ifFree is err, unless it says that another task must end first.
func ifFree(err error) error {
	if errors.Is(err, control.Busy) || errors.Is(err, control.Stopping) {
		return nil
	}
	return err
}

// wakeRepair has a repair rest no longer than shortRest, and what is cancelled not at all: a place is there again, from which more may heal. It may be one that comes and goes, or takes everything but what the
// repair writes.
func (d *Daemon) wakeRepair() {
	d.upkeeping.Lock()
	defer d.upkeeping.Unlock()
	d.mayHeal = true
	delete(d.resting, control.KindCancel)
	d.wakeUpkeep()
}

// repairFound repairs packs that a scrub found damaged. They wait for it until it has gone through, and those that could not be healed for want of a place go on to.
func (d *Daemon) repairFound(packs []string) error {
	ids := []packID{}
	for _, p := range packs {
		var id packID
		if b, err := hex.DecodeString(p); err == nil && copy(id[:], b) == len(id) {
			ids = append(ids, id)
		}
	}
	_, err := d.maintain(control.KindRepair, true, sched.Low, func(m *maintenance, ctx context.Context, j *job) error {
		d.rest(control.KindRepair)
		problems, err := m.repair(ctx, j, ids)
		if err != nil {
			return err
		}
		left := m.healsLater(ctx, problems)
		return d.changeUpkeep(func(u *upkeepState) {
			u.Repair = slices.DeleteFunc(u.Repair, func(p string) bool { return slices.Contains(packs, p) })
			u.Repair = join(u.Repair, left)
			if len(left) == 0 {
				delete(d.resting, control.KindRepair)
			}
		})
	})
	return err
}

// healsLater are the packs that another repair may heal: while a place is not well all of them may be, and else only those that a place did not take, or of which a full one can tell nothing.
func (m *maintenance) healsLater(ctx context.Context, problems []store.Problem) []string {
	ill := slices.ContainsFunc(m.vault.Places(ctx), func(p store.PlaceState) bool { return p.Err != nil || p.Gone || p.Behind || p.Replaces })
	return repairable(slices.DeleteFunc(slices.Clone(problems), func(p store.Problem) bool { return !ill && !p.Heals && !errors.Is(p.Err, store.ErrNoSpace) }))
}

// maxUnfinished is how long a gc waits for a backup to be brought to its end.
const maxUnfinished = 7 * 24 * time.Hour

// collectsNow tells whether a gc is to begin by itself. One waits while backups were cut off, failed or were cancelled since the last one that ended well: the next uses what they stored, and no
// version says yet that it is needed. But not where there was no room for the last one, nor while a place is nearly full, nor where none is to come as the service was cancelled.
func (d *Daemon) collectsNow(v *store.Vault, u *upkeepState) (bool, error) {
	isFull := func(p store.PlaceState) bool { return p.Total > 0 && nearlyFull(p.Free, p.Total) }
	switch {
	case !u.Collect || d.rests(control.KindGC):
		return false, nil
	case u.Full || d.serviceState() == control.StateNew || slices.ContainsFunc(v.Places(context.Background()), isFull):
		return true, nil
	}
	all, err := d.tasks.list()
	if err != nil {
		return false, err
	}
	var unfinished time.Time // since when
	for i := range all {     // oldest first
		switch t := &all[i]; {
		case t.Kind != control.KindBackup || !t.Ended() || t.State == control.Skipped:
		case t.State == control.Completed || t.State == control.Partial:
			unfinished = time.Time{}
		case unfinished.IsZero():
			unfinished = t.Start
		}
	}
	passed := d.o.Now().Sub(unfinished)
	return passed < 0 && !d.isBehind() || passed >= maxUnfinished, nil
}

// collectLater collects what a collection under way, or one that was cut off, could not.
func (d *Daemon) collectLater() error {
	_, err := d.maintain(control.KindGC, true, d.priority(), (*maintenance).collect)
	return err
}

// scrub reads the day's slice when its time has come and nothing else is going on.
func (d *Daemon) scrub(u *upkeepState) error {
	days, now := d.o.Settings.scrubDays(), d.o.Now()
	part := slice(u.Scrubbed, now, days)
	switch {
	case days == 0 || d.isBehind():
		return nil
	case u.Scrubbed.IsZero() || u.Scrubbed.After(now): // it begins, or the clock was set back
		return d.changeUpkeep(func(u *upkeepState) { u.Scrubbed = now })
	case part == 0 || !d.tasks.idle():
		return nil
	}
	v, err := d.openedVault()
	if err != nil {
		return err
	}
	info, err := v.Info(context.Background())
	if err != nil {
		return err
	}
	p := sched.Low
	p.BytesPerSecond = max(p.BytesPerSecond, scrubRate(info.Stored, days))
	_, err = d.maintain(control.KindCheck, true, p, func(m *maintenance, ctx context.Context, j *job) error {
		_, err := m.check(ctx, j, part, func(u *upkeepState, c store.Checked, err error) {
			until := now
			if err != nil && d.tasks.stopping() {
				until = scrubbed(u.Scrubbed, now, float64(c.Read)/float64(max(info.Packs, 1)), days)
			}
			u.Scrubbed, u.Repair = until, join(u.Repair, repairable(c.Problems))
		})
		return err
	})
	return err
}

// join is a sorted list of the packs in two, each once.
func join(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// slice is the part of the packs that is due, when the last slice was read at a time: as many days' as have passed, 0 if it is too early.
func slice(last, now time.Time, days int) float64 {
	passed := now.Sub(last)
	if days == 0 || passed < scrubEvery {
		return 0
	}
	return min(1, float64(passed)/float64(scrubEvery)/float64(days))
}

// scrubRate is how many bytes a second must be read so that all of a vault of a size is in some days, with a sixth of the time for all else that a check looks at.
func scrubRate(stored uint64, days int) float64 {
	return 1.2 * float64(stored) / (time.Duration(days) * scrubEvery).Seconds()
}

// scrubbed is when the last slice counts as read after a check that a stop of the daemon cut off: the part of all packs that it read is due no more. All else is, so the next daemon begins at once.
func scrubbed(last, now time.Time, read float64, days int) time.Time {
	last = last.Add(time.Duration(read * float64(days) * float64(scrubEvery)))
	if latest := now.Add(-scrubEvery); last.After(latest) {
		return latest
	}
	return last
}

// repairable lists the packs of problems that a repair can do something about. A record is one that is healed with whatever pack.
func repairable(problems []store.Problem) (packs []string) {
	for _, p := range problems {
		if p.Pack != (packID{}) || p.Heals {
			packs = append(packs, p.Pack.String())
		}
	}
	return packs
}
