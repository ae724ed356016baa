package restore

import (
	"errors"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// putNode makes a symlink, a fifo or a device.
func (r *run) putNode(it *item, replace bool) (m made, err error) {
	dir, temp := it.in.fd, tempName()
	if err := makeNode(dir, temp, &it.entry); err != nil {
		if replace || !unsupported(err) || locksNames(dir) {
			return m, err
		}
		r.note(kindOf(&it.entry), it.path(), err)
		r.progress(1, it.entry.Size)
		return m, nil
	}
	placed := false
	defer func() {
		if !placed {
			_ = unix.Unlinkat(dir, temp, 0)
		}
	}()
	fd, st, err := openNode(dir, temp, &it.entry)
	if err != nil {
		return m, err
	}
	defer unix.Close(fd)
	if st.Nlink != 1 || int(st.Uid) != unix.Geteuid() && !r.getsOwner(dir, st.Uid) {
		return m, errSwapped
	}
	if err := r.give(&holder{fd: fd, node: true, path: it.path(), fresh: !it.in.acl, in: it.in.fd}, &it.entry); err != nil {
		return m, err
	}
	if err := takeName(dir, temp, it.name, replace); err != nil {
		return m, err
	}
	placed = true
	r.restored(it, 0)
	return madeOf(&st), nil
}

func makeNode(dir int, name string, e *snapshot.Entry) error {
	switch e.Type() {
	case unix.S_IFLNK:
		return unix.Symlinkat(string(e.Target), dir, name)
	case unix.S_IFIFO:
		return unix.Mknodat(dir, name, unix.S_IFIFO|0o600, 0)
	case unix.S_IFCHR, unix.S_IFBLK:
		return unix.Mknodat(dir, name, e.Type()|0o600, int(e.Rdev))
	}
	return errors.New("sockets are not restored")
}

// locksNames tells whether nothing can be made in a folder because it is immutable, whatever its file system can hold.
func locksNames(dir int) bool {
	st, err := lookFD(dir)
	return err != nil || st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0
}

func kindOf(e *snapshot.Entry) string {
	switch e.Type() {
	case unix.S_IFLNK:
		return "symlinks"
	case unix.S_IFIFO:
		return "fifos"
	}
	return "devices"
}

// openNode opens a symlink, fifo or device to be given attributes. It must be what e says, for whoever may write in the folder can put something else in its place, of
// somebody else.
func openNode(dir int, name string, e *snapshot.Entry) (fd int, st unix.Statx_t, err error) {
	if fd, err = openIn(dir, name, unix.O_PATH); err != nil {
		return -1, st, err
	}
	if st, err = lookFD(fd); err == nil && !isNode(fd, &st, e) {
		err = errSwapped
	}
	if err != nil {
		unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

// getsOwner tells whether what is made in the folder belongs to somebody in the end whoever makes it, as on a network disk that maps all users to one. Once that was seen it is so in all of the
// target, which is one mount.
func (r *run) getsOwner(dir int, uid uint32) bool {
	if _, known := r.owners.Load(uid); known {
		return true
	}
	f, err := r.create(dir)
	if err != nil {
		return false
	}
	defer f.close()
	st, err := lookFD(f.fd)
	if err != nil || st.Uid != uid || int(uid) == unix.Geteuid() {
		return false
	}
	r.owners.Store(uid, true)
	return true
}

var errSwapped = errors.New("something else was put in its place meanwhile")

// isNode tells whether what is open is of the kind of e, and leads to the same.
func isNode(fd int, st *unix.Statx_t, e *snapshot.Entry) bool {
	if uint32(st.Mode)&unix.S_IFMT != e.Type() {
		return false
	}
	switch e.Type() {
	case unix.S_IFLNK:
		b := make([]byte, 64<<10)
		n, err := unix.Readlinkat(fd, "", b)
		return err == nil && string(b[:n]) == string(e.Target)
	case unix.S_IFCHR, unix.S_IFBLK:
		return unix.Mkdev(st.Rdev_major, st.Rdev_minor) == e.Rdev
	}
	return true
}

// sameNode tells whether what is there is of the same kind and leads to the same, so that it need not be made anew.
func (r *run) sameNode(it *item, st *unix.Statx_t) bool {
	if it.entry.Nlink == 1 && st.Nlink > 1 {
		return false
	}
	fd, now, err := openNode(it.in.fd, it.name, &it.entry)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return madeOf(&now) == madeOf(st)
}

// refresh gives what is there the rest of what the version has. A symlink is never followed; what is opened to be changed by its mode is not one any more
// if it was swapped, for it is opened without following.
func (r *run) refresh(it *item, st *unix.Statx_t) (m made, err error) {
	if it.entry.Type() != unix.S_IFLNK { // modes of devices cannot be set without following their names
		return r.putNode(it, true)
	}
	fd, now, err := openNode(it.in.fd, it.name, &it.entry)
	if err != nil {
		return m, err
	}
	defer unix.Close(fd)
	if madeOf(&now) != madeOf(st) {
		return m, errSwapped
	}
	h := &holder{fd: fd, node: true, path: it.path(), in: it.in.fd}
	if now.Nlink > 1 { // see keepContent
		what, err := r.otherwise(h, &now, &it.entry)
		if err != nil {
			return m, err
		}
		if len(what) > 0 || !r.takes(it, madeOf(st)) {
			return r.putNode(it, true)
		}
	}
	if err := r.give(h, &it.entry); err != nil {
		return m, err
	}
	r.equal(it)
	return madeOf(st), nil
}
