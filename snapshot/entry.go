package snapshot

import (
	"time"

	"yester/store"
)

// A Time is a file time: seconds since the epoch, before it too, and nanoseconds of that second. time.Duration since the epoch would end
// in 2262; btrfs and xfs do not.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Time returns t as a time.Time in UTC.
func (t Time) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// IsZero tells whether t is the epoch itself, which stands for "not known" in a birth time.
func (t Time) IsZero() bool { return t == Time{} }

// A Ref is a piece of a file: a chunk, a list page that stands for Len bytes, or, when ID is zero, a hole of Len bytes.
type Ref struct {
	ID  store.ID
	Len uint64 // bytes of the file
}

// Hole tells whether r is a hole.
func (r Ref) Hole() bool { return r.ID == store.ID{} }

// Totals sum up a subtree, the directory itself excluded.
type Totals struct {
	Files uint64 `json:"files"` // names that are not directories, each hard link counted
	Dirs  uint64 `json:"dirs"`  // directories below
	Bytes uint64 `json:"bytes"` // sizes of regular files, each hard link counted, holes included
}

// MaxName is how many bytes the name of an entry has at most: FUSE shows no longer ones. Most file systems end at 255, but those that count characters, as
// vfat and ntfs do, at 765.
const MaxName = 1024

// An Entry is one name in a directory, with everything the file has. The byte slices of an entry decoded from a page alias that page, must
// not be changed, and live as long as anyone holds them.
type Entry struct {
	Name []byte // bytes, not text; empty for a version's root

	Mode  uint32 // st_mode: type and permission bits as the kernel has them
	UID   uint32
	GID   uint32
	Nlink uint32
	Ino   uint64 // inode number at the source; equal within a hard-link group
	Rdev  uint64 // devices: st_rdev as the kernel has it
	Size  uint64 // st_size
	Mtime Time
	Ctime Time
	Btime Time   // birth; zero when the file system has none
	Flags uint32 // inode flags as FS_IOC_GETFLAGS gives them, only those that a restore can set
	Racy  bool   // captured so soon after its last change that equal times prove nothing

	Target []byte // symlinks: where to

	Xattrs    Xattrs // all extended attributes, unless they are too many for the page:
	XattrRefs []Ref  // then their encoding lies in these chunks

	// Content of a regular file. Depth 0: Content lists its chunks and holes. Depth n: Content's refs are list pages of
	// Depth n-1. Lengths add up to Size, or less: what is missing at the end is a hole.
	Content []Ref
	Depth   uint8
	Data    uint64 // bytes of Content that are no holes

	Tree   store.ID // directories: the topmost page; zero when empty
	Totals Totals   // directories
}
