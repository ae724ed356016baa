// Package place is the seam between the vault and whatever holds its files.
//
// A place is one directory (dir) or, later, one bucket prefix. It knows names, bytes and durability, and nothing of
// packs, keys or versions. Names are slash-separated, relative, without "." or ".." elements and without empty ones;
// elements starting with "." are the place's own (temporary names) and never listed.
//
// What a place promises, and placetest checks:
//
//   - Write is atomic and durable: after it returned nil the whole file is there under its name, also after a power
//     loss; when it fails, or the machine dies, the name shows either nothing, the file it had before, or the whole
//     new file, never a part.
//   - What Remove removed stays removed, also after a power loss: a version's record must not come back when its packs are gone.
//   - Files are read concurrently with everything else; a file open for reading stays readable when its name is
//     removed or replaced.
package place

import (
	"context"
	"io"
)

// A Place holds vault files. All methods may be called from many goroutines.
//
// Errors wrap what the system said, so callers use errors.Is with fs.ErrNotExist, fs.ErrPermission, syscall.ENOSPC,
// syscall.EDQUOT, syscall.EROFS and syscall.EIO, and name the place and the file.
type Place interface {
	// Write stores the concatenation of parts as name, creating the folders above it and replacing what was there. The
	// parts are not kept nor changed.
	Write(ctx context.Context, name string, parts ...[]byte) error

	// Open opens name for reading. The caller closes the file.
	Open(ctx context.Context, name string) (File, error)

	// List returns what lies directly in the folder dir ("" is the top), sorted by name. A folder that is not there
	// is an empty one: folders exist only by the files in them.
	List(ctx context.Context, dir string) ([]Info, error)

	// Remove removes the file name, and folders above it that became empty. That the file is not there is no error.
	Remove(ctx context.Context, name string) error

	// Sweep removes temporary names that an earlier process left behind. Only the one owner of a vault calls it, before
	// its first Write.
	Sweep(ctx context.Context) error

	// Space tells the bytes an ordinary write may still use, and the whole size of the medium.
	Space(ctx context.Context) (free, total uint64, err error)

	// String names the place to a person: its path.
	String() string
}

// A File is an open vault file.
type File interface {
	io.ReaderAt
	io.Closer

	// Size is the file's length in bytes at the time it was opened.
	Size() int64

	// Random is a hint that a little is read here and there, so that the medium need not be read beyond it.
	Random()
}

// Info is one line of a List.
type Info struct {
	Name string // last element only
	Size int64  // bytes; 0 for a folder
	Dir  bool
}
