package fs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/store/place"
)

func TestByFileFollowsVersionsUnderAShellThatSitsThere(t *testing.T) {
	s, _, past := withPast(t, 1)
	hello, etc := sit(t, filepath.Join(past, "hello")), sit(t, filepath.Join(past, "etc"))
	commit := func(n int) { s.do(order{Do: "commit", Key: day(n), Name: fmt.Sprint("past ", n)}) }
	remove := func(n int) { s.do(order{Do: "delete", Key: day(n)}) }
	days := func(days ...int) func() bool {
		var names []string
		for _, n := range days {
			names = append(names, day(n).Version)
		}
		return hello.has(names...)
	}
	gone := func(n int) {
		t.Helper()
		if err := hello.stat(day(n).Version); !errors.Is(err, unix.ENOENT) {
			t.Errorf("day %d: %v", n, err)
		}
	}
	if !days(1)() || !etc.has("gone", "same")() {
		t.Fatal(hello.names(), etc.names())
	}
	gone(2)
	before := modTime(t, filepath.Join(past, "hello"))

	commit(2)
	await(t, "the new content", days(1, 2))
	await(t, "a new name", etc.has("gone", "hosts", "same"))
	if err := hello.stat(day(2).Version); err != nil {
		t.Error(err)
	}
	if after := modTime(t, filepath.Join(past, "hello")); !after.After(before) {
		t.Error("the folder's time stayed at", before)
	}
	commit(3)
	commit(4)
	await(t, "the version of the fourth day", func() bool { return etc.stat("../made") == nil })
	if !days(1, 2)() {
		t.Error("a touched file, and an old content that is back:", hello.names())
	}
	gone(3)

	remove(2)
	await(t, "the content under the next version's name", days(1, 3))
	gone(2)
	remove(1)
	await(t, "both contents under other names", days(3, 4))
	gone(1)
	await(t, "a name gone", etc.has("hosts", "same"))
	compareContent(t, filepath.Join(past, "hello", day(4).Version), dayTree(1).child("hello"))
	if _, err := os.Lstat(filepath.Join(past, "etc/gone")); !errors.Is(err, unix.ENOENT) {
		t.Error("the name that is gone:", err)
	}

	commit(2) // an older one than there is
	await(t, "an older version", days(2, 4))
	gone(3)
	for n := 2; n <= 4; n++ {
		remove(n)
	}
	await(t, "nothing left", func() bool { return errors.Is(hello.stat(day(4).Version), unix.ESTALE) })
	if _, err := os.Lstat(past); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
}

func TestByFileShowsWhatIsNotDamaged(t *testing.T) {
	s := newServer(t)
	s.noisy = true
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "commit", Key: day(1), Name: "broken"})
	s.do(order{Do: "commit", Key: day(2), Name: "whole"})
	s.do(order{Do: "serve", Name: s.dir})
	past := filepath.Join(s.dir, "web1", "root", byFileName)
	for path, want := range map[string]string{"good": "1", "lost folder": "x/", "lost folder/x": "2", "junk folder/x": "2", "lost file": "1 2"} {
		if got := namesIn(t, filepath.Join(past, path)); got != want {
			t.Errorf("%q has %q, not %q", path, got, want)
		}
	}
	for _, path := range []string{"lost folder/y", "junk folder/y"} {
		if _, err := os.Lstat(filepath.Join(past, path)); !errors.Is(err, unix.EIO) {
			t.Errorf("%s, which may have been there: %v", path, err)
		}
	}
	if log := s.do(order{Do: "log"}).Text; log == "" {
		t.Error("nothing is told")
	}
}

// What cannot be read lacks in a list only for as long as that is so.
func TestByFileListsNamesThatCanBeReadAgain(t *testing.T) {
	s, dir := mounted(t, "wide")
	s.noisy = true
	past := filepath.Join(filepath.Dir(dir), byFileName, "wide")
	if _, err := os.Lstat(past); err != nil {
		t.Fatal(err)
	}
	s.do(order{Do: "lose"})
	if list, err := os.ReadDir(past); err != nil || len(list) >= 100_000 {
		t.Errorf("%d names, %v", len(list), err)
	}
	s.do(order{Do: "lose"})
	await(t, "all names", func() bool {
		list, err := os.ReadDir(past)
		return err == nil && len(list) == 100_000
	})
}

func TestByFileListsAsItStats(t *testing.T) {
	_, _, past := withPast(t, 4)
	for _, at := range []string{past, past + "/hello", past + "/changed", past + "/etc"} {
		fd := openDir(t, at)
		for _, d := range getdents(t, fd, make([]byte, 1<<16)) {
			var st unix.Stat_t
			if err := unix.Lstat(at+"/"+d.name, &st); err != nil || st.Ino != d.ino || uint32(d.kind)<<12 != st.Mode&unix.S_IFMT {
				t.Errorf("%s/%s: listed as %x of type %d, is %x %o, %v", at, d.name, d.ino, d.kind, st.Ino, st.Mode, err)
			}
		}
	}
}

// A listing that goes on is not begun anew, nor is it disturbed by versions that come.
func TestByFileListsAWideFolder(t *testing.T) {
	s, dir := mounted(t, "wide")
	s.do(order{Do: "commit", Key: day(2), Name: "wider"})
	past := filepath.Join(filepath.Dir(dir), byFileName, "wide")
	await(t, "the second version", func() bool {
		_, err := os.Lstat(filepath.Join(filepath.Dir(dir), day(2).Version))
		return err == nil
	})
	fd, buf := openDir(t, past), make([]byte, 1<<15)
	var all []dirent
	for {
		some := getdents(t, fd, buf)
		if len(some) == 0 {
			break
		}
		if all = append(all, some...); len(all) < 2*len(some) {
			s.do(order{Do: "commit", Key: day(3), Name: "small"})
		}
	}
	if len(all) != 100_003 {
		t.Fatal(len(all), "names")
	}
	for i, d := range all[2:] {
		if want := fmt.Sprintf("entry-%06d", i); d.name != want {
			t.Fatalf("name %d is %v", i, d)
		}
	}
	for _, i := range []int{100_000, 700, 2, 50_000} {
		if _, err := unix.Seek(fd, all[i].next, unix.SEEK_SET); err != nil {
			t.Fatal(err)
		}
		if got := getdents(t, fd, buf); got[0].name != all[i+1].name {
			t.Errorf("after %q comes %q, not %q", all[i].name, got[0].name, all[i+1].name)
		}
	}
}

// What is kept of listings is nothing to one that begins with other versions.
func TestByFileListsNothingOfAnEarlierList(t *testing.T) {
	s := &testServer{place: place.NewMem(1)}
	if err := errors.Join(s.obey(order{Do: "open"}, nil), s.commit(t.Context(), day(1), dayTree(1))); err != nil {
		t.Fatal(err)
	}
	defer s.vault.Close()
	v, err := newView(Options{Vault: s.vault, Log: s.logger(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	var out fuse.EntryOut
	if st := v.Lookup(nil, &fuse.InHeader{NodeId: uint64(kindNode(partitionKind, 1))}, byFileName, &out); st != fuse.OK {
		t.Fatal(st)
	}
	list := func(offset uint64, room int) (names int) {
		l := dirList{buf: make([]byte, 0, room)}
		if st := v.readDir(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: out.NodeId}, Offset: offset}, &l); st != fuse.OK {
			t.Fatal(st)
		}
		return len(l.buf) / 32
	}
	const all = firstOffset + 4 // changed, device, etc and hello
	if list(0, 4096) != all || list(all, 4096) != 0 || list(0, 4096) != all {
		t.Fatal("the first day is listed wrongly")
	}
	more := dayTree(1)
	more.kids = append(more.kids, new(maker).file().named("zz"))
	if err := s.commit(t.Context(), day(2), more); err != nil {
		t.Fatal(err)
	}
	if _, err := v.update(nil); err != nil {
		t.Fatal(err)
	}
	if list(0, 32*all) != all || list(all, 4096) != 1 {
		t.Error("the new name is not listed")
	}
}
