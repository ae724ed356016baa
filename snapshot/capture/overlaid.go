package capture

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var errOverlaid = errors.New("a file is open in an overlay file system, and it cannot be told where it lies")

// overlaid takes in the file that lies in the upper folder of an overlay file system, as containers have them: what is stored in a mapping there is heard as
// little as elsewhere. What has no file in the upper folder is only read.
func (h *holding) overlaid(link string, written bool) error {
	for range 5 { // it may be renamed, or written to
		over, err := statPath(link, unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC)
		if err != nil || over.nlink == 0 {
			return nil
		}
		dir, rel, err := upperOf(link, over.mount)
		if err != nil {
			return err
		}
		if dir == "" {
			return nil
		}
		if _, err := os.Stat(dir); err != nil {
			return errOverlaid
		}
		real, err := statPath(filepath.Join(dir, rel), lookOnly)
		switch {
		case !written && (vanished(err) || err == unix.ENOTDIR):
			if again, err := os.Readlink(link); err == nil && strings.HasSuffix(again, "/"+rel) {
				return nil
			}
		case err == nil && real.kind() == unix.S_IFREG && real.untouched(&over):
			return h.upper(filepath.Join(dir, rel), &real)
		}
	}
	return errOverlaid
}

// upper takes in a file in the upper folder of an overlay file system, if that is of the partition.
func (h *holding) upper(path string, st *stat) error {
	fstype := ""
	if anonymous[h.fstype] {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		fstype = h.mountType(mounts, path, st)
	}
	if h.ours(st, fstype) {
		h.takeIn(path, st)
	}
	return nil
}

// upperOf returns the upper folder of the overlay file system mounted by a number in the namespace of a process, "" if it has none, and the path in it of the file
// that a link of that process in /proc leads to.
func upperOf(link string, mount uint64) (dir, rel string, err error) {
	file, err := os.Readlink(link)
	if err != nil {
		return "", "", nil // it is closed
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(link)), "mountinfo"))
	if err != nil {
		return "", "", ended(err)
	}
	m, ok := findMount(b, mount)
	if ok && m.fstype != "overlay" {
		return "", "", nil // it is another file by now
	}
	rest, isBelow := below(file, m.point)
	if !ok || !isBelow {
		return "", "", errOverlaid
	}
	for option := range strings.SplitSeq(m.options, ",") {
		if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
			return unescape(upper), strings.TrimPrefix(filepath.Join(m.root, rest), "/"), nil
		}
	}
	return "", "", nil
}
