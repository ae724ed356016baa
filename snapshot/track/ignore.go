package track

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// To be told of what is done costs who does it about a microsecond each time, which adds up where files are made by the ten thousand. So the kernel is told to
// ignore a new folder that gets very many. The folder counts as wholly dirty then, and being new it is looked at with all in it anyway. Ignoring ends before the
// set is cut off: all that was ignored was done before.
//
// What is ignored is that a file in the folder is made, written to, closed or removed, or that its attributes change. Heard as ever is what is done to folders in it; and, of
// any file, that it is renamed, gets another name, or loses one. In a new folder no file has been through that before the set began. So of a file that was changed
// unheard the handle is in the set, or it never had a name but the one in the folder.
//
// In an older folder it is not so. A file there may have several names for long. Or it lost the one it had there, and is written to by who has it open, or, through an
// overlay file system, by who opens it now by another name: to the kernel that still happens in the folder. So an older folder is always listened to.
const ignored = unix.FAN_CREATE | unix.FAN_MODIFY | unix.FAN_CLOSE_WRITE | unix.FAN_ATTRIB | unix.FAN_DELETE | unix.FAN_EVENT_ON_CHILD

const (
	busyNames  = 256  // of a new folder that must have changed before it is ignored
	maxIgnored = 1024 // folders at a time

	ignoreFlags = unix.FAN_MARK_ADD | unix.FAN_MARK_IGNORE_SURV | unix.FAN_MARK_EVICTABLE | unix.FAN_MARK_ONLYDIR // of Linux 6.0
)

// subvolumeIno is the number of the topmost folder of each btrfs subvolume. That of a snapshot is new, and what is in it is not.
const subvolumeIno = 256

// Busy sets how many names of a new folder must have changed for it to be listened to no more until the next cut, 0 for never. The default is 256.
func (j *Journal) Busy(names int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.busy, j.set.busyNames = names, names
}

// ignoreBusy has the kernel ignore the folders that were found busy. It must not come between the end of ignoring and that of the set. j.mu is held.
func (j *Journal) ignoreBusy() {
	busy := j.set.busy
	j.set.busy = nil
	for _, folder := range busy {
		if j.fd < 0 || j.how == 0 || j.ignored >= maxIgnored || j.set.is(folder, whole) {
			continue
		}
		if err := j.ignore(folder); err == unix.EINVAL {
			j.how = 0 // the kernel is older
		}
	}
}

// ignore has the kernel ignore a folder of the set, if it is still there. The mark is that of its inode: it goes where the folder goes, and is gone when the
// folder is, or when the kernel remembers it no longer. Then what is done is heard again. In a subvolume of a btrfs the kernel refuses.
func (j *Journal) ignore(folder uint32) error {
	mount, err := unix.Open(j.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	dir, err := unix.OpenByHandleAt(mount, handleOf(j.set.folders.key(folder)), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil || st.Ino == subvolumeIno {
		return err
	}
	flags := j.set.folders.value(folder)
	flags[0] |= whole // first: nothing may be ignored that the set does not tell
	if err := unix.FanotifyMark(j.fd, j.how, ignored, dir, "."); err != nil {
		flags[0] &^= whole
		return err
	}
	j.ignored++
	return nil
}

// heed ends all ignoring. j.mu is held; the events that are there are to be read next.
func (j *Journal) heed() {
	if j.ignored == 0 {
		return
	}
	j.ignored = 0
	if err := unix.FanotifyMark(j.fd, unix.FAN_MARK_FLUSH, 0, unix.AT_FDCWD, "."); err != nil {
		j.fail(fmt.Errorf("listen to all folders again: %w", err))
	}
}
