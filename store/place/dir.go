package place

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A Dir is a place in a folder of a local file system. Files have mode 0600 and folders 0700. Temporary names lie in
// its folder ".tmp". One process at a time may write to it; any number may read.
type Dir struct {
	*files
	is os.FileInfo
}

var _ Place = (*Dir)(nil)

// NewDir returns the place in the folder path, which must be there. It writes nothing, so a read-only folder serves for
// reading. fs.ErrNotExist if there is nothing, syscall.ENOTDIR if there is something else, syscall.ENOSYS if the kernel is older than Linux 5.6.
//
// The place is the folder that path leads to now: should another one lie there later, because a disk was unmounted or
// another one mounted over it, Write fails with syscall.ESTALE rather than fill the wrong disk; and so do Space, and what
// finds a file missing there.
func NewDir(path string) (*Dir, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open place %s: %w", path, err)
	}
	info, err := os.Stat(full)
	if err != nil {
		return nil, fmt.Errorf("open place: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open place %s: %w", full, syscall.ENOTDIR)
	}
	if err := mayOpenBelow(full); err != nil {
		return nil, fmt.Errorf("open place %s: %w", full, err)
	}
	return &Dir{files: newFiles(full, &dirDisk{top: full, is: info}, randomNumber), is: info}, nil
}

// Identity tells the folder from another one that lies at the same path at another time, as after another disk was mounted there.
func (d *Dir) Identity() string {
	s := d.is.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%s %d %d", d.title, s.Dev, s.Ino)
}

func randomNumber() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails: it ends the program if it cannot
	return binary.LittleEndian.Uint64(b[:])
}
