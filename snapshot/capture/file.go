package capture

import (
	"context"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// maxAgain is how often a file that changes while it is read is read again.
const maxAgain = 3

// regular makes the entry of a regular file: from the parent version, from what a capture that was cut off has read, from another name of the file, or by
// reading it.
func (w *walker) regular(ctx context.Context, t *target, e, old *snapshot.Entry) error {
	id := fileID{t.stat.dev, t.stat.ino}
	stays, err := w.stays(ctx, e, old)
	if err != nil {
		return err
	}
	if stays && !w.doubted(old) {
		reuse(e, old)
		if t.stat.nlink > 1 {
			w.links.met(id)
		}
		w.visited(1, e.Size)
		return nil
	}
	switch resumed, err := w.resume(ctx, e); {
	case err != nil:
		return err
	case resumed:
		w.visited(1, e.Size)
		return nil
	}
	if t.stat.nlink > 1 {
		defer w.links.turn(id)()
		if first := w.links.find(id, &t.stat); first != nil {
			name := e.Name
			*e = *first
			e.Name = name
			if e.Racy { // as far as it could be read; the next capture finds no other name of it by itself
				w.lookAgain(false)
			}
			w.visited(1, e.Size)
			return nil
		}
	}
	w.toTell = e.Size
	if err := w.readFile(ctx, t, e); err != nil {
		return err
	}
	w.visited(1, w.toTell)
	w.links.keep(id, e)
	w.o.unfinished.keep(w.path, e)
	return nil
}

func (w *walker) readFile(ctx context.Context, t *target, e *snapshot.Entry) error {
	f := w.takeReady()
	if f.fd < 0 {
		w.trace("open")
		var err error
		if f.fd, err = w.openLeased(ctx, t); err != nil {
			return err
		}
	}
	defer f.close()
	for again := 0; ; again++ {
		stable, err := w.readOnce(ctx, f, t, e)
		if err != nil || stable {
			return err
		}
		f.looked = false
		if again == maxAgain {
			e.Racy = true
			w.warn("it changed each of the %d times it was read, and is kept as it was read last", 1+maxAgain)
			return w.narrow(ctx, f.fd, nil, e)
		}
	}
}

// readOnce reads the open file with everything it has, and tells whether it stayed the same meanwhile.
func (w *walker) readOnce(ctx context.Context, f opened, t *target, e *snapshot.Entry) (stable bool, err error) {
	if w.held[fileID{t.stat.dev, t.stat.ino}] != nil {
		// What is stored from now on faults, and so sets the file's times. That a file is mapped is not always seen: through FUSE it may be so without a trace.
		_ = unix.Fdatasync(f.fd)
		f.looked = false
	}
	moment, before := f.moment, f.stat
	if !f.looked {
		moment = w.now(t.vol)
		if err := w.statFD(f.fd, &before); err != nil {
			return false, err
		}
	}
	if !before.same(&t.stat) || before.nlink == 0 {
		return false, errReplaced
	}
	setStat(e, &before, t.vol, moment)
	e.Racy = e.Racy || w.mayBeWritten(&before, moment)
	e.Target = nil
	e.Flags = inodeFlags(f.fd)
	x, err := w.xattrs.open(f.fd)
	if err != nil {
		w.noXattrs(e, err)
	}
	if err := snapshot.PutXattrs(ctx, w.put, e, x); err != nil {
		return false, err
	}
	if err := w.reader.content(ctx, f, &before, e); err != nil {
		return false, err
	}
	var after stat
	if err := w.statFD(f.fd, &after); err != nil {
		return false, err
	}
	return after.untouched(&before) && e.Size == before.size, nil
}

func (w *walker) statFD(fd int, st *stat) error {
	if err := statx(fd, empty, unix.AT_EMPTY_PATH, statMask, &w.statx, st); err != nil {
		return &sourceError{"stat", -1, err}
	}
	return nil
}

// other makes the entry of a symbolic link, a device, a fifo or a folder that is not entered, none of which is opened. Where a link leads is what stat told of if it tells
// the same at the end.
func (w *walker) other(ctx context.Context, t *target, e, old *snapshot.Entry) error {
	stays, err := w.stays(ctx, e, old)
	if err != nil {
		return err
	}
	if stays {
		reuse(e, old)
		w.visited(1, 0)
		return nil
	}
	w.trace("other")
	if t.stat.kind() == unix.S_IFLNK {
		target, err := readLink(t.dir, t.name)
		if err != nil {
			return err
		}
		e.Target = target
	}
	x, err := w.xattrs.at(t.dir, t.name.bytes())
	if err != nil && !vanished(err) {
		w.noXattrs(e, err)
	}
	var after stat
	if err := statx(t.dir, t.name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &w.statx, &after); err != nil {
		return &sourceError{"stat", -1, err}
	}
	touched := !after.untouched(&t.stat) // as a fifo or device is by everything that is written to it
	if !after.same(&t.stat) || touched && t.stat.kind() == unix.S_IFLNK {
		return errReplaced
	}
	e.Racy = e.Racy || touched
	w.visited(1, 0)
	return snapshot.PutXattrs(ctx, w.put, e, x)
}

func readLink(dir int, name zname) ([]byte, error) {
	for buf := make([]byte, 512); ; buf = make([]byte, 2*len(buf)) {
		n, err := unix.Readlinkat(dir, string(name.bytes()), buf)
		if err == unix.EINVAL {
			return nil, errReplaced
		}
		if err != nil {
			return nil, &sourceError{"read link", -1, err}
		}
		if n < len(buf) {
			return buf[:n:n], nil
		}
	}
}
