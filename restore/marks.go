package restore

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// keeps tells whether a name that the version has not is to be kept all the same; below is its path.
func (r *run) keeps(dir int, name, below string) bool {
	whole := path.Join("/", r.o.Version.Partition.MountPoint, below)
	return r.keep.match(whole) || r.select_.excludes.match(whole) || r.keepsFlagged(dir, name)
}

// ownFiles finds those that belong to whoever restores, by whatever name they are met. What cannot be looked at, as its disk is gone, cannot be met either.
func ownFiles(paths []string) map[made]bool {
	own := map[made]bool{}
	for _, p := range paths {
		var st unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, p, unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st) == nil {
			own[madeOf(&st)] = true
		}
	}
	return own
}

// checkTarget refuses a target that is own, or lies in what is.
func (r *run) checkTarget() error {
	if len(r.own) == 0 {
		return nil
	}
	fd, err := unix.Openat(r.o.Target, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for before := (made{}); err == nil; {
		var st unix.Statx_t
		if st, err = lookFD(fd); err != nil || madeOf(&st) == before { // the root is above itself
			break
		}
		if before = madeOf(&st); r.own[before] {
			unix.Close(fd)
			return fmt.Errorf("the target: %w", errOwn)
		}
		var up int
		up, err = unix.Openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		fd = up
	}
	if fd >= 0 {
		unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("look where the target is: %w", err)
	}
	return nil
}

// errOwn is why something is left alone.
var errOwn = errors.New("it belongs to yester, and is left alone")

// isOwn tells whether a name is that of what belongs to whoever restores. If that cannot be told, it is.
func (r *run) isOwn(dir int, name string) bool {
	if len(r.own) == 0 {
		return false
	}
	st, there, err := look(dir, name)
	return err != nil || there && r.own[madeOf(&st)]
}

// errVault is why a folder is not removed.
var errVault = errors.New("a vault lies in it, which is left alone")

// holdsVault tells whether a vault lies in the open folder: of another home, or one that is not used any more. If that cannot be told, it does.
func holdsVault(fd int) bool {
	for _, name := range [...]string{"vault.json", "vault.json.copy"} {
		if _, there, err := look(fd, name); err != nil || there {
			return true
		}
	}
	return false
}

// unreadIn are the folders in which names could not be read when the version was made, by path. What the version has not in one of them may well have been there.
func unreadIn(v *snapshot.Version) map[string]bool {
	in := map[string]bool{}
	for _, w := range v.Warnings {
		if dir, ok := w.Lacks(); ok {
			in[dir] = true
		}
	}
	return in
}

// hasAllIn tells whether the version was to have all names in a folder, and not only what it leads to.
func (r *run) hasAllIn(f *folder) bool {
	s := r.o.Version.Scope
	return s == nil || s.Has(path.Join(r.o.Version.Partition.MountPoint, f.path))
}

// leftOutWhole tells whether a folder may have been left out of the version with all that was in it: a subvolume that was read-only.
func leftOutWhole(f *folder) bool {
	const rootIno = 256 // of every subvolume of btrfs
	if f.up == nil || f.entry.Tree != (store.ID{}) {
		return false
	}
	st, err := lookFD(f.fd)
	if err != nil || st.Ino != rootIno {
		return err != nil
	}
	var fs unix.Statfs_t
	return unix.Fstatfs(f.fd, &fs) != nil || fs.Type == unix.BTRFS_SUPER_MAGIC
}

// errKey is why what is in a folder is left alone.
var errKey = errors.New("it is encrypted, and its key is not there, as far as can be told")

// lacksKey returns errKey, and why, of a folder that is encrypted and whose key is not there: then its names are not those that it has, and nothing can be made in it. So it does if that
// cannot be told, as on a disk that is full or read-only. A key that is there stays while the folder is open.
func lacksKey(dir int) error {
	st, err := lookFD(dir)
	if err != nil || st.Attributes&unix.STATX_ATTR_ENCRYPTED == 0 {
		return err
	}
	fd, err := openIn(dir, ".", unix.O_TMPFILE|unix.O_RDWR)
	if err == nil {
		unix.Close(fd)
		return nil
	}
	var policy unix.FscryptPolicyV1
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(dir), unix.FS_IOC_GET_ENCRYPTION_POLICY, uintptr(unsafe.Pointer(&policy)))
	switch {
	case errno == unix.ENOTTY && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EROFS)): // encrypted by Windows, as cifs and ntfs3 tell: that leaves names as they are
		return nil
	case errors.Is(err, unix.EPERM) && st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0 && opensAny(dir):
		return nil
	}
	return fmt.Errorf("%w (%v)", errKey, err) // for others it says nothing that a disk was full for the probe
}

// opensAny tells whether the key of an encrypted folder in which nothing can be made is there, by what is in it: all has the same one.
func opensAny(dir int) bool {
	names, err := list(dir)
	if err != nil {
		return false
	}
	for _, name := range names {
		st, _, err := look(dir, name)
		kind := st.Mode & unix.S_IFMT
		if err != nil || kind != unix.S_IFREG && kind != unix.S_IFDIR {
			continue
		}
		fd, err := openIn(dir, name, unix.O_RDONLY|unix.O_NONBLOCK)
		if err != nil {
			if errors.Is(err, unix.ENOKEY) {
				return false
			}
			continue
		}
		if kind == unix.S_IFDIR { // it can be opened without the key, as no file can
			err = lacksKey(fd)
		}
		unix.Close(fd)
		if err == nil {
			return true
		}
	}
	return false
}

// keepsFlagged tells whether a name is to be kept for its flag. If that cannot be told, it is.
func (r *run) keepsFlagged(dir int, name string) bool {
	if !r.o.KeepNodump {
		return false
	}
	st, there, err := look(dir, name)
	return err != nil || there && nodump(&st)
}

// keepsAllIn tells whether the open folder bears a mark for which all in it is to be kept. If that cannot be told, it is.
func (r *run) keepsAllIn(fd int) bool {
	if r.o.KeepNodump {
		if st, err := lookFD(fd); err != nil || nodump(&st) {
			return true
		}
	}
	if !r.o.KeepCaches {
		return false
	}
	st, there, err := look(fd, snapshot.CacheTag)
	if err != nil || !there || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return err != nil
	}
	tag, err := r.openFile(fd, snapshot.CacheTag)
	if err != nil {
		return true
	}
	defer unix.Close(tag)
	b := make([]byte, len(snapshot.CacheSignature))
	n, err := pread(tag, b, 0)
	return err != nil || string(b[:n]) == snapshot.CacheSignature
}

func nodump(st *unix.Statx_t) bool { return st.Attributes&unix.STATX_ATTR_NODUMP != 0 }

// marked tells whether what is in a folder, and not in the version, may have been left out of it for a mark that the folder bears, or one above. It is
// asked before anything is done in the folder.
func (r *run) marked(f *folder) bool {
	switch {
	case !r.o.KeepCaches && !r.o.KeepNodump, !r.o.Delete && !r.o.Others:
		return false
	case slices.Contains(r.o.Named, path.Join(r.o.Version.Partition.MountPoint, f.path)):
		return false
	case f.up != nil && f.up.marked:
		return true
	}
	return r.keepsAllIn(f.fd) || r.o.KeepCaches && r.taggedInVersion(f)
}

// taggedInVersion tells whether the version has the folder tagged as a cache. If that cannot be told, it has.
func (r *run) taggedInVersion(f *folder) bool {
	var e snapshot.Entry
	err := snapshot.Lookup(r.ctx, r.o.Vault, f.entry.Tree, []byte(snapshot.CacheTag), &e)
	if err != nil || !e.IsRegular() || e.Size < uint64(len(snapshot.CacheSignature)) {
		return err != nil && !errors.Is(err, snapshot.ErrNotExist)
	}
	var raw []byte
	lost := snapshot.Spans(r.ctx, r.o.Vault, &e, 0, 1, func(s snapshot.Span) bool {
		if !s.Hole() {
			raw, err = r.o.Vault.Get(r.ctx, s.ID)
		}
		return false
	})
	return lost != nil || err != nil || strings.HasPrefix(string(raw), snapshot.CacheSignature)
}
