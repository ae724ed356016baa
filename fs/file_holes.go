package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// Lseek finds where data or a hole begins; the kernel does the other seeks itself.
func (v *view) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	return v.entry(cancel, nodeID(in.NodeId), func(ctx context.Context, _ *version, e *snapshot.Entry) (err error) {
		switch in.Whence {
		case unix.SEEK_DATA:
			out.Offset, err = v.next(ctx, e, in.Offset, false)
		case unix.SEEK_HOLE:
			out.Offset, err = v.next(ctx, e, in.Offset, true)
		default:
			err = syscall.EINVAL
		}
		return err
	})
}

// next returns the first offset from off on that lies in a hole, or in data. The end of a file counts as a hole. syscall.ENXIO if there
// is none.
func (v *view) next(ctx context.Context, e *snapshot.Entry, off uint64, hole bool) (uint64, error) {
	if !e.IsRegular() {
		return 0, syscall.EINVAL
	}
	if off >= e.Size {
		return 0, syscall.ENXIO
	}
	at := e.Size
	err := snapshot.Spans(ctx, v.vault, e, off, e.Size-off, func(s snapshot.Span) bool {
		if s.Hole() != hole {
			return true
		}
		at = max(s.Off, off)
		return false
	})
	if err == nil && at == e.Size && !hole {
		return 0, syscall.ENXIO
	}
	return at, err
}
