package fs

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// each calls f for a tree and all below it, with its path.
func (t *tree) each(path string, f func(path string, t *tree)) {
	f(path, t)
	for _, k := range t.kids {
		k.each(filepath.Join(path, string(k.Name)), f)
	}
}

func TestEverythingAFileHasIsShown(t *testing.T) {
	_, dir := mounted(t, "hostile")
	seen := make(map[uint64]string)
	hostileTree().each(dir, func(path string, want *tree) {
		compareStat(t, path, want, seen)
		compareXattrs(t, path, want)
		switch want.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			if target, err := os.Readlink(path); err != nil || target != string(want.Target) {
				t.Errorf("%q leads to %q, %v", path, target, err)
			}
		case syscall.S_IFDIR:
			compareNames(t, path, want)
		case syscall.S_IFREG:
			if want.Size < 1<<30 {
				compareContent(t, path, want)
			}
		}
	})
}

func compareStat(t *testing.T, path string, want *tree, seen map[uint64]string) {
	t.Helper()
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		t.Errorf("stat %q: %v", path, err)
		return
	}
	got := snapshot.Entry{
		Name: want.Name, Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid, Nlink: st.Nlink, Ino: want.Ino,
		Rdev: unix.Mkdev(st.Rdev_major, st.Rdev_minor), Size: st.Size,
		Mtime: shown(st.Mtime), Ctime: shown(st.Ctime), Btime: shown(st.Btime),
	}
	if st.Mask&unix.STATX_BTIME == 0 && !want.Btime.IsZero() {
		t.Errorf("%q has no birth time", path)
	}
	if !same(&got, &want.Entry) || shown(st.Atime) != want.Mtime {
		t.Errorf("%q is\n%+v, not\n%+v", path, got, want.Entry)
	}
	if len(want.Name) > 0 && st.Ino != inodeNumber(1, want.Ino) {
		t.Errorf("%q has inode number %x", path, st.Ino)
	}
	if other, ok := seen[st.Ino]; ok && want.Nlink == 1 {
		t.Errorf("%q and %q have inode number %x", path, other, st.Ino)
	}
	seen[st.Ino] = path
}

func shown(s unix.StatxTimestamp) snapshot.Time { return snapshot.Time{Sec: s.Sec, Nsec: s.Nsec} }

// same compares what stat shows.
func same(a, b *snapshot.Entry) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Nlink == b.Nlink && a.Rdev == b.Rdev && a.Size == b.Size &&
		a.Mtime == b.Mtime && a.Ctime == b.Ctime && a.Btime == b.Btime
}

func compareXattrs(t *testing.T, path string, want *tree) {
	t.Helper()
	got := make(map[string]string)
	buf := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		t.Errorf("list attributes of %q: %v", path, err)
		return
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Errorf("attribute %s of %q: %v", name, path, err)
			continue
		}
		got[name] = string(value[:n])
	}
	set := make(map[string]string)
	for _, x := range want.xattrs {
		set[x.Name] = string(x.Value)
	}
	if !maps.Equal(got, set) {
		t.Errorf("%q has attributes %q, not %q", path, got, set)
	}
}

func compareNames(t *testing.T, path string, want *tree) {
	t.Helper()
	list, err := os.ReadDir(path)
	if err != nil {
		t.Errorf("list %q: %v", path, err)
		return
	}
	var got, names []string
	for _, d := range list {
		got = append(got, d.Name())
	}
	for _, k := range want.kids {
		names = append(names, string(k.Name))
	}
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("%q has %q, not %q", path, got, names)
	}
}

func compareContent(t *testing.T, path string, want *tree) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want.content()) {
		t.Errorf("content of %q differs (%d bytes, %d wanted, %v)", path, len(got), want.Size, err)
	}
}

func TestAttributeCallsAnswerAsOnADisk(t *testing.T) {
	_, dir := mounted(t, "hostile")
	path := filepath.Join(dir, "many attrs")
	buf := make([]byte, 30000)
	if n, err := unix.Lgetxattr(path, "user.large", nil); n != 30000 || err != nil {
		t.Errorf("size of a value: %d, %v", n, err)
	}
	if _, err := unix.Lgetxattr(path, "user.large", buf[:29999]); !errors.Is(err, unix.ERANGE) {
		t.Error("a buffer too small for a value:", err)
	}
	if n, err := unix.Lgetxattr(path, "user.large", buf); n != 30000 || err != nil {
		t.Errorf("a buffer that just holds a value: %d, %v", n, err)
	}
	if _, err := unix.Lgetxattr(path, "user.no", buf); !errors.Is(err, unix.ENODATA) {
		t.Error("a name that is not there:", err)
	}
	if n, err := unix.Llistxattr(path, nil); n != len("user.large0user.small0") || err != nil {
		t.Errorf("size of the list: %d, %v", n, err)
	}
	if _, err := unix.Llistxattr(path, buf[:5]); !errors.Is(err, unix.ERANGE) {
		t.Error("a buffer too small for the list:", err)
	}
	if n, err := unix.Llistxattr(filepath.Dir(dir), buf); n != 0 || err != nil {
		t.Errorf("attributes of a folder above the versions: %d, %v", n, err)
	}
}

func TestNamesOfHardLinksAreOneFile(t *testing.T) {
	_, dir := mounted(t, "hostile")
	a, errA := os.Lstat(filepath.Join(dir, "twin"))
	b, errB := os.Lstat(filepath.Join(dir, "links/other"))
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		t.Error("the names of a hard-link group are two files:", errA, errB)
	}
}

func TestFlagsAreShown(t *testing.T) {
	_, dir := mounted(t, "hostile")
	f, err := os.Open(filepath.Join(dir, "flagged"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS); flags != 0x50 || err != nil {
		t.Errorf("flags %x, %v", flags, err)
	}
	var x [7]uint32
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fsGetXattr, uintptr(unsafe.Pointer(&x)))
	if x != [7]uint32{0x8 | 0x80} || errno != 0 {
		t.Errorf("flags, asked the other way, %x, %v", x, errno)
	}
}

func TestFileHandlesOpenFiles(t *testing.T) {
	_, dir := mounted(t, "hostile")
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(dir, "links/other"), 0)
	if err != nil {
		t.Fatal(err)
	}
	top, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	dropCaches(t)
	fd, err := unix.OpenByHandleAt(int(top.Fd()), h, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "by handle")
	defer f.Close()
	got := make([]byte, 5000)
	if n, err := f.Read(got); n != 5000 || err != nil || !bytes.Equal(got, hostileTree().child("twin").content()) {
		t.Error("content by handle differs:", n, err)
	}
}

// dropCaches makes the kernel forget what nobody uses.
func dropCaches(t testing.TB) {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestTwoHundredLevels(t *testing.T) {
	_, dir := mounted(t, "deep")
	want := deepTree()
	path := dir
	for len(want.kids) > 0 {
		want = want.kids[0]
		path = filepath.Join(path, string(want.Name))
	}
	compareContent(t, path, want)
}

func TestStatfsIsThatOfThePartition(t *testing.T) {
	_, dir := mounted(t, "small")
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Join(dir, "hello"), &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks*uint64(st.Bsize) != 1<<40 || st.Bfree*uint64(st.Bsize) != 1<<39 || st.Files != 1<<20 || st.Files-st.Ffree != 4 ||
		st.Namelen != snapshot.MaxName || st.Flags&unix.ST_RDONLY == 0 {
		t.Errorf("%+v", st)
	}
	if err := unix.Statfs(filepath.Dir(dir), &st); err != nil || st.Blocks == 0 || st.Namelen != snapshot.MaxName {
		t.Errorf("above the versions: %+v, %v", st, err)
	}
}

func TestEveryWriteIsRefused(t *testing.T) {
	_, dir := mounted(t, "small")
	refuses(t, writes(dir))
	refuses(t, map[string]func() error{
		"open to write": func() error { _, err := unix.Open(dir+"/hello", unix.O_WRONLY, 0); return err },
		"tmpfile":       func() error { _, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600); return err },
		"access":        func() error { return unix.Access(dir+"/hello", unix.W_OK) },
	})
}

// Who is root can mount it anew for writing. Then the kernel lets writes pass, and the server refuses them.
func TestEveryWriteIsRefusedWhenMountedAnewForWriting(t *testing.T) {
	s, dir := mounted(t, "small")
	if err := unix.Mount("", s.dir, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		t.Fatal(err)
	}
	refuses(t, writes(dir))
	compareContent(t, dir+"/hello", smallTree().child("hello"))
}

func refuses(t *testing.T, calls map[string]func() error) {
	t.Helper()
	for what, call := range calls {
		if err := call(); !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// writes are ways to change a version of the small tree.
func writes(dir string) map[string]func() error {
	path, name := filepath.Join(dir, "hello"), filepath.Join(dir, "new")
	open := func(do func(fd int) error) func() error {
		return func() error {
			fd, err := unix.Open(path, unix.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return do(fd)
		}
	}
	return map[string]func() error{
		"write":         open(func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err }),
		"ftruncate":     open(func(fd int) error { return unix.Ftruncate(fd, 0) }),
		"fallocate":     open(func(fd int) error { return unix.Fallocate(fd, 0, 0, 5000) }),
		"truncate":      func() error { return unix.Truncate(path, 0) },
		"open O_TRUNC":  func() error { _, err := unix.Open(path, unix.O_RDWR|unix.O_TRUNC, 0); return err },
		"create":        func() error { _, err := unix.Open(name, unix.O_CREAT|unix.O_WRONLY, 0o600); return err },
		"mkdir":         func() error { return unix.Mkdir(name, 0o700) },
		"mkdir above":   func() error { return unix.Mkdir(filepath.Join(dir, "../new"), 0o700) },
		"mknod":         func() error { return unix.Mknod(name, unix.S_IFIFO|0o600, 0) },
		"symlink":       func() error { return unix.Symlink("x", name) },
		"link":          func() error { return unix.Link(path, name) },
		"unlink":        func() error { return unix.Unlink(path) },
		"rmdir":         func() error { return unix.Rmdir(filepath.Join(dir, "folder")) },
		"rmdir version": func() error { return unix.Rmdir(dir) },
		"rename":        func() error { return unix.Rename(path, name) },
		"exchange":      func() error { return unix.Renameat2(-1, path, -1, filepath.Join(dir, "folder"), unix.RENAME_EXCHANGE) },
		"chmod":         func() error { return unix.Chmod(path, 0o777) },
		"chown":         func() error { return unix.Chown(path, 1, 1) },
		"utimes":        func() error { return unix.Utimes(path, []unix.Timeval{{}, {}}) },
		"setxattr":      func() error { return unix.Setxattr(path, "user.x", []byte("y"), 0) },
		"set ACL":       func() error { return unix.Setxattr(path, "system.posix_acl_access", []byte(acl(7, 4)), 0) },
		"removexattr":   func() error { return unix.Removexattr(path, "user.x") },
		"set flags":     func() error { return setFlags(path, unix.FS_IOC_SETFLAGS) },
		"set xflags":    func() error { return setFlags(path, fsSetXattr) },
	}
}

// setFlags sets the flag that is 0x40 in both ways of setting.
func setFlags(path string, how uintptr) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), how, uintptr(unsafe.Pointer(&[7]uint32{0x40}))); errno != 0 {
		return errno
	}
	return nil
}

func TestLongNameIsRefusedAsOnADisk(t *testing.T) {
	_, dir := mounted(t, "small")
	if _, err := os.Lstat(filepath.Join(dir, strings.Repeat("n", 256))); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Error(err)
	}
}

func TestFileIsMappedIntoMemory(t *testing.T) {
	_, dir := mounted(t, "hostile")
	f, err := os.Open(filepath.Join(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := hostileTree().child("big").content()
	got, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(got)
	if !bytes.Equal(got, want) {
		t.Error("mapped bytes differ")
	}
}

func TestSizeOfALinkIsTheLengthOfWhereItLeads(t *testing.T) {
	_, dir := mounted(t, "odd links")
	for _, k := range oddLinksTree().kids {
		path := filepath.Join(dir, string(k.Name))
		info, err := os.Lstat(path)
		if err != nil || info.Size() != int64(len(k.Target)) {
			t.Error(path, err)
		}
		for range 2 {
			if to, err := os.Readlink(path); err != nil || to != string(k.Target) {
				t.Errorf("%q, %v", to, err)
			}
		}
	}
}
