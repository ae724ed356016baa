package fs

import (
	"context"
	"encoding/binary"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// Ioctl answers FS_IOC_GETFLAGS, which lsattr asks for. The flags are shown, and bind nobody here.
func (v *view) Ioctl(cancel <-chan struct{}, in *fuse.IoctlIn, _ []byte, out *fuse.IoctlOut, buf []byte) fuse.Status {
	if in.Cmd != unix.FS_IOC_GETFLAGS || len(buf) < 4 {
		return fuse.Status(syscall.ENOTTY)
	}
	clear(buf)
	id := nodeID(in.NodeId)
	if !id.inVersion() {
		return fuse.OK
	}
	return v.entry(cancel, id, func(_ context.Context, _ *version, e *snapshot.Entry) error {
		binary.NativeEndian.PutUint32(buf, e.Flags)
		return nil
	})
}
