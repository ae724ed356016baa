package restore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
	capability = "security.capability"

	setID = unix.S_ISUID | unix.S_ISGID
)

// A holder is what attributes are given to: something open, if only by O_PATH, so that it is the same whatever becomes of its name.
type holder struct {
	fd    int
	node  bool   // it is open by O_PATH: to open a fifo or device might do something, and a symlink cannot be opened
	path  string // to be told
	fresh bool   // it was just made and has got no attributes from its folder
	flags uint32 // inode flags that it may have got from there
	noACL []byte // what the version has, and the target cannot hold
	other bool   // its owner is not that of the version, so nobody gets by it what that could do
	in    int    // the folder in which it is, or, if it is one, itself
}

// give gives a file or folder everything but its content and what would keep it from being changed further.
func (r *run) give(h *holder, e *snapshot.Entry) error {
	mode, err := r.modeOf(e)
	if err != nil {
		return err
	}
	h.other = r.o.NoOwner
	if !h.other {
		if err := h.chown(int(e.UID), int(e.GID)); err != nil {
			if !unsupported(err) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOVERFLOW) { // a user namespace, or an idmapped mount, has no such user
				return err
			}
			r.note("owners", h.path, err)
			h.other = true
		}
	}
	if h.other {
		mode &^= setID
	}
	if err := r.giveXattrs(h, e); err != nil {
		return err
	}
	if e.Type() != unix.S_IFLNK {
		if h.noACL != nil {
			mode = withoutACL(mode, h.noACL)
		}
		if err := h.chmod(mode); err != nil {
			if !unsupported(err) {
				return err
			}
			r.note("modes", h.path, err)
		}
	}
	r.giveFlags(h, e.Flags)
	if err := h.utimes(e.Mtime); err != nil {
		if !unsupported(err) && !errors.Is(err, unix.EINVAL) {
			return err
		}
		r.note("times", h.path, err)
	}
	return nil
}

// modeOf is the mode that something gets, if the target can hold the rest.
func (r *run) modeOf(e *snapshot.Entry) (uint32, error) {
	mode := e.Mode & 0o7777
	if r.o.NoOwner {
		mode &^= setID
	}
	if r.o.NoMetadata {
		attributes, err := r.xattrsOf(e)
		if snapshot.IsLost(err) { // with the ACL, if it had one
			return mode &^ 0o070, nil
		}
		if err != nil {
			return 0, err
		}
		if acl, has := attributes.Get(aclAccess); has {
			mode = withoutACL(mode, acl)
		}
	}
	return mode, nil
}

// withoutACL is what is left of a mode if the ACL is not put back.
func withoutACL(mode uint32, acl []byte) uint32 { return mode &^ (0o070 &^ (owningGroup(acl) << 3)) }

// owningGroup is what an ACL has for the owning group. The mode has there, beside an ACL, what anybody at all may do but the owner and others.
func owningGroup(acl []byte) uint32 {
	const head, entry, groupObj = 4, 8, 4
	for at := head; at+entry <= len(acl); at += entry {
		if binary.LittleEndian.Uint16(acl[at:]) == groupObj {
			return uint32(binary.LittleEndian.Uint16(acl[at+2:])) & 7
		}
	}
	return 0
}

// unsupported tells what a file system says of what it cannot hold.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.ENOSYS)
}

func (h *holder) chown(uid, gid int) error {
	return unix.Fchownat(h.fd, "", uid, gid, unix.AT_EMPTY_PATH)
}

func (h *holder) chmod(mode uint32) error {
	if h.node {
		return unix.Chmod(h.proc(), mode)
	}
	return unix.Fchmod(h.fd, mode)
}

func (h *holder) utimes(t snapshot.Time) error {
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: t.Sec, Nsec: int64(t.Nsec)}}
	if h.node {
		return unix.UtimesNanoAt(unix.AT_FDCWD, h.proc(), ts[:], 0)
	}
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(h.fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// proc is a path that leads to just what is open, be it a symlink.
func (h *holder) proc() string { return "/proc/self/fd/" + strconv.Itoa(h.fd) }

func (h *holder) setXattr(name string, value []byte) error {
	if h.node {
		return unix.Setxattr(h.proc(), name, value, 0)
	}
	return unix.Fsetxattr(h.fd, name, value, 0)
}

func (h *holder) removeXattr(name string) error {
	if h.node {
		return unix.Removexattr(h.proc(), name)
	}
	return unix.Fremovexattr(h.fd, name)
}

// xattrs are those that are there.
func (h *holder) xattrs() (snapshot.Xattrs, error) {
	list := func(b []byte) (int, error) { return unix.Flistxattr(h.fd, b) }
	get := func(name string, b []byte) (int, error) { return unix.Fgetxattr(h.fd, name, b) }
	if h.node {
		list = func(b []byte) (int, error) { return unix.Listxattr(h.proc(), b) }
		get = func(name string, b []byte) (int, error) { return unix.Getxattr(h.proc(), name, b) }
	}
	buf := make([]byte, 64<<10)
	n, err := list(buf)
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var set []snapshot.Xattr
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
		if name == "" || isLeftOut(name) {
			continue
		}
		n, err := get(name, value)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return nil, err
		}
		set = append(set, snapshot.Xattr{Name: name, Value: bytes.Clone(value[:n])})
	}
	return snapshot.EncodeXattrs(set), nil
}

// isLeftOut tells whether an extended attribute is not put back: restore marks, which old versions may have, and the ACLs of xfs in its own form. It lists these beside those that all file
// systems have, and makes them of those; on another file system nothing would keep them as those are, and on an xfs, put back after those, they would win.
func isLeftOut(name string) bool {
	return snapshot.IsRestoreMark(name) || name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT"
}

// xattrsOf are those that the version has, but for what is not put back.
func (r *run) xattrsOf(e *snapshot.Entry) (snapshot.Xattrs, error) {
	all, err := snapshot.GetXattrs(r.ctx, r.o.Vault, e)
	if err != nil {
		return nil, err
	}
	var rest []snapshot.Xattr
	less := false
	err = all.All(func(name, value []byte) bool {
		if isLeftOut(string(name)) {
			less = true
		} else {
			rest = append(rest, snapshot.Xattr{Name: string(name), Value: value})
		}
		return true
	})
	if !less {
		return all, err
	}
	return snapshot.EncodeXattrs(rest), err
}

// wanted tells whether an attribute of the version is put back.
func (h *holder) wanted(name string) bool { return !h.other || name != capability }

// giveXattrs makes the extended attributes those of e.
func (r *run) giveXattrs(h *holder, e *snapshot.Entry) error {
	if r.o.NoMetadata || h.fresh && len(e.Xattrs) == 0 && len(e.XattrRefs) == 0 {
		return nil
	}
	want, err := r.xattrsOf(e)
	if err != nil {
		return err
	}
	var have snapshot.Xattrs
	if !h.fresh {
		if have, err = h.xattrs(); err != nil {
			return err
		}
		if err := r.dropXattrs(h, have, want); err != nil {
			return err
		}
	}
	var failed error
	err = want.All(func(n, value []byte) bool {
		name := string(n)
		if old, ok := have.Get(name); ok && bytes.Equal(old, value) || !h.wanted(name) {
			return true
		}
		if err := r.setXattr(h, name, value); err != nil {
			failed = r.noXattr(h, name, err)
			if name == aclAccess {
				h.noACL = value
			}
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// setXattr sets an attribute. ENOSPC says that the disk is full; that one is too large, of which the kernel says the same, is E2BIG.
func (r *run) setXattr(h *holder, name string, value []byte) error {
	err := h.setXattr(name, value)
	if errors.Is(err, unix.ENOSPC) && !r.full(h.in) {
		if err = h.setXattr(name, value); errors.Is(err, unix.ENOSPC) { // not just because somebody had all the room for a moment
			err = unix.E2BIG
		}
	}
	return err
}

// xattrRoom is more than the attributes of a file take.
const xattrRoom = 128 << 10

// full tells whether a folder has no room for the attributes of a file in it. If that cannot be told, it has.
func (r *run) full(dir int) bool {
	f, err := r.create(dir)
	if err == nil {
		err = unix.Fallocate(f.fd, 0, 0, xattrRoom)
		f.close()
	}
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// noXattr notes an attribute that the target cannot hold; any other error is returned.
func (r *run) noXattr(h *holder, name string, err error) error {
	kind := "attributes " + strings.SplitN(name, ".", 2)[0] + ".*"
	switch name {
	case aclAccess, aclDefault:
		kind = "ACLs"
	case capability:
		kind = "capabilities"
	}
	switch {
	case unsupported(err), errors.Is(err, unix.EINVAL):
		r.note(kind, h.path, err)
		return nil
	case errors.Is(err, unix.E2BIG), errors.Is(err, unix.ERANGE):
		r.note("attributes as large as "+name, h.path, unix.E2BIG)
		return nil
	}
	return err
}

// dropXattrs removes what the version has not. What a security module put there is its own affair, and what the target lets nobody remove, as NFS does with the ACL that it makes of a mode, stays.
func (r *run) dropXattrs(h *holder, have, want snapshot.Xattrs) error {
	var failed error
	err := have.All(func(n, _ []byte) bool {
		name := string(n)
		if _, keep := want.Get(name); keep && h.wanted(name) || name == "security.selinux" || name == "security.SMACK64" {
			return true
		}
		if err := h.removeXattr(name); err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EINVAL) && !unsupported(err) {
			failed = err
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// Inode flags, from linux/fs.h. That by which a folder passes its project on is not among them: of which project something is the target says, and no version.
const (
	locks     = 0x10 | 0x20                                          // immutable, append only
	formative = 0x4 | 0x400 | 0x800000 | 0x40000000                  // compress, do not, no copy on write, no case: of what is empty only
	inherited = formative | 0x1 | 0x2 | 0x8 | 0x40 | 0x80 | 0x4000 | // what else may be set, and a folder may pass on
		0x8000 | 0x2000000 | ofFolders&^formative
	ofFolders = 0x10000 | 0x20000 | 0x40000000 // write at once, spread what is in it, no case: no file can have them
)

// early gives the flags that must be given while there is no content, to what may have got others from its folder.
func (r *run) early(fd int, in *folder, flags uint32) {
	if r.o.NoMetadata || (in.flags|flags)&formative == 0 {
		return
	}
	have, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if want := have&^formative | flags&formative; err == nil && want != have {
		_ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(want)) // if it fails, giveFlags will say so
	}
}

// giveFlags makes the flags those of the version, but for locks.
func (r *run) giveFlags(h *holder, flags uint32) {
	if r.o.NoMetadata || h.node || flags&inherited == 0 && h.flags == 0 {
		return
	}
	have, err := unix.IoctlGetUint32(h.fd, unix.FS_IOC_GETFLAGS)
	if want := have&^inherited | flags&inherited; err == nil && want != have {
		err = unix.IoctlSetPointerInt(h.fd, unix.FS_IOC_SETFLAGS, int(want))
	}
	if err != nil && flags&inherited != 0 {
		r.note("inode flags", h.path, err)
	}
}

// flagsDiffer tells whether an open file has other flags than the version.
func (r *run) flagsDiffer(fd int, flags uint32) bool {
	have, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	mask := uint32(inherited | locks)
	if r.o.NoLocks {
		mask &^= locks
	}
	return err == nil && !r.o.NoMetadata && (have^flags)&mask != 0
}

// isLocked tells whether something is immutable or append only, and so can be given nothing.
func isLocked(st *unix.Statx_t) bool {
	return st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}

// lacks tells whether something open is to be given what an entry has but for the content. The error is EPERM if it is locked, unless it is just as the target holds that.
func (r *run) lacks(h *holder, st *unix.Statx_t, e *snapshot.Entry) (bool, error) {
	differs := func(e *snapshot.Entry) (bool, error) {
		what, err := r.otherwise(h, st, e)
		return len(what) > 0 || r.flagsDiffer(h.fd, e.Flags), err
	}
	lacks, err := differs(e)
	if err != nil || !lacks || !isLocked(st) {
		return lacks, err
	}
	if lacks, err = differs(r.asHeld(h.path, st, e)); err == nil && lacks {
		err = unix.EPERM
	}
	return false, err
}

// asHeld is what the target makes of an entry: what a file has that is made there and given all of it, and what a folder alone can have. Where that cannot be done, st says how it holds the time.
func (r *run) asHeld(path string, st *unix.Statx_t, e *snapshot.Entry) *snapshot.Entry {
	held := *e
	if now := fileTime(st.Mtime); sameTime(now, e.Mtime) {
		held.Mtime = now
	}
	fd, err := openIn(r.o.Target, ".", unix.O_TMPFILE|unix.O_RDWR)
	probe := &file{fd: fd}
	if err != nil && r.writes() {
		probe, err = r.create(r.o.Target)
	}
	if err != nil {
		return &held
	}
	defer probe.close()
	h, given := &holder{fd: probe.fd, path: path, flags: inherited, in: r.o.Target}, *e
	var passedOn []byte // the ACL that only a folder can have
	if e.IsDir() {
		all, err := r.xattrsOf(e)
		if err != nil {
			return &held
		}
		passedOn, _ = all.Get(aclDefault)
		given.Xattrs, given.XattrRefs, given.Flags = with(all, aclDefault, nil), nil, e.Flags&^ofFolders
	}
	if r.give(h, &given) != nil {
		return &held
	}
	if passedOn != nil {
		if err := r.setXattr(h, aclDefault, passedOn); !errors.Is(err, unix.EACCES) { // which is said of a file where a folder can have one
			if passedOn = nil; err != nil && r.noXattr(h, aclDefault, err) != nil {
				return &held
			}
		}
	}
	now, err := lookFD(h.fd)
	xattrs, xattrsErr := h.xattrs()
	flags, flagsErr := unix.IoctlGetUint32(h.fd, unix.FS_IOC_GETFLAGS)
	if err != nil || xattrsErr != nil {
		return &held
	}
	held.UID, held.GID, held.Mode, held.Mtime = now.Uid, now.Gid, e.Type()|uint32(now.Mode)&0o7777, fileTime(now.Mtime)
	asItIs := uint32(locks) // what the file was not given
	if e.IsDir() {
		asItIs |= ofFolders
		xattrs = with(xattrs, aclDefault, passedOn)
	}
	if flagsErr != nil { // the target has none
		asItIs = ^uint32(0)
	}
	held.Xattrs, held.XattrRefs, held.Flags = xattrs, nil, flags&^asItIs|e.Flags&asItIs
	return &held
}

// with is a set of attributes of which one is another; nil: there is none of that name.
func with(x snapshot.Xattrs, name string, value []byte) snapshot.Xattrs {
	var set []snapshot.Xattr
	_ = x.All(func(n, v []byte) bool {
		if string(n) != name {
			set = append(set, snapshot.Xattr{Name: string(n), Value: v})
		}
		return true
	}) // whoever needs them all has seen that they can be read
	if value != nil {
		set = append(set, snapshot.Xattr{Name: name, Value: value})
	}
	return snapshot.EncodeXattrs(set)
}

// giveLock makes a file or folder immutable or append only if it was: the last thing that can be done to it.
func (r *run) giveLock(h *holder, it *item) {
	if it.entry.Flags&locks == 0 || r.o.NoLocks {
		return
	}
	if it.link != nil { // other names are still to come
		r.lockLate(it)
		return
	}
	r.lock(h, it.entry.Flags&locks)
}

func (r *run) lockLate(it *item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = append(r.late, lateFlags{it.in.path, it.name, it.entry.Flags & locks})
}

func (r *run) lock(h *holder, flags uint32) {
	have, err := unix.IoctlGetUint32(h.fd, unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(h.fd, unix.FS_IOC_SETFLAGS, int(have|flags))
	}
	if err != nil {
		r.note("inode flags", h.path, err)
	}
}

// lateFlags are locks of a file that are set when all else is there: of one with several names, or one that an earlier restore put there.
type lateFlags struct {
	dir, name string
	flags     uint32
}

func (r *run) giveLate() {
	for _, l := range r.late {
		dir, err := openBelow(r.o.Target, l.dir, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			r.note("inode flags", join(l.dir, l.name), err)
			continue
		}
		fd, err := r.openFile(dir, l.name)
		if err == nil {
			r.lock(&holder{fd: fd, path: join(l.dir, l.name)}, l.flags)
			unix.Close(fd)
		} else {
			r.note("inode flags", join(l.dir, l.name), err)
		}
		unix.Close(dir)
	}
}
