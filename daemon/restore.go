package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"yester/control"
	"yester/restore"
	"yester/sched"
	"yester/snapshot"
	"yester/snapshot/capture"
	"yester/store"
)

// A restoration is a restore that is settled: what, of which version, and where to.
type restoration struct {
	vault   *store.Vault
	version *snapshot.Version
	request control.RestoreRequest
	paths   []string // below the version's root
	to      string
	target  *os.File
	scopes  []snapshot.Scope // of the version, and of the policy by now
	keep    []string         // patterns of what is never deleted
	own     []string         // what is left alone, by whatever name it is met
	older   string           // version before it, "" if there is none
}

// restore starts a restore. Everything that can be wrong with what was asked for is told here, before a task begins.
func (d *Daemon) restore(ctx context.Context, r control.RestoreRequest) (control.Task, error) {
	v, err := d.openedVault()
	if err != nil {
		return control.Task{}, err
	}
	id, name := d.instance.ID, d.instance.Name
	if r.Instance != "" {
		in, err := oneInstance(ctx, v, r.Instance)
		if err != nil {
			return control.Task{}, err
		}
		id, name = in.ID, in.Name
	}
	p, paths, err := findPaths(heldBy(ctx, v, id), d.mountDirs(), d.shownAs(id, name), &r)
	if err != nil {
		return control.Task{}, err
	}
	o := &restoration{vault: v, request: r, paths: paths}
	if err := o.choose(ctx, &p, d.o.Now().In(d.zone())); err != nil {
		return control.Task{}, err
	}
	d.mu.Lock()
	policy := d.policy
	d.mu.Unlock()
	if policy == nil || id != d.instance.ID { // one that was adopted has none yet, nor has one whose state was lost
		if policy, err = policyOf(ctx, v, id, r.Delete); err != nil {
			return control.Task{}, err
		}
	}
	o.goBy(policy)
	if err := o.aim(aim{d.never(), d.mountDirs(), d.o.Discover}); err != nil {
		return control.Task{}, err
	}
	k := o.version.Key()
	d.hold(k, 1)
	var t control.Task
	if v.Remains(k) {
		of := ""
		if k.Instance == d.instance.ID && !r.DryRun && !r.VerifyOnly {
			of = k.Partition + "/" + k.Version
		}
		keep := func(t control.Task) error { t.Restores = of; return d.db.PutTask(t) }
		t, err = d.tasks.begin(control.KindRestore, false, keep, func(ctx context.Context, j *job) error {
			j.update(func(t *control.Task) { t.Restores = of })
			defer d.hold(k, -1)
			defer o.target.Close()
			return o.run(ctx, j)
		})
	} else {
		err = gone(k)
	}
	if err != nil {
		d.hold(k, -1)
		o.target.Close()
	}
	return t, err
}

func gone(k store.VersionKey) error {
	return control.Errorf(control.NotFound, "version %s of %s was deleted just now", k.Version, k.Partition).WithHint("`yester versions` lists them")
}

// goBy takes from the version, and from a policy, if there is one, what versions have not: they are not to be blamed for that.
func (o *restoration) goBy(p *control.Policy) {
	if s := o.version.Scope; s != nil {
		o.scopes = append(o.scopes, *s)
	}
	if p != nil {
		o.scopes = append(o.scopes, snapshot.Scope{Paths: p.Paths, Excludes: patterns(p.Excludes), Caches: p.ExcludeCaches, Nodump: p.ExcludeNodump})
	}
	for _, s := range o.scopes {
		for _, dir := range s.Never {
			o.keep = append(o.keep, literal(dir))
		}
		for _, e := range s.Excludes {
			o.keep = append(o.keep, e, strings.TrimRight(e, "/")+"/**")
		}
	}
}

// covered tells whether the version has all of what is restored, and versions would have it by now, but for what is excluded.
func (o *restoration) covered() bool {
	at := o.paths
	if len(at) == 0 {
		at = []string{""}
	}
	for _, p := range at {
		whole := path.Join(o.version.Partition.MountPoint, p)
		isPart := func(c string) bool { return c != whole && isBelow(c, whole) }
		for _, s := range o.scopes {
			if !s.Has(whole) || slices.ContainsFunc(s.Paths, isPart) {
				return false
			}
		}
	}
	return true
}

// marks are those for which versions leave something out, and the folders for which they mean nothing to whoever heeds them.
func (o *restoration) marks() (caches, nodump bool, named []string) {
	for _, s := range o.scopes {
		switch heeded := caches || nodump; {
		case !s.Caches && !s.Nodump:
			continue
		case !heeded:
			named = slices.Clone(s.Paths)
		default:
			named = slices.DeleteFunc(named, func(p string) bool { return !slices.Contains(s.Paths, p) })
		}
		caches, nodump = caches || s.Caches, nodump || s.Nodump
	}
	return caches, nodump, named
}

// hold keeps a version that is being restored from being deleted.
func (d *Daemon) hold(k store.VersionKey, n int) {
	d.deleting.Lock()
	defer d.deleting.Unlock()
	if d.restoring == nil {
		d.restoring = map[store.VersionKey]int{}
	}
	if d.restoring[k] += n; d.restoring[k] == 0 {
		delete(d.restoring, k)
	}
}

// goneOnWith is for how long a version whose restore did not come to its end does not expire, so that the same command can go on with it.
const goneOnWith = 7 * 24 * time.Hour

// halfRestored are the versions, as tasks call them, of restores that did not come to their end lately. It waits for no lock of the tasks, see isWanted.
func (d *Daemon) halfRestored() (map[string]bool, error) {
	all, err := d.db.Tasks()
	half, now := map[string]bool{}, d.o.Now()
	for i := range all { // oldest first
		if t := &all[i]; t.Restores != "" {
			half[t.Restores] = !t.Ended() || (t.State == control.Failed || t.State == control.Cancelled) && now.Sub(*t.End) < goneOnWith
		}
	}
	return half, err
}

// findPaths finds the one partition of an instance that all paths of a request lie on, and what they are called below its root; or the partition that is
// meant if there are none.
func findPaths(all []held, mountDirs []string, instance string, r *control.RestoreRequest) (p held, paths []string, err error) {
	if len(r.Paths) == 0 {
		p, err = only(all, r.Partition)
		return p, nil, err
	}
	if all, err = named(all, r.Partition); err != nil {
		return p, nil, err
	}
	for _, text := range r.Paths {
		whole, err := absolutePath(text)
		if err != nil {
			return p, nil, err
		}
		q, at, err := lies(all, mountDirs, instance, whole)
		switch {
		case err != nil && r.Partition != "":
			return p, nil, control.Errorf(control.BadRequest, "%s does not lie on partition %s", text, r.Partition)
		case err != nil:
			return p, nil, err
		case p.name != "" && p.name != q.name:
			return p, nil, control.Errorf(control.BadRequest, "the paths lie on two partitions, %s and %s", p.name, q.name).
				WithHint("restore one after the other")
		}
		p, paths = q, append(paths, strings.Trim(at, "/"))
	}
	return p, paths, nil
}

// policyOf is the copy that the vault has of an instance's policy, nil if there is none, or none that can be read. That is an error if something is to be deleted by it.
func policyOf(ctx context.Context, v *store.Vault, instance string, deletes bool) (*control.Policy, error) {
	kept, err := v.Policy(ctx, instance)
	p := new(control.Policy)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && len(kept.Policy) == 0:
		err = errors.New("the vault has no copy of the policy")
	case err == nil:
		err = json.Unmarshal(kept.Policy, p)
	}
	switch {
	case err == nil:
		return p, nil
	case deletes:
		return nil, control.Errorf(control.Damaged, "it cannot be told what was never backed up, and would be deleted with the rest (%s)", sentence(err)).WithHint("leave out --delete")
	}
	return nil, nil
}

// only is the partition that was named, or the only one there is.
func only(all []held, name string) (held, error) {
	found, err := named(all, name)
	switch {
	case err != nil:
		return held{}, err
	case len(found) == 0:
		return held{}, control.Errorf(control.NotFound, "there are no versions yet").WithHint("`yester backup` takes the first")
	case len(found) > 1:
		var names []string
		for _, p := range found {
			names = append(names, p.name)
		}
		return held{}, control.Errorf(control.BadRequest, "there are versions of %s", list(names)).WithHint("say which with a path or with --partition")
	}
	return found[0], nil
}

// choose reads the version that is meant, and looks whether it has what is asked for.
func (o *restoration) choose(ctx context.Context, p *held, now time.Time) error {
	r := &o.request
	switch {
	case r.OnConflict != "" && r.OnConflict != control.ConflictSkip && r.OnConflict != control.ConflictOverwrite:
		return control.Errorf(control.BadRequest, "on conflict there is skip and overwrite, not %q", r.OnConflict)
	case r.DryRun && r.VerifyOnly:
		return control.Errorf(control.BadRequest, "a dry run and to verify only are two things")
	case r.Delete && (len(r.Includes) > 0 || r.VerifyOnly):
		return control.Errorf(control.BadRequest, "to delete what the version has not goes with whole folders only, not with includes or to verify")
	case r.Rate < 0:
		return control.Errorf(control.BadRequest, "a rate below zero makes no sense")
	}
	if _, err := control.ParsePatterns(slices.Concat(r.Includes, r.Excludes)); err != nil {
		return control.Errorf(control.BadRequest, "of the patterns, %v", err)
	}
	k, err := p.pick(r.Version, now)
	if err != nil {
		return err
	}
	if i := slices.Index(p.keys, k); i > 0 {
		o.older = p.keys[i-1].Version
	}
	if o.version, err = record(ctx, o.vault, k); errors.Is(err, store.ErrNotFound) && !o.vault.Remains(k) {
		return gone(k)
	} else if err != nil {
		return o.lacks(err)
	}
	for _, at := range o.paths {
		if _, _, err := restore.Totals(ctx, o.vault, o.version, []string{at}); errors.Is(err, snapshot.ErrNotExist) || errors.Is(err, snapshot.ErrNotDir) {
			return control.Errorf(control.NotFound, "version %s of %s has no %s", k.Version, k.Partition, control.PathText(path.Join(p.point, at))).
				WithHint("`yester find` and `yester history` tell which versions had it")
		} else if err != nil {
			return o.lacks(err)
		}
	}
	return nil
}

// lacking says why a vault may not have all of a version.
const lacking = "it is damaged, or was copied while the version was being made"

// lacks says of an error that the vault has not all of the version, if it is that.
func (o *restoration) lacks(err error) error {
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	e := control.Errorf(control.Damaged, "the vault has not all of this version: %s (%s)", lacking, sentence(err))
	return e.WithHint("%s", o.elseHint())
}

// elseHint says what else there is.
func (o *restoration) elseHint() string {
	const check = "`yester vault check` says what is lost"
	if o.older == "" {
		return check
	}
	return "the version before it, " + o.older + ", may have it; " + check
}

// An aim says where nothing may be restored, and what is mounted.
type aim struct {
	own      []string // folders
	shown    []string // folders that show versions
	discover func() ([]capture.Mount, error)
}

// aim opens the folder that the restore goes to.
func (o *restoration) aim(a aim) error {
	point := o.version.Partition.MountPoint
	if o.request.To == "" {
		o.to = point
		mounts, err := a.discover()
		if err != nil {
			return err
		}
		if err := isMounted(&o.version.Partition, mounts); err != nil {
			return err
		}
	} else {
		if !filepath.IsAbs(o.request.To) {
			return control.Errorf(control.BadRequest, "the folder %q is not absolute", o.request.To)
		}
		o.to = filepath.Clean(o.request.To)
	}
	if o.request.Delete && (isSame(o.to, point) || isSame(o.to, "/")) { // by whatever name
		switch {
		case o.version.Scope == nil:
			return control.Errorf(control.BadRequest, "what version %s was made without would be deleted from %s with the rest, and it is too old to tell", o.version.Name, o.to).
				WithHint("leave out --delete; with --verify-only it is told what is there and not in the version")
		case len(o.paths) == 0 || slices.Contains(o.paths, "") || !o.covered():
			return control.Errorf(control.BadRequest, "what is not backed up would be deleted from %s with the rest", o.to).
				WithHint("name the folders that are to be made equal, or another target with --to")
		}
	}
	if point == "/" {
		for _, dir := range capture.SystemFolders() { // those that the version has not are no loss of theirs, nor of a system that was installed anew
			o.keep = append(o.keep, literal(dir))
		}
	}
	for _, dir := range a.shown {
		if isBelow(o.to, dir) {
			return control.Errorf(control.BadRequest, "%s shows the versions, nothing can be restored there", dir)
		}
	}
	to := followed(o.to)
	for _, dir := range a.own {
		if isBelow(o.to, dir) || isBelow(to, dir) {
			return control.Errorf(control.BadRequest, "%s is yester's own, nothing is restored there", dir)
		}
		if isBelow(dir, to) { // and should its disk be away just now, what is there instead stays too
			there := literal(path.Join(o.version.Partition.MountPoint, strings.TrimPrefix(dir, to)))
			o.keep = append(o.keep, there, there+"/**")
		}
	}
	o.own = a.own
	return o.open()
}

// followed is a path without symlinks, if it is there.
func followed(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// isSame tells whether two paths lead to the same folder, or to nothing by the same name.
func isSame(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return a == b || err == nil && err2 == nil && os.SameFile(x, y)
}

// isMounted refuses to restore in place of a partition that is not there: it would fill the disk below.
func isMounted(p *snapshot.Partition, mounts []capture.Mount) error {
	for _, m := range mounts {
		if m.MountPoint == p.MountPoint && (m.Excluded == "" || m.FSType == p.FSType) {
			return nil
		}
	}
	return control.Errorf(control.NotFound, "partition %s is not mounted at %s", p.Name, p.MountPoint).
		WithHint("mount it, or restore to another folder with --to")
}

// literal is a pattern that matches a path and nothing else.
func literal(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if strings.IndexByte(`\*?[]{}`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// open opens the target, which must be there.
func (o *restoration) open() error {
	f, err := os.OpenFile(o.to, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return control.Errorf(control.NotFound, "the folder %s is not there", o.to).WithHint("make it first; nothing was restored")
	case errors.Is(err, syscall.ENOTDIR):
		return control.Errorf(control.BadRequest, "%s is no folder", o.to)
	case err != nil:
		return control.Errorf(control.Internal, "the folder %s cannot be opened (%v)", o.to, cause(err))
	}
	o.target = f
	return nil
}

// run is the task.
func (o *restoration) run(ctx context.Context, j *job) error {
	r := &o.request
	j.progress.begin(o.version.Partition.Name)
	if len(r.Includes) == 0 && len(r.Excludes) == 0 {
		if files, bytes, err := restore.Totals(ctx, o.vault, o.version, o.paths); err == nil {
			j.progress.expect(files, bytes)
		}
	}
	opts := o.options()
	opts.Progress = &j.progress
	res, err := restore.Run(ctx, opts)
	if res != nil {
		j.update(func(t *control.Task) {
			t.Restored = o.result(res)
			warn(t, res.Notes.Count, notes(o.version.Partition.Name, res.Notes.Items))
			if res.Lost > 0 {
				warn(t, 1, []control.Warning{{Partition: o.version.Partition.Name, Path: ".", What: fmt.Sprintf("the vault has not all of %d files and folders of this version: %s; %s", res.Lost, lacking, o.elseHint())}})
			}
		})
	}
	return o.explain(err)
}

func (o *restoration) options() restore.Options {
	r := &o.request
	caches, nodump, named := o.marks()
	opts := restore.Options{
		Vault: o.vault, Version: o.version, Target: int(o.target.Fd()), Paths: o.paths, Includes: patterns(r.Includes), Excludes: patterns(r.Excludes),
		OnConflict: restore.Conflict(r.OnConflict), DryRun: r.DryRun, VerifyOnly: r.VerifyOnly, NoOwner: r.NoOwner, NoMetadata: r.NoMetadata, Delete: r.Delete, Keep: o.keep, Own: o.own,
		KeepCaches: caches, KeepNodump: nodump, Named: named,
		Others: o.covered() && len(r.Includes) == 0,
	}
	if r.Rate > 0 {
		opts.Limiter = sched.NewLimiter(r.Rate)
	}
	return opts
}

// explain says what ended a restore, and how it goes on.
func (o *restoration) explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return control.Errorf(control.NoSpace, "%s is full (%s)", o.to, sentence(err)).WithHint("free some space there, then " + restoreAgain)
	case errors.Is(err, syscall.EROFS):
		return control.Errorf(control.ReadOnly, "%s is read-only", o.to).WithHint("make it writable, then " + restoreAgain)
	}
	return err
}

func (o *restoration) result(r *restore.Result) *control.Restored {
	return &control.Restored{
		Partition: o.version.Partition.Name, Version: o.version.Name, To: o.to, DryRun: o.request.DryRun, VerifyOnly: o.request.VerifyOnly,
		Files: r.Files, Dirs: r.Dirs, Bytes: r.Bytes, Written: r.Written, Equal: r.Equal, Deleted: r.Deleted,
		Skipped: left(r.Skipped), SkippedCount: r.Skipped.Count,
		Failed: left(r.Failed), FailedCount: r.Failed.Count,
		Differs: left(r.Differs), DiffersCount: r.Differs.Count,
	}
}

func left(l restore.List) []control.Left {
	all := make([]control.Left, 0, len(l.Items))
	for _, i := range l.Items {
		all = append(all, control.Left{Path: control.PathText(i.Path), What: i.What})
	}
	slices.SortFunc(all, func(a, b control.Left) int { return strings.Compare(a.Path, b.Path) })
	return all
}

func notes(partition string, items []restore.Left) []control.Warning {
	all := make([]control.Warning, 0, len(items))
	for _, i := range items {
		all = append(all, control.Warning{Partition: partition, Path: control.PathText(i.Path), What: i.What})
	}
	return all
}
