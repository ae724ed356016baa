package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
		for _, root := range s.roots() {
			if st, ok := covered(root, point, p); ok {
				never[fileID{st.dev, st.ino}] = true
			}
		}
	}
	if never[fileID{s.root.dev, s.root.ino}] {
		return nil, fmt.Errorf("partition %s is %w: %s", point, ErrExcluded, isOurs)
	}
	return never, nil
}

// isOurs is why a partition is not backed up whose root folder lies in one that never is.
const isOurs = "it holds the vault or what belongs to it"

// LeaveOut marks the mounts that are one of the places or folders, which are never backed up, or lie below one of the folders, by whatever names. What is mounted
// elsewhere below a place is somebody's own. Only what can be backed up is asked anything: another file system may never answer.
func LeaveOut(mounts []Mount, places, folders []string) {
	ids := map[fileID]bool{}
	resolve := func(paths []string) (points []string) {
		for _, p := range paths {
			p, ok := Reach(mounts, p)
			points = append(points, p)
			if !ok {
				continue
			}
			if st, err := statPath(p, lookOnly); err == nil {
				ids[fileID{st.dev, st.ino}] = true
			}
		}
		return points
	}
	places, folders = resolve(places), resolve(folders)
	for i := range mounts {
		m := &mounts[i]
		if m.Excluded != "" && !m.Broken {
			continue
		}
		st, err := statPath(m.MountPoint, lookOnly)
		isBelowOne := func(p string) bool { return isBelow(m.MountPoint, p) }
		if err == nil && ids[fileID{st.dev, st.ino}] || slices.Contains(places, m.MountPoint) || slices.ContainsFunc(folders, isBelowOne) {
			m.Excluded, m.Broken = isOurs, false
		}
	}
}

// mayAsk tells whether a path lies on what is backed up, there or elsewhere.
func mayAsk(mounts []Mount, path string) bool {
	m, ok := MountOf(mounts, path)
	return ok && (m.Excluded == "" || strings.HasPrefix(m.Excluded, backedUpAs))
}

// Reach follows the symbolic links of a path as far as it lies on what can be backed up. It is false if that is not all of the way; what lies there is not to be asked then.
func Reach(mounts []Mount, path string) (real string, ok bool) {
	real = follow(mounts, path)
	return real, mayAsk(mounts, real)
}

// follow follows the symbolic links of a path as far as it lies on what can be backed up.
func follow(mounts []Mount, path string) string {
	at, rest := "/", filepath.Clean(path)
	for links := 0; rest != "" && links < 40; {
		name, after, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		next := filepath.Join(at, name)
		if !mayAsk(mounts, next) {
			return filepath.Join(next, after)
		}
		to, err := os.Readlink(next)
		switch {
		case err != nil:
			at, rest = next, after
			continue
		case !filepath.IsAbs(to):
			to = filepath.Join(at, to)
		}
		at, rest, links = "/", filepath.Join(to, after), links+1
	}
	return filepath.Join(at, rest)
}

// neverIn are those of the paths that lie on the partition, by what they really are called.
func neverIn(point string, paths []string) (in []string) {
	for _, p := range paths {
		if p = realPath(p); filepath.IsAbs(p) && isBelow(p, point) {
			in = append(in, p)
		}
	}
	return in
}

// realPath follows the symbolic links of a path as far as it is there. What its last element leads to, which may be our own mount, is asked nothing.
func realPath(path string) string {
	p := filepath.Clean(path)
	for range 40 {
		real, err := resolveParent(p)
		if err != nil {
			return p
		}
		to, err := os.Readlink(real)
		if err != nil {
			return real
		}
		if p = to; !filepath.IsAbs(to) {
			p = filepath.Join(filepath.Dir(real), to)
		}
	}
	return filepath.Clean(path)
}

// roots are the root folders that lead to what is captured: of the partition, and of its snapshot.
func (s *source) roots() []int {
	if s.live < 0 {
		return []int{s.fd}
	}
	return []int{s.live, s.fd}
}

// covered looks for the absolute path below the open root folder, where no other mount is in the way.
func covered(root int, point, path string) (stat, bool) {
	if !strings.HasPrefix(path, "/") {
		return stat{}, false
	}
	real, err := resolveParent(path)
	if err != nil {
		return stat{}, false
	}
	rel, ok := below(real, point)
	if !ok {
		return stat{}, false
	}
	if rel == "" {
		st, err := statFD(root, statMask)
		return st, err == nil
	}
	fd, err := unix.Openat2(root, rel, &unix.OpenHow{
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
