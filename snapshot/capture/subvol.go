package capture

import (
	"bytes"
	"context"
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

const (
	btrfsSubvolGetFlags = 0x80089419 // BTRFS_IOC_SUBVOL_GETFLAGS
	btrfsInoLookup      = 0xd0009412 // BTRFS_IOC_INO_LOOKUP
	btrfsSubvolReadOnly = 1 << 1
	btrfsSubvolGetInfo  = 0x81f8943c // BTRFS_IOC_GET_SUBVOL_INFO
	btrfsRootIno        = 256        // of a subvolume's root folder

	// subvolShift makes room for a subvolume's id above the inode number: numbers begin anew in each subvolume.
	subvolShift = 44
)

// readOnlySubvol tells whether the open root of a subvolume is a read-only one.
func readOnlySubvol(fd int) bool {
	var flags uint64
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), btrfsSubvolGetFlags, uintptr(unsafe.Pointer(&flags)))
	return e == 0 && flags&btrfsSubvolReadOnly != 0
}

// keptSnapshot tells whether the open root of a subvolume is a read-only snapshot, as programs keep them of what is backed up anyway. What `btrfs receive` made is none: it came from elsewhere,
// and may be nowhere else.
func keptSnapshot(fd int) bool {
	if !readOnlySubvol(fd) {
		return false
	}
	var info struct { // struct btrfs_ioctl_get_subvol_info_args
		_                    [8 + 256 + 4*8]byte
		uuid, parent, source [16]byte // of itself, of what it is a snapshot of, of what was sent to be received
		_                    [4*8 + 4*16 + 8*8]byte
	}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), btrfsSubvolGetInfo, uintptr(unsafe.Pointer(&info)))
	return e == 0 && info.parent != [16]byte{} && info.source == [16]byte{}
}

// leaveSnapshot leaves out what is in the open folder d, a snapshot, and says so if the parent version has something of it; old is what that has.
func (w *walker) leaveSnapshot(d *directory, old *snapshot.Entry) {
	w.skipped++
	w.lost(old)
	if d.known == nil {
		w.leaveOut()
	}
	d.known.passOver()
	if old != nil && old.IsDir() && old.Tree != (store.ID{}) {
		w.warn("it is a read-only snapshot by now, and what is in it is left out, from now on without a word; it is taken if it is a path of its own (--path)")
	}
}

// statSubvolume is statFD of an open folder, with the id of its subvolume.
func statSubvolume(fd int) (stat, error) {
	st, err := statFD(fd, statMask|unix.STATX_SUBVOL)
	if err == nil && st.subvol == 0 { // Linux before 6.10
		st.subvol = subvolumeID(fd)
	}
	return st, err
}

// subvolumeID asks btrfs in which subvolume a folder is, which may be open just to look at it: any kernel says so. It is 0 on other file systems.
func subvolumeID(folder int) uint64 {
	fd, err := openAt(folder, dot, openDir)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	args := struct {
		id, ino uint64 // 0: the one that fd is in
		name    [4080]byte
	}{ino: btrfsRootIno}
	if btrfsIoctl(fd, btrfsInoLookup, unsafe.Pointer(&args)) != nil {
		return 0
	}
	return args.id
}

// A volume is the part of the partition a folder lies in: the partition itself, or a subvolume nested in it.
type volume struct {
	dev uint64
	id  uint64 // 0 for the partition itself
}

func (v volume) ino(ino uint64) uint64 { return ino | v.id<<subvolShift }

// subvolume has t, which stands for a nested subvolume in a snapshot, be that subvolume in the partition itself; t.dir is the caller's to close then. One that
// is there no more has vanished.
func (w *walker) subvolume(t *target) error {
	dir, err := w.src.liveFolder(w.path[:len(w.path)-len(t.name.bytes())])
	if err != nil {
		return &sourceError{"open", -1, err}
	}
	err = statx(dir, t.name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &w.statx, &t.stat)
	if err == nil && (t.stat.ino != btrfsRootIno || t.stat.kind() != unix.S_IFDIR) {
		err = unix.ENOENT
	}
	if err != nil {
		unix.Close(dir)
		return &sourceError{"stat", -1, err}
	}
	t.dir = dir
	return nil
}

// isSnapshot tells whether t is a snapshot that a capture has made, or the folder of one: its own, that of another one that is at work, or one that could not be removed.
// They are no part of a partition.
func (w *walker) isSnapshot(t *target) bool {
	name := t.name.bytes()
	if w.src.fstype != "btrfs" || len(w.path) != len(name) || t.stat.kind() != unix.S_IFDIR || !bytes.HasPrefix(name, []byte(snapshotPrefix)) {
		return false
	}
	if t.stat.ino == btrfsRootIno { // as an earlier program made them
		return t.stat.dev != w.src.root.dev
	}
	fd, err := openAt(t.dir, t.name, openDir)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return isSnapshotFolder(fd)
}

// isSnapshotFolder tells whether the open folder fd is one that a capture made for its snapshot: root's alone, and with nothing else in it.
func isSnapshotFolder(fd int) bool {
	st, err := statFD(fd, statMask)
	if err != nil || st.uid != 0 || st.mode&permissions&^ownerPermissions != 0 {
		return false
	}
	var n names
	err = n.list(context.Background(), fd, make([]byte, 4<<10), func([]byte) bool { return true })
	if err != nil || n.len() == 0 {
		return err == nil
	}
	in, err := openAt(fd, n.at(0), openDir)
	if err != nil {
		return false
	}
	defer unix.Close(in)
	st, err = statFD(in, statMask)
	isOne := st.ino == btrfsRootIno && readOnlySubvol(in) || st.ino == btrfsPlaceholderIno // in a snapshot
	return err == nil && isOne && n.len() == 1 && string(n.at(0).bytes()) == snapshotName
}

// nested returns the volume that begins at the open folder fd. A subvolume whose id is not told, or too large, gets a number counted from the top, lest it
// meet real ones; files in it are then read again when the order of subvolumes changed.
func (w *walker) nested(fd int) volume {
	st, err := statSubvolume(fd)
	if err == nil && st.subvol != 0 && st.subvol < 1<<(64-subvolShift) {
		return volume{st.dev, st.subvol}
	}
	return volume{st.dev, 1<<(64-subvolShift) - w.unnumbered.Add(1)}
}

// number is the inode number that an entry of the open file fd has.
func (s *source) number(fd int, st *stat) uint64 {
	if st.dev == s.root.dev || st.dev == s.mounted.dev {
		return st.ino
	}
	v := volume{dev: st.dev}
	if st, err := statSubvolume(fd); err == nil {
		v.id = st.subvol // without one there is no going by changes
	}
	return v.ino(st.ino)
}
