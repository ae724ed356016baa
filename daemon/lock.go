package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"yester/control"
)

// A lock keeps a home to one process. The kernel frees it when the process ends, however it ends.
type lock struct{ f *os.File }

// lock takes the home. Busy, with the other's process id, if it is taken.
func (h Home) lock() (*lock, error) {
	path := filepath.Join(h.Run, control.LockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, folderError(path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		return nil, h.taken(f, err)
	}
	_ = f.Truncate(0) // only for readers, like what is written: a full disk takes neither, and the lock is what counts
	_, _ = f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return &lock{f}, nil
}

// taken says who has the lock.
func (h Home) taken(f *os.File, err error) error {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	if pid := bytes.TrimSpace(b[:n]); len(pid) > 0 {
		return control.Errorf(control.Busy, "yester is already running for %s (pid %s)", h.Name(), pid).
			WithHint("stop it first, or give this one another home with --home")
	}
	return control.Errorf(control.Busy, "yester is already running for %s", h.Name())
}

// free gives the home back. The file stays: removing it would let two processes lock two files of one name.
func (l *lock) free() {
	_ = l.f.Truncate(0) // only for readers; the lock is what counts
	l.f.Close()
}
