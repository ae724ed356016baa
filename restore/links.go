package restore

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A hardlink is a file with several names. The first that is restored is made, the others become links to it; those that come while it is being made
// wait, and whoever makes it deals with them too.
type hardlink struct {
	number uint64 // running, from 1

	left uint32 // names that the walk has not met; of the walk alone
	size uint64
	kind uint32
	time snapshot.Time
	born snapshot.Time // tells it from one that had its number before
	rdev uint64
	to   string // of a symlink

	mu      sync.Mutex
	making  bool
	given   bool // up, for an error that ended the restore
	waiting []*item
	made    made
	dir     string // folder of the made one
	name    string
	seen    made // by verify
	seenAt  string
}

// seenAs notes what verify found under one of the names, and returns the path of another name that is of another file, "" for none.
func (l *hardlink) seenAs(it *item, m made) (other string) {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.seen.ok {
		l.seen, l.seenAt = m, it.path()
	}
	if l.seen == m {
		return ""
	}
	return l.seenAt
}

// hardlink returns that of an entry, nil if all other names were met, or none will be.
func (r *run) hardlink(e *snapshot.Entry) *hardlink {
	l := r.links[e.Ino]
	if l == nil || l.size != e.Size || l.kind != e.Type() || l.time != e.Mtime || l.born != e.Btime || l.rdev != e.Rdev || l.to != string(e.Target) {
		r.linksMet++
		l = &hardlink{number: r.linksMet, left: e.Nlink, size: e.Size, kind: e.Type(), time: e.Mtime, born: e.Btime, rdev: e.Rdev, to: string(e.Target)}
		r.links[e.Ino] = l
	}
	if l.left--; l.left == 0 {
		delete(r.links, e.Ino)
	}
	return l
}

// takes has a file of the version that has several names be one that is there and has several too, unless it is another one of the version already.
func (r *run) takes(it *item, m made) bool {
	if it.link == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken[m] == 0 {
		r.taken[m] = it.link.number
	}
	return r.taken[m] == it.link.number
}

// linked deals with a name of a file that has several.
func (r *run) linked(it *item) error {
	l := it.link
	l.mu.Lock()
	switch {
	case l.made.ok:
		l.mu.Unlock()
		return r.putLink(it)
	case l.given:
		l.mu.Unlock()
		return nil
	case l.making:
		it.in.pending.Add(1) // finish ends one
		l.waiting = append(l.waiting, it)
		l.mu.Unlock()
		return nil
	}
	l.making = true
	l.mu.Unlock()
	for {
		m, err := r.restore(it)
		next, rest := l.end(it, m, err)
		for i, w := range rest {
			if err == nil {
				err = r.putLink(w)
			}
			r.done(rest[i].in)
		}
		if next == nil || err != nil {
			if next != nil {
				r.done(next.in)
			}
			return err
		}
		defer r.done(next.in)
		it = next
	}
}

// end notes what became of a name. If it was made, the rest is to be linked to it; if not, the next one is to be made.
func (l *hardlink) end(it *item, m made, err error) (next *item, rest []*item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made, l.dir, l.name = m, it.in.path, it.name
	if m.ok || err != nil {
		rest, l.waiting = l.waiting, nil
		l.making, l.given = false, err != nil
		return nil, rest
	}
	if len(l.waiting) == 0 {
		l.making = false
		return nil, nil
	}
	next, l.waiting = l.waiting[0], l.waiting[1:]
	return next, nil
}

// putLink gives a made file one more name.
func (r *run) putLink(it *item) error {
	l, f := it.link, it.in
	if f.absent {
		r.restored(it, 0)
		return nil
	}
	st, there, err := look(f.fd, it.name)
	switch {
	case err != nil:
		return r.failed(it, err)
	case there && madeOf(&st) == l.made:
		r.equal(it)
		return nil
	case there && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		if !r.removes() || r.o.OnConflict != Overwrite || f.marked {
			return r.failed(it, errInTheWay)
		}
		if err := r.remove(f.fd, it.name, it.path()); err != nil {
			return r.failed(it, err)
		}
		there = false
	case there && r.o.OnConflict == Skip:
		if torn, err := r.torn(it, &st); err != nil {
			return r.failed(it, err)
		} else if !torn {
			_, err = r.skip(it, &st)
			return err
		}
	}
	if r.o.DryRun {
		r.restored(it, 0)
		return nil
	}
	if err := r.link(it, there); err != nil {
		if errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) ||
			errors.Is(err, unix.EXDEV) || errors.Is(err, errMoved) { // EXDEV: it lies in another subvolume, or is of another project
			r.note("hard links", it.path(), err)
			_, err = r.restore(it)
			return err
		}
		return r.failed(it, err)
	}
	r.restored(it, 0)
	return nil
}

var errMoved = errors.New("the other name is no longer where it was put")

func (r *run) link(it *item, replace bool) error {
	l := it.link
	dir, err := openBelow(r.o.Target, l.dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	defer unix.Close(dir)
	fd, err := openIn(dir, l.name, unix.O_PATH)
	if err != nil {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	defer unix.Close(fd)
	st, err := lookFD(fd)
	if err != nil || madeOf(&st) != l.made {
		return errors.Join(errMoved, err)
	}
	to := it.name
	if replace {
		to = tempName()
	}
	if err := linkOpen(fd, it.in.fd, to); err != nil || !replace {
		return err
	}
	if err := takeName(it.in.fd, to, it.name, true); err != nil {
		_ = unix.Unlinkat(it.in.fd, to, 0)
		return err
	}
	return nil
}
