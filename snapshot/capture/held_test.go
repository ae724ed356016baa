package capture

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A mute is the server of a file system with a file in it. Once it is so, it does not answer what it is asked of the file or the file system, but tells of it.
type mute struct {
	gofuse.Inode
	mute  *atomic.Bool
	asked chan string   // has room for one
	again chan struct{} // is closed when it answers again
}

// newMute mounts one, with its file held open for writing, until the test ends.
func newMute(t *testing.T) (d *mute, point string) {
	point = t.TempDir()
	d = &mute{mute: new(atomic.Bool), asked: make(chan string, 1), again: make(chan struct{})}
	server, err := gofuse.Mount(point, d, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, AllowOther: true}})
	must(t, err)
	fd, err := unix.Open(point+"/file", unix.O_RDWR|unix.O_CLOEXEC, 0)
	d.mute.Store(true)
	t.Cleanup(func() {
		close(d.again)
		if err == nil {
			unix.Close(fd)
		}
		_ = unix.Unmount(point, unix.MNT_DETACH) // if it is mounted
		server.Wait()
	})
	must(t, err)
	return d, point
}

func (d *mute) answer(ctx context.Context, what string) {
	if !d.mute.Load() {
		return
	}
	if by, _ := fuse.FromContext(ctx); by == nil || unix.Access(fmt.Sprintf("/proc/self/task/%d", by.Pid), 0) != nil {
		return // somebody else looks around on the machine
	}
	select {
	case d.asked <- what:
	default:
	}
	<-d.again
}

func (d *mute) OnAdd(ctx context.Context) {
	if d.IsRoot() {
		file := &mute{mute: d.mute, asked: d.asked, again: d.again}
		d.AddChild("file", d.NewPersistentInode(ctx, file, gofuse.StableAttr{}), true)
	}
}

func (d *mute) Open(context.Context, uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (d *mute) Getattr(ctx context.Context, _ gofuse.FileHandle, _ *fuse.AttrOut) syscall.Errno {
	d.answer(ctx, "for attributes")
	return 0
}

func (d *mute) Statfs(ctx context.Context, _ *fuse.StatfsOut) syscall.Errno {
	d.answer(ctx, "for its space")
	return 0
}

// openedSource opens a partition until the test ends.
func openedSource(t *testing.T, point string) *source {
	m, _, err := Locate(point)
	must(t, err)
	src, err := openSource(t.Context(), m.Partition, time.Now)
	must(t, err)
	t.Cleanup(src.close)
	return src
}

// A server that does not answer holds up nothing, though somebody has a file of it open.
func TestHeldFilesAskNoServer(t *testing.T) {
	for _, fstype := range []string{"ext4", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			point := partition(t, fstype)
			write(t, point+"/file", "1")
			fd, err := unix.Open(point+"/file", unix.O_RDWR|unix.O_CLOEXEC, 0)
			must(t, err)
			defer unix.Close(fd)
			src := openedSource(t, point)
			d, _ := newMute(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan struct{})
			go func() {
				select {
				case what := <-d.asked:
					t.Error("the server is asked", what)
					cancel()
				case <-ended:
				}
			}()
			held, err := heldFiles(ctx, src, time.Hour)
			close(ended)
			st, statErr := statFD(fd, statMask)
			must(t, statErr)
			if err != nil || held[fileID{st.dev, st.ino}] == nil {
				t.Errorf("held files are %v, %v", held, err)
			}
		})
	}
}

// Of a file system that was unmounted while files of it are open, the server must be asked.
func TestSearchForHeldFilesEnds(t *testing.T) {
	src := openedSource(t, partition(t, "ext4"))
	d, point := newMute(t)
	must(t, unix.Unmount(point, unix.MNT_DETACH))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-d.asked
		cancel()
	}()
	if _, err := heldFiles(ctx, src, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := heldFiles(t.Context(), src, time.Millisecond); !errors.Is(err, errHeldLate) {
		t.Error(err)
	}
}
