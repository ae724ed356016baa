package capture

import (
	"context"
	"errors"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A move is where a folder was when the changes began.
type move struct {
	from unix.FileHandle // of the folder it was in
	name string
}

// moves collects the folders that were moved and are still there.
func (r *resolver) moves(ctx context.Context) error {
	return r.changes.Moved(func(folder, from unix.FileHandle, name string) error {
		if err := r.w.step(ctx); err != nil {
			return err
		}
		fd, st, err := r.openFolder(folder)
		if fd < 0 || err != nil {
			return err
		}
		defer unix.Close(fd)
		if st.kind() != unix.S_IFDIR {
			return nil
		}
		if r.moved == nil {
			r.moved, r.movedTo = map[fileID]move{}, map[uint64]string{}
		}
		id := fileID{st.dev, st.ino}
		r.moved[id] = move{from, name}
		at, err := r.path(fd, &st)
		if err == nil {
			r.movedTo[r.w.src.number(fd, &st)] = at
			r.movedIn = append(r.movedIn, st.dev)
		}
		if err == errGone {
			return nil
		}
		return err
	})
}

// movedFrom finds the entry that the parent version has of the open folder fd where it was then; nil if it has none. It may be gone by in part: what lies in
// it is as in that version but for what changed.
func (r *resolver) movedFrom(ctx context.Context, fd int, st *stat, e *snapshot.Entry) (*snapshot.Entry, error) {
	if _, ok := r.moved[fileID{st.dev, st.ino}]; !ok {
		return nil, nil
	}
	was, err := r.before(fd, st, map[fileID]bool{})
	if err != nil {
		return nil, nil // a folder on the way to it is gone
	}
	if r.unread[was] {
		return nil, nil // that version could not be made of it as it should be
	}
	root, err := r.w.parentRoot()
	if err != nil || root == nil {
		return nil, unsure("the version before cannot be read: %v", err)
	}
	old, err := snapshot.LookupPath(ctx, r.w.get, *root, was)
	switch {
	case errors.Is(err, snapshot.ErrNotExist), errors.Is(err, snapshot.ErrNotDir):
		return nil, nil
	case err != nil:
		return nil, lostParent(err)
	case !sameFolder(e, &old) || e.Btime.IsZero():
		return nil, nil
	}
	old.Name = []byte(was)
	return &old, nil
}

// arrived captures a folder that was moved here. from is what it was where it came from, old what the parent version has here.
func (w *walker) arrived(ctx context.Context, d directory, t *target, st *stat, e, old, from *snapshot.Entry) error {
	if w.filter.alike(string(from.Name), string(w.path)) {
		at := w.changes.folders[fileID{st.dev, st.ino}]
		if at == nil {
			at = w.changes.root.find(string(w.path))
		}
		d.known = &known{at}
	}
	w.lost(old)
	added, changed, deleted := w.added, w.changed, w.deleted
	err := w.opened(ctx, d, t, st, e, from)
	w.added, w.changed, w.deleted = added+e.Totals.Files+e.Totals.Dirs, changed, deleted
	return err
}

// before is the path that the open folder fd had when the changes began. via are the moved folders on the way: one that is met again was moved below itself, as it
// were, by a move that is in the next changes. errGone.
func (r *resolver) before(fd int, st *stat, via map[fileID]bool) (string, error) {
	id := fileID{st.dev, st.ino}
	if id == r.root.id || id == r.live {
		return "", nil
	}
	if m, ok := r.moved[id]; ok {
		if via[id] {
			return "", errGone
		}
		via[id] = true
		dir, of, err := r.open(m.from)
		if err != nil {
			return "", err
		}
		if dir < 0 {
			return "", errGone
		}
		defer unix.Close(dir)
		above, err := r.before(dir, &of, via)
		return path.Join(above, m.name), err
	}
	now, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", err
	}
	dir, err := unix.Openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(dir)
	of, err := statFD(dir, statMask)
	if err != nil {
		return "", err
	}
	above, err := r.before(dir, &of, via)
	_, name := cutName(now)
	return path.Join(above, name), err
}

// alike tells whether the same is captured of a folder at one path as at another.
func (f *filter) alike(a, b string) bool {
	return len(f.patterns) == 0 && f.plain(a) && f.plain(b)
}

// plain tells whether a folder is captured with all below it, but for what is excluded by its name alone.
func (f *filter) plain(path string) bool {
	at, rel := f.root, ""
	for name := range split(path) {
		at, _ = f.enter(at, []byte(rel), []byte(name))
		rel = name
	}
	return at.inside && at.node == nil
}
