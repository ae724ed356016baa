package capture

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A stalled file has only bytes "b", and comes to an offset only once it is released.
type stalled struct {
	gofuse.Inode
	size, to        int64
	asked, released chan struct{}
	ask, release    func() // close them
}

func (s *stalled) Getattr(_ context.Context, _ gofuse.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Size = uint64(s.size)
	return 0
}

func (s *stalled) Open(context.Context, uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (s *stalled) Read(_ context.Context, _ gofuse.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if off+int64(len(dest)) > s.to {
		s.ask()
		<-s.released
	}
	for i := range dest {
		dest[i] = 'b'
	}
	return fuse.ReadResultData(dest), 0
}

// longWriteTo begins a single write of so many bytes over those that an open file has, and returns when it has come to an offset, or nearly. end has it come to its end.
func longWriteTo(t *testing.T, f *os.File, size, to int64) (end func()) {
	t.Helper()
	point := t.TempDir()
	s := &stalled{size: size, to: to, asked: make(chan struct{}), released: make(chan struct{})}
	s.ask, s.release = sync.OnceFunc(func() { close(s.asked) }), sync.OnceFunc(func() { close(s.released) })
	root := &gofuse.Inode{}
	server, err := gofuse.Mount(point, root, &gofuse.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true},
		OnAdd: func(ctx context.Context) {
			root.AddChild("file", root.NewPersistentInode(ctx, s, gofuse.StableAttr{}), true)
		},
	})
	must(t, err)
	written := make(chan error, 1)
	var m []byte
	end = sync.OnceFunc(func() {
		s.release()
		if m != nil {
			must(t, <-written)
			must(t, unix.Munmap(m))
		}
		_ = unix.Unmount(point, unix.MNT_DETACH)
		server.Wait()
	})
	t.Cleanup(end)
	source, err := os.Open(filepath.Join(point, "file"))
	must(t, err)
	defer source.Close()
	m, err = unix.Mmap(int(source.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
	must(t, err)
	go func() {
		n, err := unix.Pwrite(int(f.Fd()), m, 0)
		if err == nil && n != int(size) {
			err = unix.EIO
		}
		written <- err
	}()
	<-s.asked
	return end
}

// A write sets the times at its beginning, and no more. Where the file is looked at for holes ext4 waits for its end, but that is not all files, nor a snapshot.
func TestFileThatASingleWriteFillsSlowlyIsReadOnceMore(t *testing.T) {
	for _, c := range []struct {
		fstype, by string
		size, to   int64
	}{{"ext4", "walk", 4096, 0}, {"ext4", "journal", 4096, 0}, {"btrfs", "walk", 16 << 20, 8 << 20}, {"btrfs", "journal", 16 << 20, 8 << 20}} {
		t.Run(c.fstype+" by "+c.by, func(t *testing.T) {
			point := partition(t, c.fstype)
			r := newJournalRig(t, point, nil)
			r.o.Walkers, r.o.Limiter = 1, noLimit
			next := r.tryNext
			if c.by == "walk" {
				r.o.Memory = nil
				next = func() *snapshot.Version { return r.run() }
			}
			content := func(v *snapshot.Version) []byte {
				e := r.entries(v)["file"]
				b, _ := r.content(&e)
				return b
			}
			f, err := os.Create(point + "/file")
			must(t, err)
			defer f.Close()
			_, err = f.Write(bytes.Repeat([]byte("a"), int(c.size)))
			must(t, errors.Join(err, f.Sync()))
			next()

			end := longWriteTo(t, f, c.size, c.to)
			if got := content(next()); got[c.size-1] != 'a' {
				t.Fatalf("it was not read amid the write: %q … %q", got[0], got[c.size-1])
			}
			end()
			if got := content(next()); !bytes.Equal(got, bytes.Repeat([]byte("b"), int(c.size))) {
				t.Errorf("the version has another content: %q … %q", got[0], got[len(got)-1])
			}

			// No write takes hours, so it is read no more though it stays open.
			r.o.clock = func() time.Time { return time.Now().Add(2 * longWrite) }
			next()
			if v := next(); v.ReadBytes != 0 {
				t.Errorf("%d bytes were read again", v.ReadBytes)
			}
		})
	}
}
