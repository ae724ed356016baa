package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A memory-only FUSE server is the limit of what a mount can do: it answers every request from what it has at hand. It is tuned as the
// mount under test is, and is this test program, told by memfsEnv where to mount.
const memfsEnv = "YESTER_TEST_MEMFS"

// The tree that it shows: one large file, and folders of as many small ones.
const (
	memfsBig     = "big"
	memfsBigSize = 2 * gib
	memfsFolders = 3000
	memfsFiles   = 100 // in each folder
)

// Nodes: the root 1, the large file 2, folders from 1000, files of folder f from (f+1)<<16.
const (
	memfsBigNode    = 2
	memfsFirstNode  = 1000
	memfsFolderBits = 16
)

type memfs struct {
	fuse.RawFileSystem
	block []byte
}

// memfsServe mounts at dir and serves until it is told to end.
func memfsServe(dir string) int {
	fs := &memfs{RawFileSystem: fuse.NewDefaultRawFileSystem(), block: make([]byte, mib)}
	copy(fs.block, newRandomBlock())
	server, err := fuse.NewServer(fs, dir, &fuse.MountOptions{
		FsName: "memfs", Name: "memfs", DirectMountStrict: true, AllowOther: true, MaxBackground: 64, MaxWrite: mib, DisableSplice: true,
		EnableSymlinkCaching: true, ExplicitDataCacheControl: true, ExtraCapabilities: fuse.CAP_NO_OPENDIR_SUPPORT | fuse.CAP_ASYNC_DIO,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		<-ended
		_ = server.Unmount()
	}()
	server.Serve()
	return 0
}

func newRandomBlock() []byte {
	b := make([]byte, mib)
	_, _ = newStream(1).Read(b)
	return b
}

// startMemfs mounts it in a folder of its own, and returns that. It goes with the benchmark.
func startMemfs(b *testing.B) string {
	b.Helper()
	dir := filepath.Join(work, "memfs")
	must(b, os.Mkdir(dir, 0o755))
	cmd := exec.Command(probeProgram())
	cmd.Env = append(os.Environ(), memfsEnv+"="+dir)
	cmd.Stderr = os.Stderr
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = os.Remove(dir)
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, memfsBig)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			b.Fatal("the memory-only server does not come up")
		}
	}
	readAhead(b, dir)
	return dir
}

// readAhead sets how much the kernel reads ahead, as the mount under test has it.
func readAhead(b *testing.B, dir string) {
	b.Helper()
	var st syscall.Stat_t
	must(b, syscall.Stat(dir, &st))
	bdi := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", st.Dev>>8&0xfff, st.Dev&0xff)
	must(b, os.WriteFile(bdi, []byte("1024"), 0o644))
}

func (m *memfs) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

func (m *memfs) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }

func (m *memfs) attr(node uint64, a *fuse.Attr) {
	*a = fuse.Attr{Ino: node, Mode: fuse.S_IFREG | 0o644, Nlink: 1, Size: 4096, Blksize: 4096}
	switch {
	case node == memfsBigNode:
		a.Size, a.Blksize = memfsBigSize, mib
	case node == fuse.FUSE_ROOT_ID || node < 1<<memfsFolderBits:
		a.Mode, a.Nlink = fuse.S_IFDIR|0o755, 2
	}
}

func (m *memfs) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	m.attr(in.NodeId, &out.Attr)
	out.SetTimeout(time.Hour)
	return fuse.OK
}

func (m *memfs) entry(node uint64, out *fuse.EntryOut) {
	out.NodeId = node
	m.attr(node, &out.Attr)
	out.SetEntryTimeout(time.Hour)
	out.SetAttrTimeout(time.Hour)
}

func (m *memfs) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n, err := strconv.ParseUint(name, 10, 32)
	switch {
	case in.NodeId == fuse.FUSE_ROOT_ID && name == memfsBig:
		m.entry(memfsBigNode, out)
	case in.NodeId == fuse.FUSE_ROOT_ID && err == nil && n < memfsFolders:
		m.entry(memfsFirstNode+n, out)
	case in.NodeId >= memfsFirstNode && in.NodeId < memfsFirstNode+memfsFolders && err == nil && n < memfsFiles:
		m.entry((in.NodeId-memfsFirstNode+1)<<memfsFolderBits+n, out)
	default:
		return fuse.ENOENT
	}
	return fuse.OK
}

func (m *memfs) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	n, first := uint64(memfsFolders), uint64(memfsFirstNode)
	if in.NodeId != fuse.FUSE_ROOT_ID {
		n, first = memfsFiles, (in.NodeId-memfsFirstNode+1)<<memfsFolderBits
	}
	for i := in.Offset; i < n; i++ {
		node := first + i
		var a fuse.Attr
		m.attr(node, &a)
		e := out.AddDirLookupEntry(fuse.DirEntry{Name: strconv.FormatUint(i, 10), Ino: node, Mode: a.Mode, Off: i + 1})
		if e == nil {
			break
		}
		m.entry(node, e)
	}
	return fuse.OK
}

func (m *memfs) Read(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	var a fuse.Attr
	m.attr(in.NodeId, &a)
	if in.Offset >= a.Size {
		return fuse.ReadResultData(nil), fuse.OK
	}
	n := min(uint64(in.Size), a.Size-in.Offset, mib)
	return fuse.ReadResultData(m.block[:n]), fuse.OK
}
