package track

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unheardCalls are the ioctls that change what a backup sees, and that fanotify does not tell.
var unheardCalls = []uint32{
	0x40086602, // FS_IOC_SETFLAGS: inode flags, chattr
	0x401c5820, // FS_IOC_FSSETXATTR: likewise
	0x40087602, // FS_IOC_SETVERSION: a file's generation, and so the handle by which it was told
	0x40086604, // EXT4_IOC_SETVERSION
	0x00006611, // EXT4_IOC_SWAP_BOOT: exchanges what a file holds
	0x4008941a, // BTRFS_IOC_SUBVOL_SETFLAGS: makes a subvolume read-only, or writable
	0x40809440, // BTRFS_IOC_ENCODED_WRITE
	0xc0c0586d, // XFS_IOC_SWAPEXT
	0x4048587b, // XFS_IOC_ATTRMULTI_BY_HANDLE: extended attributes, as xfsrestore sets them
	0xc040583c, // XFS_IOC_SCRUB_METADATA: xfs_scrub(8) repairs folders and attributes, and gives files a name that have none
	0xc0285840, // XFS_IOC_SCRUBV_METADATA
	0xc020f509, // F2FS_IOC_MOVE_RANGE
	0xc0506617, // FS_IOC_ADD_ENCRYPTION_KEY: names and contents become readable
	0xc0406618, // FS_IOC_REMOVE_ENCRYPTION_KEY
	0xc0406619, // FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS
}

// toNobody is of those that give a file to nobody else. It loses its capabilities all the same, and fanotify tells of new owners only.
const toNobody = "(user == 0xffffffff || user == 0xffffffffffffffff) && (group == 0xffffffff || group == 0xffffffffffffffff)"

// Unheard counts the calls of the whole machine that change files and that fanotify does not tell, most of them by chattr. Which file it was is not known, so
// after one of them no journal knows all. It may be used by any number of journals at once. A nil one counts nothing.
type Unheard struct {
	mu       sync.Mutex
	counters []counter
	online   string // processors
	before   uint64 // counted by counters that were closed
	last     uint64 // Count
}

// A counter counts the calls of one kind on one processor. It ends with the processor, be it for a moment or while the machine sleeps, and says nothing of that: only
// its time stands still.
type counter struct {
	fd    int
	began uint64 // its time, in nanoseconds, when all of them were open
}

// apart is how far the times of counters may be from each other.
const apart = time.Second

const onlineFile = "/sys/devices/system/cpu/online"

// WatchUnheard begins to count. ErrUnsupported if the kernel has no tracepoints of system calls.
func WatchUnheard() (*Unheard, error) {
	u := &Unheard{}
	if err := u.open(); err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

func (u *Unheard) open() error {
	events, err := openEvents()
	if err != nil {
		return fmt.Errorf("%w: changed inode flags cannot be counted: %w", ErrUnsupported, err)
	}
	defer unix.Close(events)
	online, err := os.ReadFile(onlineFile)
	if err != nil {
		return fmt.Errorf("%w: list processors: %w", ErrUnsupported, err)
	}
	u.online = string(online)
	var is []string
	for _, c := range unheardCalls {
		is = append(is, fmt.Sprintf("cmd == %#x", c))
		if c>>31 != 0 {
			is = append(is, fmt.Sprintf("cmd == %#x", uint64(int64(int32(c))))) // from who takes it for an int, as musl does
		}
	}
	for call, filter := range map[string]string{
		"sys_enter_ioctl": strings.Join(is, " || "), "sys_enter_file_setattr": "",
		"sys_enter_chown": toNobody, "sys_enter_lchown": toNobody, "sys_enter_fchown": toNobody, "sys_enter_fchownat": toNobody,
	} {
		id, err := eventID(events, call)
		if errors.Is(err, fs.ErrNotExist) && call != "sys_enter_ioctl" {
			continue // the first came with Linux 6.17, and not every machine has all the others
		}
		if err == nil {
			err = u.count(id, filter)
		}
		if err != nil {
			return fmt.Errorf("%w: changed inode flags cannot be counted: %s: %w", ErrUnsupported, call, err)
		}
	}
	for i := range u.counters {
		c := &u.counters[i]
		if _, c.began, err = c.read(); err != nil {
			return fmt.Errorf("%w: changed inode flags cannot be counted: %w", ErrUnsupported, err)
		}
	}
	return nil
}

// openEvents opens the folder of the tracepoints of system calls, on a mount that nobody else sees.
func openEvents() (int, error) {
	context, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, err
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(mount)
	return unix.Openat(mount, "events/syscalls", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func eventID(events int, call string) (uint64, error) {
	fd, err := unix.Openat(events, call+"/id", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	b := make([]byte, 32)
	n, err := unix.Read(fd, b)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 64)
}

// count begins to count a tracepoint on every processor.
func (u *Unheard) count(id uint64, filter string) error {
	cpus, err := parseList(u.online)
	if err != nil {
		return err
	}
	for _, cpu := range cpus {
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Read_format: unix.PERF_FORMAT_TOTAL_TIME_ENABLED}
		attr.Size = uint32(unsafe.Sizeof(attr))
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			return err
		}
		u.counters = append(u.counters, counter{fd: fd})
		if filter == "" {
			continue
		}
		f, err := unix.BytePtrFromString(filter)
		if err != nil {
			return err
		}
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(f))); e != 0 {
			return e
		}
	}
	return nil
}

// parseList reads a list of processors: "0-3,8".
func parseList(s string) (cpus []int, err error) {
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err := strconv.Atoi(from)
		if err != nil {
			return nil, err
		}
		b, err := strconv.Atoi(to)
		if err != nil {
			return nil, err
		}
		for ; a <= b; a++ {
			cpus = append(cpus, a)
		}
	}
	return cpus, nil
}

// read returns how many calls were counted, and for how many nanoseconds.
func (c *counter) read() (n, ran uint64, err error) {
	var b [16]byte
	if _, err := unix.Read(c.fd, b[:]); err != nil {
		return 0, 0, fmt.Errorf("count calls: %w", err)
	}
	return binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint64(b[8:]), nil
}

// Count returns how many such calls were begun. When processors came or went, it is one more than those that were counted, and counting begins anew.
func (u *Unheard) Count() (n uint64, err error) {
	if u == nil {
		return 0, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	n, gap, err := u.sum()
	if err == nil && gap {
		n = max(n, u.last) + 1
		u.closeAll()
		u.before, err = n, u.open()
	}
	if err != nil {
		u.closeAll() // the next one opens them anew
		return 0, err
	}
	u.last = n
	return n, nil
}

// sum adds up the counters. A gap is that some of them did not count all the time.
func (u *Unheard) sum() (n uint64, gap bool, err error) {
	online, err := os.ReadFile(onlineFile)
	if err != nil || string(online) != u.online || len(u.counters) == 0 {
		return u.last, true, nil
	}
	least, most := uint64(math.MaxUint64), uint64(0)
	n = u.before
	for i := range u.counters {
		c := &u.counters[i]
		calls, ran, err := c.read()
		if err != nil {
			return 0, false, err
		}
		n += calls
		least, most = min(least, ran-c.began), max(most, ran-c.began)
	}
	return n, most-least > uint64(apart), nil
}

// Close ends counting.
func (u *Unheard) Close() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closeAll()
}

func (u *Unheard) closeAll() (err error) {
	for i := range u.counters {
		err = errors.Join(err, unix.Close(u.counters[i].fd))
	}
	u.counters = nil
	return err
}
