package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A source is an open partition.
type source struct {
	clone  int  // detached mount, without the mounts below it
	fd     int  // its root folder, or that of a snapshot of it
	root   stat // of that folder
	fstype string

	mounted stat     // the root folder of the partition itself
	closed  bool     // not everybody can come there
	covered []uint64 // numbers of folders that other mounts lie on, and that are not empty
	mount   uint64   // id of the mount at the mount point

	live    int       // with a snapshot, the root folder of the partition itself; else -1
	subvol  uint64    // id of the partition's subvolume, with a snapshot
	moment  time.Time // when the snapshot was made, or earlier
	made    madeSnapshot
	because string // why there is no snapshot, where there could be one

	searched bool         // for held files, in vain, as it took too long
	patience atomic.Int64 // nanoseconds that are left to wait for leases
}

// openSource opens a clone of the mount at the partition's mount point, after making sure that it is still that partition's, and of a btrfs a snapshot.
// clock is the one that file times are compared with. ErrExcluded.
func openSource(ctx context.Context, p snapshot.Partition, clock func() time.Time) (*source, error) {
	want, err := checkMount(p)
	if err != nil {
		return nil, err
	}
	clone, err := unix.OpenTree(unix.AT_FDCWD, p.MountPoint, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err == unix.EPERM {
		return nil, fmt.Errorf("open partition %s: only root can: %w", p.MountPoint, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open partition %s: %w", p.MountPoint, err)
	}
	s := &source{clone: clone, fd: -1, live: -1, fstype: p.FSType, mount: want.mount}
	// What is mounted there from now on stays out as it is, but no kernel promises it. Before Linux 5.12 it cannot be said.
	_ = unix.MountSetattr(clone, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Propagation: unix.MS_PRIVATE})
	if s.fd, err = openAt(clone, dot, openDir); err == nil {
		s.root, err = statSubvolume(s.fd)
	}
	if err == nil && !s.root.same(&want) {
		err = errors.New("another file system was mounted there in the meantime")
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open partition %s: %w", p.MountPoint, err)
	}
	s.mounted = s.root
	if p.FSType == "btrfs" {
		s.freeze(ctx, clock)
	}
	if err := s.lookAround(p.MountPoint); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// checkMount finds the mount that is seen at the partition's mount point and compares it with what is expected there.
func checkMount(p snapshot.Partition) (stat, error) {
	st, err := statPath(p.MountPoint, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	if err != nil {
		return st, fmt.Errorf("open partition %s: %w", p.MountPoint, err)
	}
	lines, err := readMounts()
	if err != nil {
		return st, err
	}
	for i := range lines {
		m := &lines[i]
		if uint64(m.id) != st.mount || m.point != p.MountPoint {
			continue
		}
		if why := excludedType(m); why != "" {
			return st, fmt.Errorf("partition %s is %w: %s", p.MountPoint, ErrExcluded, why)
		}
		if m.fstype != p.FSType || blockDevice(m) != p.Device {
			return st, fmt.Errorf("open partition %s: %s of %s is mounted there, not %s of %s", p.MountPoint, m.fstype, m.source, p.FSType, p.Device)
		}
		return st, nil
	}
	return st, fmt.Errorf("open partition %s: nothing is mounted there any more: %w", p.MountPoint, os.ErrNotExist)
}

// lookAround finds out what bars the way to what is in the partition, beside its own modes: what its mount point lies in, its driver, and other mounts on folders in it. What
// was found before holds on, for a version has what was there at any time.
func (s *source) lookAround(point string) error {
	s.closed = s.closed || isClosed(point)
	lines, err := readMounts()
	if err != nil {
		return err
	}
	s.closed = s.closed || slices.ContainsFunc(lines, func(l mountLine) bool { return uint64(l.id) == s.mount && l.keptToOne() })
	own := s.ownMounts(lines, point)
	for i := range lines {
		rel, ok := below(lines[i].point, point)
		if !ok || rel == "" || !own[lines[i].parent] || own[lines[i].id] {
			continue
		}
		if ino := s.coveredFolder(rel); ino != 0 {
			s.covered = append(s.covered, ino)
		}
	}
	slices.Sort(s.covered)
	s.covered = slices.Compact(s.covered)
	return nil
}

// ownMounts are the numbers of the mounts in which all users see the partition at its mount point: its own, and those of folders of it on themselves, as
// `mount --bind /home /home` makes them to give a folder other options. It goes by the list alone, for to look at a mount may take forever.
func (s *source) ownMounts(lines []mountLine, point string) map[int]bool {
	found := map[int]bool{int(s.mount): true}
	at := slices.IndexFunc(lines, func(l mountLine) bool { return uint64(l.id) == s.mount })
	for n := 0; at >= 0 && n < len(found); { // one that was moved may come before the one that it lies on
		n = len(found)
		for i := range lines {
			l, own := &lines[i], &lines[at]
			rel, ok := below(l.point, point)
			if ok && found[l.parent] && l.major == own.major && l.minor == own.minor && l.root == path.Join(own.root, rel) {
				found[l.id] = true
			}
		}
	}
	return found
}

// coveredFolder returns the number of a folder that another mount lies on, 0 if there is nothing in it, or if it is none.
func (s *source) coveredFolder(rel string) uint64 {
	fd, err := unix.Openat2(s.roots()[0], rel, &unix.OpenHow{Flags: openDir | unix.O_NOATIME, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return 0
	}
	f := os.NewFile(uintptr(fd), rel)
	defer f.Close()
	st, err := statFD(fd, statMask)
	if names, _ := f.Readdirnames(1); err != nil || len(names) == 0 {
		return 0
	}
	return s.number(fd, &st)
}

// isClosed tells whether not everybody can come to a mount point: a folder above it lets some users not through, or it cannot be told.
func isClosed(point string) bool {
	const through = 0o111
	for dir := point; dir != "/"; {
		dir = path.Dir(dir)
		st, err := statPath(dir, lookOnly)
		if err != nil || st.mode&through != through {
			return true
		}
		if _, err := unix.Lgetxattr(dir, accessACL, nil); !isNone(err) {
			return true // what the ACL says of whom is not kept
		}
	}
	return false
}

// close closes everything, and removes the snapshot if thaw did not.
func (s *source) close() {
	_ = s.thaw()
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
	unix.Close(s.clone)
}
