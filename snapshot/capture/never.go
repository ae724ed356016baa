package capture

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A fileID tells files of one moment apart.
type fileID struct{ dev, ino uint64 }

// neverFolders finds the folders that are neither entered nor listed, whatever name or bind mount the walk meets them by. A folder may be
// a mount point, as ours is: then what lies below the mount is meant too, and the mount itself is not touched. Paths that are not there mean nothing.
func neverFolders(s *source, point string, paths []string) (map[fileID]bool, error) {
	never := map[fileID]bool{}
	for _, p := range paths {
		if st, err := statPath(p, unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC); err == nil {
			never[fileID{st.dev, st.ino}] = true
		}
		if st, ok := s.covered(point, p); ok {
			never[fileID{st.dev, st.ino}] = true
		}
	}
	if never[fileID{s.root.dev, s.root.ino}] {
		return nil, fmt.Errorf("partition %s is %w: it holds the vault or what belongs to it", point, ErrExcluded)
	}
	return never, nil
}

// covered looks for the absolute path in the clone, where no other mount is in the way.
func (s *source) covered(point, path string) (stat, bool) {
	if !strings.HasPrefix(path, "/") {
		return stat{}, false
	}
	real, err := resolveParent(path)
	if err != nil {
		return stat{}, false
	}
	rel, ok := below(real, point)
	if !ok || rel == "" {
		return stat{}, false
	}
	fd, err := unix.Openat2(s.clone, rel, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return stat{}, false
	}
	defer unix.Close(fd)
	st, err := statFD(fd, statMask)
	return st, err == nil
}
