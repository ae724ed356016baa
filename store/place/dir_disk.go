package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	fileMode   = 0o600
	folderMode = 0o700
)

// dirDisk is the disk of a Dir: the file system below the folder top.
type dirDisk struct {
	top string
	is  os.FileInfo // top when it was opened
}

func (d *dirDisk) path(name string) string { return filepath.Join(d.top, name) }

// in calls f with the open folder that a name lies in, and what the name is there. No link on the way from the top is followed: whoever else may write in the place must not
// lead root out of it.
func (d *dirDisk) in(op, name string, f func(dir int, base string) error) error {
	return pathError(op, name, func() error {
		top, err := unix.Open(d.top, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(top)
		dir, base := path.Split(name)
		if dir == "" {
			return f(top, base)
		}
		fd, err := unix.Openat2(top, strings.TrimSuffix(dir, "/"), &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
		})
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return f(fd, base)
	})
}

// mayOpenBelow tells whether the kernel knows the call that in needs.
func mayOpenBelow(top string) error {
	fd, err := unix.Openat2(unix.AT_FDCWD, top, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC})
	switch err {
	case nil:
		unix.Close(fd)
	case unix.ENOSYS:
		return fmt.Errorf("yester needs Linux 5.6 or newer (openat2: %w)", err)
	}
	return nil // what else is wrong will be told
}

// openIn opens a name in the top, as the calls of package os do. It follows no link, and does not wait for the other end of a pipe.
func (d *dirDisk) openIn(op, name string, flags int) (f *os.File, err error) {
	err = d.in(op, name, func(dir int, base string) error {
		if base == "" {
			base = "."
		}
		fd, err := unix.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, fileMode)
		if err != nil {
			return err
		}
		if err := unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), d.path(name))
		return nil
	})
	return f, err
}

// openFolder opens a folder for reading.
func (d *dirDisk) openFolder(name string) (*os.File, error) {
	return d.openIn("open", name, unix.O_RDONLY|unix.O_DIRECTORY)
}

func (d *dirDisk) mkdir(name string) error {
	return d.in("mkdir", name, func(dir int, base string) error { return unix.Mkdirat(dir, base, folderMode) })
}

func (d *dirDisk) create(name string) (tempFile, error) {
	if err := d.stale(); err != nil {
		return nil, err
	}
	f, err := d.openIn("open", name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	return &dirTemp{f: f}, nil
}

// stale tells that another folder lies at the top than when it was opened.
func (d *dirDisk) stale() error {
	if now, err := os.Stat(d.top); err != nil || !os.SameFile(d.is, now) {
		return fmt.Errorf("%s is not what it was when opened, is it mounted?: %w", d.top, syscall.ESTALE)
	}
	return nil
}

// believe lets err say that a file is not there only while the top is what it was: nothing is there on a disk that is not mounted.
func (d *dirDisk) believe(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if stale := d.stale(); stale != nil {
			return stale
		}
	}
	return err
}

// open opens a file: whatever is none is not ours.
func (d *dirDisk) open(name string) (File, error) {
	f, err := d.openIn("open", name, unix.O_RDONLY)
	if err != nil {
		return nil, d.believe(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: d.path(name), Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return dirFile{f, info.Size()}, nil
}

func (d *dirDisk) rename(from, to string) error {
	return d.in("rename", from, func(dir int, base string) error {
		return d.in("rename", to, func(toDir int, toBase string) error { return unix.Renameat(dir, base, toDir, toBase) })
	})
}

func (d *dirDisk) remove(name string) error {
	return d.believe(d.in("unlink", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) }))
}

func (d *dirDisk) rmdir(name string) error {
	return d.in("rmdir", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR) })
}

// syncFolder takes EINVAL and ENOTSUP for done: they come from file systems over a network that have no sync of a
// folder, and nothing more can be had there.
func (d *dirDisk) syncFolder(name string) error {
	f, err := d.openFolder(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = f.Sync(); errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

// syncAll syncs the whole file system that the top is on: other programs' files too, but in one call.
func (d *dirDisk) syncAll() error {
	f, err := os.OpenFile(d.top, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return pathError("syncfs", d.top, func() error { return unix.Syncfs(int(f.Fd())) })
}

func (d *dirDisk) list(name string) ([]Info, error) {
	f, err := d.openFolder(name)
	if err != nil {
		return nil, d.believe(err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	list := make([]Info, 0, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			list = append(list, Info{Name: e.Name(), Dir: true})
			continue
		}
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed since
		case err != nil:
			return nil, err
		case info.Mode().IsRegular():
			list = append(list, Info{Name: e.Name(), Size: info.Size()})
		}
	}
	return list, d.stale()
}

func (d *dirDisk) space() (free, total uint64, err error) {
	var st unix.Statfs_t
	if err = pathError("statfs", d.top, func() error { return unix.Statfs(d.top, &st) }); err == nil {
		err = d.stale() // the space is that of another disk then
	}
	return st.Bavail * uint64(st.Frsize), st.Blocks * uint64(st.Frsize), err
}

// pathError makes a call, again while a signal cuts it short, and puts what was done in its error.
func pathError(op, name string, call func() error) error {
	for {
		switch err := call(); err {
		case nil:
			return nil
		case syscall.EINTR:
		default:
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
}

// dirFile is a file being read, by pread.
type dirFile struct {
	*os.File
	size int64
}

// Size implements File.
func (f dirFile) Size() int64 { return f.size }

// Random implements File.
func (f dirFile) Random() { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM) }
