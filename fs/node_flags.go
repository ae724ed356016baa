package fs

import (
	"context"
	"encoding/binary"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// From linux/fs.h: the same flags by other numbers, in the first field of a struct of 28 bytes.
const (
	fsGetXattr  = 0x801c581f // FS_IOC_FSGETXATTR
	fsSetXattr  = 0x401c5820 // FS_IOC_FSSETXATTR
	fsxattrSize = 28
)

// xflags pairs each flag that both ways of asking have.
var xflags = [...]struct{ flag, xflag uint32 }{
	{0x8, 0x20},         // synchronous
	{0x10, 0x8},         // immutable
	{0x20, 0x10},        // append only
	{0x40, 0x80},        // no dump
	{0x80, 0x40},        // no access time
	{0x2000000, 0x8000}, // direct access
	{0x20000000, 0x200}, // project of the folder for what is made in it
}

// Ioctl tells a file's flags in both ways: as lsattr asks for them, and as xfs_io and file_getattr do. They are shown, and bind nobody here; nor can
// they be set. The kernel asks in the second way before it sets any.
func (v *view) Ioctl(cancel <-chan struct{}, in *fuse.IoctlIn, _ []byte, out *fuse.IoctlOut, buf []byte) fuse.Status {
	switch {
	case in.Cmd == unix.FS_IOC_SETFLAGS || in.Cmd == fsSetXattr:
		return fuse.EROFS
	case in.Cmd == unix.FS_IOC_GETFLAGS && len(buf) >= 4:
	case in.Cmd == fsGetXattr && len(buf) >= fsxattrSize:
	default:
		return fuse.Status(syscall.ENOTTY)
	}
	clear(buf)
	id := nodeID(in.NodeId)
	if !id.inVersion() {
		return fuse.OK
	}
	return v.entry(cancel, id, func(_ context.Context, _ *version, e *snapshot.Entry) error {
		flags := e.Flags
		if in.Cmd == fsGetXattr {
			flags = xflagsOf(flags)
		}
		binary.NativeEndian.PutUint32(buf, flags)
		return nil
	})
}

func xflagsOf(flags uint32) (x uint32) {
	for _, f := range xflags {
		if flags&f.flag != 0 {
			x |= f.xflag
		}
	}
	return x
}
