package capture

import "golang.org/x/sys/unix"

// mayHaveHoles tells whether it pays to look for holes: not in a small file that has all the blocks it could.
func mayHaveHoles(size, blocks uint64) bool { return size > 4096 || blocks*512 < size }

// nextExtent returns the data at or behind pos in a file of size bytes: from ≤ to, both size when only a hole is left. A file system that does not
// tell holes has one extent.
func nextExtent(fd int, pos, size uint64) (from, to uint64, err error) {
	if pos == 0 {
		// Most files have no hole, which one call tells.
		if hole, err := unix.Seek(fd, 0, unix.SEEK_HOLE); err == nil && uint64(hole) >= size {
			return 0, size, nil
		}
	}
	data, err := unix.Seek(fd, int64(pos), unix.SEEK_DATA)
	switch err {
	case nil:
	case unix.ENXIO:
		return size, size, nil
	case unix.EINVAL, unix.EOPNOTSUPP:
		return pos, size, nil
	default:
		return 0, 0, err
	}
	hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
	if err == unix.ENXIO {
		return size, size, nil // cut off in between
	}
	if err != nil {
		return 0, 0, err
	}
	from, to = min(uint64(data), size), min(uint64(hole), size)
	if to <= from {
		to = size // punched in between: its zeros are read
	}
	return from, to, nil
}
