package fs

import (
	"context"
	"errors"
	"syscall"

	"yester/snapshot"
)

// accessACL is the attribute in which the kernel looks for who may do what besides the mode.
const accessACL = "system.posix_acl_access"

// An access is who may do what in a folder.
type access struct {
	mode     uint32 // permission bits
	uid, gid uint32
	acl      string // as in the attribute; "" if there is none
}

// rootOnly is for a folder that would have to be for different users.
var rootOnly = access{mode: 0o700}

// and returns what both allow, or less.
func (a access) and(b access) access {
	switch {
	case a == b:
		return a
	case a.acl != "" || b.acl != "" || a.uid != b.uid || a.gid != b.gid:
		return rootOnly
	}
	a.mode &= b.mode
	return a
}

// access returns who may do what in the directory e of a version.
func (v *view) access(ctx context.Context, e *snapshot.Entry) (access, error) {
	a := access{mode: e.Mode & 0o777, uid: e.UID, gid: e.GID}
	if len(e.Xattrs) == 0 && len(e.XattrRefs) == 0 {
		return a, nil
	}
	acl, err := v.xattr(ctx, e, accessACL)
	if err != nil && !errors.Is(err, syscall.ENODATA) {
		return rootOnly, err
	}
	a.acl = string(acl)
	return a, nil
}
