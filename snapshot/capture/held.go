package capture

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A held file is one that may be written to unheard: somebody has it mapped, or open so that it could be or may have been, or it is the image of a loop device.
type held struct {
	id     fileID
	mapped bool
	handle unix.FileHandle // its size is 0 if it is not known
}

// A holding looks for held files of a partition.
type holding struct {
	src   *source
	found map[fileID]*held
	buf   []byte
}

// heldFiles finds the held files of an open partition, in all processes. An error says that they cannot be known.
func heldFiles(src *source) (map[fileID]*held, error) {
	h := &holding{src: src, found: map[fileID]*held{}, buf: make([]byte, 32<<10)}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		err := h.process("/proc/" + p.Name())
		for range 20 {
			if !errors.Is(err, fs.ErrPermission) || p.Name() == "1" {
				break
			}
			time.Sleep(time.Millisecond) // it becomes another program, or ends
			err = h.process("/proc/" + p.Name())
		}
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // it ended
		case errors.Is(err, fs.ErrPermission) && p.Name() == "1": // in a container or sandbox, where it is a mere launcher
		default:
			return nil, err
		}
	}
	return h.found, h.loops()
}

func (h *holding) process(dir string) error {
	if err := h.maps(dir); err != nil {
		return err
	}
	d, err := os.Open(dir + "/fd")
	if err != nil {
		return err
	}
	defer d.Close()
	fds, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range fds {
		var link unix.Stat_t
		// The mode of the link says what the file is open for. To be mapped for writing it must be open for reading too.
		if unix.Fstatat(int(d.Fd()), name, &link, unix.AT_SYMLINK_NOFOLLOW) == nil && link.Mode&0o600 == 0o600 {
			h.look(dir+"/fd/"+name, false)
		}
	}
	return nil
}

// maps looks at what a process has mapped shared. It may have been writable, or become so.
func (h *holding) maps(dir string) error {
	b, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		// 7f0000000000-7f0000001000 rw-s 00000000 fe:00 1234 /path
		f := bytes.Fields(line)
		if len(f) >= 6 && len(f[1]) == 4 && (f[1][3] == 's' || f[1][3] == 'S') && string(f[4]) != "0" {
			h.look(dir+"/map_files/"+mapName(string(f[0])), true)
		}
	}
	return nil
}

// mapName is the name in map_files of a stretch of addresses: without the zeros at the front that maps has.
func mapName(stretch string) string {
	from, to, _ := strings.Cut(stretch, "-")
	trim := func(s string) string { return strings.TrimLeft(s[:len(s)-1], "0") + s[len(s)-1:] }
	return trim(from) + "-" + trim(to)
}

// look takes in the file that a link in /proc leads to, if it is of the partition.
func (h *holding) look(link string, mapped bool) {
	st, err := statPath(link, unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC)
	if err != nil || st.kind() != unix.S_IFREG || !h.ours(link, &st) {
		return
	}
	id := fileID{st.dev, st.ino}
	f := h.found[id]
	if f == nil {
		f = &held{id: id}
		h.found[id] = f
		if handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, link, unix.AT_SYMLINK_FOLLOW); err == nil {
			f.handle = handle
		}
	}
	f.mapped = f.mapped || mapped
}

// ours tells whether a file lies on the partition. On file systems with device numbers of their own making it may say so of others, and harmlessly.
func (h *holding) ours(path string, st *stat) bool {
	if !anonymous[h.src.fstype] {
		return st.dev == h.src.root.dev
	}
	var a, b unix.Statfs_t
	return unix.Major(st.dev) == 0 && unix.Statfs(path, &a) == nil && unix.Fstatfs(h.src.fd, &b) == nil && a.Type == b.Type
}

// loops looks at the images of loop devices: what they write is not heard.
func (h *holding) loops() error {
	devices, err := os.ReadDir("/sys/block")
	if err != nil {
		return err
	}
	for _, d := range devices {
		if !strings.HasPrefix(d.Name(), "loop") {
			continue
		}
		image, err := os.ReadFile("/sys/block/" + d.Name() + "/loop/backing_file")
		if err != nil {
			continue
		}
		h.look(strings.TrimSuffix(string(image), "\n"), false)
		h.loop("/dev/" + d.Name())
	}
	return nil
}

// loop takes in the image of a loop device by its number, should its path not be what it was.
func (h *holding) loop(device string) {
	f, err := os.Open(device)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err != nil || anonymous[h.src.fstype] || unix.Mkdev(uint32(info.Device>>8&0xfff), uint32(info.Device&0xff|info.Device>>12&0xfff00)) != h.src.root.dev {
		return
	}
	id := fileID{h.src.root.dev, info.Inode}
	if h.found[id] == nil {
		h.found[id] = &held{id: id}
	}
}
