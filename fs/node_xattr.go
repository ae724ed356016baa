package fs

import (
	"context"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

// GetXAttr answers with the value of an extended attribute. ACLs come to the kernel this way too, and it enforces them. Asked
// with an empty dest, it tells the size.
func (v *view) GetXAttr(cancel <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (size uint32, st fuse.Status) {
	id := nodeID(in.NodeId)
	switch {
	case id.kind() == byFileKind:
		return v.pastXattr(cancel, id, name, dest)
	case !id.inVersion():
		return 0, fuse.ENODATA
	case v.isBare(id):
		return 0, fuse.ENODATA
	}
	st = v.entry(cancel, id, func(ctx context.Context, ver *version, e *snapshot.Entry) error {
		v.noteBare(id, e)
		if name == accessACL && ver.covers(e) {
			return syscall.ENODATA
		}
		value, err := v.xattr(ctx, e, name)
		if err == nil {
			size, err = answerXattr(dest, value)
		}
		return err
	})
	return size, st
}

// isBare tells whether the node is the one that was last found to have no extended attributes: cp asks three times for those of each file, and few have any.
func (v *view) isBare(id nodeID) bool {
	if v.bare.Load() != uint64(id) {
		return false
	}
	v.requests.Add(1)
	return true
}

func (v *view) noteBare(id nodeID, e *snapshot.Entry) {
	if len(e.Xattrs) == 0 && len(e.XattrRefs) == 0 {
		v.bare.Store(uint64(id))
	}
}

// xattr returns the value of one attribute. syscall.ENODATA if there is none of that name.
func (v *view) xattr(ctx context.Context, e *snapshot.Entry, name string) (value []byte, err error) {
	set, err := snapshot.GetXattrs(ctx, v.chunks, e)
	if err != nil {
		return nil, err
	}
	found := false
	err = set.All(func(n, val []byte) bool {
		if found = string(n) == name; found {
			value = val
		}
		return !found
	})
	if err == nil && !found {
		err = syscall.ENODATA
	}
	return value, err
}

// ListXAttr answers with the names, each ended by a zero byte. As on a disk, trusted ones are not shown to ordinary users.
func (v *view) ListXAttr(cancel <-chan struct{}, in *fuse.InHeader, dest []byte) (size uint32, st fuse.Status) {
	id := nodeID(in.NodeId)
	if !id.inVersion() || v.isBare(id) {
		return 0, fuse.OK
	}
	st = v.entry(cancel, id, func(ctx context.Context, ver *version, e *snapshot.Entry) error {
		v.noteBare(id, e)
		set, err := snapshot.GetXattrs(ctx, v.chunks, e)
		if err != nil {
			return err
		}
		var names []byte
		err = set.All(func(name, _ []byte) bool {
			switch {
			case in.Uid != 0 && strings.HasPrefix(string(name), "trusted."):
			case string(name) == accessACL && ver.covers(e):
			default:
				names = append(append(names, name...), 0)
			}
			return true
		})
		if err == nil {
			size, err = answerXattr(dest, names)
		}
		return err
	})
	return size, st
}

// answerXattr copies b into dest. syscall.ERANGE if it has no room; an empty dest asks for the size only.
func answerXattr(dest, b []byte) (uint32, error) {
	if len(dest) > 0 && len(dest) < len(b) {
		return 0, syscall.ERANGE
	}
	copy(dest, b)
	return uint32(len(b)), nil
}
