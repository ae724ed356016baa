package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// ErrExcluded is what Locate's and Run's error wraps when something is never backed up.
var ErrExcluded = errors.New("never backed up")

// Locate tells which partition the absolute path lies on, and the path there with the symbolic links on the way followed (a link at its
// end is not: it is what is meant). fs.ErrNotExist, ErrExcluded.
func Locate(path string) (m Mount, resolved string, err error) {
	mounts, err := Discover()
	if err != nil {
		return Mount{}, "", err
	}
	return locate(mounts, path)
}

func locate(mounts []Mount, path string) (Mount, string, error) {
	if !filepath.IsAbs(path) {
		return Mount{}, "", fmt.Errorf("%s: not an absolute path", path)
	}
	resolved, err := resolveParent(path)
	if err == nil {
		_, err = statPath(resolved, lookOnly)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Mount{}, "", fmt.Errorf("%s: there is no such file or folder: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return Mount{}, "", fmt.Errorf("find the partition of %s: %w", path, err)
	}
	m, ok := longestMount(mounts, resolved)
	if !ok {
		return Mount{}, "", fmt.Errorf("%s lies on no mounted file system", path)
	}
	if m.Excluded != "" {
		return m, resolved, fmt.Errorf("%s lies on %s (%s), which is %w: %s", path, m.MountPoint, m.FSType, ErrExcluded, m.Excluded)
	}
	return m, resolved, nil
}

// longestMount finds the mount whose point is the longest prefix of path. Of several at one point the eligible one is seen; where none
// is, any will do to say why not.
func longestMount(mounts []Mount, path string) (best Mount, found bool) {
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
