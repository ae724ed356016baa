package daemon

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/restore"
	"yester/sched"
	"yester/snapshot"
	"yester/store"
)

// A drill restores files that are drawn from the newest version of each partition to a scratch folder, compares them with the versions, and deletes them.
// No backup is real before it was restored: the daemon does so by itself, every drillDays.
type drill struct {
	d       *Daemon
	vault   *store.Vault
	files   int
	bytes   uint64
	limiter restore.Limiter // nil: none

	scheduled bool
	from      []drawn
	result    control.Drilled
}

// What a drill takes unless something else is said, and how often there is one.
const (
	drillFiles = 100
	drillBytes = 1 << 30
	drillDays  = 7

	drillAgain = 24 * time.Hour // after one that failed, and before the first
	spares     = 8              // how many times as many files are looked at, for some are too large
)

// maxDrillFiles bounds the memory that a drill takes.
const maxDrillFiles = 100_000

// errNothing is what a drill says that finds no file.
var errNothing error = control.Errorf(control.NotFound, "the newest versions have no files").WithHint("there is nothing to restore")

// drawn are files of a version that were drawn.
type drawn struct {
	version *snapshot.Version
	paths   []string
	bytes   uint64
}

// drill starts a drill by hand.
func (d *Daemon) drill(ctx context.Context, r control.DrillRequest) (control.Task, error) {
	if r.Files < 0 || r.Files > maxDrillFiles {
		return control.Task{}, control.Errorf(control.BadRequest, "a drill takes 1 to %d files, not %d", maxDrillFiles, r.Files)
	}
	v, err := d.openedVault()
	if err != nil {
		return control.Task{}, err
	}
	if len(v.Versions(d.instance.ID)) == 0 {
		return control.Task{}, control.Errorf(control.NotFound, "there are no versions yet").WithHint("`yester backup` takes the first")
	}
	return d.startDrill(&drill{d: d, vault: v, files: r.Files, bytes: r.Bytes}, false)
}

func (d *Daemon) startDrill(w *drill, scheduled bool) (control.Task, error) {
	if w.files == 0 {
		w.files = drillFiles
	}
	if w.bytes == 0 {
		w.bytes = drillBytes
	}
	w.scheduled = scheduled
	return d.tasks.start(control.KindDrill, scheduled, w.run)
}

// drillDue starts a drill when its time has come and nothing else is going on; ok is false if there is nothing to do.
func (d *Daemon) drillDue(v *store.Vault) (ok bool, err error) {
	if len(v.Versions(d.instance.ID)) == 0 || d.isBehind() {
		return false, nil
	}
	u, err := d.drillState()
	if err != nil {
		return false, err
	}
	now := d.o.Now()
	if u.Since.IsZero() || u.Since.After(now) {
		u.Since = now
		return false, d.db.PutDrill(u)
	}
	next, ok := nextDrill(&u, d.o.Settings.drillDays())
	if !ok || now.Before(next) && !u.Tried.After(now) || !d.tasks.idle() {
		return false, nil
	}
	_, err = d.startDrill(&drill{d: d, vault: v, limiter: d.metrics.limiter(sched.Low.BytesPerSecond)}, true)
	return true, ifFree(err)
}

// nextDrill is before when the daemon starts none by itself; ok is false if it never does.
func nextDrill(u *state.Drill, days int) (t time.Time, ok bool) {
	switch {
	case days == 0 || u.Since.IsZero():
		return t, false
	case u.Tried.IsZero():
		return u.Since.Add(drillAgain), true
	case u.Failed != "":
		return u.Tried.Add(drillAgain), true
	}
	return u.Tried.Add(time.Duration(days) * 24 * time.Hour), true
}

// drillState is what was kept.
func (d *Daemon) drillState() (state.Drill, error) {
	u, err := d.db.Drill()
	if errors.Is(err, state.ErrNotFound) {
		err = nil
	}
	return u, err
}

// drills tells how it stands with drills.
func (d *Daemon) drills() (*control.Drills, error) {
	u, err := d.drillState()
	if err != nil {
		return nil, err
	}
	s := &control.Drills{Proven: u.Proven, Failed: u.Failed}
	if next, ok := nextDrill(&u, d.o.Settings.drillDays()); ok {
		s.Next = &next
	}
	return s, nil
}

// The causes of a drill that failed, or has warnings.
const (
	failedDrill  = "drill/failed"
	partialDrill = "drill/partial"
)

// drillEnded keeps what came of a drill, and tells of it.
func (d *Daemon) drillEnded(t *control.Task) {
	defer d.wakeUpkeep()
	if t.State == control.Cancelled && d.tasks.stopping() {
		return // the next daemon begins anew
	}
	u, err := d.drillState()
	if err != nil {
		d.log.Error("read what was kept of drills", "err", err)
		return
	}
	if u.Tried = d.o.Now(); u.Since.IsZero() {
		u.Since = u.Tried
	}
	switch {
	case t.State == control.Failed:
		u.Failed = t.ID
		d.raise(control.MessageDrill, failedDrill, fmt.Sprintf("the drill %s failed, so it is not proven that versions can be restored: %s", t.ID, t.Error))
	case t.State == control.Partial: // all content came back
		u.Failed = ""
		d.resolve(failedDrill)
		d.raise(control.MessageDrill, partialDrill, fmt.Sprintf("the drill %s restored the content of its files and has %d warnings, so it is not proven that they come back with all they had, see `yester tasks show %s`",
			t.ID, t.WarningCount, t.ID))
	case t.State == control.Completed:
		u.Failed = ""
		d.resolve(failedDrill)
		d.resolve(partialDrill)
		if r := t.Drilled; r != nil { // else there was nothing to restore
			u.Proven = &control.Proof{Task: t.ID, Time: u.Tried.UTC(), Versions: r.Versions, Files: r.Files, Bytes: r.Bytes}
			d.kept(d.alerts.Record(control.MessageDrill, "drill/proven", fmt.Sprintf("last proven restore: %d files, %d bytes, of %s (%s)", r.Files, r.Bytes, list(namesOf(r.Versions)), t.ID)))
		}
	}
	if err := d.db.PutDrill(u); err != nil {
		d.log.Error("keep what came of a drill", "err", err)
	}
}

// namesOf are versions in words.
func namesOf(all []control.DrilledVersion) (names []string) {
	for _, v := range all {
		names = append(names, v.Partition+" "+v.Version)
	}
	return names
}

// run is the task.
func (w *drill) run(ctx context.Context, j *job) error {
	scratch := w.d.o.Home.Scratch
	if err := w.d.emptyScratch(); err != nil {
		return err
	}
	err := w.restoreIn(ctx, j, scratch)
	if w.scheduled && errors.Is(err, errNothing) { // a partition may well be empty
		return w.d.emptyScratch()
	}
	err = errors.Join(err, w.d.emptyScratch())
	if err != nil || w.result.FailedCount > 0 {
		j.update(func(t *control.Task) { t.Drilled = &w.result })
	}
	switch {
	case err != nil:
		return err
	case w.result.FailedCount > 0:
		first := w.result.Failed[0]
		return control.Errorf(control.Damaged, "%d of %d files did not come back as they were; the first, %s of %s %s: %s", w.result.FailedCount, w.result.Files,
			first.Path, first.Partition, first.Version, first.What).WithHint("run `yester vault check --read-data` and see what it says")
	}
	j.update(func(t *control.Task) { t.Drilled = &w.result })
	return nil
}

// emptyScratch makes the scratch folder, or removes what is in it, also what a killed daemon left. The folder itself stays: backups tell by its number
// that it is the home's.
func (d *Daemon) emptyScratch() error {
	dir := d.o.Home.Scratch
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		_ = os.Remove(dir) // what a link leads to is somebody else's
	}
	if err := mkdir(dir, 0o700); err != nil {
		return err
	}
	left, err := os.ReadDir(dir)
	for _, e := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	if err != nil {
		return control.Errorf(control.Internal, "the scratch folder %s cannot be emptied (%v)", dir, cause(err)).WithHint("remove what is in it by hand")
	}
	return nil
}

// tidyScratch removes what a drill of a daemon that was killed has left: there may be none for weeks that would.
func (d *Daemon) tidyScratch() {
	if len(entries(d.o.Home.Scratch)) == 0 {
		return
	}
	if err := d.emptyScratch(); err != nil {
		d.log.Warn("remove what a drill has left", "err", err)
	}
}

func (w *drill) restoreIn(ctx context.Context, j *job, scratch string) error {
	if err := w.draw(ctx, scratch); err != nil {
		return err
	}
	var files, bytes uint64
	for i := range w.from {
		files, bytes = files+uint64(len(w.from[i].paths)), bytes+w.from[i].bytes
	}
	j.progress.expect(2*files, 2*bytes)
	for i := range w.from {
		if err := w.one(ctx, j, &w.from[i], scratch); err != nil {
			return err
		}
	}
	if len(w.result.Versions) == 0 {
		return errNothing
	}
	return nil
}

// draw draws the files. Each file of all newest versions is as likely as another, but for those that are too large for the rest.
func (w *drill) draw(ctx context.Context, scratch string) error {
	var total uint64
	for _, p := range w.d.held(ctx, w.vault) {
		newest := p.keys[len(p.keys)-1]
		v, err := record(ctx, w.vault, newest)
		if errors.Is(err, store.ErrNotFound) && !w.vault.Remains(newest) {
			continue // it was deleted just now
		}
		if err != nil {
			return err
		}
		w.from = append(w.from, drawn{version: v})
		total += v.Totals.Files
	}
	if total == 0 {
		return errNothing
	}
	most, err := w.room(scratch)
	if err != nil {
		return err
	}
	all, err := w.candidates(ctx, pick(total, w.files*spares))
	if err != nil {
		return err
	}
	rand.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	if w.take(all, min(w.bytes, most)) == 0 && len(all) > 0 { // all are larger than what a drill takes: one of them is better than none
		least := slices.MinFunc(all, func(a, b candidate) int { return int(min(a.bytes, 1<<62)) - int(min(b.bytes, 1<<62)) })
		w.take([]candidate{least}, most)
	}
	w.from = slices.DeleteFunc(w.from, func(f drawn) bool { return len(f.paths) == 0 })
	if len(w.from) == 0 {
		return control.Errorf(control.NoSpace, "there is no room for a drill in %s", filepath.Dir(scratch)).WithHint("free some space there")
	}
	return nil
}

// room is how many bytes a drill may take: half of what is free.
func (w *drill) room(scratch string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(scratch, &st); err != nil {
		return 0, fmt.Errorf("look at the scratch folder: %w", err)
	}
	return st.Bavail * uint64(st.Bsize) / 2, nil
}

// pick draws numbers below n, ascending: so many, or all if there are less.
func pick(n uint64, many int) (numbers []uint64) {
	if n <= uint64(many) {
		for i := range n {
			numbers = append(numbers, i)
		}
		return numbers
	}
	seen := map[uint64]bool{}
	for len(numbers) < many {
		if i := rand.Uint64N(n); !seen[i] {
			seen[i] = true
			numbers = append(numbers, i)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// A candidate is a file that may be taken.
type candidate struct {
	from  int
	path  string
	bytes uint64
}

// candidates are the files that numbers speak of, counted through all versions.
func (w *drill) candidates(ctx context.Context, numbers []uint64) (all []candidate, err error) {
	var begin uint64
	for i, f := range w.from {
		end := begin + f.version.Totals.Files
		n, _ := slices.BinarySearch(numbers, end)
		mine := numbers[:n]
		for k := range mine {
			mine[k] -= begin
		}
		err := snapshot.Sample(ctx, w.vault, f.version, mine, func(path string, e *snapshot.Entry) {
			all = append(all, candidate{i, path, e.Data})
		})
		if err != nil {
			return nil, err
		}
		begin, numbers = end, numbers[n:]
	}
	return all, nil
}

// take takes those that fit, and returns how many.
func (w *drill) take(all []candidate, most uint64) (n int) {
	var sum uint64
	for _, c := range all {
		if n == w.files || c.bytes > most-sum {
			continue
		}
		f := &w.from[c.from]
		f.paths, f.bytes = append(f.paths, c.path), f.bytes+c.bytes
		n, sum = n+1, sum+c.bytes
	}
	return n
}

// one restores what was drawn of a version and compares it.
func (w *drill) one(ctx context.Context, j *job, f *drawn, scratch string) error {
	name := f.version.Partition.Name
	w.d.hold(f.version.Key(), 1)
	defer w.d.hold(f.version.Key(), -1)
	if !w.vault.Remains(f.version.Key()) {
		return nil // it was deleted since files were drawn
	}
	j.progress.begin(name)
	dir := filepath.Join(scratch, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return folderError(dir, err)
	}
	target, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer target.Close()
	w.result.Files, w.result.Bytes = w.result.Files+uint64(len(f.paths)), w.result.Bytes+f.bytes
	w.result.Versions = append(w.result.Versions, control.DrilledVersion{Partition: name, Version: f.version.Name, Files: uint64(len(f.paths))})
	o := restore.Options{
		Vault: w.vault, Version: f.version, Target: int(target.Fd()), Paths: f.paths, NoLocks: true, Limiter: w.limiter, Progress: &j.progress,
	}
	put, err := restore.Run(ctx, o)
	if err != nil {
		return err
	}
	w.failed(f, &put.Failed)
	j.update(func(t *control.Task) { warn(t, put.Notes.Count, notes(name, put.Notes.Items)) })
	o.VerifyOnly, o.ContentOnly = true, put.Notes.Count > 0 // what the scratch folder cannot hold is not the vault's fault
	found, err := restore.Run(ctx, o)
	if err != nil {
		return err
	}
	if put.Failed.Count == 0 { // else they are missing
		w.failed(f, &found.Differs)
	}
	w.failed(f, &found.Failed)
	return nil
}

// maxDrillFailures is how many files that failed a task lists.
const maxDrillFailures = 1000

func (w *drill) failed(f *drawn, l *restore.List) {
	w.result.FailedCount += l.Count
	for _, left := range l.Items {
		if len(w.result.Failed) < maxDrillFailures {
			w.result.Failed = append(w.result.Failed, control.DrillFailure{
				Partition: f.version.Partition.Name, Version: f.version.Name, Path: control.PathText(left.Path), What: left.What,
			})
		}
	}
}
