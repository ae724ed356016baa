package fs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/store/place"
)

// A dirent is what getdents64 tells of a name.
type dirent struct {
	name string
	ino  uint64
	next int64
	kind byte
}

// getdents makes one call and returns what it told; nothing at the end.
func getdents(t *testing.T, fd int, buf []byte) (all []dirent) {
	t.Helper()
	n, err := unix.Getdents(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	for b := buf[:n]; len(b) > 0; {
		size := binary.NativeEndian.Uint16(b[16:])
		name, _, _ := bytes.Cut(b[19:size], []byte{0})
		all = append(all, dirent{string(name), binary.NativeEndian.Uint64(b), int64(binary.NativeEndian.Uint64(b[8:])), b[18]})
		b = b[size:]
	}
	return all
}

func openDir(t *testing.T, dir string) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestWideFolder(t *testing.T) {
	s, dir := mounted(t, "wide")
	dir = filepath.Join(dir, "wide")
	var all []dirent
	fd, buf := openDir(t, dir), make([]byte, 1<<16)
	for {
		some := getdents(t, fd, buf)
		if len(some) == 0 {
			break
		}
		all = append(all, some...)
	}
	if len(all) != 100_002 || all[0].name != "." || all[1].name != ".." {
		t.Fatalf("%d names, first %v", len(all), all[:2])
	}
	for i, d := range all[2:] {
		if want := fmt.Sprintf("entry-%06d", i); d.name != want || d.kind != unix.DT_REG {
			t.Fatalf("name %d is %v", i, d)
		}
	}
	for _, i := range []int{0, 1, 255, 256, 50_000, 99_999} {
		info, err := os.Lstat(filepath.Join(dir, all[i+2].name))
		if err != nil || inode(info) != all[i+2].ino {
			t.Errorf("lookup of name %d: %v", i, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "entry-0500000")); !errors.Is(err, unix.ENOENT) {
		t.Error("a name that is not there:", err)
	}
	if pages := s.do(order{Do: "pages"}).Count; pages < 100 || pages > 1000 {
		t.Errorf("100,000 names took %d slots", pages)
	}
}

func inode(info os.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

func TestFileWithoutANameIsNotListed(t *testing.T) {
	_, dir := mounted(t, "nameless")
	for _, at := range []string{dir, filepath.Join(dir, "..", byFileName)} {
		list, err := os.ReadDir(at)
		if err != nil || len(list) != 1 || list[0].Name() != "good" {
			t.Errorf("%s: %v, %v", at, list, err)
		}
	}
	if b, err := os.ReadFile(dir + "/good"); err != nil || len(b) != 10 {
		t.Error(len(b), err)
	}
}

func TestSeekDirGoesBackToANamesPlace(t *testing.T) {
	_, dir := mounted(t, "wide")
	fd, buf := openDir(t, filepath.Join(dir, "wide")), make([]byte, 4096)
	var all []dirent
	for range 40 {
		all = append(all, getdents(t, fd, buf)...)
	}
	for _, i := range []int{len(all) - 2, 700, 2, 1, 0, 255, 300} {
		if _, err := unix.Seek(fd, all[i].next, unix.SEEK_SET); err != nil {
			t.Fatal(err)
		}
		if got := getdents(t, fd, buf); got[0].name != all[i+1].name {
			t.Errorf("after %q comes %q, not %q", all[i].name, got[0].name, all[i+1].name)
		}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil || getdents(t, fd, buf)[0].name != "." {
		t.Error("rewinding does not lead to the start:", err)
	}
}

func TestListingTellsInodeNumbersThatStatTells(t *testing.T) {
	_, dir := mounted(t, "hostile")
	for _, at := range []string{dir, dir + "/links", dir + "/..", dir + "/../..", dir + "/../../.."} {
		fd := openDir(t, at)
		for _, d := range getdents(t, fd, make([]byte, 1<<16)) {
			var st unix.Stat_t
			if err := unix.Lstat(at+"/"+d.name, &st); err != nil {
				t.Errorf("%s/%s: %v", at, d.name, err)
			}
			if top := filepath.Clean(at) == filepath.Clean(dir+"/../../.."); st.Ino != d.ino && !(top && d.name == "..") {
				t.Errorf("%s/%q: listed as %x, is %x", at, d.name, d.ino, st.Ino)
			}
			if uint32(d.kind)<<12 != st.Mode&unix.S_IFMT {
				t.Errorf("%s/%q: listed as type %d, is %o", at, d.name, d.kind, st.Mode)
			}
		}
	}
}

// The inode number of ".." comes from the page that the folder is in, which may have to be read where that of the folder need not.
func TestFolderIsNotListedWithoutWhatIsToldOfItsParent(t *testing.T) {
	s := &testServer{place: place.NewMem(1)}
	const noCache = 1
	if err := errors.Join(s.obey(order{Do: "open", N: noCache}, nil), s.commit(t.Context(), day(1), doorTree(0o755, "file"))); err != nil {
		t.Fatal(err)
	}
	defer s.vault.Close()
	v, err := newView(Options{Vault: s.vault, Log: s.logger(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	at := kindNode(partitionKind, 1)
	var above nodeID
	for _, name := range []string{day(1).Version, "door", "inner"} {
		var out fuse.EntryOut
		if st := v.Lookup(nil, &fuse.InHeader{NodeId: uint64(at)}, name, &out); st != fuse.OK {
			t.Fatal(name, st)
		}
		above, at = at, nodeID(out.NodeId)
	}
	list := func(cancel <-chan struct{}) ([]byte, fuse.Status) {
		l := dirList{buf: make([]byte, 0, 4096)}
		st := v.readDir(cancel, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: uint64(at)}}, &l)
		return l.buf, st
	}
	want, st := list(nil)
	if st != fuse.OK {
		t.Fatal(st)
	}
	parent, _ := v.slots.get(above.slot())
	own, _ := v.slots.get(at.slot())
	v.pages[parent.page[0]].Store(nil)
	if _, err := v.pages.get(t.Context(), v.chunks, own.page); err != nil {
		t.Fatal(err)
	}
	if got, st := list(inline); st != mustWait && !bytes.Equal(got, want) {
		t.Errorf("%v, and listed is\n%q\nnot\n%q", st, got, want)
	}
	if got, st := list(nil); st != fuse.OK || !bytes.Equal(got, want) {
		t.Errorf("%v, and then listed is\n%q\nnot\n%q", st, got, want)
	}
}
