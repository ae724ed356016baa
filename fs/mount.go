package fs

import (
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	mountType   = "fuse.yester" // what mountinfo calls our mounts
	mountSource = "yester"

	maxRead       = 1 << 20 // bytes of the largest read request
	maxBackground = 64      // reads ahead under way at once
	readAheadKB   = 1024
)

// prepareFolder makes dir, or checks that it is an empty folder.
func prepareFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		if info, statErr := os.Stat(dir); statErr == nil && !info.IsDir() {
			return fmt.Errorf("%s is not a folder: choose an empty folder for the mount", dir)
		}
		return fmt.Errorf("make mount folder: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("look into mount folder: %w", err)
	}
	defer f.Close()
	switch _, err := f.Readdirnames(1); {
	case err == nil:
		return fmt.Errorf("%s is not empty: choose an empty folder for the mount", dir)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("look into mount folder: %w", err)
	}
	return nil
}

// mountFuse mounts a new FUSE connection at dir, which must be absolute and free of symlinks, and returns the connection's
// descriptor. It is done here and not by go-fuse, so that the descriptor is never inherited by a child: a child that
// held it would keep the mount of a killed daemon half alive.
func mountFuse(dir string) (at mountPoint, fd int, err error) {
	fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return at, -1, fmt.Errorf("open /dev/fuse: %w (load it with: modprobe fuse; and be root)", err)
	}
	if err := checkFuse(fd); err != nil {
		unix.Close(fd)
		return at, -1, err
	}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other,max_read=%d", fd, maxRead)
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
	if err := unix.Mount(mountSource, dir, mountType, flags, data); err != nil {
		unix.Close(fd)
		return at, -1, fmt.Errorf("mount on %s: %w", dir, err)
	}
	at, err = topMount(dir)
	if err == nil && at.fsType != mountType {
		err = fmt.Errorf("%s was covered by another mount", dir)
	}
	if err != nil {
		unix.Close(fd)
		return at, -1, errors.Join(err, detach(dir))
	}
	return at, fd, nil
}

// checkFuse tells whether fd is the device of FUSE, which the mount would only say by EINVAL.
func checkFuse(fd int) error {
	const major, minor = 10, 229
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("look at /dev/fuse: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(major, minor) {
		return fmt.Errorf("/dev/fuse is not the device of FUSE (make it anew with: rm /dev/fuse; mknod /dev/fuse c %d %d)", major, minor)
	}
	return nil
}

// detach takes what is mounted on dir out of sight at once and cuts its connection, whoever uses it.
func detach(dir string) error {
	err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// unmount detaches this very mount. If it is gone already, its connection is cut as far as that can be done.
func (at mountPoint) unmount() error {
	top, err := topMount(at.dir)
	if err != nil {
		return err
	}
	if top == at {
		return detach(at.dir)
	}
	there, err := at.isThere()
	if err != nil {
		return err
	}
	if there {
		return fmt.Errorf("unmount %s: a mount of %s covers it: unmount that first", at.dir, top.fsType)
	}
	at.abort()
	return nil
}

// isThere tells whether this very mount is among those of our namespace. All of it must be the same: the kernel gives an id, or a device's number, again as soon
// as it is free.
func (at mountPoint) isThere() (bool, error) {
	mounts, err := readMounts()
	return slices.Contains(mounts, at), err
}

// abort cuts the connection of a mount that is nowhere to be found, but may go on in a container. It needs the control file
// system of FUSE, which is not mounted everywhere.
func (at mountPoint) abort() {
	_, minor, _ := strings.Cut(at.device, ":")
	_ = os.WriteFile("/sys/fs/fuse/connections/"+minor+"/abort", []byte("1"), 0)
}

func joinUnmount(err error, at mountPoint) error { return errors.Join(err, at.unmount()) }

// mountOptions are for the part that go-fuse does: agreeing with the kernel on how to talk.
func (v *view) mountOptions(trace io.Writer) *fuse.MountOptions {
	o := &fuse.MountOptions{
		Name:                     mountSource,
		AllowOther:               true,
		MaxBackground:            maxBackground,
		MaxWrite:                 maxRead, // of reads too
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true,
		EnableAcl:                true,
		DisableSplice:            true,
		// Not READDIRPLUS_AUTO: with it the kernel asks for attributes in a folder's first page only when a program lists before
		// it stats, as find and cp do, and then looks up each further file by itself: four times slower for 100,000 of them.
		ExtraCapabilities: fuse.CAP_NO_OPENDIR_SUPPORT | fuse.CAP_ASYNC_DIO | fuse.CAP_EXPORT_SUPPORT,
		// Passthrough would count as a stacked file system, and forbid overlays on a version.
		DisabledCapabilities: fuse.CAP_PASSTHROUGH,
		// Its messages concern single answers that the kernel no longer wanted.
		Logger:       slog.NewLogLogger(v.log.Handler(), slog.LevelDebug),
		PanicHandler: v.panicked,
	}
	if trace != nil {
		o.Debug, o.Logger = true, log.New(trace, "", 0)
	}
	return o
}
