package restore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// spoil has the sector of an image on which some bytes lie hold something else.
func spoil(t *testing.T, image, what string) {
	t.Helper()
	b, err := os.ReadFile(image)
	must(t, err)
	at := bytes.Index(b, []byte(what))
	if at < 0 {
		t.Fatal("it is not there")
	}
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("spoilt"), int64(at))
	must(t, errors.Join(err, f.Close()))
}

// A file with a bad sector is replaced by what the version has; the damaged one stays what it is by names that are not restored.
func TestFilesThatCannotBeReadAreOverwritten(t *testing.T) {
	g := newRig(t)
	same, differs := text(1, 3*pieceLen), text(2, 3*pieceLen)
	twice := names(g.file("", same), "a", "b")
	v, from := g.version(append(twice, g.file("c", differs), g.file("good", text(3, pieceLen)))...), t.TempDir()
	for name, content := range map[string]string{"a": same, "c": "X" + differs[1:], "good": text(3, pieceLen)} {
		write(t, filepath.Join(from, "target", name), content)
	}
	image := newImage(t, 120, "mkfs.btrfs", "--rootdir", from)
	for _, content := range []string{same, differs} {
		spoil(t, image, content[pieceLen+100:pieceLen+200])
	}
	point := mountImage(t, image)
	dir, outside := filepath.Join(point, "target"), filepath.Join(point, "outside")
	must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	must(t, os.Link(filepath.Join(dir, "a"), outside))
	for _, name := range []string{"a", "c"} {
		if _, err := os.ReadFile(filepath.Join(dir, name)); !errors.Is(err, unix.EIO) {
			t.Fatalf("%s: %v: this tests nothing", name, err)
		}
	}
	old, _ := inode(t, outside)
	r := g.restore(v, dir)
	wantLeft(t, "skipped", r.Skipped, "a", "b", "c", "good")
	dry := g.restore(v, dir, deleting, func(o *Options) { o.DryRun = true })
	wantLeft(t, "failed before", dry.Failed)
	r = g.restore(v, dir, deleting)
	wantLeft(t, "failed", r.Failed)
	if dry.Files != 3 || r.Files != 3 || r.Written != uint64(len(same)+len(differs)) || r.Equal != 1 || r.Deleted != 0 {
		t.Errorf("restored %+v, and before dry %+v", r, dry)
	}
	wantSame(t, g, v, dir)
	if now, links := inode(t, outside); now != old || links != 1 {
		t.Errorf("of the damaged file, %d with %d names, somebody else has %d", old, links, now)
	}
}

// A refusing file cannot be opened to be read.
type refusing struct {
	memoryFile
	why syscall.Errno
}

func (f *refusing) Open(context.Context, uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	return nil, 0, f.why
}

// So is one that cannot be opened for its damage, and not one that is kept from others.
func TestFilesThatCannotBeOpenedAreOverwritten(t *testing.T) {
	for why, replaced := range map[syscall.Errno]bool{unix.EIO: true, unix.EUCLEAN: true, unix.EBADMSG: true, unix.ENOKEY: true, unix.EACCES: false, unix.EPERM: false} {
		g := newRig(t)
		root, dir := &memory{}, t.TempDir()
		server, err := gofuse.Mount(dir, root, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
		must(t, err)
		t.Cleanup(func() { must(t, server.Unmount()) })
		root.AddChild("f", root.NewPersistentInode(t.Context(), &refusing{why: why}, gofuse.StableAttr{}), true)
		r := g.restore(g.version(g.file("f", "theirs")), dir, overwrite)
		f, _ := root.GetChild("f").Operations().(*memoryFile)
		if done := f != nil && string(f.Data) == "theirs"; done != replaced || (r.Failed.Count == 0) != replaced {
			t.Errorf("%v: replaced: %v, failed: %+v", why, done, r.Failed)
		}
	}
}

// A meter adds up what is read.
type meter struct{ n atomic.Int64 }

func (m *meter) WaitN(ctx context.Context, n int) error {
	m.n.Add(int64(n))
	return ctx.Err()
}

// Where files cannot share blocks, what is equal is read twice: once to compare it, and once to copy it.
func TestWhatIsCopiedIsLimitedToo(t *testing.T) {
	g := newRig(t)
	large := text(1, 10*pieceLen)
	v, dir := g.version(g.file("f", large)), mountImage(t, newImage(t, 16, "mkfs.ext4"))
	write(t, filepath.Join(dir, "f"), "X"+large[1:])
	read := &meter{}
	r := g.restore(v, dir, overwrite, func(o *Options) { o.Limiter = read })
	if got := read.n.Load(); got != (10+9+1)*pieceLen || r.Written != pieceLen {
		t.Errorf("%d bytes were waited for, and %d written", got, r.Written)
	}
}
