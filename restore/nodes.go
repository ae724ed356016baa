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
		return m, err
	}
	placed := false
	defer func() {
		if !placed {
			_ = unix.Unlinkat(dir, temp, 0)
		}
	}()
	h := &holder{fd: -1, dir: dir, name: temp, path: it.path(), fresh: !it.in.acl}
	if err := r.give(h, &it.entry); err != nil {
		return m, err
	}
	st, there, err := look(dir, temp)
	if err != nil || !there {
		return m, errors.Join(err, unix.ENOENT)
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

// sameNode tells whether what is there is of the same kind and leads to the same, so that it need not be made anew.
func (r *run) sameNode(it *item, st *unix.Statx_t) bool {
	if uint32(st.Mode)&unix.S_IFMT != it.entry.Type() || it.entry.Nlink == 1 && st.Nlink > 1 {
		return false
	}
	switch it.entry.Type() {
	case unix.S_IFLNK:
		b := make([]byte, 64<<10)
		n, err := unix.Readlinkat(it.in.fd, it.name, b)
		return err == nil && string(b[:n]) == string(it.entry.Target)
	case unix.S_IFCHR, unix.S_IFBLK:
		return unix.Mkdev(st.Rdev_major, st.Rdev_minor) == it.entry.Rdev
	}
	return true
}

// refresh gives what is there the rest of what the version has. A symlink is never followed; what is opened to be changed by its mode is not one any more
// if it was swapped, for it is opened without following.
func (r *run) refresh(it *item, st *unix.Statx_t) (m made, err error) {
	if it.entry.Type() != unix.S_IFLNK { // modes of devices cannot be set without following their names
		return r.putNode(it, true)
	}
	if err := r.give(&holder{fd: -1, dir: it.in.fd, name: it.name, path: it.path()}, &it.entry); err != nil {
		return m, err
	}
	r.equal(it)
	return madeOf(st), nil
}
