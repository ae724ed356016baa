package restore

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A slowDisk shows a folder of images, from which nothing comes to the disk once it is slow, until it is let go.
type slowDisk struct {
	gofuse.LoopbackNode
	slow  atomic.Bool
	bad   atomic.Pointer[string] // what is written with this in it is lost
	asked chan struct{}          // gets one when something is to come to the disk
	free  chan struct{}
}

func (s *slowDisk) WrapChild(_ context.Context, ops gofuse.InodeEmbedder) gofuse.InodeEmbedder {
	return &slowFile{ops.(*gofuse.LoopbackNode), s}
}

type slowFile struct {
	*gofuse.LoopbackNode
	disk *slowDisk
}

func (f *slowFile) Fsync(ctx context.Context, h gofuse.FileHandle, flags uint32) syscall.Errno {
	if f.disk.slow.Load() {
		select {
		case f.disk.asked <- struct{}{}:
		default:
		}
		<-f.disk.free
	}
	return h.(gofuse.FileFsyncer).Fsync(ctx, flags)
}

func (f *slowFile) Write(ctx context.Context, h gofuse.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if bad := f.disk.bad.Load(); bad != nil && bytes.Contains(data, []byte(*bad)) {
		return 0, syscall.EIO
	}
	return h.(gofuse.FileWriter).Write(ctx, data, off)
}

func (f *slowFile) Writev(ctx context.Context, h gofuse.FileHandle, data [][]byte, off int64) (uint32, syscall.Errno) {
	return f.Write(ctx, h, bytes.Join(data, nil), off)
}

func (f *slowFile) Open(ctx context.Context, flags uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	h, fl, errno := f.LoopbackNode.Open(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &slowHandle{h.(*gofuse.LoopbackFile)}, fl, 0
}

// A slowHandle has the kernel write by way of the slowFile.
type slowHandle struct{ *gofuse.LoopbackFile }

func (*slowHandle) PassthroughFd() (int, bool) { return -1, false }

// mountSlow mounts an ext4 in an image on such a disk.
func mountSlow(t *testing.T) (point string, s *slowDisk) {
	t.Helper()
	image := newImage(t, 64, "mkfs.ext4")
	s = &slowDisk{asked: make(chan struct{}, 1), free: make(chan struct{})}
	s.RootData = &gofuse.LoopbackRoot{Path: filepath.Dir(image), RootNode: s}
	shown := t.TempDir()
	server, err := gofuse.Mount(shown, s, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	must(t, err)
	t.Cleanup(func() {
		err := server.Unmount()
		for begin := time.Now(); err != nil && time.Since(begin) < 10*time.Second; err = server.Unmount() {
			time.Sleep(20 * time.Millisecond) // the loop device lets go of the image after the unmount
		}
		must(t, err)
	})
	point = mountImage(t, filepath.Join(shown, filepath.Base(image)))
	release := sync.OnceFunc(func() { close(s.free) })
	t.Cleanup(release)
	time.AfterFunc(time.Minute, release) // whoever waits for it nevertheless
	return point, s
}

// A restore that waits for a disk can be cancelled, be it in the end or for a file that it overwrites; what is there stays in doubt.
func TestRestoreThatWaitsForTheDiskIsCancelled(t *testing.T) {
	for what, before := range map[string]string{"in the end": "", "for a file": "mine"} {
		t.Run(what, func(t *testing.T) {
			g := newRig(t)
			v := g.version(g.file("f", "theirs"))
			dir, disk := mountSlow(t)
			want := "theirs"
			if before != "" {
				write(t, filepath.Join(dir, "f"), before)
				want = before
			}
			must(t, unix.Syncfs(openDir(t, dir)))
			ctx, cancel := context.WithCancel(t.Context())
			begun := &limiter{do: func() { disk.slow.Store(true) }}
			begun.after.Store(1)
			go func() {
				<-disk.asked
				cancel()
			}()
			if r, err := g.try(ctx, v, dir, overwrite, func(o *Options) { o.Limiter = begun }); !errors.Is(err, context.Canceled) {
				t.Fatalf("it ended with %v: %+v", err, r)
			}
			if got := content(t, filepath.Join(dir, "f")); got != want || !isMarked(t, dir) {
				t.Errorf("there is %q, and a mark: %v", got, isMarked(t, dir))
			}
		})
	}
}

// What a disk lost while it was written is not taken for whole, though it is as long as it should be and still in memory: it is said that the disk failed, also of a restore that is
// cancelled, and the next one compares.
func TestWhatTheDiskLostIsRestoredAgain(t *testing.T) {
	for mode, cancelled := range map[Conflict]bool{Skip: false, Overwrite: true} {
		t.Run(string(mode), func(t *testing.T) {
			g := newRig(t)
			lost, well := text(1, 3*pieceLen), text(2, 3*pieceLen)
			kids := []snapshot.Entry{g.file("lost", lost), g.file("well", well)}
			if cancelled { // while this one is written; of one that is whole the kernel decides whether it is lost too, by what it writes at once
				kids = append(kids, g.file("z", text(3, 9*pieceLen)))
			}
			v := g.version(kids...)
			dir, disk := mountSlow(t)
			g.restore(v, dir, func(o *Options) { o.Paths = []string{"well"} })
			bad := lost[:20]
			disk.bad.Store(&bad)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop := &limiter{do: cancel}
			if cancelled {
				stop.after.Store(12)
			}
			with := func(o *Options) { o.OnConflict, o.Workers = mode, 1 }
			r, err := g.try(ctx, v, dir, with, func(o *Options) { o.Limiter = stop })
			if errors.Is(err, context.Canceled) != cancelled || errors.Is(err, unix.EIO) == cancelled || (r.Notes.Count == 1) != cancelled {
				t.Fatalf("it ended with %v, noted %+v", err, r.Notes)
			}
			disk.bad.Store(nil)
			r = g.restore(v, dir, with)
			wantLeft(t, "failed", r.Failed)
			for name, want := range map[string]string{"lost": lost, "well": well} {
				must(t, unix.Fadvise(openDir(t, filepath.Join(dir, name)), 0, 0, unix.FADV_DONTNEED))
				if content(t, filepath.Join(dir, name)) != want {
					t.Errorf("%s is another", name)
				}
			}
			if r.Skipped.Count+r.Equal != 1 || isMarked(t, dir) {
				t.Errorf("the next one: %+v; a mark: %v", r, isMarked(t, dir))
			}
		})
	}
}
