package capture

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// mapped maps the first bytes of a file, to be stored in.
func mapped(t *testing.T, path string) []byte {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	return m
}

// wantContent compares what the newest version has of a file.
func (r *rig) wantContent(path, want string) {
	r.t.Helper()
	e := r.entries(r.last)[path]
	if got, _ := r.content(&e); string(got) != want {
		r.t.Errorf("%s holds %q, want %q", path, got, want)
	}
}

// Nobody listens, and what is stored in a page that was stored in before it was read would set no time.
func TestWalkAloneFindsWhatAMappingLeft(t *testing.T) {
	r, point := emptyRig(t)
	write(t, point+"/file", "12345678")
	m := mapped(t, point+"/file")
	m[0] = 'x'
	r.run()
	m[0] = 'y'
	must(t, unix.Munmap(m))
	r.run()
	r.wantContent("file", "y2345678")
}

// After a restart nothing is remembered of the capture before, during which a file may have been mapped.
func TestWalkWithoutMemoryFindsWhatAMappingLeft(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	r.o.Now = time.Now
	write(t, point+"/file", "87654321")
	r.next("walk")
	write(t, point+"/file", "12345678")
	var m []byte
	r.memory = Memory{}
	r.o.trace = func(op, _ string) {
		if op == "open" && m == nil {
			m = mapped(t, point+"/file")
			m[0] = 'x'
		}
	}
	r.next("walk")
	defer unix.Munmap(m)
	r.o.trace = nil
	m[0] = 'y'
	r.memory = Memory{}
	r.next("walk")
	r.wantContent("file", "y2345678")
}

// Where it cannot be told who has what mapped, what was young when it was read is read again.
func TestWalkThatKnowsNoMappingsTrustsNoYoungFile(t *testing.T) {
	r, point := emptyRig(t)
	write(t, point+"/file", "12345678")
	m := mapped(t, point+"/file")
	m[0] = 'x'
	r.o.clock = func() time.Time { return time.Now().Add(10 * time.Second) } // as if it was read so much later

	hangSearch(t, openedSource(t, point))
	r.run()

	m[0] = 'y'
	must(t, unix.Munmap(m))
	r.run()
	r.wantContent("file", "y2345678")
}

// A releasing is a folder or file of a loopback that tells when the server has closed the file.
type releasing struct {
	gofuse.LoopbackNode
	released chan struct{}
}

func (r *releasing) WrapChild(context.Context, gofuse.InodeEmbedder) gofuse.InodeEmbedder {
	return &releasing{gofuse.LoopbackNode{RootData: r.RootData}, r.released}
}

func (r *releasing) Release(ctx context.Context, f gofuse.FileHandle) syscall.Errno {
	defer close(r.released)
	return f.(gofuse.FileReleaser).Release(ctx)
}

// A FUSE server may hand its own open file to the kernel (Linux 6.9). What others have mapped of it looks like theirs, and not like a file of the partition.
func TestWhatAMappingThroughFUSELeftIsFound(t *testing.T) {
	r, point := emptyRig(t)
	write(t, point+"/file", "12345678")
	through := t.TempDir()
	root := &releasing{gofuse.LoopbackNode{RootData: &gofuse.LoopbackRoot{Path: point}}, make(chan struct{})}
	root.RootData.RootNode = root
	server, err := gofuse.Mount(through, root, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	must(t, err)
	defer server.Wait()
	defer unix.Unmount(through, unix.MNT_DETACH)
	if server.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH == 0 {
		t.Skip("the kernel takes no open file")
	}
	f, err := os.OpenFile(through+"/file", os.O_RDWR, 0)
	must(t, err)
	defer func() { <-root.released }() // else the unmount may have the server never hear of it, and keep the partition in use
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(m)
	m[0] = 'x'
	r.run()
	r.wantContent("file", "x2345678")
	m[0] = 'y'
	r.run()
	r.wantContent("file", "y2345678")
}
