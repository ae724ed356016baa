package track

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// markTop marks the file system of a mounted btrfs subvolume by its topmost one: a subvolume by itself the kernel refuses. The mount that this takes is seen by nobody,
// and is gone at once; a mark does not need it.
func (j *Journal) markTop() error {
	device, err := mountedDevice(j.path)
	if err != nil {
		return err
	}
	context, err := unix.Fsopen("btrfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(context)
	if err := unix.FsconfigSetString(context, "source", device); err != nil {
		return err
	}
	if err := unix.FsconfigSetString(context, "subvolid", "5"); err != nil {
		return err
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return err
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return j.markAt(mount, ".")
}

// subvolumeOf takes the key of a folder of a btrfs apart, into its number and the id of its subvolume; of another file system there is none. struct btrfs_fid has both, and
// its generation.
func subvolumeOf(key []byte) (ino uint64, volume []byte) {
	const withoutParent = 0x4d // FILEID_BTRFS_WITHOUT_PARENT
	if len(key) != 4+20 || binary.NativeEndian.Uint32(key) != withoutParent {
		return 0, nil
	}
	return binary.NativeEndian.Uint64(key[4:]), key[12:20]
}

// mountedDevice is what the mount at a path was mounted from.
func mountedDevice(path string) (string, error) {
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &x); err != nil {
		return "", err
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	id := strconv.AppendUint(nil, x.Mnt_id, 10)
	for line := range bytes.Lines(b) {
		left, right, _ := bytes.Cut(line, []byte(" - "))
		if f := bytes.Fields(right); bytes.HasPrefix(left, append(id, ' ')) && len(f) > 1 {
			return string(f[1]), nil
		}
	}
	return "", fmt.Errorf("nothing is mounted at %s", path)
}
