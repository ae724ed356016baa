package capture

import (
	"errors"
	"path/filepath"
)

// ErrExcluded is what Run's error wraps when the partition is never backed up.
var ErrExcluded = errors.New("never backed up")

// MountOf finds the mount that a path lies on: the one whose point is its longest prefix. Of several at one point the eligible one is seen; where none
// is, any will do to say why not. The path is clean and absolute.
func MountOf(mounts []Mount, path string) (best Mount, found bool) {
	for _, m := range mounts {
		if !isBelow(path, m.MountPoint) {
			continue
		}
		if !found || len(m.MountPoint) > len(best.MountPoint) || len(m.MountPoint) == len(best.MountPoint) && best.Excluded != "" {
			best, found = m, true
		}
	}
	return best, found
}

// resolveParent follows the symbolic links in all but the last element of an absolute path. The last element is not touched: it may be
// our own mount.
func resolveParent(path string) (string, error) {
	path = filepath.Clean(path)
	if path == "/" {
		return path, nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}
