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

// A held file is one that may be written to unheard: somebody has it mapped, or open for writing, so that it may have been mapped or be written to by what
// makes no event before the file is closed (io_submit(2)), or it is the image of a loop device.
type held struct {
	id     fileID
	mapped bool
	handle *unix.FileHandle // nil if it is not known
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
		case ended(err) == nil:
		case errors.Is(err, fs.ErrPermission) && p.Name() == "1": // in a container or sandbox, where it is a mere launcher
		default:
			return nil, err
		}
	}
	return h.found, h.loops()
}

// process looks at a process. Its first thread may have ended, and others may have files of their own open.
func (h *holding) process(dir string) error {
	threads, err := os.ReadDir(dir + "/task")
	if err != nil {
		return err
	}
	mapped, seen := false, -1 // seen is a thread whose open files were looked at
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		// Not below task, for there is no map_files.
		if !mapped {
			if mapped, err = h.maps("/proc/" + t.Name()); err != nil {
				return err
			}
		}
		if seen >= 0 && sameFiles(seen, id) {
			continue
		}
		there, err := h.files("/proc/" + t.Name())
		if err != nil {
			return err
		}
		if there {
			seen = id
		}
	}
	return nil
}

// sameFiles tells whether two threads are known to share what they have open.
func sameFiles(a, b int) bool {
	const files = 2 // KCMP_FILES
	r, _, e := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), files, 0, 0, 0)
	return e == 0 && r == 0
}

// files looks at what a thread has open, and tells whether there was any.
func (h *holding) files(dir string) (there bool, err error) {
	d, err := os.Open(dir + "/fd")
	if err != nil {
		return false, ended(err)
	}
	defer d.Close()
	fds, err := d.Readdirnames(-1)
	if err != nil {
		return false, ended(err)
	}
	for _, name := range fds {
		var link unix.Stat_t
		// The mode of the link says what the file is open for.
		if unix.Fstatat(int(d.Fd()), name, &link, unix.AT_SYMLINK_NOFOLLOW) == nil && link.Mode&0o200 != 0 {
			if err := h.look(dir+"/fd/"+name, false, true); err != nil {
				return false, err
			}
		}
	}
	return len(fds) > 0, nil
}

// ended takes the error of what there is no more for none.
func ended(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// maps looks at what a thread has mapped shared, and tells whether it has anything mapped. It may have been writable, or become so.
func (h *holding) maps(dir string) (any bool, err error) {
	b, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return false, ended(err)
	}
	for line := range bytes.Lines(b) {
		// 7f0000000000-7f0000001000 rw-s 00000000 fe:00 1234 /path
		f := bytes.Fields(line)
		if len(f) >= 6 && len(f[1]) == 4 && (f[1][3] == 's' || f[1][3] == 'S') && string(f[4]) != "0" {
			if err := h.look(dir+"/map_files/"+mapName(string(f[0])), true, f[1][1] == 'w'); err != nil {
				return false, err
			}
		}
	}
	return len(b) > 0, nil
}

// mapName is the name in map_files of a stretch of addresses: without the zeros at the front that maps has.
func mapName(stretch string) string {
	from, to, _ := strings.Cut(stretch, "-")
	trim := func(s string) string { return strings.TrimLeft(s[:len(s)-1], "0") + s[len(s)-1:] }
	return trim(from) + "-" + trim(to)
}

// look takes in the file that a link in /proc leads to, if it is of the partition. written tells that it is open, or mapped, for writing.
func (h *holding) look(link string, mapped, written bool) error {
	st, err := statPath(link, unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC)
	if err != nil || st.kind() != unix.S_IFREG {
		return nil
	}
	if !h.ours(link, &st) {
		return h.overlaid(link, mapped, written)
	}
	f := h.take(fileID{st.dev, st.ino}, mapped)
	if f.handle == nil {
		if handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, link, unix.AT_SYMLINK_FOLLOW); err == nil {
			f.handle = &handle
		}
	}
	return nil
}

func (h *holding) take(id fileID, mapped bool) *held {
	f := h.found[id]
	if f == nil {
		f = &held{id: id}
		h.found[id] = f
	}
	f.mapped = f.mapped || mapped
	return f
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
		if err := h.look(strings.TrimSuffix(string(image), "\n"), false, true); err != nil {
			return err
		}
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
	if err != nil {
		return
	}
	dev := unix.Mkdev(uint32(info.Device>>8&0xfff), uint32(info.Device&0xff|info.Device>>12&0xfff00))
	if dev == h.src.root.dev || anonymous[h.src.fstype] && unix.Major(dev) == 0 {
		h.take(fileID{dev, info.Inode}, false)
	}
}
