package fs

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/store/place"
)

// testView is a view of one version that is not mounted, and the node of the version's root.
func testView(b testing.TB, name string) (*view, nodeID) {
	b.Helper()
	s := &testServer{place: place.NewMem(1)}
	if err := s.openMem(name); err != nil {
		b.Fatal(err)
	}
	v, err := newView(Options{Vault: s.vault, Log: s.logger(), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		v.close()
		s.vault.Close()
	})
	return v, kindNode(versionKind, 1)
}

func BenchmarkRequests(b *testing.B) {
	v, root := testView(b, "files")
	lookup := func(dir nodeID, name string) nodeID {
		var out fuse.EntryOut
		if st := v.Lookup(nil, &fuse.InHeader{NodeId: uint64(dir)}, name, &out); st != fuse.OK || out.NodeId == 0 {
			b.Fatal(name, st)
		}
		return nodeID(out.NodeId)
	}
	dir := lookup(root, "folder-0123")
	file := lookup(dir, "file-0045")
	b.Run("Lookup", func(b *testing.B) {
		b.ReportAllocs()
		in, out := &fuse.InHeader{NodeId: uint64(dir)}, new(fuse.EntryOut)
		for b.Loop() {
			v.Lookup(inline, in, "file-0045", out)
		}
	})
	b.Run("GetAttr", func(b *testing.B) {
		b.ReportAllocs()
		in, out := &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: uint64(file)}}, new(fuse.AttrOut)
		for b.Loop() {
			v.GetAttr(inline, in, out)
		}
	})
	b.Run("ReadDirPlus100", func(b *testing.B) {
		b.ReportAllocs()
		in, buf := &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: uint64(dir)}}, make([]byte, 32<<10)
		var list dirList
		for b.Loop() {
			list = dirList{buf: buf[:0], plus: true}
			v.readDir(inline, in, &list)
		}
	})
	b.Run("Read", func(b *testing.B) {
		b.ReportAllocs()
		in := &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: uint64(file)}, Size: 4096}
		v.readFile(nil, in) // into the cache
		for b.Loop() {
			_, p, _ := v.readFile(inline, in)
			p.done()
		}
	})
}

// BenchmarkMountRead reads a large file through the mount, its pages dropped from the kernel's cache each time.
func BenchmarkMountRead(b *testing.B) {
	s, dir := mounted(b, "large")
	f, err := os.Open(filepath.Join(dir, "large"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	b.SetBytes(largeSize)
	for b.Loop() {
		unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		for off := int64(0); off < largeSize; off += int64(len(buf)) {
			if _, err := f.ReadAt(buf, off); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(s.do(order{Do: "memory"}).Count)/1024, "server-MiB")
}

// BenchmarkMountWalk walks 30,000 files through the mount and stats each, the kernel's caches dropped each time.
func BenchmarkMountWalk(b *testing.B) {
	s, dir := mounted(b, "files")
	n := 0
	for b.Loop() {
		dropCaches(b)
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil {
				_, err = d.Info()
			}
			n++
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "files/s")
	b.ReportMetric(float64(s.do(order{Do: "memory"}).Count)/1024, "server-MiB")
}

// BenchmarkMountManyVersions mounts a vault of ten thousand versions.
func BenchmarkMountManyVersions(b *testing.B) {
	s := newServer(b)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "commit many", Key: day(1), N: 10_000})
	b.ResetTimer()
	for b.Loop() {
		s.do(order{Do: "serve", Name: s.dir})
		if _, err := os.Lstat(filepath.Join(s.dir, "web1/root/latest/hello")); err != nil {
			b.Fatal(err)
		}
		s.do(order{Do: "unmount"})
	}
}

// BenchmarkMountFirstList lists, right after mounting, a version of ten million files. The server's memory is that of a vault in memory.
func BenchmarkMountFirstList(b *testing.B) {
	s, dir := mounted(b, "vast")
	s.do(order{Do: "unmount"})
	for b.Loop() {
		b.StopTimer()
		s.do(order{Do: "serve", Name: s.dir})
		b.StartTimer()
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1000 {
			b.Fatal(len(list), err)
		}
		b.StopTimer()
		s.do(order{Do: "unmount"})
		b.StartTimer()
	}
}

func (s *testServer) openMem(name string) error {
	ctx := context.Background()
	if err := s.obey(order{Do: "open"}, new(answer)); err != nil {
		return err
	}
	return s.commit(ctx, day(1), trees[name]())
}
