package fs

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
	"yester/store"
)

func TestErrorsBecomeErrnos(t *testing.T) {
	corrupt := &store.CorruptError{Place: "/vault", Offset: 4096, Err: errors.New("checksum")}
	tests := []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{syscall.ENODATA, syscall.ENODATA},
		{fmt.Errorf("read: %w", store.ErrNotFound), syscall.ESTALE},
		{fmt.Errorf("read: %w", corrupt), syscall.EIO},
		{errors.Join(store.ErrNotFound, corrupt), syscall.EIO},
		{fmt.Errorf("page: %w", snapshot.ErrFormat), syscall.EIO},
		{store.ErrKey, syscall.EIO},
		{store.ErrFormat, syscall.EIO},
		{snapshot.ErrNotExist, syscall.ENOENT},
		{snapshot.ErrNotDir, syscall.ENOTDIR},
		{fmt.Errorf("get: %w", context.Canceled), syscall.EINTR},
		{context.DeadlineExceeded, syscall.EIO},
		{fmt.Errorf("open pack: %w", syscall.ENOENT), syscall.EIO},
		{fmt.Errorf("open pack: %w", syscall.EMFILE), syscall.EIO},
		{errors.New("unheard of"), syscall.EIO},
	}
	for _, tt := range tests {
		if got := errno(tt.err); got != fuse.Status(tt.want) {
			t.Errorf("%v becomes %v, not %v", tt.err, got, tt.want)
		}
	}
}

func TestComplaintsComeOnceAMinuteForEachFile(t *testing.T) {
	var c complaints
	now := time.Unix(0, 0)
	if !c.allow(1, now) || c.allow(1, now.Add(complainEvery-1)) || !c.allow(2, now) || !c.allow(1, now.Add(complainEvery)) {
		t.Error("a complaint was lost or repeated")
	}
	for i := range nodeID(3 * maxComplaints) {
		c.allow(i, now)
	}
	if len(c.last) > maxComplaints {
		t.Errorf("%d complaints are remembered", len(c.last))
	}
}
