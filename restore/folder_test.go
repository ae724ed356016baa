package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A swapped is a folder that others may write in: what is made there is something else once it is opened.
type swapped struct {
	memory
	with   *memory // in place of a folder
	filled bool    // it is not empty
	files  uint32  // owner of files that are made
}

func (s *swapped) Mkdir(ctx context.Context, _ string, _ uint32, _ *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	n := s.NewInode(ctx, s.with, gofuse.StableAttr{Mode: syscall.S_IFDIR})
	if s.filled {
		n.AddChild("theirs", n.NewInode(ctx, &memoryFile{}, gofuse.StableAttr{}), true)
	}
	return n, 0
}

func (s *swapped) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*gofuse.Inode, gofuse.FileHandle, uint32, syscall.Errno) {
	n, h, fl, errno := s.memory.Create(ctx, name, flags, mode, out)
	n.Operations().(*memoryFile).Attr.Uid = s.files
	return n, h, fl, errno
}

// Who may write in a folder can put that of somebody else in the place of one that was just made there: it keeps its owner and mode. Where all belongs to one user whoever makes it
// nobody has.
func TestFoldersOfOthersThatWerePutInThePlaceOfOnesMadeStay(t *testing.T) {
	for what, c := range map[string]struct {
		s    *swapped
		made bool
	}{
		"of another": {&swapped{with: &memory{attr: fuse.Attr{Mode: 0o700, Owner: fuse.Owner{Uid: 7, Gid: 7}}}, filled: true}, false},
		"of root":    {&swapped{with: &memory{attr: fuse.Attr{Mode: 0o700}}, filled: true}, false},
		"mapped":     {&swapped{with: &memory{attr: fuse.Attr{Mode: 0o700, Owner: fuse.Owner{Uid: 7, Gid: 7}}}, files: 7}, true},
		"as made":    {&swapped{with: &memory{attr: fuse.Attr{Mode: 0o700}}}, true},
	} {
		g := newRig(t)
		v, dir, s := g.version(g.dir("d", g.file("f", "f"))), t.TempDir(), c.s
		server, err := gofuse.Mount(dir, s, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
		must(t, err)
		t.Cleanup(func() { must(t, server.Unmount()) })
		s.with.mu.Lock()
		owner, mode := s.with.attr.Uid, uint32(0o700)
		s.with.mu.Unlock()
		if c.made {
			owner, mode = 1000, 0o750
		}
		r := g.restore(v, dir)
		wantLeft(t, "failed", r.Failed)
		if c.made != (r.Dirs == 1) {
			t.Errorf("%s: %d folders were made", what, r.Dirs)
		}
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, "d"), &st))
		if st.Uid != owner || st.Mode&0o7777 != mode {
			t.Errorf("%s: the folder is %o of %d", what, st.Mode, st.Uid)
		}
		if f := s.GetChild("d").GetChild("f"); f == nil {
			t.Errorf("%s: what belongs into the folder is not there", what)
		}
	}
}

// A squashing folder makes all that is made in it, however deep, one user's, and lets few files be made.
type squashing struct {
	memory
	files *atomic.Int32 // that may still be made
}

func (s *squashing) Mkdir(ctx context.Context, _ string, mode uint32, _ *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	sub := &squashing{memory{attr: fuse.Attr{Mode: mode, Owner: fuse.Owner{Uid: 7, Gid: 7}}}, s.files}
	return s.NewInode(ctx, sub, gofuse.StableAttr{Mode: syscall.S_IFDIR}), 0
}

func (s *squashing) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*gofuse.Inode, gofuse.FileHandle, uint32, syscall.Errno) {
	if s.files.Add(-1) < 0 {
		return nil, nil, 0, syscall.EDQUOT
	}
	n, h, fl, errno := s.memory.Create(ctx, name, flags, mode, out)
	n.Operations().(*memoryFile).Attr.Uid = 7
	return n, h, fl, errno
}

// To find out whom all belongs to that is made in the target takes one file.
func TestWhomTheTargetGivesAllToIsFoundOutOnce(t *testing.T) {
	g := newRig(t)
	v, dir, files := g.version(g.dir("a", g.dir("b", g.dir("c"))), g.dir("d")), t.TempDir(), new(atomic.Int32)
	files.Store(1)
	server, err := gofuse.Mount(dir, &squashing{files: files}, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Unmount()) })
	r := g.restore(v, dir)
	wantLeft(t, "failed", r.Failed)
	if left := files.Load(); r.Dirs != 4 || left != 0 {
		t.Errorf("%d folders were made, and %d files may still be", r.Dirs, left)
	}
}

// A folder that is there and empty, the target itself too, is closed to whom the version closes it before anything is in it, be it its owner, its group or who is in its ACL, and lets nobody in
// whom it kept out; one that holds something stays as it is.
func TestFoldersThatWereThereAreNoMoreOpenThanInTheVersion(t *testing.T) {
	g := newRig(t)
	as := func(e snapshot.Entry, mode uint32, set ...snapshot.Xattr) snapshot.Entry {
		e.Mode, e.UID, e.GID = unix.S_IFDIR|mode, 0, 0
		return g.xattrs(e, set...)
	}
	of := func(e snapshot.Entry, uid, gid uint32) snapshot.Entry {
		e.UID, e.GID = uid, gid
		return e
	}
	in := g.dir("in", g.file("z", text(1, 9*pieceLen)))
	v := g.version(
		as(g.dir("closed", in), 0o700), as(g.dir("shut", in), 0o755), as(g.dir("acl", in), 0o770, aclOf(7, 7, 0, 7, 0)), as(g.dir("sticky", in), 0o777),
		as(g.dir("used", in), 0o700), as(g.dir("group", in), 0o550),
		of(as(g.dir("theirs", in), 0o755), 1000, 1001), of(as(g.dir("another's", in), 0o750), 1000, 1001), of(as(g.dir("of a group", in), 0o770), 0, 1001), as(g.dir("listed", in), 0o770),
	)
	root, err := v.RootEntry()
	must(t, err)
	root.Mode, root.UID, root.GID = unix.S_IFDIR|0o710, 0, 0
	v.SetRoot(&root)
	before := map[string]os.FileMode{
		"closed": 0o755, "shut": 0o700, "acl": 0o775, "sticky": os.ModeSticky | 0o777, "group": os.ModeSetgid | 0o775,
		"theirs": 0o777, "another's": 0o777, "of a group": 0o770, "listed": 0o770,
	}
	owners := map[string]uint32{"theirs": 1000, "another's": 1234}
	listed := func(path string) bool {
		_, err := unix.Getxattr(path, aclAccess, nil)
		return err == nil
	}
	fill := func() (dir string) {
		dir = t.TempDir()
		must(t, os.Chmod(dir, 0o755))
		for name, mode := range before {
			path := filepath.Join(dir, name)
			must(t, os.Mkdir(path, 0o755))
			if name == "listed" {
				must(t, unix.Setxattr(path, aclAccess, aclOf(7, 7, 0, 7, 0).Value, 0))
			}
			must(t, os.Chmod(path, mode))
		}
		must(t, os.Chown(filepath.Join(dir, "theirs"), 1000, 1001))
		must(t, os.Chown(filepath.Join(dir, "another's"), 1234, 1001))
		must(t, os.Chown(filepath.Join(dir, "of a group"), 0, 1234))
		write(t, filepath.Join(dir, "used/mine"), "mine")
		must(t, os.Chmod(filepath.Join(dir, "used"), 0o755))
		return dir
	}
	dir := fill()
	want := func(when string, modes map[string]os.FileMode) {
		t.Helper()
		for name, mode := range modes {
			if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode()&^os.ModeDir != mode {
				t.Errorf("%s %s is %v, not %v, %v", when, name, st.Mode(), mode, err)
			}
		}
	}
	wantOwners := func(when string, owners map[string]uint32, acl bool) {
		t.Helper()
		for name, uid := range owners {
			var st unix.Stat_t
			if must(t, unix.Stat(filepath.Join(dir, name), &st)); st.Uid != uid {
				t.Errorf("%s %s belongs to %d", when, name, st.Uid)
			}
		}
		if has := listed(filepath.Join(dir, "listed")); has != acl {
			t.Errorf("%s there is an ACL: %v", when, has)
		}
	}
	g.restore(v, dir, func(o *Options) { o.DryRun = true })
	want("after a dry run", before)
	wantOwners("after a dry run", owners, true)
	g.breakOff(v, dir, 1)
	want("meanwhile", map[string]os.FileMode{
		".": 0o755, "used": 0o755, "closed": 0o700, "shut": 0o700, "acl": 0o700, "sticky": os.ModeSticky | 0o777, "group": os.ModeSetgid | 0o750,
		"theirs": 0o755, "another's": 0o700, "of a group": 0o700, "listed": 0o700,
	})
	wantOwners("meanwhile", map[string]uint32{"theirs": 1000, "another's": 0}, false)
	g.restore(v, dir)
	want("at the end", map[string]os.FileMode{".": 0o755, "used": 0o755})
	wantLeft(t, "different at the end", g.restore(v, dir, func(o *Options) { o.VerifyOnly = true }).Differs, ".", "used")
	dir = fill()
	g.breakOff(v, dir, 1, func(o *Options) { o.NoMetadata = true }) // owners and ACLs are the target's
	wantOwners("without metadata", owners, true)
	empty := t.TempDir()
	must(t, os.Chmod(empty, 0o755))
	g.breakOff(v, empty, 1)
	dir = empty
	want("meanwhile, of an empty target,", map[string]os.FileMode{".": 0o710})
}

// A watcher is told of what is done with.
type watcher func()

func (w watcher) Add(uint64, uint64) { w() }

// Whose folder something is restored in may give it an ACL meanwhile for all that is made there: nothing that is has it.
func TestOwnersOfFoldersThatWereThereGainNothingByAnACL(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("home", g.dir("before"), g.dir("d", g.file("f", "f"), g.dir("deep", g.file("f", "f"))), g.file("f", "f"), g.entry("fifo", unix.S_IFIFO|0o660), g.symlink("l", "f")))
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	write(t, filepath.Join(home, "mine"), "mine")
	must(t, os.Chown(home, 1234, 1234))
	var once sync.Once
	err := errors.New("it has none")
	r := g.restore(v, dir, func(o *Options) {
		o.Progress = watcher(func() { // for the first time when the first folder in it was made
			once.Do(func() { err = unix.Setxattr(home, aclDefault, aclOf(7, 7, 7, 7, 7).Value, 0) })
		})
	})
	must(t, err)
	wantLeft(t, "failed", r.Failed)
	if r.Dirs != 3 || r.Files != 5 {
		t.Errorf("restored %+v", r)
	}
	wantLeft(t, "different", g.restore(v, dir, func(o *Options) { o.VerifyOnly = true }).Differs, ".", "home")
}

// A remote is a file or folder as NFS shows it: what its mode says is an attribute too, which cannot be removed, and there are neither inode flags nor files without a name.
type remote struct{ *gofuse.LoopbackNode }

const remoteACL = "system.nfs4_acl"

func (r *remote) WrapChild(_ context.Context, ops gofuse.InodeEmbedder) gofuse.InodeEmbedder {
	return &remote{ops.(*gofuse.LoopbackNode)}
}

func (r *remote) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*gofuse.Inode, gofuse.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.ENOSYS
}

func (r *remote) Ioctl(context.Context, gofuse.FileHandle, uint32, uint64, []byte, []byte) (int32, syscall.Errno) {
	return 0, syscall.ENOTTY
}

// acl is the value, none for symlinks.
func (r *remote) acl(ctx context.Context) string {
	var out fuse.AttrOut
	if r.Getattr(ctx, nil, &out) != 0 || out.Mode&unix.S_IFMT == unix.S_IFLNK {
		return ""
	}
	return fmt.Sprintf("%o of %d", out.Mode&0o7777, out.Uid)
}

func (r *remote) Listxattr(ctx context.Context, to []byte) (uint32, syscall.Errno) {
	n, errno := r.LoopbackNode.Listxattr(ctx, to)
	if errno != 0 || r.acl(ctx) == "" {
		return n, errno
	}
	const more = remoteACL + "\x00"
	if len(to) > 0 && copy(to[n:], more) < len(more) {
		return 0, syscall.ERANGE
	}
	return n + uint32(len(more)), 0
}

func (r *remote) Getxattr(ctx context.Context, name string, to []byte) (uint32, syscall.Errno) {
	if name != remoteACL {
		return r.LoopbackNode.Getxattr(ctx, name, to)
	}
	value := r.acl(ctx)
	copy(to, value)
	return uint32(len(value)), 0
}

func (r *remote) Removexattr(ctx context.Context, name string) syscall.Errno {
	if name == remoteACL {
		return syscall.EINVAL
	}
	return r.LoopbackNode.Removexattr(ctx, name)
}

// mountRemote mounts a folder like that until the test ends.
func mountRemote(t *testing.T) (point, below string) {
	t.Helper()
	point, below = t.TempDir(), t.TempDir()
	var st unix.Stat_t
	must(t, unix.Stat(below, &st))
	top := &gofuse.LoopbackRoot{Path: below, Dev: st.Dev}
	root := &remote{&gofuse.LoopbackNode{RootData: top}}
	top.RootNode = root
	server, err := gofuse.Mount(point, root, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Unmount()) })
	return point, below
}

// What the target lets nobody remove fails nothing.
func TestAttributesThatCannotBeRemovedFailNothing(t *testing.T) {
	g := newRig(t)
	dir, below := mountRemote(t)
	write(t, filepath.Join(below, "theirs"), "theirs")
	must(t, os.Chown(below, 7, 7))
	wantLeft(t, "failed", g.restore(g.version(g.file("f", "f")), dir).Failed)
	if content(t, filepath.Join(below, "f")) != "f" {
		t.Error("the file is wrong")
	}
}
