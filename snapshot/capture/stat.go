package capture

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A stat is what the walk needs of statx, in the terms of an entry.
type stat struct {
	mode, uid, gid, nlink uint32
	ino, dev, rdev        uint64
	size, blocks          uint64 // blocks of 512 bytes
	mtime, ctime, btime   snapshot.Time
	mount                 uint64 // mount id, if asked for
	subvol                uint64 // 0 if the file system or kernel does not say
	nodump                bool   // the inode flag that says so is set
	encrypted             bool   // likewise: by the file system itself
}

func (s *stat) kind() uint32 { return s.mode & unix.S_IFMT }

// same tells whether s and t are of one file. Numbers are used again, so it holds only within moments.
func (s *stat) same(t *stat) bool {
	return s.dev == t.dev && s.ino == t.ino && s.kind() == t.kind()
}

// untouched tells whether nothing was done to the file between the two.
func (s *stat) untouched(t *stat) bool {
	return s.size == t.size && s.mtime == t.mtime && s.ctime == t.ctime
}

// A zname is a name and the NUL byte behind it, ready for the kernel.
type zname []byte

func (z zname) bytes() []byte { return z[:len(z)-1] }

var (
	dot   = zname(".\x00")
	empty = zname("\x00")
)

const (
	statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

	// lookOnly stats without following a link, mounting anything, or asking the server of a network or FUSE file system, ours included.
	lookOnly = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
)

// statx asks for name in dir. It does not allocate: x is the caller's.
func statx(dir int, name zname, flags, mask int, x *unix.Statx_t, s *stat) error {
	for {
		_, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags), uintptr(mask),
			uintptr(unsafe.Pointer(x)), 0)
		switch e {
		case 0:
			s.set(x)
			return nil
		case unix.EINTR:
		default:
			return e
		}
	}
}

// statPath is statx for a path, outside the walk.
func statPath(path string, flags int) (stat, error) {
	var (
		x unix.Statx_t
		s stat
	)
	err := statx(unix.AT_FDCWD, append(zname(path), 0), flags, statMask|unix.STATX_MNT_ID, &x, &s)
	return s, err
}

// statFD is statx of an open file or folder.
func statFD(fd, mask int) (stat, error) {
	var (
		x unix.Statx_t
		s stat
	)
	err := statx(fd, empty, unix.AT_EMPTY_PATH, mask, &x, &s)
	return s, err
}

func (s *stat) set(x *unix.Statx_t) {
	*s = stat{
		mode: uint32(x.Mode), uid: x.Uid, gid: x.Gid, nlink: x.Nlink, ino: x.Ino,
		dev: unix.Mkdev(x.Dev_major, x.Dev_minor), rdev: unix.Mkdev(x.Rdev_major, x.Rdev_minor),
		size: x.Size, blocks: x.Blocks,
		mtime: fileTime(x.Mtime), ctime: fileTime(x.Ctime), mount: x.Mnt_id, nodump: x.Attributes&unix.STATX_ATTR_NODUMP != 0,
		encrypted: x.Attributes&unix.STATX_ATTR_ENCRYPTED != 0,
	}
	if x.Mask&unix.STATX_BTIME != 0 {
		s.btime = fileTime(x.Btime)
	}
	if x.Mask&unix.STATX_SUBVOL != 0 {
		s.subvol = x.Subvol
	}
}

// fileTime is a time as an entry can have it: in a damaged inode there may be more nanoseconds than a second has.
func fileTime(t unix.StatxTimestamp) snapshot.Time {
	return snapshot.Time{Sec: t.Sec, Nsec: min(t.Nsec, 999_999_999)}
}
