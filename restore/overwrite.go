package restore

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A difference is what of a file is not as the version has it.
type difference struct {
	size   bool            // it has another size
	spans  []snapshot.Span // pieces that differ, holes too
	differ uint64          // bytes of them that are no holes
	same   uint64          // bytes of pieces that are equal
}

func (d *difference) equal() bool { return !d.size && len(d.spans) == 0 }

// compare tells what differs between an open file of some size and an entry. Nothing is read from the vault: the bytes that are there have the ids that
// the version names, or not. What is read is not kept in the page cache longer than others would have it there.
func (r *run) compare(fd int, size uint64, e *snapshot.Entry) (d difference, err error) {
	if r.doubts { // what a disk could not keep may still be in memory
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
	}
	d.size = size != e.Size
	var mu sync.Mutex
	note := func(s snapshot.Span, same bool) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case !same:
			d.spans = append(d.spans, s)
			if !s.Hole() {
				d.differ += s.Len
			}
		case !s.Hole():
			d.same += s.Len
		}
	}
	err = r.each(e, func(ctx context.Context, s snapshot.Span, buf []byte) error {
		same, err := r.sameSpan(ctx, fd, size, s, buf)
		if err == nil {
			note(s, same)
		}
		return err
	})
	if err != nil || e.Size == e.Data {
		return d, err
	}
	buf := r.bufs.Get().(*[]byte)
	defer r.bufs.Put(buf)
	var holeErr error
	err = snapshot.Spans(r.ctx, r.o.Vault, e, 0, e.Size, func(s snapshot.Span) bool {
		if s.Hole() {
			var same bool
			if same, holeErr = r.sameHole(fd, size, s, *buf); holeErr == nil {
				note(s, same)
			}
		}
		return holeErr == nil
	})
	return d, errors.Join(err, holeErr)
}

func (r *run) sameSpan(ctx context.Context, fd int, size uint64, s snapshot.Span, buf []byte) (bool, error) {
	if s.Off+s.Len > size {
		return false, nil
	}
	if uint64(len(buf)) < s.Len {
		return false, snapshot.ErrFormat
	}
	if err := r.wait(ctx, int(s.Len)); err != nil {
		return false, err
	}
	n, err := pread(fd, buf[:s.Len], int64(s.Off))
	if err != nil || uint64(n) < s.Len {
		return false, err
	}
	return r.o.Vault.Identify(buf[:s.Len]) == s.ID, nil
}

// sameHole tells whether there are only zeros where the version has a hole. Beyond the end of the file there are, once it is made longer.
func (r *run) sameHole(fd int, size uint64, s snapshot.Span, buf []byte) (bool, error) {
	end := min(s.Off+s.Len, size)
	for at := s.Off; at < end; {
		data, err := unix.Seek(fd, int64(at), unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && uint64(data) >= end {
			return true, nil
		}
		if err == nil {
			at = max(at, uint64(data))
		}
		n, err := pread(fd, buf[:min(uint64(len(buf)), end-at)], int64(at))
		if err != nil || n == 0 {
			return false, err
		}
		for _, b := range buf[:n] {
			if b != 0 {
				return false, nil
			}
		}
		at += uint64(n)
		if err := r.wait(r.ctx, n); err != nil {
			return false, err
		}
	}
	return true, nil
}

func pread(fd int, b []byte, off int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pread(fd, b[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil || m == 0 {
			return n, err
		}
		n += m
	}
	return n, nil
}

// overwrite makes of a file that is there what the version has. One that cannot be read is replaced whole.
func (r *run) overwrite(it *item) (m made, err error) {
	m, err = r.change(it)
	switch {
	case !unreadable(err) || snapshot.IsLost(err):
		return m, err
	case r.o.DryRun:
		r.restored(it, it.entry.Data)
		return made{}, nil
	}
	return r.putFile(it, true)
}

// unreadable tells an error of a file that is damaged, as by a bad sector, or is not what its seal says, or whose key is not there.
func unreadable(err error) bool {
	for _, e := range []error{unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.ENODATA, unix.ENOKEY, unix.EKEYREJECTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// change reads what is there. One with the same content gets but the rest; another one is made of the equal pieces of the old one and of those that differ, and takes its place
// when it is whole.
func (r *run) change(it *item) (m made, err error) {
	old, err := r.openFile(it.in.fd, it.name)
	if err != nil {
		return m, err
	}
	defer unix.Close(old)
	st, err := lookFD(old)
	if err != nil {
		return m, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return m, errors.New("it became something else meanwhile")
	}
	d, err := r.compare(old, st.Size, &it.entry)
	if err != nil {
		return m, err
	}
	if d.equal() {
		if m, err = r.keepContent(it, old, &st); err != nil || m.ok {
			return m, err
		}
	}
	switch {
	case r.o.DryRun:
		r.restored(it, d.differ)
		return m, nil
	case d.same == 0:
		return r.putFile(it, true)
	}
	return r.patch(it, old, &d)
}

// keepContent leaves a file whose content is right, and gives it the rest. One that has other names is left only if it is just what the version has: they may be
// of another file in the version, or lie outside the target. Otherwise nothing is made of it.
func (r *run) keepContent(it *item, old int, st *unix.Statx_t) (m made, err error) {
	h := &holder{fd: old, path: it.path()}
	differs, err := r.lacks(h, st, &it.entry)
	if err != nil {
		return m, err
	}
	if st.Nlink > 1 && (differs || !r.takes(it, madeOf(st))) {
		return m, nil
	}
	if !r.o.DryRun && differs {
		if err := r.give(&holder{fd: old, path: it.path(), flags: inherited, in: it.in.fd}, &it.entry); err != nil {
			return m, err
		}
		r.giveLock(h, it)
	}
	r.equal(it)
	return madeOf(st), nil
}

// patch makes a file from pieces of the old one and from those that differ.
func (r *run) patch(it *item, old int, d *difference) (m made, err error) {
	f, err := r.create(it.in.fd)
	if err != nil {
		return m, err
	}
	defer f.close()
	r.early(f.fd, it.in, it.entry.Flags)
	cloned := unix.IoctlFileClone(f.fd, old) == nil
	if cloned {
		err = r.again(f.fd, it, d)
	} else {
		err = r.copyEqual(f.fd, old, it, d)
	}
	if err != nil {
		return m, err
	}
	buf := r.bufs.Get().(*[]byte)
	defer r.bufs.Put(buf)
	for _, s := range d.spans {
		if s.Hole() {
			err = unix.Fallocate(f.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(s.Off), int64(s.Len))
			if err == unix.EOPNOTSUPP {
				err = zero(f.fd, s)
			}
		} else {
			err = r.writeSpan(r.ctx, f.fd, s, *buf)
		}
		if err != nil {
			return m, err
		}
	}
	if m, err = r.complete(f, it, true); err == nil {
		r.restored(it, d.differ)
	}
	return m, err
}

// again compares a copy that shares the blocks of the old file, which may have changed in between.
func (r *run) again(fd int, it *item, d *difference) error {
	if err := unix.Ftruncate(fd, int64(it.entry.Size)); err != nil {
		return err
	}
	var err error
	*d, err = r.compare(fd, it.entry.Size, &it.entry)
	return err
}

// copyEqual copies what is equal, on a file system where files cannot share blocks.
func (r *run) copyEqual(fd, old int, it *item, d *difference) error {
	if err := unix.Ftruncate(fd, int64(it.entry.Size)); err != nil {
		return err
	}
	differs := make(map[uint64]bool, len(d.spans))
	for _, s := range d.spans {
		differs[s.Off] = true
	}
	d.spans = holeless(d.spans) // they are holes already
	buf := r.bufs.Get().(*[]byte)
	defer r.bufs.Put(buf)
	var failed error
	err := snapshot.Spans(r.ctx, r.o.Vault, &it.entry, 0, it.entry.Size, func(s snapshot.Span) bool {
		if !s.Hole() && !differs[s.Off] {
			if failed = r.wait(r.ctx, int(s.Len)); failed == nil {
				failed = r.copySpan(fd, old, s, *buf)
			}
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

func holeless(spans []snapshot.Span) (all []snapshot.Span) {
	for _, s := range spans {
		if !s.Hole() {
			all = append(all, s)
		}
	}
	return all
}

// copySpan copies a piece, and makes sure that it is still what it was when it was compared: the old file is in use, perhaps.
func (r *run) copySpan(fd, old int, s snapshot.Span, buf []byte) error {
	n, err := pread(old, buf[:s.Len], int64(s.Off))
	if err != nil {
		return err
	}
	if uint64(n) == s.Len && r.o.Vault.Identify(buf[:s.Len]) == s.ID {
		return pwrite(fd, buf[:s.Len], int64(s.Off))
	}
	return r.writeSpan(r.ctx, fd, s, buf)
}

func zero(fd int, s snapshot.Span) error {
	zeros := make([]byte, min(s.Len, 1<<20))
	for at := s.Off; at < s.Off+s.Len; at += uint64(len(zeros)) {
		if err := pwrite(fd, zeros[:min(uint64(len(zeros)), s.Off+s.Len-at)], int64(at)); err != nil {
			return err
		}
	}
	return nil
}
