package capture

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

var errOverlaid = errors.New("a file is open in an overlay file system, and it cannot be told where it lies")

// overlaid takes in the file that lies in the upper folder of an overlay file system, as containers have them: what is stored in a mapping there is heard as
// little as elsewhere. What has no file in the upper folder is only read.
func (h *holding) overlaid(link string, mapped, written bool) error {
	var fs unix.Statfs_t
	if !strings.HasPrefix(link, "/proc/") || unix.Statfs(link, &fs) != nil || fs.Type != unix.OVERLAYFS_SUPER_MAGIC {
		return nil
	}
	for range 5 { // it may be renamed, or written to
		over, err := statPath(link, unix.AT_NO_AUTOMOUNT)
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
			if h.ours(filepath.Join(dir, rel), &real) {
				return h.look(filepath.Join(dir, rel), mapped, written)
			}
			return nil
		}
	}
	return errOverlaid
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
	for line := range bytes.Lines(b) {
		s := strings.TrimSuffix(string(line), "\n")
		m, err := parseMount(s)
		if err != nil || strconv.Itoa(m.id) != strconv.FormatUint(mount, 10) {
			continue
		}
		rest, ok := below(file, m.point)
		if !ok {
			break
		}
		for option := range strings.SplitSeq(s[strings.LastIndexByte(s, ' ')+1:], ",") {
			if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
				return unescape(upper), strings.TrimPrefix(filepath.Join(m.root, rest), "/"), nil
			}
		}
		return "", "", nil
	}
	return "", "", errOverlaid
}
