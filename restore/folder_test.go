package restore

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
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
