package place

import (
	"io"
	"io/fs"
	"syscall"
)

// memTemp is a file being written.
type memTemp struct {
	disk *memDisk
	node *node
}

func (t *memTemp) write(b []byte) error {
	t.disk.mu.Lock()
	defer t.disk.mu.Unlock()
	if err := t.disk.begin(true); err != nil {
		return err
	}
	if err := t.disk.room(len(b)); err != nil {
		return err
	}
	t.node.data = append(t.node.data, b...)
	return nil
}

func (t *memTemp) sync() error {
	t.disk.mu.Lock()
	defer t.disk.mu.Unlock()
	if err := t.disk.begin(true); err != nil {
		return err
	}
	t.node.sync()
	return nil
}

func (t *memTemp) close() error { return nil }

// memFile is a file being read. It keeps its node, whatever becomes of the name.
type memFile struct {
	disk   *memDisk
	name   string
	node   *node
	size   int64
	closed bool // guarded by disk.mu
}

// Size implements File.
func (f *memFile) Size() int64 { return f.size }

// Random implements File.
func (f *memFile) Random() {}

// ReadAt implements File.
func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, err := f.readAt(b, off)
	if err != nil && err != io.EOF {
		err = &fs.PathError{Op: "read", Path: f.disk.title + "/" + f.name, Err: err}
	}
	return n, err
}

func (f *memFile) readAt(b []byte, off int64) (int, error) {
	if err := f.disk.beginRead(); err != nil {
		return 0, err
	}
	if f.closed {
		return 0, fs.ErrClosed
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	good, err := f.node.readable(off, len(b))
	data := f.node.data[min(off, int64(len(f.node.data))):]
	if n := copy(b[:good], data); n < good {
		return n, io.EOF
	}
	return good, err
}

// Close implements File.
func (f *memFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}
