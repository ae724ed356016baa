package fs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
	"yester/store"
)

// errnos is what a program sees of our errors, first match wins.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{store.ErrCorrupt, syscall.EIO},
	{store.ErrKey, syscall.EIO},
	{store.ErrFormat, syscall.EIO},
	{snapshot.ErrFormat, syscall.EIO},
	{store.ErrNotFound, syscall.ESTALE}, // the version was deleted, and gc took its chunks
	{snapshot.ErrNotExist, syscall.ENOENT},
	{snapshot.ErrNotDir, syscall.ENOTDIR},
	{context.Canceled, syscall.EINTR},
	{context.DeadlineExceeded, syscall.EIO},
}

// errno translates an error of ours. An errno that is not wrapped is our own answer; one inside an error is what a place said of
// the vault's files and means nothing to who reads a file, so that is EIO.
func errno(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	if e, ok := err.(syscall.Errno); ok {
		return fuse.Status(e)
	}
	for _, t := range errnos {
		if errors.Is(err, t.err) {
			return fuse.Status(t.errno)
		}
	}
	return fuse.EIO
}
