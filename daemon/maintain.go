package daemon

import (
	"context"
	"errors"
	"path"
	"slices"

	"yester/control"
	"yester/sched"
	"yester/snapshot"
	"yester/store"
)

// A maintenance is a task on the vault that makes no version: a check, a repair, a collection or a rebuild.
type maintenance struct {
	d     *Daemon
	vault *store.Vault
	rate  float64 // bytes per second read and written at most; 0: no limit

	unremoved bool // an instance of which nothing is left has its name until a place is back
}

// maintain starts a task of a kind on the vault, with a priority. NoVault, Busy.
func (d *Daemon) maintain(kind string, scheduled bool, p sched.Priority, work func(*maintenance, context.Context, *job) error) (control.Task, error) {
	v, err := d.openedVault()
	if err != nil {
		return control.Task{}, err
	}
	if kind == control.KindGC || kind == control.KindCancel {
		if err := d.keepOff(context.Background(), v); err != nil {
			return control.Task{}, err
		}
	}
	m := &maintenance{d: d, vault: v, rate: p.BytesPerSecond}
	return d.tasks.start(kind, scheduled, func(ctx context.Context, j *job) (err error) {
		d.crew.Run(p, func() { err = work(m, ctx, j) })
		return err
	})
}

// priority is that of the policy.
func (d *Daemon) priority() sched.Priority {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.policy != nil {
		if p, err := sched.ParsePriority(d.policy.Priority); err == nil {
			return p
		}
	}
	return sched.Low
}

func (d *Daemon) vaultCheck(_ context.Context, r control.CheckRequest) (control.Task, error) {
	if r.ReadData < 0 || r.ReadData > 1 {
		return control.Task{}, control.Errorf(control.BadRequest, "a part of the data is 0 to 1, not %v", r.ReadData)
	}
	return d.maintain(control.KindCheck, false, d.priority(), func(m *maintenance, ctx context.Context, j *job) error {
		_, err := m.check(ctx, j, r.ReadData, nil)
		return err
	})
}

func (d *Daemon) vaultRepair(context.Context, control.None) (control.Task, error) {
	return d.maintain(control.KindRepair, false, d.priority(), func(m *maintenance, ctx context.Context, j *job) error {
		_, err := m.repair(ctx, j, nil)
		return err
	})
}

func (d *Daemon) vaultGC(context.Context, control.None) (control.Task, error) {
	return d.maintain(control.KindGC, false, d.priority(), (*maintenance).collect)
}

func (d *Daemon) vaultRebuild(context.Context, control.None) (control.Task, error) {
	return d.maintain(control.KindRebuild, false, sched.Max, (*maintenance).rebuild)
}

// A counted limiter counts what passes into the task's progress.
type counted struct {
	to      *progress
	limiter *sched.Limiter
}

func (c counted) WaitN(ctx context.Context, n int) error {
	if err := c.limiter.WaitN(ctx, n); err != nil {
		return err
	}
	c.to.Add(0, uint64(n))
	return nil
}

func (m *maintenance) limiter(j *job) counted {
	return counted{&j.progress, m.d.metrics.limiter(m.rate)}
}

// check looks for damage, and keeps where the next check is to go on, together with what found, if that is not nil, makes of its result and its error: a kill must not lose what was found in packs
// that no check comes to again for weeks. If it finds none, what the daemon's own check found is over unless that still waits for its
// repair, as all but the data of packs is looked at by every check; and any damage is if it has read everything.
func (m *maintenance) check(ctx context.Context, j *job, part float64, found func(*upkeepState, store.Checked, error)) (store.Checked, error) {
	begin := m.d.o.Now()
	kept, err := m.d.upkeepState()
	if err != nil {
		return store.Checked{}, err
	}
	mark := snapshot.Marker(m.vault)
	c, err := m.vault.Check(ctx, store.CheckOptions{
		Mark: mark, ReadData: part, Cursor: kept.Cursor, Limiter: m.limiter(j), Progress: j.progress.at,
	})
	unkept := m.d.changeUpkeep(func(u *upkeepState) {
		if c.Read > 0 {
			u.Cursor = c.Cursor
		}
		if found != nil {
			found(u, c, err)
		}
	})
	err = errors.Join(err, unkept)
	r := &control.Report{Versions: c.Versions, Packs: c.Packs, ReadPacks: c.Read, ReadBytes: c.Bytes}
	if err = m.report(ctx, j, r, c.Problems, c.Lost, err); err == nil && !r.Damaged() {
		m.d.damageOver(begin, func(cause string) bool { return part == 1 || cause == scrubDamage && len(kept.Repair) == 0 })
	}
	return c, err
}

// repair makes good what can be, of some packs or of all for nil. If nothing stays damaged, damage of these is over; some packs are those that the daemon's
// own check found. It returns the problems that stay.
func (m *maintenance) repair(ctx context.Context, j *job, packs []packID) ([]store.Problem, error) {
	begin := m.d.o.Now()
	r, err := m.vault.Repair(ctx, store.RepairOptions{
		Packs: packs, Mark: snapshot.Marker(m.vault), Limiter: m.limiter(j), Progress: j.progress.at,
	})
	report := &control.Report{
		Packs: r.Packs, HealedPacks: len(r.Healed), HealedRecords: len(r.Records), HealedBlocks: r.Blocks,
		SalvagedPacks: len(r.Salvaged), FoundChunks: r.Found,
	}
	if err = m.report(ctx, j, report, r.Problems, r.Lost, err); err == nil && !report.Damaged() {
		m.d.damageOver(begin, func(cause string) bool {
			isOf := func(id packID) bool { return path.Base(cause) == id.String() }
			return packs == nil || cause == scrubDamage || slices.ContainsFunc(packs, isOf)
		})
	}
	return r.Problems, err
}

// collect gives back the space of what no version needs. It stays due until it has ended well: one that fails or is cancelled is begun again after a day or when
// another version was deleted; one that a stop of the daemon or a kill cut off, by the next.
func (m *maintenance) collect(ctx context.Context, j *job) error {
	m.d.rest(control.KindGC)
	deletions := m.d.deleted()
	err := m.collectNow(ctx, j)
	if m.d.tasks.stopping() {
		return err
	}
	return errors.Join(err, m.d.collected(deletions, err == nil && !m.unremoved))
}

func (m *maintenance) collectNow(ctx context.Context, j *job) error {
	c, err := m.vault.Collect(ctx, store.CollectOptions{
		Mark: snapshot.Marker(m.vault), Limiter: m.limiter(j), Progress: j.progress.at,
	})
	if err == nil {
		err = m.dropGone(ctx)
	}
	return m.report(ctx, j, &control.Report{
		Versions: c.Versions, DroppedPacks: c.Dropped, RepackedPacks: c.Repacked, WrittenPacks: c.Written, KeptPacks: c.Kept,
		Freed: c.Freed, Live: c.Live, Dead: c.Dead,
	}, lacks(&c), nil, err)
}

// lacks is what a collection found to be lost.
func lacks(c *store.Collected) []store.Problem {
	if c.Missing == 0 {
		return nil
	}
	err := control.Errorf(control.Damaged, "%d pieces that versions need are in no pack", c.Missing).WithHint("`yester vault check` says which files that concerns")
	return []store.Problem{{Err: err}}
}

// rebuild makes the index anew.
func (m *maintenance) rebuild(ctx context.Context, j *job) error {
	n, err := m.vault.RebuildIndex(ctx, j.progress.at)
	return m.report(ctx, j, &control.Report{Packs: n}, nil, nil, err)
}
