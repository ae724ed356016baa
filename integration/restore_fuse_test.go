package integration

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A lateDisk is a network disk that takes what is written, and says later that it could not keep it: when a file of one size is synced, or one of another is closed. It has neither attributes
// nor files without a name.
type lateDisk struct {
	*fs.LoopbackNode
	atSync, atClose int64
}

func (l *lateDisk) is(size int64) bool {
	var out fuse.AttrOut
	return l.Getattr(context.Background(), nil, &out) == 0 && int64(out.Size) == size
}

func (l *lateDisk) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &lateDisk{ops.(*fs.LoopbackNode), l.atSync, l.atClose}
}

func (l *lateDisk) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.ENOSYS
}

func (l *lateDisk) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if l.is(l.atSync) {
		return syscall.EIO
	}
	if f, ok := f.(fs.FileFsyncer); ok {
		return f.Fsync(ctx, flags)
	}
	return syscall.ENOTSUP
}

func (l *lateDisk) Flush(ctx context.Context, f fs.FileHandle) syscall.Errno {
	if l.is(l.atClose) {
		return syscall.EDQUOT
	}
	return f.(fs.FileFlusher).Flush(ctx)
}

func mountLateDisk(t *testing.T, atSync, atClose int64) (shown, below string) {
	t.Helper()
	shown, below = filepath.Join(work, "late-disk"), t.TempDir()
	must(t, os.Mkdir(shown, 0o755))
	var st syscall.Stat_t
	must(t, syscall.Stat(below, &st))
	top := &fs.LoopbackRoot{Path: below, Dev: uint64(st.Dev)}
	root := &lateDisk{&fs.LoopbackNode{RootData: top}, atSync, atClose}
	top.RootNode = root
	server, err := fs.Mount(shown, root, &fs.Options{MountOptions: fuse.MountOptions{FsName: "late", DirectMountStrict: true, DisableXAttrs: true}})
	must(t, err)
	t.Cleanup(func() {
		must(t, server.Unmount())
		must(t, os.Remove(shown))
	})
	return shown, below
}

// A file that the target could not keep after all has failed, and has no name there; a part of one that a restore was killed over is removed.
func TestRestoreToADiskThatSaysLateThatItFails(t *testing.T) {
	t.Parallel()
	p := newPartition(t, "ext4", 4*gib)
	for name, size := range map[string]int{"well": 1 * mib, "unsynced": 2 * mib, "unclosed": 3 * mib} {
		must(t, os.WriteFile(p.path(name), random(byte(size/mib), size), 0o644))
	}
	shown, below := mountLateDisk(t, 2*mib, 3*mib)
	d := start(t, newHome(t))
	d.activate("max", p)
	d.backup(p)
	part := filepath.Join(below, ".yester-restore-01234567-0123456789abcdef")
	must(t, os.WriteFile(part, []byte("a part"), 0o600))
	d.expected = regexp.MustCompile("task failed.*(full|quota)")
	a := at(t, d.home, "restore", "latest", "--partition", p.name, "--to", shown, "--exclude", "unclosed", "--wait")
	if a.code != warned || !strings.Contains(a.stderr, "failed: unsynced") {
		t.Errorf("a file that could not be synced: %+v", a)
	}
	explained(t, at(t, d.home, "restore", "latest", "--partition", p.name, "--to", shown, "--exclude", "unsynced", "--wait"), failed, "full")
	names, err := os.ReadDir(below)
	must(t, err)
	for _, n := range names {
		if n.Name() != "well" && n.Name() != "lost+found" {
			t.Errorf("%s is there", n.Name())
		}
	}
	if b, _ := os.ReadFile(filepath.Join(below, "well")); len(b) != mib {
		t.Errorf("what the disk takes has %d bytes", len(b))
	}
}
