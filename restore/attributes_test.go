package restore

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// inodeFlags are the flags of a file or folder.
func inodeFlags(t *testing.T, path string) uint32 {
	t.Helper()
	f, err := unix.IoctlGetUint32(openDir(t, path), unix.FS_IOC_GETFLAGS)
	must(t, err)
	return f
}

// A file has the flags that the version says, and not those that its folder passes on, also where they can be changed only while it is empty.
func TestFilesGetNoFlagsFromTheirFolder(t *testing.T) {
	const noCopyOnWrite = 0x800000
	g := newRig(t)
	flagged := func(e snapshot.Entry) snapshot.Entry {
		e.Flags = noCopyOnWrite
		return e
	}
	large := text(1, 6*pieceLen)
	v := g.version(
		flagged(g.dir("d", flagged(g.file("with", large)), g.file("without", large), g.file("changed", large), g.dir("plain", g.file("f", large)))),
		g.dir("p", flagged(g.file("with", large))),
	)
	dir := mountImage(t, newImage(t, 120, "mkfs.btrfs"))
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("d/changed"), large[:3*pieceLen]+"X"+large[3*pieceLen+1:])
	command(t, "chattr", "+C", path("d"))
	r := g.restore(v, dir, overwrite)
	wantLeft(t, "failed", r.Failed)
	wantLeft(t, "noted", r.Notes)
	for name, want := range map[string]uint32{
		"d": noCopyOnWrite, "d/with": noCopyOnWrite, "d/without": 0, "d/changed": 0, "d/plain": 0, "d/plain/f": 0, "p": 0, "p/with": noCopyOnWrite,
	} {
		if have := inodeFlags(t, path(name)); have&noCopyOnWrite != want {
			t.Errorf("the flags of %s are %x", name, have)
		}
	}
	wantSame(t, g, v, dir)
}

// aclOf is an ACL: what the owner may do, user 1234, the owning group, all but the owner at most, and others.
func aclOf(owner, user, group, most, other uint16) snapshot.Xattr {
	const nobody = 0xffffffff
	b := []byte{2, 0, 0, 0}
	for _, e := range []struct {
		tag, may uint16
		id       uint32
	}{{1, owner, nobody}, {2, user, 1234}, {4, group, nobody}, {0x10, most, nobody}, {0x20, other, nobody}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.may)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return snapshot.Xattr{Name: aclAccess, Value: b}
}

// Where an ACL cannot be kept, the owning group may not do what the ACL let others do.
func TestGroupGainsNothingWhereAnACLCannotBeKept(t *testing.T) {
	g := newRig(t)
	with := func(e snapshot.Entry, mode uint32, acl snapshot.Xattr) snapshot.Entry {
		e.Mode = e.Mode&^0o777 | mode
		return g.xattrs(e, acl)
	}
	v := g.version(
		with(g.file("reads", "x"), 0o664, aclOf(6, 6, 4, 6, 4)),
		with(g.file("masked", "x"), 0o640, aclOf(6, 6, 6, 4, 0)),
		with(g.dir("folder", g.file("f", "f")), 0o770, aclOf(7, 7, 0, 7, 0)),
	)
	kept, dir := t.TempDir(), mountImage(t, newImage(t, 120, "mkfs.btrfs"), "noacl")
	g.restore(v, kept)
	wantSame(t, g, v, kept)
	r := g.restore(v, dir)
	wantLeft(t, "failed", r.Failed)
	if r.Notes.Count != 1 {
		t.Fatalf("this tests nothing: %+v", r.Notes)
	}
	for range 2 {
		for name, want := range map[string]os.FileMode{"reads": 0o644, "masked": 0o640, "folder": 0o700} {
			if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != want {
				t.Errorf("%s is %v, %v", name, st.Mode(), err)
			}
		}
		g.restore(v, dir, overwrite)
	}
}

// What is immutable or append only stays as it is, and fails unless it is as the version has it.
func TestWhatIsLockedIsNotCalledEqual(t *testing.T) {
	g := newRig(t)
	as := func(e snapshot.Entry, flags uint32) snapshot.Entry {
		e.Flags = flags
		return e
	}
	v := g.version(
		as(g.file("equal", "x"), 0x10), as(g.file("owner", "x"), 0x10), g.file("mode", "x"), as(g.file("lock only", "x"), 0), g.file("content", "x"),
		as(g.dir("equal folder", g.file("f", "f")), 0x10), g.dir("folder", g.file("f", "f")), g.dir("empty"),
	)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	lock := func(name string, flags int) {
		must(t, unix.IoctlSetPointerInt(openDir(t, path(name)), unix.FS_IOC_SETFLAGS, flags))
	}
	all := []string{"equal", "owner", "mode", "lock only", "content", "equal folder", "folder", "empty"}
	t.Cleanup(func() {
		for _, name := range all {
			lock(name, 0)
		}
	})
	r := g.restore(v, dir)
	if r.Notes.Count > 0 {
		t.Skipf("flags cannot be set here: %+v", r.Notes)
	}
	lock("owner", 0)
	must(t, os.Chown(path("owner"), 7, 7))
	must(t, os.Chmod(path("mode"), 0o600))
	write(t, path("content"), "y")
	must(t, os.Chmod(path("folder"), 0o700))
	must(t, os.Chmod(path("empty"), 0o700))
	for _, name := range []string{"owner", "lock only", "content", "folder", "empty"} {
		lock(name, 0x10)
	}
	lock("mode", 0x20)
	before := listing(t, dir)
	r = g.restore(v, dir, overwrite)
	wantLeft(t, "failed", r.Failed, "owner", "mode", "lock only", "content", "folder", "empty")
	wantLeft(t, "noted", r.Notes)
	for _, l := range r.Failed.Items {
		if !strings.Contains(l.What, "lsattr") {
			t.Errorf("%s failed for %q", l.Path, l.What)
		}
	}
	if after := listing(t, dir); r.Equal != 3 || after != before {
		t.Errorf("%d were equal, and there was\n%sand is\n%s", r.Equal, before, after)
	}
}

// So is it where the target cannot hold all that it has: then it is as the version has it if it is as a restore leaves it there.
func TestWhatIsLockedIsEqualAsTheTargetHoldsIt(t *testing.T) {
	g := newRig(t)
	locked := func(e snapshot.Entry, mode, flags uint32, set ...snapshot.Xattr) snapshot.Entry {
		e.Mode, e.Flags = e.Mode&^0o7777|mode, 0x10|flags
		return g.xattrs(e, set...)
	}
	acl := aclOf(6, 6, 4, 6, 4)
	passedOn := snapshot.Xattr{Name: aclDefault, Value: acl.Value}
	can := snapshot.Xattr{Name: capability, Value: []byte{0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}
	v := g.version(append(
		names(locked(g.file("", "x"), 0o600, 0), "one", "two"),
		locked(g.file("plain", "x"), 0o644, 0), locked(g.file("compressed", "x"), 0o644, 0x4), locked(g.file("acl", "x"), 0o664, 0, acl),
		locked(g.file("large", "x"), 0o644, 0, snapshot.Xattr{Name: "user.large", Value: []byte(text(1, 20<<10))}), locked(g.file("runs", "x"), 0o6755, 0, can),
		locked(g.dir("folder", locked(g.file("f", "f"), 0o600, 0)), 0o750, 0, passedOn), locked(g.dir("mount"), 0o755, 0),
	)...)
	for what, c := range map[string]struct {
		mkfs    []string
		options string
		noOwner bool
	}{
		"times to the second": {[]string{"mkfs.ext4", "-I", "128"}, "rw", false},
		"no ACLs":             {[]string{"mkfs.btrfs"}, "noacl", false},
		"no owners":           {[]string{"mkfs.ext4", "-I", "256"}, "rw", true},
	} {
		t.Run(what, func(t *testing.T) {
			dir := mountImage(t, newImage(t, 120, c.mkfs...), c.options)
			with := func(o *Options) { o.OnConflict, o.NoOwner = Overwrite, c.noOwner }
			first := g.restore(v, dir, with)
			wantLeft(t, "failed at first", first.Failed)
			before := listing(t, dir)
			for _, dry := range []bool{true, false} {
				r := g.restore(v, dir, with, func(o *Options) { o.DryRun = dry })
				wantLeft(t, "failed", r.Failed)
				if r.Equal != first.Files || first.Files != 8 {
					t.Errorf("%d were restored, and %d are equal", first.Files, r.Equal)
				}
			}
			if after := listing(t, dir); after != before {
				t.Errorf("there was\n%sand is\n%s", before, after)
			}
			changed := []string{"plain", "acl", "mount"}
			for _, name := range changed {
				path := filepath.Join(dir, name)
				fd := openDir(t, path)
				must(t, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0))
				must(t, os.Chmod(path, 0o701))
				must(t, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0x10))
			}
			wantLeft(t, "failed", g.restore(v, dir, with).Failed, changed...)
		})
	}
}

// So is a folder with what no file can have.
func TestLockedFolderIsEqualAsTheTargetHoldsIt(t *testing.T) {
	const dirsync, topdir = 0x10000, 0x20000 // btrfs has only the former
	g := newRig(t)
	acl := aclOf(7, 7, 5, 7, 5)
	as := func(e snapshot.Entry, flags uint32, set ...snapshot.Xattr) snapshot.Entry {
		e.Mode, e.Flags = e.Mode&^0o7777|0o2755, 0x10|flags
		return g.xattrs(e, set...)
	}
	passedOn := snapshot.Xattr{Name: aclDefault, Value: acl.Value}
	for what, c := range map[string]struct {
		mkfs    []string
		options string
		noOwner bool
		flags   uint32
		noted   int
	}{
		"times to the second": {[]string{"mkfs.ext4", "-I", "128"}, "rw", false, dirsync | topdir, 0},
		"no owners":           {[]string{"mkfs.ext4", "-I", "256"}, "rw", true, dirsync | topdir, 0},
		"no ACLs":             {[]string{"mkfs.btrfs"}, "noacl", false, dirsync, 1},
	} {
		t.Run(what, func(t *testing.T) {
			v := g.version(
				as(g.dir("plain"), 0), as(g.dir("acl"), 0, passedOn, snapshot.Xattr{Name: "user.a", Value: []byte("a")}),
				as(g.dir("flags"), c.flags|0x80), as(g.dir("all"), c.flags, acl, passedOn),
			)
			dir := mountImage(t, newImage(t, 120, c.mkfs...), c.options)
			with := func(o *Options) { o.OnConflict, o.NoOwner = Overwrite, c.noOwner }
			for range 2 {
				r := g.restore(v, dir, with)
				wantLeft(t, "failed", r.Failed)
				if r.Notes.Count != uint64(c.noted) {
					t.Errorf("noted are %v", r.Notes.Items)
				}
			}
			change := func(name string, flags int) {
				fd := openDir(t, filepath.Join(dir, name))
				must(t, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0))
				if c.noted == 0 && name == "acl" {
					must(t, unix.Fremovexattr(fd, aclDefault))
				}
				must(t, unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags))
			}
			changed := []string{"plain", "flags"}
			change("plain", dirsync|0x10)
			change("flags", 0x80|0x10)
			if change("acl", 0x10); c.noted == 0 {
				changed = append(changed, "acl")
			}
			wantLeft(t, "failed", g.restore(v, dir, with).Failed, changed...)
		})
	}
}

// Of which project what is restored is the target says. It counts on for quotas what is made in its folders, also in those that the restore made.
func TestFoldersStayInTheProjectOfTheTarget(t *testing.T) {
	const passesOn = 0x20000000
	g := newRig(t)
	counted := g.dir("counted", g.file("f", "f"))
	counted.Flags = passesOn
	v := g.version(counted, g.dir("plain", g.dir("sub", g.file("f", "f"))), g.dir("there", g.file("f", "f")))
	dir := mountImage(t, newImage(t, 310, "mkfs.xfs"))
	for name, project := range map[string]string{"quota": "42", "none": ""} {
		to := filepath.Join(dir, name)
		must(t, os.Mkdir(to, 0o755))
		if project != "" {
			command(t, "chattr", "+P", "-p", project, to)
		}
		must(t, os.Mkdir(filepath.Join(to, "there"), 0o711))
		for range 2 {
			r := g.restore(v, to, overwrite)
			wantLeft(t, "failed", r.Failed)
			wantLeft(t, "noted", r.Notes)
			wantSame(t, g, v, to)
			for _, f := range []string{"counted", "plain", "plain/sub", "there"} {
				if flags := inodeFlags(t, filepath.Join(to, f)); (flags&passesOn != 0) != (project != "") {
					t.Errorf("%s: the flags of %s are %x", name, f, flags)
				}
			}
		}
	}
}

// An owned folder gives all that is in it to one user, and lets nobody change that.
type owned struct {
	memory
	why syscall.Errno
}

type ownedFile struct {
	memoryFile
	why   syscall.Errno
	given map[string]bool // attributes
}

func (o *owned) Create(ctx context.Context, _ string, _, mode uint32, _ *fuse.EntryOut) (*gofuse.Inode, gofuse.FileHandle, uint32, syscall.Errno) {
	f := &ownedFile{why: o.why, given: map[string]bool{}}
	f.Attr = fuse.Attr{Mode: mode, Nlink: 1}
	return o.NewInode(ctx, f, gofuse.StableAttr{}), nil, 0, 0
}

func (f *ownedFile) Setattr(ctx context.Context, h gofuse.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if _, ok := in.GetUID(); ok {
		return f.why
	}
	return f.memoryFile.Setattr(ctx, h, in, out)
}

func (f *ownedFile) Setxattr(_ context.Context, name string, _ []byte, _ uint32) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.given[name] = true
	return 0
}

// Where owners cannot be kept nobody gets by a file what its owner could do, nor what it could do by itself.
func TestSetIDBitsAreNotGivenWhereOwnersCannotBe(t *testing.T) {
	g := newRig(t)
	can := snapshot.Xattr{Name: capability, Value: []byte{0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}
	e := g.xattrs(g.file("f", "x"), can, snapshot.Xattr{Name: "user.a", Value: []byte("b")})
	e.Mode = unix.S_IFREG | 0o6755
	v := g.version(e)
	for _, why := range []syscall.Errno{syscall.EPERM, syscall.EINVAL, syscall.EOVERFLOW} {
		root, dir := &owned{why: why}, t.TempDir()
		server, err := gofuse.Mount(dir, root, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
		must(t, err)
		t.Cleanup(func() { must(t, server.Unmount()) })
		r := g.restore(v, dir)
		wantLeft(t, "failed", r.Failed)
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, "f"), &st))
		f := root.GetChild("f").Operations().(*ownedFile)
		f.mu.Lock()
		noted := len(r.Notes.Items) > 0 && strings.HasPrefix(r.Notes.Items[0].What, "owners cannot be kept")
		if st.Mode&0o7777 != 0o755 || st.Uid != 0 || f.given[capability] || !f.given["user.a"] || !noted {
			t.Errorf("%v: it is %o of %d, and was given %v, noted %+v", why, st.Mode, st.Uid, f.given, r.Notes)
		}
		f.mu.Unlock()
	}
}

// Versions of an xfs have its ACLs in its own form, too.
func TestACLsInTheFormOfXFSAreNotPutBack(t *testing.T) {
	g := newRig(t)
	acl := aclOf(6, 6, 4, 6, 4)
	e := g.xattrs(g.file("f", "x"), acl, snapshot.Xattr{Name: "trusted.SGI_ACL_FILE", Value: []byte("raw")})
	e.Mode = unix.S_IFREG | 0o664
	v, dir := g.version(e), t.TempDir()
	wantLeft(t, "noted", g.restore(v, dir).Notes)
	_, err := unix.Lgetxattr(filepath.Join(dir, "f"), "trusted.SGI_ACL_FILE", nil)
	if _, has := unix.Lgetxattr(filepath.Join(dir, "f"), aclAccess, nil); err == nil || has != nil {
		t.Errorf("that of xfs: %v, the other: %v", err, has)
	}
	wantSame(t, g, v, dir)
}

// Without metadata comes back what a file is, when it was changed and who may do what with it, as far as whoever restores may say so; all else is as the target has it, also of what is there.
func TestNoMetadataGivesPermissionBitsAndTimesOnly(t *testing.T) {
	const noDump = 0x40
	g := newRig(t)
	passedOn := snapshot.Xattr{Name: aclDefault, Value: aclOf(7, 7, 5, 7, 5).Value}
	with := func(e snapshot.Entry, mode, flags uint32) snapshot.Entry {
		e.Mode, e.Flags = e.Mode&^0o7777|mode, flags
		set := []snapshot.Xattr{aclOf(6, 6, 4, 6, 4), {Name: "user.a", Value: []byte("theirs")}}
		if e.IsDir() {
			set = append(set, passedOn)
		}
		return g.xattrs(e, set...)
	}
	v := g.version(append(names(with(g.file("", "x"), 0o6664, noDump|0x10), "one", "two"),
		with(g.file("there", "t"), 0o640, 0), with(g.dir("d", with(g.file("f", "f"), 0o664, noDump)), 0o2775, noDump))...)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("there"), "t")
	must(t, unix.Setxattr(path("there"), "user.a", []byte("mine"), 0))
	chattr(t, path("there"))
	plain := func(o *Options) { o.NoMetadata, o.OnConflict = true, Overwrite }
	for range 2 {
		r := g.restore(v, dir, plain)
		wantLeft(t, "failed", r.Failed)
		wantLeft(t, "noted", r.Notes)
		wantSame(t, g, v, dir, plain)
	}
	for name, mode := range map[string]uint32{"one": 0o644, "two": 0o644, "there": 0o640, "d": 0o745, "d/f": 0o644} {
		var st unix.Stat_t
		must(t, unix.Lstat(path(name), &st))
		value := make([]byte, 64)
		n, err := unix.Getxattr(path(name), "user.a", value)
		flags := inodeFlags(t, path(name)) & (noDump | locks)
		_, aclErr := unix.Getxattr(path(name), aclAccess, nil)
		_, passErr := unix.Getxattr(path(name), aclDefault, nil)
		asItWas := n <= 0 && flags == 0
		if name == "there" {
			asItWas = err == nil && string(value[:n]) == "mine" && flags == noDump
		}
		if st.Mode&0o7777 != mode || st.Uid != 0 || !asItWas || aclErr == nil || passErr == nil {
			t.Errorf("%s is %o of %d, with the flags %x and the attribute %q", name, st.Mode, st.Uid, flags, value[:max(n, 0)])
		}
	}
	if one, links := inode(t, path("one")); links != 2 {
		t.Errorf("%d has %d names", one, links)
	}
	must(t, os.Chmod(path("d"), 0o700))
	wantLeft(t, "different", g.restore(v, dir, plain, func(o *Options) { o.VerifyOnly = true }).Differs, "d")
}
