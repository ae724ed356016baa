package capture

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// A survey is what the walkers of one capture share.
type survey struct {
	vault      *store.Vault
	get        snapshot.Getter // reads from it
	put        *store.Writer
	src        *source
	o          *Options
	filter     *filter
	never      map[fileID]bool
	links      links
	clock      func() time.Time // the one file times are taken from
	unnumbered atomic.Uint64    // subvolumes without an id
	againBytes atomic.Int64     // length of all paths that the next capture is to look at
	caseless   atomic.Bool      // there is a folder with that flag
	tooDeep    atomic.Bool      // there is a folder that was not entered for it lies too deep, or its path is too long
	changes    *resolver        // nil: by walk
	held       map[fileID]*held
	selection  [sha256.Size]byte
	audit      *audit // nil: none
	begun      time.Time
	told       time.Time     // until then at least the changes tell what changed
	blind      time.Duration // if it could not be told which files are mapped, how long what is stored in them may set no time
	free       chan *hands   // hands that nobody uses
	fail       context.CancelCauseFunc
}

// hands are what a walker works with. There are as many as walkers may work at once; who waits for another lays them down.
type hands struct {
	reader  *reader
	xattrs  *xattrReader
	levels  []*level // to be used again
	dirents []byte
	statx   unix.Statx_t
}

// A walker captures a part of the partition. It is used by one goroutine; folders that others can walk are walked by them meanwhile, and
// compressing and writing go on behind store.Writer.
type walker struct {
	*survey
	*hands
	tally
	path   []byte // of what is being captured, below the mount point
	toTell uint64 // bytes of the file being read that Progress was not told yet
	ready  opened // the name being captured, if it was opened ahead
	steps  uint
}

// A tally is what a walk met.
type tally struct {
	warnings                                    warnings
	added, changed, deleted, skipped, bytesRead uint64
	again                                       []again // for the next capture
}

func (t *tally) add(other *tally) {
	t.again = append(t.again, other.again[:min(len(other.again), max(0, maxAgainPaths+1-len(t.again)))]...)
	t.warnings.append(&other.warnings)
	t.added += other.added
	t.changed += other.changed
	t.deleted += other.deleted
	t.skipped += other.skipped
	t.bytesRead += other.bytesRead
}

// A level is what the walk holds of each open directory.
type level struct {
	names  names
	entry  snapshot.Entry // being made
	old    snapshot.Entry // next of the parent version
	folder folder
	ahead  ahead
	editor *snapshot.Editor
	audit  bool // what differs here is to be told to the audit
	queue  queue
}

// A directory is an open one and what is to be known about it.
type directory struct {
	fd     int
	vol    volume
	at     spot
	depth  int       // how many are above it
	before time.Time // when it was opened, or earlier
	known  *known    // what the changes say of it; nil: nothing
	whole  bool      // all in it and below is looked at, whatever the changes say
	other  bool      // it is not the folder that the parent version has there, or lies in such a one

	encrypted int // length of the path of the outermost encrypted folder that it is or lies in; -1: none
}

// A target is a name that is being captured, and what it is.
type target struct {
	dir  int
	name zname
	vol  volume
	stat stat
}

func (w *walker) level() *level {
	if n := len(w.levels); n > 0 {
		l := w.levels[n-1]
		w.levels = w.levels[:n-1]
		return l
	}
	return &level{folder: folder{get: w.get, builder: snapshot.NewBuilder(w.put)}, editor: snapshot.NewEditor(w.get, w.put)}
}

// walk captures what is in the open directory d and sets e's Tree and Totals. old is the directory in the parent version, nil if it was
// not one. The error is nil, the context's, or the vault's: trouble at the source becomes warnings.
func (w *walker) walk(ctx context.Context, d directory, e, old *snapshot.Entry) (err error) {
	if d.known != nil && !d.known.dirty.all {
		return w.revisit(ctx, d, e, old)
	}
	l := w.level()
	l.audit = w.audit != nil && !d.other
	defer func() { w.levels = append(w.levels, l) }() // the hands may be others by then
	err = l.names.list(ctx, d.fd, w.dirents, func(name []byte) bool { return w.wants(d.at, name) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if vanished(err) && d.depth > 0 { // it was removed since it was opened
		return &sourceError{"list", -1, err}
	}
	if err != nil {
		w.lookAgain(true)
		w.warn(snapshot.NotListed+": %v", err)
	}
	l.folder.begin(old)
	m := merge{w: w, l: l}
	m.begin(ctx, old)
	defer l.ahead.close()
	defer func() { w.takeReady().close() }() // after an error
	defer m.abandon()
	for i := range l.names.len() {
		if err := w.step(ctx); err != nil {
			return err
		}
		if old == nil && w.o.Limiter == nil {
			w.ready = l.ahead.take(w, d, &l.names, i)
		}
		if err := m.name(ctx, d, i); err != nil {
			return err
		}
	}
	if err := m.rest(ctx); err != nil {
		return err
	}
	e.Tree, e.Totals, err = l.folder.end(ctx)
	return err
}

func (w *walker) wants(at spot, name []byte) bool {
	_, in := w.filter.enter(at, w.path, name)
	return in
}

// step looks at the context every few hundred names.
func (w *walker) step(ctx context.Context) error {
	if w.steps++; w.steps%256 == 0 {
		return ctx.Err()
	}
	return nil
}

// capture makes e, the entry of name in d. It tells whether there is to be one.
func (w *walker) capture(ctx context.Context, d directory, name zname, e, old *snapshot.Entry) (there bool, err error) {
	keep := len(w.path)
	defer func() {
		w.path = w.path[:keep]
		w.takeReady().close()
	}()
	if keep > 0 {
		w.path = append(w.path, '/')
	}
	w.path = append(w.path, name.bytes()...)
	for range 1 + maxAgain {
		there, err = w.look(ctx, d, name, e, old)
		if err != errReplaced {
			break
		}
	}
	if err == nil || !fromSource(err) {
		return there, err
	}
	if !vanished(err) {
		w.skipped++
		w.warn(snapshot.Skipped+": %v", err)
		if errors.Is(err, unix.ENOKEY) && d.encrypted >= 0 {
			w.path = w.path[:d.encrypted] // the names in it are others once the key is there
		}
		w.lookAgain(true)
	}
	return false, nil
}

// takeReady returns the file that was opened ahead, for the first who wants it.
func (w *walker) takeReady() opened {
	o := w.ready
	w.ready = notOpened
	return o
}

func (w *walker) look(ctx context.Context, d directory, name zname, e, old *snapshot.Entry) (there bool, err error) {
	if n := len(name.bytes()); n > snapshot.MaxName {
		return false, &sourceError{"name", -1, fmt.Errorf("%d bytes are more than the %d that can be shown", n, snapshot.MaxName)}
	}
	t := target{dir: d.fd, name: name, vol: d.vol}
	if w.ready.fd >= 0 {
		t.stat = w.ready.stat
	} else if err := statx(d.fd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &w.statx, &t.stat); err != nil {
		return false, &sourceError{"stat", -1, err}
	}
	if w.src.isPlaceholder(d.vol, &t.stat) {
		if err := w.subvolume(&t); err != nil {
			return false, err
		}
		defer unix.Close(t.dir)
	}
	if w.isSnapshot(&t) {
		w.passOver(&d, name)
		return false, nil
	}
	if w.flaggedOut(&d, &t) {
		w.leaveOut()
		return false, nil
	}
	*e = snapshot.Entry{Name: name.bytes()}
	setStat(e, &t.stat, d.vol, d.before)
	switch t.stat.kind() {
	case unix.S_IFDIR:
		if w.never[fileID{t.stat.dev, t.stat.ino}] {
			w.passOver(&d, name)
			return false, nil
		}
		if w.isVaults(&d, &t) {
			w.leaveVault(ctx, &d, name, old)
			return false, nil
		}
		return true, w.subdirectory(ctx, d, &t, e, old)
	case unix.S_IFREG:
		return true, w.regular(ctx, &t, e, old)
	case unix.S_IFSOCK:
		w.skipped++
		return false, nil
	case unix.S_IFLNK, unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK:
		return true, w.other(ctx, &t, e, old)
	}
	return false, &sourceError{"stat", -1, fmt.Errorf("it has mode %o, which is of no kind of file", t.stat.mode)}
}

// now is the moment of what is looked at or read in a volume from now on. Of what may be mapped it is earlier: what is stored in a page sets no time as long
// as the page was not written back.
func (w *walker) now(v volume) time.Time {
	now := w.src.moment
	if w.src.live < 0 || v.id != 0 {
		now = w.clock()
	}
	return now.Add(-w.blind)
}

// lost counts what the parent version has below old as deleted.
func (w *walker) lost(old *snapshot.Entry) {
	if old != nil && old.IsDir() {
		w.deleted += old.Totals.Files + old.Totals.Dirs
	}
}

func (w *walker) visited(files, bytes uint64) {
	if w.o.Progress != nil {
		w.o.Progress.Add(files, bytes)
	}
}

func (w *walker) warn(format string, args ...any) { w.warnings.add(w.path, format, args...) }

func (w *walker) trace(op string) {
	if w.o.trace != nil {
		w.o.trace(op, string(w.path))
	}
}
