package restore

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

// A memory is a folder of a file system in memory, whose names may be as long as FUSE's.
type memory struct {
	gofuse.Inode
	mu   sync.Mutex
	attr fuse.Attr
}

// A memoryFile is a file in it, which keeps what is set.
type memoryFile struct {
	gofuse.MemRegularFile
	mu sync.Mutex
}

func (m *memory) Mkdir(ctx context.Context, _ string, mode uint32, _ *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	return m.NewInode(ctx, &memory{attr: fuse.Attr{Mode: mode}}, gofuse.StableAttr{Mode: syscall.S_IFDIR}), 0
}

func (m *memory) Create(ctx context.Context, _ string, _, mode uint32, _ *fuse.EntryOut) (*gofuse.Inode, gofuse.FileHandle, uint32, syscall.Errno) {
	f := &memoryFile{}
	f.Attr = fuse.Attr{Mode: mode, Nlink: 1}
	return m.NewInode(ctx, f, gofuse.StableAttr{}), nil, 0, 0
}

func (m *memory) Rename(context.Context, string, gofuse.InodeEmbedder, string, uint32) syscall.Errno {
	return 0
}

func (m *memory) Getattr(_ context.Context, _ gofuse.FileHandle, out *fuse.AttrOut) syscall.Errno {
	m.mu.Lock()
	defer m.mu.Unlock()
	out.Attr = m.attr
	return 0
}

func (m *memory) Setattr(_ context.Context, _ gofuse.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	m.mu.Lock()
	defer m.mu.Unlock()
	setAttr(&m.attr, in)
	out.Attr = m.attr
	return 0
}

func (f *memoryFile) Getattr(ctx context.Context, h gofuse.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.MemRegularFile.Getattr(ctx, h, out)
}

func (f *memoryFile) Setattr(ctx context.Context, h gofuse.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	setAttr(&f.Attr, in)
	return f.MemRegularFile.Setattr(ctx, h, in, out)
}

func setAttr(a *fuse.Attr, in *fuse.SetAttrIn) {
	if mode, ok := in.GetMode(); ok {
		a.Mode = mode
	}
	if uid, ok := in.GetUID(); ok {
		a.Uid = uid
	}
	if gid, ok := in.GetGID(); ok {
		a.Gid = gid
	}
	if t, ok := in.GetMTime(); ok {
		a.SetTimes(nil, &t, nil)
	}
}

// What has names of more than 255 bytes comes back where there are such.
func TestLongNamesAreRestored(t *testing.T) {
	g := newRig(t)
	root, point := &memory{}, t.TempDir()
	server, err := gofuse.Mount(point, root, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Unmount()) })
	var want []string
	var kids []snapshot.Entry
	for _, n := range []int{255, 256, 300, 765, snapshot.MaxName} {
		want = append(want, strings.Repeat("n", n))
		kids = append(kids, g.file(want[len(want)-1], text(n, 100)))
	}
	folder := strings.Repeat("d", 765)
	r := g.restore(g.version(g.dir(folder, kids...)), point)
	wantLeft(t, "failures", r.Failed)
	dir := root.GetChild(folder)
	if dir == nil {
		t.Fatal("there is no folder")
	}
	for _, name := range want {
		f, _ := dir.GetChild(name).Operations().(*memoryFile)
		if f == nil || string(f.Data) != text(len(name), 100) {
			t.Errorf("the file with the name of %d bytes is %v", len(name), f)
		}
	}
}

// A folder may have millions of names, and memory only those that may be one.
func TestOfNamesOnlyThoseThatMayBeOneAreKept(t *testing.T) {
	g := newRig(t)
	v := g.version(names(g.file("", "x"), "A", "B", "a", "b", "d", "s", "ſ")...)
	r, err := newRun(Options{Vault: g.vault, Version: v, Target: openDir(t, t.TempDir())})
	must(t, err)
	r.ctx = t.Context()
	var met folded
	for _, name := range []string{"A", "a", "b", "d", "s", "ſ"} { // B is as one that nothing was met with
		met.add(name)
	}
	var got []string
	for _, same := range r.twins(&folder{entry: r.root}, r.select_.top(), met.twice()) {
		for _, t := range same {
			got = append(got, t.name)
		}
	}
	slices.Sort(got)
	if want := []string{"A", "a", "s", "ſ"}; !slices.Equal(got, want) {
		t.Errorf("kept are %q, want %q", got, want)
	}
}

// Versions of before have no name for a file whose name had 256 bytes. Which of those that are there it is nobody knows, so none is one too many.
func TestFileWithoutANameKeepsNoOthersBack(t *testing.T) {
	g := newRig(t)
	to := t.TempDir()
	v := g.version(g.dir("d", g.file("", text(1, 100)), g.file("good", text(2, 100))), g.dir("e", g.file("good", text(2, 100))))
	for _, dir := range []string{"d", "e"} {
		must(t, os.Mkdir(to+"/"+dir, 0o755))
		write(t, to+"/"+dir+"/long", text(1, 100))
	}
	r := g.restore(v, to, overwrite, func(o *Options) { o.Delete = true })
	wantLeft(t, "failures", r.Failed, "d/")
	if r.Deleted != 1 || content(t, to+"/d/long") != text(1, 100) {
		t.Errorf("%d were deleted", r.Deleted)
	}
	if got := content(t, to+"/d/good"); got != text(2, 100) {
		t.Errorf("%d bytes", len(got))
	}
}
