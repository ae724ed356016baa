package place

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directFrom is the length from which a piece is written past the page cache.
	directFrom = 1 << 20
	// directUnit is what memory, length and place in the file must be multiples of then; no disk asks for more.
	directUnit = 4096
)

// dirTemp is a file being written. Long pieces go past the page cache where that can be: it saves copying them, and leaves to others what they have
// in the cache. Who reads a pack soon after it was written reads it from the disk.
type dirTemp struct {
	f       *os.File
	at      int64 // bytes written
	direct  bool  // O_DIRECT is set
	refused bool  // the file system has no such thing
}

func (t *dirTemp) write(b []byte) error {
	if err := t.setDirect(!t.refused && t.fit(b)); err != nil {
		return err
	}
	n, err := t.f.Write(b)
	if t.direct && errors.Is(err, syscall.EINVAL) { // it was refused only now
		t.refused = true
		if err = t.setDirect(false); err == nil {
			var more int
			more, err = t.f.Write(b[n:])
			n += more
		}
	}
	t.at += int64(n)
	return err
}

// fit tells whether a piece can be written past the page cache, and is worth it.
func (t *dirTemp) fit(b []byte) bool {
	return len(b) >= directFrom && len(b)%directUnit == 0 && t.at%directUnit == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%directUnit == 0
}

// setDirect sets or clears O_DIRECT. A file system that refuses it is no error.
func (t *dirTemp) setDirect(on bool) error {
	if on == t.direct {
		return nil
	}
	c, err := t.f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) {
		var flags int
		if flags, failed = unix.FcntlInt(fd, unix.F_GETFL, 0); failed != nil {
			return
		}
		if flags &^= unix.O_DIRECT; on {
			flags |= unix.O_DIRECT
		}
		_, failed = unix.FcntlInt(fd, unix.F_SETFL, flags)
	})
	if on && failed == unix.EINVAL {
		t.refused = true
		return err
	}
	t.direct = on && failed == nil
	return errors.Join(err, failed)
}

func (t *dirTemp) sync() error  { return t.f.Sync() } // fsync: of a new file the inode counts too
func (t *dirTemp) close() error { return t.f.Close() }
