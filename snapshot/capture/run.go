package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// Run captures a version with w and commits it. The version's name is its start in UTC, or one second after the parent's when the clock was
// set back. A cancelled context stops it within a second with the context's error; nothing is committed then, nor when the vault fails
// (store.ErrNoSpace …) or the partition cannot be opened (ErrExcluded, fs.ErrNotExist). Trouble with single files becomes the version's
// warnings.
// Stored counts everything but the record itself, which cannot know its own place.
func Run(ctx context.Context, v *store.Vault, w *store.Writer, o Options) (*snapshot.Version, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.clock == nil {
		o.clock = time.Now
	}
	version, err := run(ctx, v, w, &o)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("capture %s: %w", o.Partition.MountPoint, err)
	}
	return version, nil
}

func run(ctx context.Context, v *store.Vault, w *store.Writer, o *Options) (*snapshot.Version, error) {
	start, before := o.Now(), w.Stats()
	src, err := openSource(ctx, o.Partition, o.clock)
	if err != nil {
		return nil, err
	}
	defer src.close()
	src.patience.Store(int64(cmp.Or(o.patience, leasePatience())))
	done := false
	if o.Unfinished != "" {
		if o.unfinished, err = openUnfinished(o.Unfinished, &o.Partition); err == nil {
			defer func() { o.unfinished.close(done) }()
		}
	}
	version := &snapshot.Version{
		Instance: o.Instance.ID, InstanceName: o.Instance.Name, Partition: o.Partition,
		Start: start, Journal: o.Certificate, Consistency: "live", LiveBecause: src.because, Tool: o.Tool,
	}
	version.Partition.Closed = &src.closed
	if src.live >= 0 {
		version.Consistency = "snapshot"
	}
	walk, root, err := look(ctx, v, w, o, src, version)
	if err != nil {
		return nil, err
	}
	if err := src.lookAround(o.Partition.MountPoint); err != nil {
		return nil, err
	}
	version.Partition.Covered = src.covered
	if err := src.thaw(); err != nil {
		walk.warn("%v", err)
	}
	version.SetRoot(root)
	scope := walk.filter.scope
	version.Scope = &scope
	walk.count(version)
	version.End = o.Now()
	if err := commit(ctx, w, version, before); err != nil {
		return nil, err
	}
	done = true
	walk.remember(version)
	return version, nil
}

// look looks at the partition: at what changed if that is known, or else at all. It returns the root folder and who made it.
func look(ctx context.Context, v *store.Vault, put *store.Writer, o *Options, src *source, version *snapshot.Version) (*walker, *snapshot.Entry, error) {
	for tries := 0; ; tries++ {
		w, err := newWalker(v, put, o, src)
		if err != nil {
			return nil, nil, err
		}
		w.nameVersion(version, o.Parent)
		version.Method, version.Because = "journal", w.whyWalk()
		audit := o.Audit && version.Because == ""
		if audit {
			version.Because = ForAudit
		}
		if version.Because != "" {
			version.Method = "walk"
		}
		root := new(snapshot.Entry)
		if err = w.all(ctx, src, root, version.Because == "", audit); err == nil {
			version.Audit, err = w.verdict(ctx)
		}
		why, is := errors.AsType[*errUnsure](err)
		switch {
		case !is:
			return w, root, err
		case tries == maxAgain || !why.moved:
			o.Because = why.Error()
		}
	}
}

func commit(ctx context.Context, w *store.Writer, version *snapshot.Version, before store.Stats) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.Flush(ctx); err != nil {
		return err
	}
	now := w.Stats()
	version.NewBytes, version.Stored = now.NewRaw-before.NewRaw, now.Stored-before.Stored
	record, err := version.Encode()
	if err != nil {
		return err
	}
	return w.Commit(ctx, version.Key(), record)
}

func newWalker(v *store.Vault, put *store.Writer, o *Options, src *source) (*walker, error) {
	f, err := newFilter(o.Partition.MountPoint, o)
	if err != nil {
		return nil, err
	}
	never, err := neverFolders(src, o.Partition.MountPoint, o.Never)
	if err != nil {
		return nil, err
	}
	s := &survey{vault: v, get: v, put: put, o: o, src: src, filter: f, never: never, clock: o.clock, free: make(chan *hands, max(1, o.Walkers))}
	if o.Damaged {
		s.get = careful{v}
	}
	for range cap(s.free) {
		h := &hands{xattrs: newXattrReader(), dirents: make([]byte, 256<<10)}
		if h.reader, err = newReader(v.Cut(), put, o.Limiter); err != nil {
			return nil, err
		}
		s.free <- h
	}
	w := &walker{survey: s, ready: notOpened}
	w.take(<-s.free)
	w.selection = selectionOf(w)
	return w, nil
}

// read is told what the reader read.
func (w *walker) read(n uint64) {
	w.bytesRead += n
	w.trace("read")
	tell := min(n, w.toTell)
	w.toTell -= tell
	w.visited(0, tell)
}

// all is root, by as many walkers as there may be. An error of one stops them all.
func (w *walker) all(ctx context.Context, src *source, e *snapshot.Entry, byChanges, toAudit bool) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	w.fail = fail
	err := w.root(ctx, src, e, byChanges, toAudit)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// root walks the whole partition. Its root folder is the one whose trouble is the task's.
func (w *walker) root(ctx context.Context, src *source, e *snapshot.Entry, byChanges, toAudit bool) error {
	old, err := w.parentRoot()
	if err != nil {
		return err
	}
	d := directory{fd: src.fd, vol: volume{dev: src.root.dev}, at: w.filter.root, encrypted: -1}
	if src.root.encrypted {
		d.encrypted = 0
	}
	d.before = w.now(d.vol)
	w.begun = d.before
	if err = w.findHeld(ctx); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && byChanges {
		return unsure("it cannot be told which files are mapped: %v", err)
	}
	if err != nil {
		w.begun, w.blind = time.Time{}, dirtyFor()
		d.before = d.before.Add(-w.blind)
	}
	w.o.unfinished.begin(d.before, &w.o.Partition)
	if byChanges || toAudit {
		if err := w.upToTheMoment(); err != nil {
			return err
		}
	}
	if toAudit {
		told, err := w.resolve(ctx, src, w.o.Changes)
		if err != nil {
			return err
		}
		w.audit = &audit{told: told}
	}
	if byChanges {
		if w.changes, err = w.resolve(ctx, src, w.o.Changes); err != nil {
			return err
		}
		d.known = &known{w.changes.root}
	}
	if _, err := unix.Getdents(src.fd, w.dirents); err != nil {
		return fmt.Errorf("list the partition's root folder: %w", err)
	}
	if _, err := unix.Seek(src.fd, 0, unix.SEEK_SET); err != nil {
		return fmt.Errorf("list the partition's root folder: %w", err)
	}
	if err := w.opened(ctx, d, nil, &src.root, e, old); err != nil {
		return err
	}
	switch {
	case old == nil:
		w.added++
	case !alike(e, old) && !touchedBySnapshot(src, e, old):
		w.changed++
	}
	if !byChanges {
		return nil
	}
	return w.changes.complete()
}

// findHeld finds the held files, and does not try once more what took too long.
func (w *walker) findHeld(ctx context.Context) (err error) {
	if w.src.searched {
		return errHeldLate
	}
	w.held, err = heldFiles(ctx, w.src, heldPatience)
	w.src.searched = errors.Is(err, errHeldLate)
	return err
}

// touchedBySnapshot tells whether the root folder differs only in the time that making and removing snapshots in it sets.
func touchedBySnapshot(src *source, e, old *snapshot.Entry) bool {
	o := *old
	o.Ctime = e.Ctime
	return src.live >= 0 && alike(e, &o)
}

// SameFileSystem tells whether a version, nil for none, is of this very file system. One that was made at this place since has inode numbers and times of its
// own.
func SameFileSystem(parent *snapshot.Version, p *snapshot.Partition) bool {
	return parent != nil && parent.Partition.FSType == p.FSType &&
		(parent.Partition.UUID == p.UUID || parent.Partition.UUID == "" || p.UUID == "")
}

// parentRoot returns the parent version's root folder, nil if there is none to compare with.
func (w *walker) parentRoot() (*snapshot.Entry, error) {
	p := w.o.Parent
	if !SameFileSystem(p, &w.o.Partition) {
		return nil, nil
	}
	root, err := p.RootEntry()
	if err != nil {
		return nil, err
	}
	return &root, nil
}

// nameVersion gives the version its name and its parent.
func (w *walker) nameVersion(v *snapshot.Version, parent *snapshot.Version) {
	v.Name = snapshot.Name(v.Start)
	if parent == nil {
		return
	}
	if SameFileSystem(parent, &v.Partition) {
		v.Parent = parent.Name
	}
	if v.Name > parent.Name {
		return
	}
	last, err := time.Parse(snapshot.NameLayout, parent.Name)
	if err != nil {
		return
	}
	v.Name = snapshot.Name(last.Add(time.Second))
	if last.Sub(v.Start) < time.Minute {
		return // versions taken one upon the other
	}
	w.warn("the clock says %s, which is not after the version before: this one is named %s", snapshot.Name(v.Start), v.Name)
}

// count writes the walk's figures into v.
func (w *walker) count(v *snapshot.Version) {
	v.Added, v.Changed, v.Deleted, v.Skipped = w.added, w.changed, w.deleted, w.skipped
	v.ReadBytes = w.bytesRead
	v.Warnings, v.WarningCount = w.warnings.list, w.warnings.count
}
