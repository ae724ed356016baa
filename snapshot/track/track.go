// Package track is the journal: it listens with fanotify to file systems and keeps which names in them may have changed, so that a backup need not
// look at all the others.
//
// A Journal listens to one file system, whatever mount, namespace or program it is changed through. Cut ends what was gathered so far and returns it as a
// Set; what changes from then on belongs to the next one. A journal is never wrong, but may not know: after an overflow, an error, an unmount, a set clock,
// or when too much changed, the set says that it is Unknown and why, and who asked must look at everything.
//
// What is kept of a change is where it was: the handle of a folder and the name in it, never a path, for folders may be moved while nobody looks; and the
// handle of the file itself, for it may have other names, or have lost the one it was written by.
//
// Listening costs who makes many files. A new folder that gets very many is listened to no more until the next cut, on Linux 6.0 or newer, and counts as wholly dirty.
//
// Of changed inode flags and some rarer things fanotify tells nothing. An Unheard counts the calls that do such things, by whomever and wherever, and after
// one of them a set does not know. What else the kernel does not tell, and a journal cannot know, is left to who captures: what is stored in a shared
// mapping or written by io_submit(2) until the file is closed, and writes by a loop device to its image. That a file's ctime alone changed, as when only its time of
// access is set, nobody learns before the next walk.
//
// It needs root and Linux 5.17. Calls of 32-bit programs on a 64-bit kernel are not counted.
package track

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnsupported is what Open's error wraps when a file system cannot be listened to: the kernel is too old, or the file system has no handles.
var ErrUnsupported = errors.New("changes cannot be listened to")

// A Certificate says by what a set was gathered. Two sets with the same Boot and Since, and sequences that follow each other, have no gap between them.
type Certificate struct {
	Boot     string    `json:"boot_id"`  // of the kernel, /proc/sys/kernel/random/boot_id
	Since    time.Time `json:"since"`    // when the file system was marked
	Sequence uint64    `json:"sequence"` // cuts since then
	Events   uint64    `json:"events"`   // read since then
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// handleKey is a handle as a key: its type in four bytes, then its bytes.
func handleKey(b []byte, typ int32, handle []byte) []byte {
	return append(binary.NativeEndian.AppendUint32(b, uint32(typ)), handle...)
}

// handleOf is the opposite of handleKey.
func handleOf(key []byte) unix.FileHandle {
	return unix.NewFileHandle(int32(binary.NativeEndian.Uint32(key)), key[4:])
}

// lasting tells whether the file system at path has handles that hold as long as the file is there. Those of vfat, say, go with what the kernel remembers of a
// file, and what changed in it would pass for gone. ErrUnsupported.
func lasting(path string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return fmt.Errorf("listen to changes: %w", err)
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return nil
	}
	return fmt.Errorf("%w: the file system has no lasting handles (type %#x)", ErrUnsupported, fs.Type)
}

// unsupported makes ErrUnsupported of what the kernel says when it can't.
func unsupported(what string, err error) error {
	switch err {
	case unix.EINVAL, unix.ENOSYS:
		return fmt.Errorf("%w: the kernel is older than 5.17 (%s: %w)", ErrUnsupported, what, err)
	case unix.EXDEV:
		return fmt.Errorf("%w: a subvolume is mounted, not the whole file system (%s: %w)", ErrUnsupported, what, err)
	case unix.ENODEV, unix.EOPNOTSUPP:
		return fmt.Errorf("%w: the file system has no lasting handles (%s: %w)", ErrUnsupported, what, err)
	case unix.EPERM:
		return fmt.Errorf("%w: only root can (%s: %w)", ErrUnsupported, what, err)
	}
	return fmt.Errorf("listen to changes: %s: %w", what, err)
}
