package capture

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// maxDepth is how many folders lie below one another, at most, that are entered: twice as many as a path can name. Each takes memory, some 10 KiB with two walkers or more.
const maxDepth = 4096

// maxPath is how many bytes the path of a folder has, at most, that is entered: 32 times as many as one that can be named. Who goes through a version may keep the path of each
// folder on the way, all of which then take some 32 MiB.
const maxPath = 128 << 10

var (
	errTooDeep = fmt.Errorf("it lies more than %d folders deep", maxDepth)
	errTooLong = fmt.Errorf("its path has more than %d bytes", maxPath)
)

// subdirectory opens a directory and walks it. One that cannot be opened is an empty one.
func (w *walker) subdirectory(ctx context.Context, d directory, t *target, e, old *snapshot.Entry) error {
	w.takeReady().close() // it is no file any more
	if d.depth == maxDepth {
		w.tooDeep.Store(true)
		return w.unopened(ctx, d, t, e, old, errTooDeep)
	}
	if len(w.path) > maxPath {
		w.tooDeep.Store(true)
		return w.unopened(ctx, d, t, e, old, errTooLong)
	}
	before := w.now(d.vol)
	fd, err := openAt(t.dir, t.name, openDir)
	if err != nil && (changedType(err) || vanished(err)) {
		return openError(err)
	}
	if err != nil {
		w.lookAgain(true)
		return w.unopened(ctx, d, t, e, old, err)
	}
	defer unix.Close(fd)
	sub := directory{fd: fd, vol: d.vol, before: before, depth: d.depth + 1, whole: d.whole, encrypted: d.encrypted}
	if sub.encrypted < 0 && t.stat.encrypted {
		sub.encrypted = len(w.path)
	}
	sub.at, _ = w.filter.enter(d.at, w.path[:max(0, len(w.path)-len(t.name))], t.name.bytes())
	st, err := statFD(fd, statMask)
	if err != nil {
		return &sourceError{"stat", -1, err}
	}
	if !st.same(&t.stat) {
		return errReplaced
	}
	if st.dev != d.vol.dev && st.ino != btrfsPlaceholderIno {
		sub.vol = w.nested(fd)
		w.lookAgain(false) // it may become read-only, or cease to be, unheard
	}
	setStat(e, &st, sub.vol, sub.before)
	sub.other = d.other || !sameFolder(e, old)
	sub.known = w.knownBelow(d, t.name.bytes(), &st, e, old)
	if sub.known == nil && w.changes != nil {
		sub.whole = sub.whole || w.sinceTold(sub, e) // it may have come to where others are let in
		from, err := w.changes.movedFrom(ctx, fd, &st, e)
		if err != nil {
			return err
		}
		if from != nil {
			return w.arrived(ctx, sub, t, &st, e, old, from)
		}
	}
	return w.opened(ctx, sub, t, &st, e, old)
}

// unopened makes the entry of a directory that is not entered.
func (w *walker) unopened(ctx context.Context, d directory, t *target, e, old *snapshot.Entry, why error) error {
	w.passOver(&d, t.name)
	w.warn(snapshot.NotOpened+": %v", why)
	w.lost(old)
	return w.other(ctx, t, e, old)
}

// opened captures an open directory with all below it into e. t is where it was found, nil for the root.
func (w *walker) opened(ctx context.Context, d directory, t *target, st *stat, e, old *snapshot.Entry) error {
	setStat(e, st, d.vol, d.before)
	w.visited(1, 0)
	stays, err := w.stays(ctx, e, old)
	switch {
	case err != nil:
		return err
	case stays:
		reuse(e, old)
	default:
		e.Flags = inodeFlags(d.fd)
		x, err := w.xattrs.open(d.fd)
		if err != nil {
			w.noXattrs(e, err)
		}
		if err := snapshot.PutXattrs(ctx, w.put, e, x); err != nil {
			return err
		}
		d.whole = d.whole || w.letsInMore(d, e, old)
	}
	if e.Flags&caseless != 0 {
		w.caseless.Store(true)
	}
	if d.vol.id != 0 && st.ino == btrfsRootIno && !d.at.leads() && keptSnapshot(d.fd) {
		w.leaveSnapshot(&d, old)
		return nil
	}
	if d.whole {
		d.known = d.known.whole()
	}
	if d.known != nil && d.known.dirty == nil {
		e.Tree, e.Totals = old.Tree, old.Totals
		return nil
	}
	if st.encrypted && lacksKey(d.fd) {
		w.leaveLocked(&d, old)
		return nil
	}
	if old != nil && !old.IsDir() {
		old = nil
	}
	w.heed(&d, st)
	if err := w.walk(ctx, d, e, old); err != nil {
		return err
	}
	return w.narrow(ctx, d.fd, t, e)
}
