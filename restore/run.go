package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

const (
	batchItems   = 1024 // files read in the order in which they lie
	batchFolders = 128  // and the most folders they may be in, for these are open
)

// A run is a restore under way.
type run struct {
	o       Options
	root    snapshot.Entry
	began   time.Time
	select_ selection
	keep    globs
	own     map[made]bool   // files and folders that are left alone
	unread  map[string]bool // folders in which something could not be read when the version was made
	unsure  bool            // there are more of them
	named   atomic.Bool     // the target makes no files without a name
	owners  sync.Map        // users to whom belongs what is made in the target, whoever makes it
	leases  atomic.Int64    // how long leases on files were waited for since one was let go, in nanoseconds
	spare   chan struct{}   // a token for each further thread that a large file may use
	bufs    sync.Pool

	// Set by begin.
	resumes  bool // an earlier restore was broken off,
	doubts   bool // and what it put there may not have come to the disk
	ends     bool // no other restore than this one is under way, but for an earlier one of the same
	unmarked bool // the target takes no mark
	mark     string
	earlier  claim // of the one that was broken off
	claim    claim // of the mark by now

	ctx      context.Context
	items    chan *item
	batch    []*item
	in       int                  // folders in the batch
	links    map[uint64]*hardlink // by inode number at the source
	linksMet uint64

	checkTimes atomic.Int32 // how many files are still looked at for whether the target holds their times

	mu     sync.Mutex
	result Result
	notes  map[string]bool
	taken  map[made]uint64 // number of the hardlink that has a file which was there and has several names
	late   []lateFlags

	unsettled error // that of the first folder which could not be given what it has, as the target takes nothing more

	lockTop uint32 // flags of the target that would keep its mark from being removed
}

// An item is a name that is no folder.
type item struct {
	in    *folder
	name  string
	entry snapshot.Entry
	at    store.Position
	link  *hardlink // nil: it has one name
}

func (it *item) path() string { return join(it.in.path, it.name) }

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func newRun(o Options) (*run, error) {
	if o.OnConflict == "" {
		o.OnConflict = Skip
	}
	if o.OnConflict != Skip && o.OnConflict != Overwrite {
		return nil, fmt.Errorf("%q is no way to deal with a conflict", o.OnConflict)
	}
	if o.NoMetadata {
		o.NoOwner, o.NoLocks = true, true
	}
	if o.Workers == 0 {
		o.Workers = runtime.NumCPU()
	}
	r := &run{o: o, began: time.Now(), links: map[uint64]*hardlink{}, notes: map[string]bool{}, taken: map[made]uint64{}, spare: make(chan struct{}, o.Workers-1)}
	r.checkTimes.Store(100)
	r.bufs.New = func() any { b := make([]byte, o.Vault.ReadRoom()); return &b }
	var err error
	if r.select_, err = newSelection(&o); err != nil {
		return nil, err
	}
	if r.keep, err = newGlobs(o.Keep); err != nil {
		return nil, err
	}
	r.own = ownFiles(o.Own)
	if err := r.checkTarget(); err != nil {
		return nil, err
	}
	r.unread, r.unsure = unreadIn(o.Version), o.Version.WarningCount > uint64(len(o.Version.Warnings))
	r.root, err = o.Version.RootEntry()
	return r, err
}

// checkPaths looks whether the version has what was asked for.
func (r *run) checkPaths(ctx context.Context) error {
	for _, p := range r.o.Paths {
		if _, err := snapshot.LookupPath(ctx, r.o.Vault, r.root, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) run(ctx context.Context) error {
	r.begin()
	group, all := errgroup.WithContext(ctx)
	r.ctx, r.items = all, make(chan *item, batchItems)
	for range r.o.Workers {
		group.Go(func() error {
			for it := range r.items {
				if err := r.finish(it); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(r.items)
		return r.walkAll()
	})
	err := group.Wait()
	for it := range r.items { // what was not begun keeps its folders open
		r.done(it.in)
	}
	for _, it := range r.batch {
		r.done(it.in)
	}
	err = cmp.Or(err, r.unsettled)
	if r.ctx = ctx; err == nil { // that of the group is over
		r.giveLate()
	}
	return err
}

func (r *run) stopped() bool { return r.ctx.Err() != nil }

func (r *run) walkAll() error {
	top := &folder{entry: r.root, whole: r.select_.top().in}
	top.pending.Store(1)
	err := r.walk(top, r.select_.top())
	if err == nil {
		err = r.flush()
	}
	return err
}

// walk goes through a folder of the version.
func (r *run) walk(f *folder, at spot) error {
	defer r.done(f)
	if f.whole || f.up == nil {
		if err := r.open(f); err != nil {
			if f.up == nil {
				return fmt.Errorf("open the target: %w", err)
			}
			return nil
		}
		if f.absent && r.o.VerifyOnly {
			return nil
		}
	}
	rd := snapshot.NewReader(r.o.Vault, f.entry.Tree)
	var e snapshot.Entry
	var met folded
	for rd.Next(r.ctx, &e) {
		if len(e.Name) == 0 { // an old version has lost the name, and what has it must not pass for one too many
			r.unread[f.path] = true
		}
		next, visit := r.select_.enter(at, join(f.path, string(e.Name)), string(e.Name))
		if !visit {
			continue
		}
		if !e.IsDir() && next.in && r.writes() {
			met.add(string(e.Name))
		}
		if err := r.visit(f, &e, next); err != nil {
			return err
		}
		if f.err != nil {
			return nil
		}
	}
	if err := rd.Err(); err != nil {
		if !snapshot.IsLost(err) {
			return err
		}
		r.fail(f.path, fmt.Errorf("the vault has not all that is in the folder any more: %w", err))
		return nil
	}
	if twice := met.twice(); len(twice) > 0 {
		f.twins = r.twins(f, at, twice)
	}
	switch {
	case !f.whole || f.fd < 0:
	case r.removes():
		return r.removeOthers(f, at)
	case r.o.VerifyOnly && r.o.Others:
		return r.tellOthers(f, at)
	}
	return nil
}

// visit deals with one entry of a folder.
func (r *run) visit(f *folder, e *snapshot.Entry, at spot) error {
	name := string(e.Name)
	if e.IsDir() {
		if f.holdsItself(e.Tree) {
			r.fail(join(f.path, name), errors.New("the folder holds itself in this version"))
			return nil
		}
		sub := &folder{up: f, name: name, path: join(f.path, name), entry: *e, whole: at.in}
		sub.entry.XattrRefs, sub.entry.Content = slices.Clone(e.XattrRefs), nil
		sub.pending.Store(1)
		err := r.walk(sub, at)
		r.progress(1, 0)
		return err
	}
	if !at.in {
		return nil
	}
	if err := r.open(f); err != nil {
		return nil
	}
	if !valid(e.Name) {
		r.fail(join(f.path, name), errName)
		return nil
	}
	if f.absent && r.o.VerifyOnly {
		return nil
	}
	it := &item{in: f, name: name, entry: *e}
	it.entry.Content, it.entry.XattrRefs = slices.Clone(e.Content), slices.Clone(e.XattrRefs)
	return r.add(it)
}

var errName = errors.New("the version has a name here that no file can have")

// add puts an item into the batch.
func (r *run) add(it *item) error {
	if it.entry.Nlink > 1 {
		it.link = r.hardlink(&it.entry)
	}
	if len(it.entry.Content) > 0 && !it.entry.Content[0].Hole() {
		it.at = r.o.Vault.Position(it.entry.Content[0].ID)
	}
	if len(r.batch) == 0 || r.batch[len(r.batch)-1].in != it.in {
		r.in++
	}
	it.in.pending.Add(1)
	r.batch = append(r.batch, it)
	if len(r.batch) < batchItems && r.in < batchFolders {
		return nil
	}
	return r.flush()
}

// flush hands the batch to the workers, in the order in which its files lie in the vault.
func (r *run) flush() error {
	slices.SortStableFunc(r.batch, func(a, b *item) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	for i, it := range r.batch {
		select {
		case r.items <- it:
		case <-r.ctx.Done():
			r.batch = r.batch[i:]
			return r.ctx.Err()
		}
	}
	r.batch, r.in = r.batch[:0], 0
	return nil
}

// finish deals with an item. An error ends the restore.
func (r *run) finish(it *item) error {
	defer r.done(it.in)
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if it.link != nil {
		return r.linked(it)
	}
	_, err := r.restore(it)
	return err
}

// A fatal error leaves no hope for other files.
func fatal(err error) bool {
	for _, e := range []error{context.Canceled, context.DeadlineExceeded, unix.ENOSPC, unix.EDQUOT, unix.EROFS, store.ErrMissing} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (r *run) count(f func(*Result)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.result)
}

func (r *run) fail(path string, err error) {
	if r.stopped() {
		return
	}
	r.count(func(t *Result) {
		t.Failed.add(orDot(path), err.Error())
		if snapshot.IsLost(err) {
			t.Lost++
		}
	})
}

func (r *run) differs(path, what string) {
	r.count(func(t *Result) { t.Differs.add(orDot(path), what) })
}

// note tells of a kind of thing that the target cannot hold, once.
func (r *run) note(kind, path string, err error) {
	r.noteOnce(kind, path, fmt.Sprintf("%s cannot be kept by the target (%v); said once for all files", kind, err))
}

// noteOnce tells something of a path, once for all that have the key.
func (r *run) noteOnce(key, path, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.notes[key] {
		r.notes[key] = true
		r.result.Notes.add(orDot(path), what)
	}
}

func (r *run) progress(files, bytes uint64) {
	if r.o.Progress != nil {
		r.o.Progress.Add(files, bytes)
	}
}

func (r *run) wait(ctx context.Context, n int) error {
	if r.o.Limiter == nil {
		return ctx.Err()
	}
	return r.o.Limiter.WaitN(ctx, n)
}

// reopen returns a folder as a file to list, at its beginning.
func reopen(fd int) (*os.File, error) {
	again, err := unix.Openat(fd, ".", asFolder|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(again), "."), nil
}
