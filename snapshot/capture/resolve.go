package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// errUnsure tells that changes cannot be gone by after all: everything is to be walked.
type errUnsure struct {
	why   string
	moved bool // it may be found when it is tried again
}

func (e *errUnsure) Error() string { return e.why }

func unsure(format string, args ...any) error { return &errUnsure{why: fmt.Sprintf(format, args...)} }

// isUnsure tells whether an error is errUnsure.
func isUnsure(err error) bool {
	_, is := errors.AsType[*errUnsure](err)
	return is
}

// A resolver finds where the changes are now. What moves while it does is in the next changes too; what was found where it is no more is
// noticed at the end of the capture, for every folder that is not gone must have been met.
type resolver struct {
	w         *walker
	src       *source
	changes   Changes
	root      *dirty
	live      fileID            // of the root folder of the partition itself
	devices   map[uint64]bool   // of the partition and the subvolumes nested in it; others lie beside it
	anyDevice bool              // it may be another
	folders   map[fileID]*dirty // with changes in them, inside of what is captured
	touched   map[fileID]*touch
	moved     map[fileID]move
	movedTo   map[uint64]string // by the numbers that entries of them have
	movedIn   []uint64          // devices of those that are in the partition now
	unread    map[string]bool   // paths of folders that the parent version has not as they were
	left      map[string]bool   // paths in which what is in them was left out, for a mark or as they are not entered
	lost      []unix.FileHandle // of folders that are not there, and that the changes do not tell to be removed
	statx     unix.Statx_t
}

// A touch is a file that something was done to, or may have been.
type touch struct {
	found map[location]bool // names of several
	names uint32            // it has
	met   bool              // when it had one, that was found
}

// A location is a name in a folder.
type location struct {
	folder fileID
	name   string
}

// resolve returns the root of what is dirty.
func (w *walker) resolve(ctx context.Context, src *source, changes Changes) (*resolver, error) {
	r := &resolver{
		w: w, src: src, changes: changes, root: &dirty{id: fileID{src.root.dev, src.root.ino}},
		folders: map[fileID]*dirty{}, touched: map[fileID]*touch{}, unread: map[string]bool{}, left: map[string]bool{},
	}
	if src.live >= 0 {
		st, err := statFD(src.live, statMask)
		if err != nil {
			return nil, err
		}
		r.live = fileID{st.dev, st.ino}
	}
	for _, a := range w.o.Memory.again {
		if a.all {
			r.unread[a.path] = true
		}
	}
	if err := r.moves(ctx); err != nil {
		return nil, err
	}
	r.findDevices()
	if err := r.files(ctx); err != nil {
		return nil, err
	}
	if err := r.heldFiles(); err != nil {
		return nil, err
	}
	err := r.changes.Folders(func(h unix.FileHandle, all bool, names []string, fresh []bool) error {
		if err := w.step(ctx); err != nil {
			return err
		}
		return r.folder(ctx, h, all, names, fresh)
	})
	if err != nil {
		return nil, err
	}
	for _, a := range w.o.Memory.again {
		if err := r.again(ctx, a); err != nil {
			return nil, err
		}
	}
	if err := r.findMissing(ctx); err != nil {
		return nil, err
	}
	return r, r.found()
}

// findDevices finds the subvolumes nested in the partition. Of one that may have been moved it is not known by which folder above it; then files of any are looked for.
func (r *resolver) findDevices() {
	r.devices = map[uint64]bool{r.src.root.dev: true}
	for _, dev := range r.movedIn {
		r.devices[dev] = true
	}
	for _, a := range r.w.o.Memory.again {
		st, err := r.lookup(a.path)
		if err == nil {
			r.devices[st.dev] = true
		}
		r.anyDevice = r.anyDevice || len(r.movedIn) > 0 && (err != nil || st.dev == r.src.root.dev) // or another came to be there
	}
}

// inside tells whether a file may lie in the partition, or a subvolume nested in it.
func (r *resolver) inside(st *stat) bool { return r.anyDevice || r.devices[st.dev] }

// files collects the files that were touched and are not gone. In the end, all of their names must have been found.
func (r *resolver) files(ctx context.Context) error {
	return r.changes.Files(func(h unix.FileHandle) error {
		if err := r.w.step(ctx); err != nil {
			return err
		}
		fd, st, err := r.open(h)
		if fd < 0 || err != nil {
			return err
		}
		unix.Close(fd)
		if st.kind() != unix.S_IFDIR && r.inside(&st) {
			r.touch(&st)
		}
		return nil
	})
}

func (r *resolver) touch(st *stat) {
	id := fileID{st.dev, st.ino}
	if r.touched[id] == nil {
		r.touched[id] = &touch{names: st.nlink}
	}
}

// heldFiles counts those that may be written to unheard among the touched ones.
func (r *resolver) heldFiles() error {
	for _, f := range r.w.held {
		if f.handle == nil {
			r.touched[f.id] = &touch{names: math.MaxUint32} // so that all names are searched for
			continue
		}
		fd, st, err := r.open(*f.handle)
		if err != nil {
			return err
		}
		if fd >= 0 {
			unix.Close(fd)
			if r.inside(&st) {
				r.touch(&st)
			}
		}
	}
	return nil
}

// open opens what a handle names, just to look at it. Of what is gone there is -1.
func (r *resolver) open(h unix.FileHandle) (fd int, st stat, err error) {
	fd, err = openHandle(r.src.fd, r.src.frozen(h))
	if err == unix.ESTALE || err == unix.ENOENT {
		return -1, st, nil
	}
	if err != nil {
		return -1, st, unsure("a changed file cannot be opened by its handle: %v", err)
	}
	if st, err = statFD(fd, statMask); err != nil {
		unix.Close(fd)
		return -1, st, unsure("a changed file cannot be looked at: %v", err)
	}
	if st.nlink == 0 {
		unix.Close(fd)
		return -1, st, nil
	}
	return fd, st, nil
}

func openHandle(mount int, h unix.FileHandle) (fd int, err error) {
	for {
		fd, err = unix.OpenByHandleAt(mount, h, unix.O_PATH|unix.O_CLOEXEC)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// maxLost is how many folders that are not there are kept in mind.
const maxLost = 10_000

// openFolder is open for a folder. The kernel says of what cannot be read that it is gone, so its removal is to be told.
func (r *resolver) openFolder(h unix.FileHandle) (fd int, st stat, err error) {
	fd, st, err = r.open(h)
	if fd >= 0 || err != nil || st.mode != 0 { // as it has just when it is removed
		return fd, st, err
	}
	if !r.changes.Removed(h) && !r.onlyLive(h) {
		r.lost = append(r.lost, h)
	}
	if len(r.lost) >= maxLost {
		err = r.found()
	}
	return -1, st, err
}

// onlyLive tells whether a folder is not in the snapshot for it was made after that, or removed before and somebody holds something of it.
func (r *resolver) onlyLive(h unix.FileHandle) bool {
	if r.src.live < 0 {
		return false
	}
	fd, err := openHandle(r.src.live, h)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	st, err := statFD(fd, statMask)
	return err == nil && (st.nlink == 0 || r.changes.Made(h))
}

// found returns errUnsure if folders were not there that nobody removed by now.
func (r *resolver) found() error {
	if len(r.lost) == 0 {
		return nil
	}
	var later Changes
	if r.w.o.Later != nil {
		later = r.w.o.Later()
	}
	for _, h := range r.lost {
		if later == nil || !later.Removed(h) {
			return &errUnsure{why: "a changed folder is not there, and it is not told that it was removed", moved: true}
		}
	}
	r.lost = nil
	return nil
}

// folder places a folder with changes.
func (r *resolver) folder(ctx context.Context, h unix.FileHandle, all bool, names []string, fresh []bool) error {
	fd, st, err := r.openFolder(h)
	if fd < 0 || err != nil {
		return err
	}
	defer unix.Close(fd)
	if st.kind() != unix.S_IFDIR {
		return nil
	}
	path, err := r.path(fd, &st)
	if err == errGone {
		return nil
	}
	if err != nil {
		return err
	}
	d := r.place(path, &st)
	if d != nil {
		d.tell()
	}
	if all {
		return r.whole(ctx, fd, fileID{st.dev, st.ino}, d)
	}
	for i, name := range names {
		r.meet(fd, fileID{st.dev, st.ino}, name)
		if d != nil {
			b := d.name(name)
			b.told, b.fresh = true, b.fresh || fresh[i]
		}
	}
	return nil
}

// errGone tells that a folder is deleted, and somebody has it open; or that it is no part of the partition, but of the same file system.
var errGone = errors.New("gone")

// outside tells whether the open folder fd lies beside what is mounted: the kernel knows no way up from there.
func (r *resolver) outside(fd int) bool {
	up, err := unix.Openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(up)
	}
	return err == unix.ENOENT
}

// path is where the open folder fd is, "" for the root. errGone.
func (r *resolver) path(fd int, st *stat) (string, error) {
	for range 3 {
		path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err != nil {
			return "", unsure("a changed folder lies too deep: %v", err)
		}
		path = r.src.below(path)
		if at, err := r.lookup(path); err == nil && at.same(st) {
			return path, nil
		}
		// The kernel says " (deleted)" of the path, but a folder may have such a name.
		if now, err := statFD(fd, statMask); err == nil && now.nlink == 0 || r.outside(fd) {
			return "", errGone
		}
	}
	return "", &errUnsure{why: "a changed folder moves too fast to be found", moved: true} // or it was the topmost one of a deleted subvolume
}

// lookup stats a path in the partition: in its snapshot if there is one, or what is nested in it.
func (r *resolver) lookup(path string) (st stat, err error) {
	for _, root := range []int{r.src.fd, r.src.live} {
		if root < 0 {
			break
		}
		var fd int
		if fd, err = openPath(root, path); err != nil {
			continue
		}
		st, err = statFD(fd, statMask)
		unix.Close(fd)
		if err == nil && !r.src.isPlaceholder(volume{}, &st) {
			return st, nil
		}
	}
	return st, err
}

func openPath(root int, path string) (fd int, err error) {
	if path == "" {
		path = "."
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range 100 {
		fd, err = unix.Openat2(root, path, &how)
		if err != unix.EINTR && err != unix.EAGAIN {
			break
		}
	}
	return fd, err
}

// place returns the dirty folder at a path, nil if it is not captured.
func (r *resolver) place(path string, st *stat) *dirty {
	id := fileID{st.dev, st.ino}
	if d := r.folders[id]; d != nil {
		return d
	}
	if !r.w.filter.takes(path, nil) {
		return nil
	}
	d := r.root.at(path)
	d.id, d.path = id, path
	r.folders[id] = d
	return d
}

// takes tells whether the folder of a path is captured, in part at least, if what is in the folders of left is not but where it is included by name.
func (f *filter) takes(path string, left map[string]bool) bool {
	at, rel := f.root, ""
	for name := range split(path) {
		at.inside = at.inside && !left[rel]
		var in bool
		if at, in = f.enter(at, []byte(rel), []byte(name)); !in {
			return false
		}
		rel = strings.TrimPrefix(rel+"/"+name, "/")
	}
	return !left[path] || at.leads()
}

// split goes through the names of a path.
func split(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path != "" {
			name, rest, _ := strings.Cut(path, "/")
			if name != "" && !yield(name) {
				return
			}
			path = rest
		}
	}
}

// whole marks a folder wholly dirty. Its names are met: files that were touched may be among them.
func (r *resolver) whole(ctx context.Context, fd int, id fileID, d *dirty) error {
	if d != nil {
		d.all = true
	}
	dir, err := openAt(fd, dot, openDir)
	if err != nil {
		return unsure("a changed folder cannot be listed: %v", err)
	}
	defer unix.Close(dir)
	var l names
	err = l.list(ctx, dir, make([]byte, 64<<10), func([]byte) bool { return true })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return unsure("a changed folder cannot be listed: %v", err)
	}
	for i := range l.len() {
		if err := r.w.step(ctx); err != nil {
			return err
		}
		r.meet(dir, id, string(l.at(i).bytes()))
	}
	return nil
}

// meet takes note of what a name stands for. If that is something else by the time of the capture, it changed meanwhile.
func (r *resolver) meet(dir int, id fileID, name string) {
	var st stat
	if statx(dir, append(zname(name), 0), unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &r.statx, &st) != nil {
		return
	}
	if t := r.touched[fileID{st.dev, st.ino}]; t != nil {
		t.names = max(t.names, st.nlink)
		t.meet(location{id, name})
	}
}

func (t *touch) meet(p location) {
	if t.names == 1 {
		t.met = true // which one does not matter
		return
	}
	if t.found == nil {
		t.found = map[location]bool{}
	}
	t.found[p] = true
}

func (t *touch) complete() bool {
	n := len(t.found)
	if t.met {
		n++
	}
	return n >= int(t.names)
}

// again places a path of the parent version that was not captured as it should be.
func (r *resolver) again(ctx context.Context, a again) error {
	dir, name := cutName(a.path)
	if a.path == "" {
		return unsure("the version before could not read the root folder")
	}
	d, err := r.now(ctx, dir)
	if d != nil {
		b := d.name(name)
		b.unsure = b.unsure || a.all
	}
	return err
}

// now returns the dirty folder that is now what the parent version has at a path, nil if it is gone. That it is must be told by the changes: what is gone
// without was moved just now, and where to is not known yet.
func (r *resolver) now(ctx context.Context, path string) (*dirty, error) {
	e, err := r.w.parentRoot()
	if err != nil || e == nil {
		return nil, unsure("the version before cannot be read: %v", err)
	}
	at, here, st := *e, "", r.src.root
	for name := range split(path) {
		var next snapshot.Entry
		err := snapshot.Lookup(ctx, r.w.get, at.Tree, []byte(name), &next)
		if errors.Is(err, snapshot.ErrNotExist) {
			return nil, nil // it was not there in that version: it is new, and read as such
		}
		if err != nil {
			return nil, lostParent(err)
		}
		at = next
		here = strings.TrimPrefix(here+"/"+name, "/")
		moved, ok := r.movedTo[at.Ino]
		if ok {
			here = moved
		}
		st, err = r.lookup(here)
		switch {
		case err == nil && sameNumber(&at, &st) && st.kind() == unix.S_IFDIR:
		case !ok && r.root.tells(here):
			return nil, nil
		default:
			return nil, &errUnsure{why: "the folder " + here + " was moved at this moment", moved: true}
		}
	}
	return r.place(here, &st), nil
}

const inoMask = 1<<subvolShift - 1

// sameNumber tells whether a stat may be that of an entry, by their inode numbers within their subvolumes.
func sameNumber(e *snapshot.Entry, st *stat) bool { return (e.Ino^st.ino)&inoMask == 0 }

// lostParent makes errUnsure of an error that says that the parent version is damaged.
func lostParent(err error) error {
	if snapshot.IsLost(err) {
		return unsure("the version before cannot be read: %v", err)
	}
	return err
}

// findMissing finds the names that touched files have besides those that are known to have changed: first the name that the kernel knows, if it is the
// only one, then what names the parent version has of them.
func (r *resolver) findMissing(ctx context.Context) error {
	if len(r.missing()) == 0 {
		return nil
	}
	for _, f := range r.w.held {
		if f.handle == nil {
			continue
		}
		if err := r.findName(*f.handle); err != nil {
			return err
		}
	}
	if err := r.changes.Files(r.findName); err != nil {
		return err
	}
	missing := r.missing()
	if len(missing) == 0 {
		return nil
	}
	root, err := r.w.parentRoot()
	if err != nil || root == nil {
		return unsure("the version before cannot be read: %v", err)
	}
	s := search{r: r, want: missing}
	return lostParent(s.folder(ctx, nil, root))
}

// missing are the inode numbers of touched files not all of whose names are known.
func (r *resolver) missing() map[uint64]bool {
	missing := map[uint64]bool{}
	for id, t := range r.touched {
		if !t.complete() {
			missing[id.ino&inoMask] = true
		}
	}
	return missing
}

// findName finds a name of a touched file that the kernel has at hand.
func (r *resolver) findName(h unix.FileHandle) error {
	fd, st, err := r.open(h)
	if fd < 0 || err != nil {
		return err
	}
	defer unix.Close(fd)
	t := r.touched[fileID{st.dev, st.ino}]
	if t == nil || t.complete() {
		return nil
	}
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil
	}
	path = r.src.below(path)
	if at, err := r.lookup(path); err != nil || !at.same(&st) {
		return nil
	}
	dir, name := cutName(path)
	of, err := r.lookup(dir)
	if err != nil {
		return nil
	}
	t.meet(location{fileID{of.dev, of.ino}, name})
	if d := r.place(dir, &of); d != nil {
		d.name(strings.Clone(name))
	}
	return nil
}

// cutName cuts a path into that of the folder and the name in it.
func cutName(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// A search goes through a version for files by their inode numbers.
type search struct {
	r    *resolver
	want map[uint64]bool
}

func (s *search) folder(ctx context.Context, path []byte, of *snapshot.Entry) error {
	rd := snapshot.NewReader(s.r.w.get, of.Tree)
	var e snapshot.Entry
	for rd.Next(ctx, &e) {
		if err := s.r.w.step(ctx); err != nil {
			return err
		}
		switch {
		case e.IsDir() && e.Totals.Files > 0:
			at, sub := bytes.Clone(path), e
			if len(at) > 0 {
				at = append(at, '/')
			}
			if err := s.folder(ctx, append(at, e.Name...), &sub); err != nil {
				return err
			}
		case !e.IsDir() && s.want[e.Ino&inoMask]:
			d, err := s.r.now(ctx, string(path))
			if err != nil {
				return err
			}
			if d != nil {
				d.name(string(e.Name))
			}
		}
	}
	return rd.Err()
}
