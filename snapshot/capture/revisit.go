package capture

import (
	"context"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A known is what the changes say of an open directory; nil if nothing is known and all is to be looked at.
type known struct {
	dirty *dirty // nil: nothing below changed
}

// revisit captures in the open directory d the names that may have changed, and takes the others over from the parent version.
func (w *walker) revisit(ctx context.Context, d directory, e, old *snapshot.Entry) error {
	l := w.level()
	defer func() { w.levels = append(w.levels, l) }()
	if err := l.editor.Begin(ctx, old.Tree, old.Totals); err != nil {
		return lostParent(err)
	}
	d.known.lookAtVault()
	for _, name := range d.known.dirty.sorted() {
		if err := w.step(ctx); err != nil {
			return err
		}
		if err := w.revisitName(ctx, d, l, append(zname(name), 0)); err != nil {
			return err
		}
	}
	var err error
	e.Tree, e.Totals, err = l.editor.End(ctx)
	return lostParent(err)
}

func (w *walker) revisitName(ctx context.Context, d directory, l *level, name zname) error {
	if !w.wants(d.at, name.bytes()) {
		return nil
	}
	found, err := l.editor.Seek(ctx, name.bytes(), &l.old)
	if err != nil {
		return lostParent(err)
	}
	old := &l.old
	if !found {
		old = nil
	}
	there, err := w.capture(ctx, d, name, &l.entry, old)
	if err != nil {
		return err
	}
	w.compare(&l.entry, old, there)
	if !there {
		return nil
	}
	return lostParent(l.editor.Add(ctx, &l.entry))
}

// compare counts what became of a name.
func (w *walker) compare(e, old *snapshot.Entry, there bool) {
	switch {
	case old == nil && there:
		w.added++
	case old == nil:
	case !there:
		w.deleted++
		w.lost(old)
	default:
		if !alike(e, old) {
			w.changed++
		}
		if !e.IsDir() {
			w.lost(old)
		}
	}
}

// knownBelow is what the changes say of the folder name in d, which was opened: nil if it is not the one that the parent version has there.
func (w *walker) knownBelow(d directory, name []byte, st *stat, e, old *snapshot.Entry) *known {
	if w.changes == nil {
		return nil
	}
	at := w.changes.folders[fileID{st.dev, st.ino}]
	if at != nil {
		at.met = true
	}
	if d.known == nil || !sameFolder(e, old) {
		return nil
	}
	if d.known.dirty == nil {
		return &known{at}
	}
	b := d.known.dirty.names[string(name)]
	if b == nil {
		b = &mark{}
	}
	if b.unsure || (b.fresh || d.known.dirty.all) && e.Btime.IsZero() {
		return nil
	}
	if at == nil {
		at = b.folder // on the way to changes
	} else if b.folder != nil && b.folder != at {
		return nil // it was not here when the changes were placed
	}
	return &known{at}
}

// passOver takes what changed in the folder that is being captured, name in d, for met: it is not entered.
func (w *walker) passOver(d *directory, name zname) {
	if d.known == nil {
		w.leaveOut() // what changed in it is looked for in the end, by where that is then
		return
	}
	if d.known.dirty == nil {
		return
	}
	if b := d.known.dirty.names[string(name.bytes())]; b != nil {
		(&known{b.folder}).passOver()
	}
}

func (k *known) passOver() {
	if k == nil || k.dirty == nil {
		return
	}
	k.dirty.met = true
	for _, b := range k.dirty.names {
		(&known{b.folder}).passOver()
	}
}

// whole is k once any name in the folder may have changed.
func (k *known) whole() *known {
	switch {
	case k == nil:
	case k.dirty == nil:
		return &known{&dirty{all: true}}
	default:
		k.dirty.all = true
	}
	return k
}

// sameFolder tells whether e is the folder that the parent version has.
func sameFolder(e, old *snapshot.Entry) bool {
	return old != nil && old.IsDir() && e.IsDir() && old.Ino == e.Ino && old.Btime == e.Btime
}

// complete returns errUnsure if a folder with changes was not met, and is neither gone nor left out: it was moved meanwhile. Of one that the changes do not tell it
// is not known whether it is gone.
func (r *resolver) complete() error {
	r.root.met = true
	left := false
	for _, d := range r.folders {
		left = left || !d.met
		if !d.met && !d.told && d.id != r.root.id {
			if st, err := r.lookup(d.path); err != nil || (fileID{st.dev, st.ino}) != d.id {
				return &errUnsure{why: "the folder " + d.path + " was moved at this moment", moved: true}
			}
		}
	}
	if !left {
		return nil
	}
	err := r.changes.Folders(func(h unix.FileHandle, _ bool, _ []string, _ []bool) error {
		fd, st, err := r.openFolder(h)
		if fd < 0 || err != nil {
			return err
		}
		defer unix.Close(fd)
		if d := r.folders[fileID{st.dev, st.ino}]; d == nil || d.met {
			return nil
		}
		path, err := r.path(fd, &st)
		if err == errGone || err == nil && !r.w.filter.takes(path, r.left) {
			return nil
		}
		if err == nil {
			err = &errUnsure{why: "the folder " + path + " moves too fast to be followed", moved: true}
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.found()
}
