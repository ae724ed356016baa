package fs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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

// A guard stands for who may do what in a folder and in all that it lies in.
type guard [sha256.Size]byte

// with returns the guard of a folder in the one of g.
func (g guard) with(a access) guard {
	return sha256.Sum256(fmt.Appendf(g[:], "%o %d %d %s", a.mode, a.uid, a.gid, a.acl))
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
func (v *view) access(ctx context.Context, ver *version, e *snapshot.Entry) (access, error) {
	if ver.covers(e) {
		return rootOnly, nil
	}
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
