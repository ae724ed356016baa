package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Discover lists the mounted file systems, sorted by mount point: the eligible ones and, marked, those that are not. Only of eligible
// ones is anything asked, so a network file system that does not answer holds up nothing.
func Discover() ([]Mount, error) {
	lines, err := readMounts()
	if err != nil {
		return nil, err
	}
	found := make([]candidate, len(lines))
	for i := range lines {
		found[i] = candidate{mountLine: lines[i], excluded: excludedType(&lines[i])}
		found[i].look()
	}
	markDuplicates(found)
	return describe(found), nil
}

// A candidate is a mount on its way to being eligible.
type candidate struct {
	mountLine
	device   uint64 // tells file systems apart, and subvolumes
	excluded string
	same     string // the mount point of the one it is left out for, if that has the same root
	broken   error  // what the mount point answers, instead of what is there
}

// look asks the mount point whether this mount is the one that is seen there.
func (c *candidate) look() {
	if c.excluded != "" {
		return
	}
	st, err := statPath(c.point, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR): // another mount covers a folder above
		c.excluded = unreached(err)
	case err != nil:
		c.broken, c.device = err, unix.Mkdev(c.major, c.minor)
		return
	case st.mount != uint64(c.id):
		c.excluded = "hidden by another mount"
	case st.kind() != unix.S_IFDIR:
		c.excluded = "a single file mounted elsewhere"
	}
	// All mounts of a btrfs have the same number in mountinfo; its subvolumes have their own in stat.
	c.device = st.dev
}

func unreached(err error) string { return "cannot be reached: " + err.Error() }

// backedUpAs is why a mount is excluded that shows a part of another one, and is followed by where that is.
const backedUpAs = "backed up as "

// markDuplicates leaves one mount of each device and folder: the one that shows most of it, then the one with the shortest path; see KeepPoints.
func markDuplicates(found []candidate) {
	order := make([]*candidate, 0, len(found))
	for i := range found {
		if found[i].excluded == "" {
			order = append(order, &found[i])
		}
	}
	sort.SliceStable(order, func(i, j int) bool {
		a, b := order[i], order[j]
		if len(a.root) != len(b.root) {
			return len(a.root) < len(b.root)
		}
		return len(a.point) < len(b.point) || len(a.point) == len(b.point) && a.point < b.point
	})
	for i, c := range order {
		for _, kept := range order[:i] {
			if kept.excluded == "" && kept.device == c.device && isBelow(c.root, kept.root) {
				if c.excluded = backedUpAs + kept.point; c.root == kept.root {
					c.same = kept.point
				}
				break
			}
		}
	}
}

// isBelow tells whether path is dir or below it.
func isBelow(path, dir string) bool {
	_, ok := below(path, dir)
	return ok
}

// below returns path relative to dir, "" for dir itself, and whether it is there or below. Both are clean and absolute.
func below(path, dir string) (rel string, ok bool) {
	if dir == "/" {
		return path[1:], true
	}
	rel, ok = strings.CutPrefix(path, dir)
	if !ok || rel != "" && rel[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rel, "/"), true
}

// describe makes the answer of Discover.
func describe(found []candidate) []Mount {
	var points []string
	for i := range found {
		if found[i].excluded == "" {
			points = append(points, found[i].point)
		}
	}
	names := partitionNames(points)
	mounts := make([]Mount, 0, len(found))
	for i := range found {
		c := &found[i]
		m := Mount{Excluded: c.excluded, same: c.same}
		m.MountPoint, m.Device, m.FSType = c.point, c.source, c.fstype
		switch {
		case c.broken != nil && c.excluded == "":
			m.Name, m.Excluded, m.Broken = names[c.point], unreached(c.broken), true
		case c.same != "":
			m.Name, m.Device = partitionName(c.point), blockDevice(&c.mountLine)
		case c.excluded != "":
			m.Name = partitionName(c.point)
		default:
			m.Name, m.Device = names[c.point], blockDevice(&c.mountLine)
			m.UUID = fileSystemUUID(m.Device, m.FSType)
			measure(&m)
		}
		mounts = append(mounts, m)
	}
	sort.SliceStable(mounts, func(i, j int) bool { return mounts[i].MountPoint < mounts[j].MountPoint })
	return mounts
}

// measure asks the file system for its size.
func measure(m *Mount) {
	var fs unix.Statfs_t
	if err := unix.Statfs(m.MountPoint, &fs); err != nil {
		return
	}
	unit := uint64(fs.Frsize)
	if unit == 0 {
		unit = uint64(fs.Bsize)
	}
	m.Size, m.Used, m.Inodes = fs.Blocks*unit, (fs.Blocks-fs.Bfree)*unit, fs.Files
}

// blockDevice returns the device's path. The source is only what the mounter said, and can be "/dev/root", which does not exist.
func blockDevice(m *mountLine) string {
	if m.major == 0 {
		return m.source
	}
	var st unix.Stat_t
	if unix.Stat(m.source, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK && st.Rdev == unix.Mkdev(m.major, m.minor) {
		return m.source
	}
	if p, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", m.major, m.minor)); err == nil {
		// In sysfs names a slash is written as an exclamation mark.
		dev := "/dev/" + strings.ReplaceAll(filepath.Base(p), "!", "/")
		if _, err := os.Stat(dev); err == nil {
			return dev
		}
	}
	return m.source
}
