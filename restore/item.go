package restore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A made is a file in the target that is as the version has it: hard links may be made to it.
type made struct {
	ok       bool
	dev, ino uint64
}

// errInTheWay is why something stays as it is though it was to be overwritten.
var errInTheWay = errors.New("a folder is in the way of the file")

// restore deals with a name that is no folder, told of all that concerns it alone. An error ends the restore.
func (r *run) restore(it *item) (m made, err error) {
	f := it.in
	if f.absent {
		r.restored(it, it.entry.Size)
		return m, nil
	}
	var st unix.Statx_t
	there := false
	if !f.fresh {
		if st, there, err = look(f.fd, it.name); err != nil {
			return m, r.failed(it, err)
		}
	}
	switch {
	case r.o.VerifyOnly:
		return m, r.verify(it, &st, there)
	case !there:
		return r.put(it, nil)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return r.putForFolder(it)
	case r.o.OnConflict == Skip:
		if torn, err := r.torn(it, &st); err != nil {
			return m, r.failed(it, err)
		} else if !torn {
			return r.skip(it, &st)
		}
	}
	return r.put(it, &st)
}

// failed tells of an error that concerns one name only, and returns one that does not.
func (r *run) failed(it *item, err error) error {
	if fatal(err) && !r.onlyThere(&it.entry, err) {
		return fmt.Errorf("restore %s: %w", it.path(), err)
	}
	r.fail(it.path(), explain(err))
	r.progress(1, it.entry.Size)
	return nil
}

// onlyThere tells whether only a part of the target is full or read-only, such as a subvolume, or what a quota counts: in the target itself there is room for what all workers may be at, if
// their files are as large. If that cannot be told, as of a network disk, it is all of it.
func (r *run) onlyThere(e *snapshot.Entry, why error) bool {
	full := errors.Is(why, unix.ENOSPC) || errors.Is(why, unix.EDQUOT)
	if !full && !errors.Is(why, unix.EROFS) || r.named.Load() {
		return false
	}
	fd, err := openIn(r.o.Target, ".", unix.O_TMPFILE|unix.O_RDWR)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return !full || unix.Fallocate(fd, 0, 0, int64(max(e.Data, xattrRoom))*int64(r.o.Workers+1)) == nil
}

// explain says what is wrong with a file in words that help.
func explain(err error) error {
	switch {
	case snapshot.IsLost(err):
		return fmt.Errorf("the vault has not all of its content any more: %w", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("what is in its place cannot be changed (immutable, perhaps: see lsattr): %w", err)
	case errors.Is(err, unix.EEXIST):
		return errors.New("something appeared in its place meanwhile, or this file system cannot tell it from another name in the folder")
	}
	return err
}

// skip leaves what is there. The other names of a file may be linked to it if it is just what the version has; and then one that a restore put there, and was broken off before it
// made it immutable or append only, is made so; but not if somebody has changed it since.
func (r *run) skip(it *item, st *unix.Statx_t) (m made, err error) {
	locked := r.resumes && r.ends && r.earlier.has(st.Ctime.Sec) && it.entry.Flags&locks != 0 && !r.o.NoLocks && !r.o.DryRun
	if (it.link != nil || locked) && it.entry.IsRegular() && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == it.entry.Size && sameTime(fileTime(st.Mtime), it.entry.Mtime) {
		if m, err = r.asItShouldBe(it); err != nil {
			return m, r.failed(it, err)
		}
		if m.ok && locked {
			r.lockLate(it)
		}
	} else if it.link != nil && !it.entry.IsRegular() && uint32(st.Mode)&unix.S_IFMT == it.entry.Type() && sameTime(fileTime(st.Mtime), it.entry.Mtime) {
		m = madeOf(st)
	}
	if m.ok && it.link != nil {
		all, err := r.hasAll(it, m)
		if err != nil {
			return made{}, r.failed(it, err)
		}
		if !all || st.Nlink > 1 && !r.takes(it, m) {
			m = made{}
		}
	}
	r.count(func(t *Result) { t.Skipped.add(it.path(), "it is there") })
	r.progress(1, it.entry.Size)
	return m, nil
}

func madeOf(st *unix.Statx_t) made {
	return made{ok: true, dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino}
}

// asItShouldBe compares the content of a file that is there.
func (r *run) asItShouldBe(it *item) (m made, err error) {
	fd, err := r.openFile(it.in.fd, it.name)
	if err != nil {
		return m, err
	}
	defer unix.Close(fd)
	st, err := lookFD(fd)
	if err != nil {
		return m, err
	}
	d, err := r.compare(fd, st.Size, &it.entry)
	if err == nil && d.equal() {
		m = madeOf(&st)
	}
	return m, err
}

// hasAll tells whether what is there, and has the right content, has all else that the version has too, as far as the target can hold that: whom it belongs to, above all, as another name of it
// may lie where only its owner may put anything.
func (r *run) hasAll(it *item, m made) (bool, error) {
	fd, st, err := openNode(it.in.fd, it.name, &it.entry)
	if errors.Is(err, errSwapped) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	h := &holder{fd: fd, node: true, path: it.path()}
	what, err := r.otherwise(h, &st, &it.entry)
	if err == nil && len(what) > 0 {
		what, err = r.otherwise(h, &st, r.asHeld(h.path, &st, &it.entry))
	}
	return madeOf(&st) == m && len(what) == 0, err
}

// putForFolder puts an item in the place of a folder, if what the version has not is to be removed.
func (r *run) putForFolder(it *item) (m made, err error) {
	if !r.removes() || r.o.OnConflict != Overwrite || it.in.marked {
		return m, r.failed(it, errInTheWay)
	}
	if r.o.DryRun {
		r.restored(it, it.entry.Size)
		return m, nil
	}
	if err := r.remove(it.in.fd, it.name, it.path()); err != nil {
		return m, r.failed(it, err)
	}
	return r.put(it, nil)
}

// put puts an item into the target; old is what is in its place, nil for nothing.
func (r *run) put(it *item, old *unix.Statx_t) (m made, err error) {
	switch {
	case it.entry.IsRegular() && old != nil && old.Mode&unix.S_IFMT == unix.S_IFREG:
		m, err = r.overwrite(it)
	case r.o.DryRun:
		r.restored(it, it.entry.Data)
		return m, nil
	case it.entry.IsRegular():
		m, err = r.putFile(it, old != nil)
	case old != nil && r.sameNode(it, old):
		m, err = r.refresh(it, old)
	default:
		m, err = r.putNode(it, old != nil)
	}
	if err != nil {
		return made{}, r.failed(it, err)
	}
	return m, nil
}

// restored counts an item.
func (r *run) restored(it *item, written uint64) {
	r.count(func(t *Result) {
		t.Files++
		if it.entry.IsRegular() {
			t.Bytes += it.entry.Size
			t.Written += written
		}
	})
	r.progress(1, it.entry.Size)
}

// equal counts an item that was there.
func (r *run) equal(it *item) {
	r.count(func(t *Result) { t.Equal++ })
	r.progress(1, it.entry.Size)
}
