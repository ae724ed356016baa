package fs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxStale    = 16              // mounts on top of one another that Detach takes away
	answersFast = 5 * time.Second // a server that answers later is taken for busy, not for dead
)

// Detach detaches a stale mount of ours at dir, left by a process that died. It does nothing if there is none, and fails if
// what is mounted there is not ours or is alive.
func Detach(dir string) error {
	dir, err := resolve(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find mount folder: %w", err)
	}
	for range maxStale {
		top, err := topMount(dir)
		switch {
		case err != nil:
			return err
		case top == mountPoint{}:
			return nil
		case top.fsType != mountType:
			return fmt.Errorf("%s is a mount point of %s: choose an empty folder for the mount", dir, top.fsType)
		case !dead(dir):
			return fmt.Errorf("another daemon is serving %s: stop it first, or choose another folder", dir)
		}
		if err := detach(dir); err != nil {
			return err
		}
	}
	return fmt.Errorf("detach %s: too many mounts on top of one another", dir)
}

// resolve returns the absolute path of dir without symlinks. It looks at the name of dir, never into the file system mounted
// there.
func resolve(dir string) (string, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return "", err
	}
	return filepath.Clean(path), nil
}

// dead tells whether the server of the mount at dir is gone. It asks for statfs because that is the one answer that the kernel
// never caches; a stat of a dead mount may well succeed.
func dead(dir string) bool {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(dir, &st)
	}()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
	case <-time.After(answersFast):
		return false
	}
}
