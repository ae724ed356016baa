package restore

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// largeFile is the size from which a file is written by several threads.
const largeFile = 8 << 20

// putFile makes a regular file.
func (r *run) putFile(it *item, replace bool) (m made, err error) {
	f, err := r.create(it.in.fd)
	if err != nil {
		return m, err
	}
	defer f.close()
	r.early(f.fd, it.in, it.entry.Flags)
	if err := r.write(f.fd, &it.entry); err != nil {
		return m, err
	}
	if m, err = r.complete(f, it, replace); err == nil {
		r.restored(it, it.entry.Data)
	}
	return m, err
}

// complete gives a written file all else it has, and its name.
func (r *run) complete(f *file, it *item, replace bool) (m made, err error) {
	h := &holder{fd: f.fd, path: it.path(), fresh: !it.in.acl, flags: it.in.flags, in: it.in.fd}
	if err := r.give(h, &it.entry); err != nil {
		return m, err
	}
	// Is what is there now to go, may a power cut leave what nobody would doubt, or may the target tell of an error now only, it must be on the disk before.
	if replace || r.unmarked || f.temp != "" {
		if err := f.sync(r.ctx); err != nil {
			return m, err
		}
	}
	if err := f.finish(it.name, replace); err != nil {
		return m, err
	}
	if it.link != nil || r.checkTimes.Add(-1) >= 0 {
		st, err := lookFD(f.fd)
		if err != nil {
			return m, err
		}
		m = madeOf(&st)
		if fileTime(st.Mtime) != it.entry.Mtime {
			r.note("times to the nanosecond", it.path(), fmt.Errorf("%v became %v", it.entry.Mtime.Time(), fileTime(st.Mtime).Time()))
		}
	}
	r.giveLock(h, it)
	return m, nil
}

// write writes all of a file's content.
func (r *run) write(fd int, e *snapshot.Entry) error {
	if e.Size > e.Data || len(e.Content) == 0 { // it has holes, or its end is one
		if err := unix.Ftruncate(fd, int64(e.Size)); err != nil {
			return err
		}
	}
	return r.each(e, func(ctx context.Context, s snapshot.Span, buf []byte) error { return r.writeSpan(ctx, fd, s, buf) })
}

// each calls f for every piece of a file that is no hole, from several goroutines if it is large.
func (r *run) each(e *snapshot.Entry, f func(ctx context.Context, s snapshot.Span, buf []byte) error) error {
	own := r.bufs.Get().(*[]byte)
	defer r.bufs.Put(own)
	group, ctx := errgroup.WithContext(r.ctx)
	var failed error
	err := snapshot.Spans(ctx, r.o.Vault, e, 0, e.Size, func(s snapshot.Span) bool {
		if s.Hole() {
			return true
		}
		if e.Size >= largeFile && r.hand(group, ctx, s, f) {
			return true
		}
		failed = f(ctx, s, *own)
		return failed == nil
	})
	waitErr := group.Wait()
	for _, e := range []error{waitErr, failed, err} { // that of another goroutine first, for it cancels this one
		if e != nil {
			return e
		}
	}
	return nil
}

// hand has another goroutine deal with a piece, if one may be had.
func (r *run) hand(group *errgroup.Group, ctx context.Context, s snapshot.Span, f func(context.Context, snapshot.Span, []byte) error) bool {
	select {
	case r.spare <- struct{}{}:
	default:
		return false
	}
	group.Go(func() error {
		defer func() { <-r.spare }()
		buf := r.bufs.Get().(*[]byte)
		defer r.bufs.Put(buf)
		return f(ctx, s, *buf)
	})
	return true
}

// writeSpan reads a chunk and writes it where it belongs.
func (r *run) writeSpan(ctx context.Context, fd int, s snapshot.Span, buf []byte) error {
	if err := r.wait(ctx, int(s.Len)); err != nil {
		return err
	}
	raw, err := r.o.Vault.Read(ctx, s.ID, buf)
	if err != nil {
		return err
	}
	if uint64(len(raw)) != s.Len {
		return fmt.Errorf("a chunk of %d bytes where %d should be: %w", len(raw), s.Len, snapshot.ErrFormat)
	}
	return pwrite(fd, raw, int64(s.Off))
}

func pwrite(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}
