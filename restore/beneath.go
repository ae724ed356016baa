package restore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// inside has a path go through nothing that leads out of a folder: no symlink, no "..", no mount point.
const inside = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// openIn opens a path in a folder that goes through nothing that leads out of it.
func openIn(dir int, path string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: inside}
	if flags&unix.O_TMPFILE == unix.O_TMPFILE {
		how.Mode = 0o600
	}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(dir, path, &how)
		if !errors.Is(err, unix.EINTR) && (!errors.Is(err, unix.EAGAIN) || tries == 10) { // the latter: something was renamed meanwhile, or somebody holds a lease
			return fd, err
		}
	}
}

const (
	leasePause    = 20 * time.Millisecond
	leasePatience = 3 * time.Second // for one file,
	allPatience   = time.Minute     // and for all that follow each other: whoever may hold a lease on one may on thousands
)

var errLease = errors.New("somebody holds a lease on it, and does not let it go")

// openFile opens a file to be read. Who holds a lease on it is told by that, and gets some time to let it go; the kernel would wait for most of a minute.
func (r *run) openFile(dir int, name string) (int, error) {
	for waited := time.Duration(0); ; waited += leasePause {
		fd, err := openIn(dir, name, unix.O_RDONLY|unix.O_NONBLOCK)
		if !errors.Is(err, unix.EAGAIN) {
			if waited > 0 {
				r.leases.Store(0) // they do let go
			}
			return fd, err
		}
		if waited >= leasePatience || time.Duration(r.leases.Add(int64(leasePause))) > allPatience {
			return -1, errLease
		}
		select {
		case <-r.ctx.Done():
			return -1, r.ctx.Err()
		case <-time.After(leasePause):
		}
	}
}

const asFolder = unix.O_RDONLY | unix.O_DIRECTORY

// openBelow opens the folder at a path of any length.
func openBelow(root int, path string, flags uint64) (int, error) {
	const most = 3000
	at, owned := root, false
	for {
		step := path
		if len(path) > most {
			step = path[:strings.LastIndexByte(path[:most], '/')]
		}
		last := len(step) == len(path)
		f := uint64(unix.O_PATH | unix.O_DIRECTORY)
		if last {
			f = flags
		}
		fd, err := openIn(at, orDot(step), f)
		if owned {
			unix.Close(at)
		}
		if err != nil || last {
			return fd, err
		}
		at, owned, path = fd, true, path[len(step)+1:]
	}
}

func orDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}

// valid tells whether a name is that of one entry in a folder.
func valid(name []byte) bool {
	if n := len(name); n == 0 || n > snapshot.MaxName {
		return false
	}
	s := string(name)
	return s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
}

// look stats a name without following it, or asking whoever serves what may be mounted there.
func look(dir int, name string) (st unix.Statx_t, there bool, err error) {
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	err = unix.Statx(dir, name, flags, unix.STATX_BASIC_STATS, &st)
	if errors.Is(err, unix.ENOENT) {
		return st, false, nil
	}
	return st, err == nil, err
}

func lookFD(fd int) (st unix.Statx_t, err error) {
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st)
	return st, err
}

// temporary is the beginning of names that are temporary, ours of those that this process makes: others are left from one that died.
const temporary = ".yester-restore-"

var ours = temporary + randomHex(4) + "-"

func tempName() string { return ours + randomHex(8) }

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// takeName gives what has a temporary name its own; replace lets it take that of another.
func takeName(dir int, temp, name string, replace bool) error {
	flags := uint(unix.RENAME_NOREPLACE)
	if replace {
		flags = 0
	}
	err := unix.Renameat2(dir, temp, dir, name, flags)
	if errors.Is(err, unix.EINVAL) && !replace { // a file system that cannot tell
		if _, there, lookErr := look(dir, name); lookErr != nil || there {
			return errors.Join(lookErr, unix.EEXIST)
		}
		err = unix.Renameat(dir, temp, dir, name)
	}
	return err
}

// A file is one that is being made.
type file struct {
	dir  int
	fd   int
	temp string // "" while it has no name at all
}

// create makes a file without a name, or under a temporary one where the file system knows nothing else.
func (r *run) create(dir int) (*file, error) {
	if !r.named.Load() {
		fd, err := openIn(dir, ".", unix.O_TMPFILE|unix.O_RDWR)
		if err == nil {
			return &file{dir: dir, fd: fd}, nil
		}
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EISDIR) {
			return nil, err
		}
		r.named.Store(true)
	}
	temp := tempName()
	fd, err := unix.Openat(dir, temp, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	f := &file{dir: dir, fd: fd, temp: temp}
	f.hold()
	return f, nil
}

// hold shows others that the file is being made, whoever may find its temporary name.
func (f *file) hold() { _ = unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) }

// sync has what was written come to the disk. A network disk may say only when a descriptor is closed that it has no room.
func (f *file) sync(ctx context.Context) error {
	done, err := apart(f.fd, func(fd int) error {
		err := unix.Fsync(fd)
		if err == unix.EINVAL || err == unix.EOPNOTSUPP { // which is said where nothing can be synced
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// linkOpen gives what is open, be it by O_PATH, a name. Before Linux 6.10, and for a descriptor of before privileges were given up, it may be named so only by who may read everything; others
// name it by what /proc calls it.
func linkOpen(fd, dir int, name string) error {
	err := unix.Linkat(fd, "", dir, name, unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.ENOENT) {
		h := holder{fd: fd}
		err = unix.Linkat(unix.AT_FDCWD, h.proc(), dir, name, unix.AT_SYMLINK_FOLLOW)
	}
	return err
}

// finish gives the file its name.
func (f *file) finish(name string, replace bool) error {
	if f.temp == "" {
		to := name
		if replace {
			to = tempName()
			f.hold()
		}
		if err := linkOpen(f.fd, f.dir, to); err != nil || !replace {
			return err
		}
		f.temp = to
	}
	err := takeName(f.dir, f.temp, name, replace)
	if err == nil {
		f.temp = ""
	}
	return err
}

// close closes the file, and removes it if it has no name of its own.
func (f *file) close() {
	unix.Close(f.fd)
	if f.temp != "" {
		_ = unix.Unlinkat(f.dir, f.temp, 0)
	}
}
