package capture

import (
	"bytes"
	"context"
	"slices"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// What is captured of a folder is not of one moment: its mode is known first, and what lies in it is read for hours. What is put there after it was closed to
// some is not for them. So an entry lets in nobody but whom the folder let in at both ends of that time.

const (
	permissions      = 0o777 // bits of a mode
	ownerPermissions = 0o700
)

var above = zname("..\x00")

// narrow has e let in nobody whom the open file or folder fd does not let in any more. t is where a folder was found, nil for the root: in another folder others are
// let in, but its owner stays its owner.
func (w *walker) narrow(ctx context.Context, fd int, t *target, e *snapshot.Entry) error {
	var now stat
	err := statx(fd, empty, unix.AT_EMPTY_PATH, statMask, &w.statx, &now)
	switch {
	case err == nil && now.ctime == e.Ctime && now.mode == e.Mode && !e.Racy:
		return nil
	case err != nil:
		return w.limit(ctx, fd, e, 0, false)
	case t != nil && now.uid == e.UID && w.movedAway(fd, t):
		return w.limit(ctx, fd, e, ownerPermissions&now.mode, false)
	}
	same, err := w.sameACL(ctx, fd, e)
	if err != nil {
		return err
	}
	allowed, same := both(e, &snapshot.Entry{Mode: now.mode, UID: now.uid, GID: now.gid}, same)
	return w.limit(ctx, fd, e, allowed, same)
}

// sinceTold tells whether the folder d, whose entry is e, was changed or moved when it was known already what had changed.
func (w *walker) sinceTold(d directory, e *snapshot.Entry) bool {
	atOnce := w.src.live >= 0 && d.vol.id == 0
	return !atOnce && !e.Ctime.Time().Before(w.told.Add(-grain(e.Ctime)))
}

// letsInMore tells whether the open folder d, whose entry is e, was changed after it was known what had changed in it, and lets others in than it did in old: what is
// taken over from old may be gone since, and is not for them.
func (w *walker) letsInMore(d directory, e, old *snapshot.Entry) bool {
	if d.known == nil || old == nil || !w.sinceTold(d, e) {
		return false
	}
	was, _ := old.Xattrs.Get(accessACL)
	now, _ := e.Xattrs.Get(accessACL)
	allowed, _ := both(e, old, bytes.Equal(was, now) && slices.Equal(e.XattrRefs, old.XattrRefs))
	return e.Mode&permissions&^allowed != 0
}

// movedAway tells whether the open folder fd is not in the folder any more in which it was found.
func (w *walker) movedAway(fd int, t *target) bool {
	var up, dir stat
	err := statx(fd, above, unix.AT_NO_AUTOMOUNT, statMask, &w.statx, &up)
	if err == nil {
		err = statx(t.dir, empty, unix.AT_EMPTY_PATH, statMask, &w.statx, &dir)
	}
	return err != nil || !up.same(&dir)
}

// sameACL tells whether the open file fd has the ACL that e has.
func (w *walker) sameACL(ctx context.Context, fd int, e *snapshot.Entry) (bool, error) {
	if len(e.XattrRefs) == 0 {
		was, _ := e.Xattrs.Get(accessACL)
		now, err := w.xattrs.acl(fd)
		return err == nil && bytes.Equal(was, now), nil
	}
	x, err := w.xattrs.open(fd)
	if err != nil {
		return false, nil
	}
	var now snapshot.Entry
	err = snapshot.PutXattrs(ctx, w.put, &now, x)
	return slices.Equal(now.XattrRefs, e.XattrRefs), err
}

// both is what two states of a file both allow, or less, and whether they have one ACL and all that it says of: to other owners, and with another ACL, nothing is
// allowed by both for certain but to root and to the same owner.
func both(e, other *snapshot.Entry, sameACL bool) (allowed uint32, same bool) {
	allowed = other.Mode
	same = sameACL && e.UID == other.UID && e.GID == other.GID
	switch {
	case e.UID != other.UID:
		allowed = 0
	case !same:
		allowed &= ownerPermissions
	}
	return allowed, same
}

// limit takes from e, which is of the open file fd, the permissions that are not among the allowed ones; if that are any, also the ACL if it is not to be kept. Without
// permissions of the group an ACL allows nothing. The next capture looks again.
func (w *walker) limit(ctx context.Context, fd int, e *snapshot.Entry, allowed uint32, keepACL bool) error {
	mode := e.Mode & (allowed | ^uint32(permissions))
	if mode == e.Mode {
		return nil
	}
	e.Mode, e.Racy = mode, true
	if len(w.path) > 0 { // the root is looked at in any case
		w.lookAgain(false)
	}
	if keepACL {
		return nil
	}
	x := e.Xattrs
	if len(e.XattrRefs) > 0 {
		x, _ = w.xattrs.open(fd)
	}
	var set []snapshot.Xattr
	_ = x.All(func(name, value []byte) bool {
		if string(name) != accessACL {
			set = append(set, snapshot.Xattr{Name: string(name), Value: value})
		}
		return true
	})
	return snapshot.PutXattrs(ctx, w.put, e, snapshot.EncodeXattrs(set))
}
