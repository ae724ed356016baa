package fs

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

const (
	blockSize  = 512
	smallBlock = 4096
	largeBlock = 1 << 20
)

// GetAttr answers stat.
func (v *view) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.SetTimeout(forever)
	id := nodeID(in.NodeId)
	if !id.inVersion() {
		return v.folderAttr(cancel, id, &out.Attr, out.SetTimeout)
	}
	return v.entry(cancel, id, func(_ context.Context, ver *version, e *snapshot.Entry) error {
		fillAttr(&out.Attr, ver, e)
		return nil
	})
}

// folderAttr fills in what stat tells of a folder that is in no version, or of a link there. keep is called with how long the kernel may keep it if that is not forever.
func (v *view) folderAttr(cancel <-chan struct{}, id nodeID, a *fuse.Attr, keep func(time.Duration)) fuse.Status {
	switch id.kind() {
	case byFileKind:
		return v.pastAttr(cancel, id, a)
	case partitionKind:
		return v.withPast(cancel, func(ctx context.Context) error { return v.partitionAttr(ctx, id, a, keep) })
	}
	if !v.folders.attr(id, a) {
		return errno(errNoNode)
	}
	return fuse.OK
}

// fillAttr fills in what stat tells of an entry. The size of a link is the length of where it leads, for some kernels cut it off there; what the source said may have
// been of where it led a moment before.
func fillAttr(a *fuse.Attr, ver *version, e *snapshot.Entry) {
	*a = fuse.Attr{
		Ino:  ver.ino(e),
		Size: e.Size, Blocks: blocks(e), Blksize: preferredBlock(e),
		Mode: e.Mode, Nlink: e.Nlink, Owner: fuse.Owner{Uid: e.UID, Gid: e.GID},
		Rdev:  uint32(e.Rdev), // the same bits, for all numbers that the kernel gives
		Atime: uint64(e.Mtime.Sec), Atimensec: e.Mtime.Nsec,
		Mtime: uint64(e.Mtime.Sec), Mtimensec: e.Mtime.Nsec,
		Ctime: uint64(e.Ctime.Sec), Ctimensec: e.Ctime.Nsec,
	}
	if ver.covers(e) {
		a.Mode, a.Owner = fuse.S_IFDIR|rootOnly.mode, fuse.Owner{Uid: rootOnly.uid, Gid: rootOnly.gid}
	}
	if e.Type() == syscall.S_IFLNK {
		a.Size = uint64(len(e.Target))
	}
}

// blocks is how many blocks of 512 bytes a file has that are no holes.
func blocks(e *snapshot.Entry) uint64 {
	return (e.Data + blockSize - 1) / blockSize
}

// preferredBlock is how much a program should read at once, of a file or of a folder.
func preferredBlock(e *snapshot.Entry) uint32 {
	if e.Size >= largeBlock && (e.IsRegular() || e.IsDir()) {
		return largeBlock
	}
	return smallBlock
}

// Statx answers a stat that asks for the birth time too; the kernel asks so for nothing else.
func (v *view) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	out.SetTimeout(forever)
	id := nodeID(in.NodeId)
	if !id.inVersion() {
		var a fuse.Attr
		st := v.folderAttr(cancel, id, &a, out.SetTimeout)
		fillStatx(&out.Statx, &a)
		return st
	}
	return v.entry(cancel, id, func(_ context.Context, ver *version, e *snapshot.Entry) error {
		var a fuse.Attr
		fillAttr(&a, ver, e)
		fillStatx(&out.Statx, &a)
		if !e.Btime.IsZero() {
			out.Mask |= statxBtime
			out.Btime = fuse.SxTime{Sec: uint64(e.Btime.Sec), Nsec: e.Btime.Nsec}
		}
		return nil
	})
}

const (
	statxBasic = 0x7ff
	statxBtime = 0x800
)

func fillStatx(x *fuse.Statx, a *fuse.Attr) {
	dev := uint64(a.Rdev)
	*x = fuse.Statx{
		Mask: statxBasic, Blksize: a.Blksize, Nlink: a.Nlink, Uid: a.Uid, Gid: a.Gid, Mode: uint16(a.Mode),
		Ino: a.Ino, Size: a.Size, Blocks: a.Blocks,
		Atime:     fuse.SxTime{Sec: a.Atime, Nsec: a.Atimensec},
		Mtime:     fuse.SxTime{Sec: a.Mtime, Nsec: a.Mtimensec},
		Ctime:     fuse.SxTime{Sec: a.Ctime, Nsec: a.Ctimensec},
		RdevMajor: uint32(dev >> 8 & 0xfff), RdevMinor: uint32(dev&0xff | dev>>12&0xfff00),
	}
}

// Readlink answers with a symlink's target.
func (v *view) Readlink(cancel <-chan struct{}, in *fuse.InHeader) (target []byte, st fuse.Status) {
	id := nodeID(in.NodeId)
	if !id.inVersion() {
		name, ok := v.folders.newestName(id)
		if !ok {
			return nil, errno(errNoNode)
		}
		return []byte(name), fuse.OK
	}
	st = v.entry(cancel, id, func(_ context.Context, _ *version, e *snapshot.Entry) error {
		if e.Type() != syscall.S_IFLNK {
			return syscall.EINVAL
		}
		target = e.Target
		return nil
	})
	return target, st
}
