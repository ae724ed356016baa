package capture

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// snapshotPrefix begins the names of the folders, in the root folder of a partition, in which captures make their snapshots. Only root may enter them: in a
	// snapshot lies open what other mounts cover, and what is deleted or closed meanwhile. Each is locked (flock) as long as the process that made it is at work;
	// one that is not was left by a process that was killed. An earlier program made the snapshots themselves under such names.
	snapshotPrefix = ".yester-snapshot-"
	snapshotName   = "snapshot" // in its folder

	btrfsSnapCreateV2 = 0x50009417 // BTRFS_IOC_SNAP_CREATE_V2
	btrfsSnapDestroy  = 0x5000940f // BTRFS_IOC_SNAP_DESTROY

	// btrfsPlaceholderIno is of the empty folder that a snapshot has in the place of a nested subvolume.
	btrfsPlaceholderIno = 2

	btrfsHandle = 0x4d // FILEID_BTRFS_WITHOUT_PARENT
)

// freeze has s read from a read-only snapshot of the partition, so that all of the version is of one moment; where none can be made, s.because says why. Inode
// numbers, times and all else are those of the partition itself, only the device number is another. Snapshots do not reach into nested subvolumes: these
// are read as they are.
func (s *source) freeze(ctx context.Context, clock func() time.Time) {
	if s.root.ino != btrfsRootIno {
		s.because = "what is mounted is a folder within a subvolume"
		return
	}
	_, _ = removeAbandoned(s.fd) // what cannot be removed now is in nobody's way
	moment := clock()
	made, err := snapshotInTime(ctx, s.fd, snapshotPatience)
	if err == nil {
		var root stat
		if root, err = statSubvolume(made.fd); err == nil {
			root.size -= 2 * uint64(len(made.name)) // what the folder of the snapshot adds to that of the root folder, and is there no more after it
			s.subvol = s.root.subvol
			s.live, s.fd, s.root, s.moment, s.made = s.fd, made.fd, root, moment, made
			return
		}
		_ = made.remove(s.fd)
	}
	s.because = snapshotTrouble(err)
}

// snapshotTrouble says in words why there is no snapshot.
func snapshotTrouble(err error) string {
	for _, k := range []struct {
		is   error
		what string
	}{
		{unix.EROFS, "it is mounted read-only"},
		{unix.ETXTBSY, "a swap file is in use on it"},
		{unix.ENOSPC, "it has no space left for one"},
		{unix.EDQUOT, "its quota is used up"},
		{errSlowSnapshot, "others write so much to it that none could be made within " + snapshotPatience.String()},
	} {
		if errors.Is(err, k.is) {
			return k.what
		}
	}
	return "no snapshot can be made: " + err.Error()
}

// frozen makes of the handle of a file of the partition that of the same file in the snapshot: struct btrfs_fid has the file's number, its subvolume's id,
// and its generation. Those of files in nested subvolumes stay.
func (s *source) frozen(h unix.FileHandle) unix.FileHandle {
	b := h.Bytes()
	if s.live < 0 || h.Type() != btrfsHandle || len(b) < 20 || binary.NativeEndian.Uint64(b[8:]) != s.subvol {
		return h
	}
	b = bytes.Clone(b)
	binary.NativeEndian.PutUint64(b[8:], s.root.subvol)
	return unix.NewFileHandle(btrfsHandle, b)
}

// below makes of a path below the mount one below the root folder, of the snapshot if there is one.
func (s *source) below(path string) string {
	path = strings.TrimPrefix(path, "/")
	if s.live >= 0 {
		if rest, ok := below("/"+path, "/"+s.made.name+"/"+snapshotName); ok {
			return rest
		}
	}
	return path
}

// thaw removes the snapshot; nothing of it may be open any more.
func (s *source) thaw() error {
	if s.live < 0 {
		return nil
	}
	s.fd, s.live = s.live, -1
	if err := s.made.remove(s.fd); err != nil {
		return fmt.Errorf("remove the snapshot %s: %w", s.made.name, err)
	}
	return nil
}

// isPlaceholder tells whether a name in the snapshot stands for a nested subvolume.
func (s *source) isPlaceholder(v volume, st *stat) bool {
	return s.live >= 0 && v.id == 0 && st.ino == btrfsPlaceholderIno && st.kind() == unix.S_IFDIR
}

// liveFolder opens a folder of the partition itself by its path, step by step, so that the path may have any length.
func (s *source) liveFolder(path []byte) (fd int, err error) {
	if fd, err = unix.Dup(s.live); err != nil {
		return -1, err
	}
	for step := range strings.SplitSeq(string(path), "/") {
		if step == "" {
			continue
		}
		next, err := rawOpenAt(fd, append(zname(step), 0), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC)
		unix.Close(fd)
		if err != nil {
			return -1, err
		}
		fd = next
	}
	return fd, nil
}

// snapshotPatience is how long a capture waits for its snapshot. The kernel first waits for those who write, without an end and deaf to signals, while new
// ones keep coming (btrfs_drew_write_lock).
const snapshotPatience = 30 * time.Second

var errSlowSnapshot = errors.New("making a snapshot takes too long")

// A madeSnapshot is a snapshot that this process has made.
type madeSnapshot struct {
	name   string // of its folder
	folder int    // which is open, and locked
	fd     int    // its own root folder
	err    error
}

// snapshotInTime is createSnapshot with patience. A snapshot that comes later is removed then.
func snapshotInTime(ctx context.Context, root int, patience time.Duration) (madeSnapshot, error) {
	root, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return madeSnapshot{}, err
	}
	made, late := make(chan madeSnapshot), make(chan struct{})
	go func() {
		defer unix.Close(root)
		m := createSnapshot(root)
		select {
		case made <- m:
		case <-late:
			if m.err == nil {
				_ = m.remove(root)
			}
		}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m := <-made:
		return m, m.err
	case <-timer.C:
		close(late)
		return madeSnapshot{}, errSlowSnapshot
	case <-ctx.Done():
		close(late)
		return madeSnapshot{}, ctx.Err()
	}
}

// createSnapshot makes a read-only snapshot of the subvolume whose root folder is open, in a folder in it that is locked before.
func createSnapshot(root int) madeSnapshot {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	m := madeSnapshot{name: snapshotPrefix + hex.EncodeToString(random[:]), folder: -1, fd: -1}
	if m.err = keepingMtime(root, func() error { return unix.Mkdirat(root, m.name, 0o700) }); m.err != nil {
		return m
	}
	if m.folder, m.err = openAt(root, append(zname(m.name), 0), openDir); m.err != nil {
		_ = unix.Unlinkat(root, m.name, unix.AT_REMOVEDIR)
		return m
	}
	if m.err = unix.Flock(m.folder, unix.LOCK_EX|unix.LOCK_NB); m.err == nil {
		args := struct {
			fd, transaction, flags uint64
			unused                 [4]uint64
			name                   [4040]byte
		}{fd: uint64(root), flags: btrfsSubvolReadOnly}
		copy(args.name[:], snapshotName)
		m.err = btrfsIoctl(m.folder, btrfsSnapCreateV2, unsafe.Pointer(&args))
	}
	if m.err == nil {
		m.fd, m.err = openAt(m.folder, append(zname(snapshotName), 0), openDir)
	}
	if m.err != nil {
		_ = m.remove(root)
	}
	return m
}

// remove deletes the snapshot and its folder, which is in the open folder root. Nothing in it may be open any more but what m itself holds.
func (m *madeSnapshot) remove(root int) error {
	if m.fd >= 0 {
		unix.Close(m.fd)
	}
	defer unix.Close(m.folder) // lets go of the lock
	return removeSnapshot(root, m.folder, m.name)
}

// removeSnapshot deletes the snapshot in an open folder, if there is one, and that folder, which has the name in the open folder root.
func removeSnapshot(root, folder int, name string) error {
	if err := destroySubvolume(folder, snapshotName); err != nil && err != unix.ENOENT {
		return err
	}
	return keepingMtime(root, func() error { return unix.Unlinkat(root, name, unix.AT_REMOVEDIR) })
}

// destroySubvolume deletes the subvolume of a name in the open folder dir.
func destroySubvolume(dir int, name string) error {
	var args struct {
		fd   uint64
		name [4088]byte
	}
	copy(args.name[:], name)
	return btrfsIoctl(dir, btrfsSnapDestroy, unsafe.Pointer(&args))
}

func btrfsIoctl(fd int, call uintptr, args unsafe.Pointer) error {
	for {
		switch _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), call, uintptr(args)); e {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return e
		}
	}
}

// keepingMtime gives the open folder its time of modification back after something was made or removed in it: who looks at the partition is not to see
// that it is backed up.
func keepingMtime(dir int, do func() error) error {
	before, err := statFD(dir, statMask)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: before.mtime.Sec, Nsec: int64(before.mtime.Nsec)}}
	_ = unix.UtimesNanoAt(dir, ".", times, 0) // a time that is off costs nothing
	return nil
}

// removeAbandoned removes the snapshots in the open root folder of a partition that nobody works with any more.
func removeAbandoned(root int) (removed []string, err error) {
	list, err := openAt(root, dot, openDir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(list)
	var n names
	err = n.list(context.Background(), list, make([]byte, 64<<10), func(name []byte) bool { return strings.HasPrefix(string(name), snapshotPrefix) })
	for i := range n.len() {
		fd, e := openAt(root, n.at(i), openDir)
		if e != nil {
			continue
		}
		name, is := string(n.at(i).bytes()), isSnapshotFolder(fd)
		remove := func() error { return removeSnapshot(root, fd, name) }
		if st, e := statFD(fd, statMask); e == nil && st.ino == btrfsRootIno { // as an earlier program made them
			is = readOnlySubvol(fd)
			remove = func() error { return keepingMtime(root, func() error { return destroySubvolume(root, name) }) }
		}
		if is && unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			if e := remove(); e != nil {
				err = errors.Join(err, fmt.Errorf("remove the snapshot %s: %w", name, e))
			} else {
				removed = append(removed, name)
			}
		}
		unix.Close(fd)
	}
	return removed, err
}

// Tidy removes the snapshots that captures of a process that was killed have left on the partitions, and returns their paths. Those of captures that
// are at work, of whatever process, stay.
func Tidy(mounts []Mount) (removed []string, err error) {
	for _, m := range mounts {
		if m.Excluded != "" || m.FSType != "btrfs" {
			continue
		}
		root, e := openAt(unix.AT_FDCWD, append(zname(m.MountPoint), 0), openDir)
		if e != nil {
			continue // it was unmounted meanwhile
		}
		names, e := removeAbandoned(root)
		unix.Close(root)
		for _, name := range names {
			removed = append(removed, strings.TrimSuffix(m.MountPoint, "/")+"/"+name)
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("tidy %s: %w", m.MountPoint, e))
		}
	}
	return removed, err
}
