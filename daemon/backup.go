package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"yester/control"
	"yester/sched"
	"yester/snapshot"
	"yester/snapshot/capture"
	"yester/store"
	"yester/store/pack"
)

// A backup is one backup task: one version of each target.
type backup struct {
	d        *Daemon
	vault    *store.Vault
	policy   control.Policy
	priority sched.Priority
	instance store.Instance
	job      *job
	limiter  *sched.Limiter // of all the task reads: one for each partition would let a burst pass for each
	log      taskLog
	never    []string // folders that are not entered
	stored   uint64   // bytes that the vault grew by
	full     bool     // the vault took no more

	before sched.History  // of the scheduled backup, without this one
	turn   *sched.History // the same with it; nil: this one was begun by hand
}

// startBackup begins a backup of what the policy says now. A scheduled one is kept together with the history that it makes.
func (d *Daemon) startBackup(scheduled *sched.History) (control.Task, error) {
	d.mu.Lock()
	policy, vault, service, none, before := d.policy, d.vault, d.service, d.noVault(), d.history
	d.mu.Unlock()
	switch {
	case service == control.StateCancelling:
		return control.Task{}, errCancelling()
	case policy == nil:
		return control.Task{}, errNotActive()
	case vault == nil:
		return control.Task{}, none
	}
	priority, err := priorityOf(policy)
	if err != nil {
		return control.Task{}, err
	}
	b := &backup{d: d, vault: vault, policy: *policy, priority: priority, limiter: d.metrics.limiter(priority.BytesPerSecond), before: before, turn: scheduled}
	return d.tasks.begin(control.KindBackup, scheduled != nil, d.keepWith(scheduled), b.run)
}

// run runs the hooks, and makes the versions between them.
func (b *backup) run(ctx context.Context, j *job) (err error) {
	if b.turn != nil {
		leave := b.d.leaveTurn(b.before, *b.turn)
		j.keepBy(func(t control.Task) error {
			if !isCutOff(ctx) {
				return b.d.db.PutTask(t)
			}
			return leave(t)
		})
	}
	if b.d.serviceState() == control.StateCancelling { // since it was asked for
		return errCancelling()
	}
	b.job, b.log = j, taskLog{b.d.log, j.look(b.d.o.Now()).ID}
	b.d.memory.begin(b.priority)
	defer b.d.memory.idle(b.priority)
	defer leaveRoomToWait(b.priority)()
	if b.instance, err = b.d.registerInstance(ctx, b.vault); err != nil {
		return err
	}
	return b.around(ctx, func() error {
		err := b.versions(ctx)
		if err == nil {
			j.keepBy(b.d.db.PutTask) // the turn is done, whatever becomes of the hook after
		}
		if b.turn != nil && !isCutOff(ctx) {
			b.d.madeTurn()
		}
		if b.full {
			b.makeRoom(ctx)
		}
		return err
	})
}

// makeRoom has a gc begin after a backup that found the vault full and could store next to nothing: what others stored before that made no version is of no use to this one, as the policy
// leaves more out since, say, and nothing else would ever have its space given back. But once only for what is to be backed up: where that is larger than the vault, the next one stores
// the same again.
func (b *backup) makeRoom(ctx context.Context) {
	info, err := b.vault.Info(ctx)
	u, upkeepErr := b.d.upkeepState()
	of := scope(&b.policy)
	if err = errors.Join(err, upkeepErr); err == nil && nextToNothing(b.stored, info.Stored) && u.FullOf != of {
		defer b.d.wakeUpkeep()
		b.d.deleting.Lock()
		defer b.d.deleting.Unlock()
		err = errors.Join(b.d.collectDue(), b.d.changeUpkeep(func(u *upkeepState) { u.Full, u.FullOf = true, of }))
	}
	if err != nil {
		b.log.log.Warn("keep that space can be given back", "task", b.log.task, "err", err)
	}
}

// nextToNothing tells whether what a backup stored is of no account, in bytes, and beside all that the vault has.
func nextToNothing(stored, all uint64) bool { return stored <= min(all/100, 64<<20) }

// scope is a hash of what a policy has backed up.
func scope(p *control.Policy) string {
	text := fmt.Appendf(nil, "%q %q %q %t %t %t", p.Partitions, p.Paths, p.Excludes, p.IncludeSystem, p.ExcludeCaches, p.ExcludeNodump)
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// hadRoom keeps that there was room for all that is to be backed up.
func (b *backup) hadRoom() {
	u, err := b.d.upkeepState()
	if err == nil && u.FullOf != "" {
		err = b.d.changeUpkeep(func(u *upkeepState) { u.FullOf = "" })
	}
	if err != nil {
		b.log.log.Warn("keep that the vault had room", "task", b.log.task, "err", err)
	}
}

// versions makes a version of each target. What goes wrong with one partition does not keep the others from theirs, unless the vault takes no more.
func (b *backup) versions(ctx context.Context) error {
	mounts, err := b.d.mounts()
	if err != nil {
		return err
	}
	b.never = append(b.d.never(), b.d.site.left(ctx, mounts)...)
	targets := plan(&b.policy, mounts, exists)
	if len(targets) == 0 {
		return control.Errorf(control.NotFound, "nothing of what the policy names is there").WithHint("see `yester status`")
	}
	b.d.listeners.keepOnly(targets)
	b.d.keepUnfinished(targets)
	defer b.d.leaveParents()
	b.chooseParents(ctx, targets)
	slices.SortStableFunc(targets, sooner)
	counting, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { b.job.progress.expect(b.expected(counting, targets)) })
	err = b.each(ctx, targets)
	stop()
	wg.Wait()
	if err == nil {
		b.hadRoom()
	}
	return err
}

// sooner orders targets by when a version of them is to be made: those that have one come first, and of the others those with less on them. A first backup of a large disk may take days, and be
// cut off again and again, and none that comes behind it would have a version meanwhile.
func sooner(a, b target) int {
	switch first, second := a.isFirst(), b.isFirst(); {
	case !first && !second:
		return 0
	case !first:
		return -1
	case !second:
		return 1
	}
	return cmp.Compare(a.partition.Used, b.partition.Used)
}

// isFirst tells whether all of a target will be read: it has no version, or those of another disk that was there.
func (t *target) isFirst() bool {
	return !capture.SameFileSystem(t.parent, &t.partition)
}

// each makes one version after the other and collects what failed.
func (b *backup) each(ctx context.Context, targets []target) error {
	var failed []error
	for _, t := range targets {
		b.job.progress.begin(t.partition.Name)
		begin := b.d.o.Now()
		v, err := b.one(ctx, t)
		if ctx.Err() != nil && err != nil {
			return err
		}
		b.keep(t, v, err, b.d.o.Now().Sub(begin))
		if err == nil {
			continue
		}
		b.log.failed(t.partition.Name, err)
		failed = append(failed, err)
		if endsAll(err) {
			return err
		}
	}
	return summary(failed, len(targets), b.job)
}

// endsAll tells whether no other partition can fare better.
func endsAll(err error) bool {
	return errors.Is(err, control.NoSpace) || errors.Is(err, control.ReadOnly)
}

// summary is the error of a task some of whose partitions failed.
func summary(failed []error, of int, j *job) error {
	switch {
	case len(failed) == 0:
		return nil
	case of == 1:
		return failed[0]
	}
	var names []string
	j.update(func(t *control.Task) {
		for _, r := range t.Results {
			if r.Error != "" {
				names = append(names, r.Partition)
			}
		}
	})
	first := explain(failed[0])
	return &control.Error{
		Kind: first.Kind, Hint: first.Hint,
		Message: fmt.Sprintf("%d of %d partitions failed (%s); the first: %s", len(failed), of, list(names), first.Message),
	}
}

// one makes a version of one partition.
func (b *backup) one(ctx context.Context, t target) (*snapshot.Version, error) {
	if t.err != nil {
		return nil, t.err
	}
	l := b.d.listeners.of(t.partition)
	w, err := b.vault.Writer(b.instance.ID, b.writerOptions())
	if err != nil {
		return nil, err
	}
	ended := false
	defer func() {
		if !ended { // a panic
			w.Abandon()
		}
	}()
	// Read only now, for an open writer keeps what its parent refers to from being collected.
	t.parent = b.parent(ctx, t.partition.Name)
	var v *snapshot.Version
	b.onThread(func() {
		o := b.options(t)
		if b.d.vaultDamaged() {
			o.Damaged, o.Because = true, damagedVault
		}
		v, err = l.capture(o, b.d.o.Settings.audit(), func(o capture.Options) (*snapshot.Version, error) {
			return capture.Run(ctx, b.vault, w, o)
		})
	})
	ended = true
	if err == nil {
		b.audited(v)
	}
	err = errors.Join(err, w.Close())
	b.stored += w.Stats().Stored
	return v, b.inVault(err)
}

// inVault makes a sentence of what keeps the vault from taking more.
func (b *backup) inVault(err error) error {
	places, _ := b.d.site.places() // it was opened by them
	switch {
	case errors.Is(err, store.ErrReadOnly):
		b.log.log.Error("write to the vault", "task", b.log.task, "err", err)
		return control.Errorf(control.ReadOnly, "the vault in %s is read-only, nothing can be stored", list(places)).
			WithHint("make it writable, for instance with `mount -o remount,rw`")
	case errors.Is(err, store.ErrIndexSpace):
		return control.Errorf(control.NoSpace, "the disk of the index is full (%s)", sentence(err)).WithHint("free some space there; nothing was lost")
	case errors.Is(err, store.ErrNoSpace):
		b.full = true
		return control.Errorf(control.NoSpace, "the vault in %s is full (%s)", list(places), sentence(err)).
			WithHint("free some space there, or see whether `yester vault gc` does; nothing was lost")
	}
	return err
}

// options says how to capture a target.
func (b *backup) options(t target) capture.Options {
	o := policyOptions(&b.policy, &t)
	o.Instance, o.Parent, o.Never = b.instance, t.parent, b.never
	o.Walkers, o.Limiter, o.Progress = walkers(b.priority), b.limiter, &b.job.progress
	o.Unfinished = b.d.unfinished(t.partition.Name)
	o.Now, o.Tool = b.d.o.Now, "yester "+b.d.o.Version
	return o
}

// policyOptions says what of a target a policy has captured.
func policyOptions(p *control.Policy, t *target) capture.Options {
	return capture.Options{
		Partition:     t.partition,
		Includes:      t.includes,
		Excludes:      patterns(p.Excludes),
		System:        p.IncludeSystem,
		ExcludeCaches: p.ExcludeCaches,
		ExcludeNodump: p.ExcludeNodump,
	}
}

// onThread calls what works for long.
func (b *backup) onThread(work func()) { b.d.crew.Run(b.priority, work) }

// writerOptions say how to compress at the task's priority.
func (b *backup) writerOptions() store.WriterOptions {
	o := writerOptions(b.priority)
	o.Run = b.onThread
	return o
}

// priorityOf is the policy's priority, with the compression that it asks for.
func priorityOf(p *control.Policy) (sched.Priority, error) {
	priority, err := sched.ParsePriority(p.Priority)
	if p.Compression != "" {
		priority.Compression = p.Compression
	}
	return priority, err
}

// writerOptions say how to compress at a priority.
func writerOptions(p sched.Priority) store.WriterOptions {
	o := store.WriterOptions{Encoding: pack.Zstd}
	if p.Compression == sched.LZ4 {
		o.Encoding = pack.LZ4
	}
	switch p.Threads {
	case 0:
		o.Workers = runtime.NumCPU()
	case 1: // the one that reads compresses too
	default:
		o.Workers = p.Threads - 1
	}
	return o
}

// tidy removes the snapshots of partitions that a daemon which was killed has left.
func (d *Daemon) tidy() {
	mounts, err := d.o.Discover()
	if err != nil {
		d.log.Warn("look for snapshots that were left", "err", err)
		return
	}
	removed, err := capture.Tidy(mounts)
	for _, path := range removed {
		d.log.Info("removed a snapshot that was left", "path", path)
	}
	if err != nil {
		d.log.Warn("remove snapshots that were left", "err", err)
	}
}

// maxWalkers bounds the memory of walkers, some two megabytes each.
const maxWalkers = 16

// walkers is how many folders are walked at once. With a limit of threads it is one, beside which the others compress.
func walkers(p sched.Priority) int {
	if p.Threads == 0 {
		return min(runtime.NumCPU(), maxWalkers)
	}
	return 1
}

// exists tells whether a path is there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
