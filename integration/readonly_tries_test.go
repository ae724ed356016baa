package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A try is a system call that would change something at a path, if it could. beside is a name in the same folder.
type try func(path, beside string) error

// tries are all the ways there are to change what a name leads to. None of them waits for anything.
var tries = map[string]try{
	"open to write":            opens(unix.O_WRONLY),
	"open to read and write":   opens(unix.O_RDWR),
	"open to append":           opens(unix.O_WRONLY | unix.O_APPEND),
	"open O_TRUNC":             opens(unix.O_WRONLY | unix.O_TRUNC),
	"open to read, O_TRUNC":    opens(unix.O_RDONLY | unix.O_TRUNC),
	"open O_CREAT":             opens(unix.O_WRONLY | unix.O_CREAT),
	"open to read, O_CREAT":    opens(unix.O_RDONLY | unix.O_CREAT),
	"open O_CREAT|O_EXCL":      opens(unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL),
	"open O_CREAT|O_TRUNC":     opens(unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC),
	"open O_CREAT|O_NOFOLLOW":  opens(unix.O_WRONLY | unix.O_CREAT | unix.O_NOFOLLOW),
	"open O_CREAT|O_DIRECTORY": opens(unix.O_RDONLY | unix.O_CREAT | unix.O_DIRECTORY),
	"open O_TMPFILE":           opens(unix.O_RDWR | unix.O_TMPFILE),
	"open O_NOATIME":           opens(unix.O_RDONLY | unix.O_NOATIME),
	"open O_DIRECT to write":   opens(unix.O_WRONLY | unix.O_DIRECT),
	"access to write":          func(p, _ string) error { return unix.Access(p, unix.W_OK) },
	"access to write and run":  func(p, _ string) error { return unix.Access(p, unix.W_OK|unix.X_OK) },
	"truncate":                 func(p, _ string) error { return unix.Truncate(p, 0) },
	"mkdir":                    func(p, _ string) error { return unix.Mkdir(p, 0o755) },
	"mkfifo":                   func(p, _ string) error { return unix.Mkfifo(p, 0o644) },
	"mknod of a file":          func(p, _ string) error { return unix.Mknod(p, unix.S_IFREG|0o644, 0) },
	"mknod of a device":        func(p, _ string) error { return unix.Mknod(p, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))) },
	"mknod of a socket":        func(p, _ string) error { return unix.Mknod(p, unix.S_IFSOCK|0o644, 0) },
	"symlink":                  func(p, _ string) error { return unix.Symlink("file", p) },
	"link to":                  func(p, _ string) error { return unix.Link("file", p) },
	"link from":                unix.Link,
	"link from, following": func(p, q string) error {
		return unix.Linkat(unix.AT_FDCWD, p, unix.AT_FDCWD, q, unix.AT_SYMLINK_FOLLOW)
	},
	"unlink":                    func(p, _ string) error { return unix.Unlink(p) },
	"rmdir":                     func(p, _ string) error { return unix.Rmdir(p) },
	"rename to":                 func(p, _ string) error { return unix.Rename("file", p) },
	"rename from":               unix.Rename,
	"rename into another":       func(p, _ string) error { return unix.Rename(p, "open folder/moved") },
	"rename over itself":        func(p, _ string) error { return unix.Rename(p, p) },
	"exchange":                  func(p, _ string) error { return rename2(p, "file", unix.RENAME_EXCHANGE) },
	"exchange with none":        func(p, q string) error { return rename2(p, q, unix.RENAME_EXCHANGE) },
	"rename, not over another":  func(p, _ string) error { return rename2(p, "file", unix.RENAME_NOREPLACE) },
	"rename, leave a whiteout":  func(p, q string) error { return rename2(p, q, unix.RENAME_WHITEOUT) },
	"chmod":                     func(p, _ string) error { return unix.Chmod(p, 0o600) },
	"chmod of a symlink":        func(p, _ string) error { return unix.Fchmodat(unix.AT_FDCWD, p, 0o600, unix.AT_SYMLINK_NOFOLLOW) },
	"chown":                     func(p, _ string) error { return unix.Chown(p, 4001, 4001) },
	"chown to nobody else":      func(p, _ string) error { return unix.Chown(p, -1, -1) },
	"lchown":                    func(p, _ string) error { return unix.Lchown(p, 4001, 4001) },
	"utimensat to now":          times(unix.UTIME_NOW, unix.UTIME_NOW),
	"utimensat":                 times(1, 1),
	"utimensat of mtime":        times(unix.UTIME_OMIT, 1),
	"utimensat of nothing":      times(unix.UTIME_OMIT, unix.UTIME_OMIT),
	"setxattr user":             setsXattr("user.new", "v", 0),
	"setxattr user, create":     setsXattr("user.yester", "v", unix.XATTR_CREATE),
	"setxattr user, replace":    setsXattr("user.new", "v", unix.XATTR_REPLACE),
	"setxattr trusted":          setsXattr("trusted.new", "v", 0),
	"setxattr security":         setsXattr("security.new", "v", 0),
	"setxattr of a capability":  setsXattr("security.capability", capability, 0),
	"setxattr of an ACL":        setsXattr("system.posix_acl_access", smallACL, 0),
	"setxattr of a default ACL": setsXattr("system.posix_acl_default", smallACL, 0),
	"setxattr of a broken ACL":  setsXattr("system.posix_acl_access", "no ACL", 0),
	"setxattr of no namespace":  setsXattr("nothing", "v", 0),
	"removexattr user":          removesXattr("user.yester"),
	"removexattr user, none":    removesXattr("user.none"),
	"removexattr trusted":       removesXattr("trusted.yester"),
	"removexattr of an ACL":     removesXattr("system.posix_acl_access"),
	"removexattr of a default":  removesXattr("system.posix_acl_default"),
	"removexattr of capability": removesXattr("security.capability"),
	"bind a socket":             func(p, _ string) error { return bindSocket(p) },
	"write":                     open(func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err }),
	"pwrite":                    open(func(fd int) error { _, err := unix.Pwrite(fd, []byte("x"), 0); return err }),
	"ftruncate":                 open(func(fd int) error { return unix.Ftruncate(fd, 0) }),
	"fallocate":                 open(func(fd int) error { return unix.Fallocate(fd, 0, 0, 100) }),
	"punch a hole": open(func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 100)
	}),
	"fchmod":               open(func(fd int) error { return unix.Fchmod(fd, 0o600) }),
	"fchown":               open(func(fd int) error { return unix.Fchown(fd, 4001, 4001) }),
	"futimens":             open(func(fd int) error { return unix.Futimes(fd, []unix.Timeval{{}, {}}) }),
	"fsetxattr":            open(func(fd int) error { return unix.Fsetxattr(fd, "user.new", []byte("v"), 0) }),
	"fremovexattr":         open(func(fd int) error { return unix.Fremovexattr(fd, "user.yester") }),
	"set flags":            open(func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flagNoDump) }),
	"map to write":         open(mapWritable),
	"copy_file_range into": open(copyInto),
	"link the open file":   openBeside(func(fd int, q string) error { return unix.Linkat(fd, "", unix.AT_FDCWD, q, unix.AT_EMPTY_PATH) }),
	"fsync":                open(unix.Fsync),
	"syncfs":               open(unix.Syncfs),
}

// capability is cap_net_raw=ep as setcap writes it, and smallACL the least ACL: rw for the owner, r for others.
const (
	capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	smallACL   = "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x04\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"
)

// openBeside is a try with the file opened for reading, which must be possible first.
func openBeside(f func(fd int, beside string) error) try {
	return func(path, beside string) error {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return errors.Join(errors.New("not even read"), err)
		}
		defer unix.Close(fd)
		return f(fd, beside)
	}
}

func open(f func(fd int) error) try {
	return openBeside(func(fd int, _ string) error { return f(fd) })
}

func opens(flags int) try {
	return func(path, _ string) error {
		fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func rename2(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
}

func times(atime, mtime int64) try {
	return func(path, _ string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Nsec: atime}, {Nsec: mtime}}, unix.AT_SYMLINK_NOFOLLOW)
	}
}

func setsXattr(name, value string, flags int) try {
	return func(path, _ string) error { return unix.Lsetxattr(path, name, []byte(value), flags) }
}

func removesXattr(name string) try {
	return func(path, _ string) error { return unix.Lremovexattr(path, name) }
}

func bindSocket(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
}

func mapWritable(fd int) error {
	b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		err = unix.Munmap(b)
	}
	return err
}

func copyInto(fd int) error {
	from, err := unix.Open("file", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	_, err = unix.CopyFileRange(from, nil, fd, nil, 4, 0)
	return err
}

// tried are the paths at which all is tried, below the folder that triedTree makes.
var tried = []string{
	"file", "private", "shared", "theirs", "empty", "running", "acl", "immutable", "append only", "attributes",
	"folder", "folder/inside", "folder/missing", "empty folder", "open folder", "open folder/inside", "open folder/missing",
	"sticky", "sticky/inside", "sticky/missing", "closed", "closed/inside", "closed/missing", "listed", "listed/inside", "listed/missing",
	"link", "link to folder", "link to folder/inside", "dangling", "loop", "fifo", "null",
	"missing", "missing/below", "file/below", "file/", "folder/", "folder/.", "folder/..", "missing/", ".", "..", "",
	strings.Repeat("n", 256), "folder/" + strings.Repeat("n", 255),
}

// tryAll tries everything at every path below root and returns how each try ended.
func tryAll(root string) (map[string]string, error) {
	if err := os.Chdir(root); err != nil {
		return nil, err
	}
	ended := map[string]string{}
	for _, path := range tried {
		for name, try := range tries {
			ended[name+" at "+path] = reason(try(path, filepath.Join(filepath.Dir(path), "beside")))
		}
	}
	return ended, nil
}
