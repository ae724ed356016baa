package capture

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	// A name may turn into a fifo between stat and open: O_NONBLOCK keeps that from holding up the walk.
	openFile = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
)

// openAt opens name in dir without touching its access time, where that is allowed.
func openAt(dir int, name zname, flags int) (int, error) {
	fd, err := rawOpenAt(dir, name, flags|unix.O_NOATIME)
	if err == unix.EPERM {
		return rawOpenAt(dir, name, flags)
	}
	return fd, err
}

func rawOpenAt(dir int, name zname, flags int) (int, error) {
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags|unix.O_LARGEFILE), 0, 0, 0)
		switch e {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, e
		}
	}
}
