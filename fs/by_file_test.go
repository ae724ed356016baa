package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// dayTree is a partition on one of a few days, on which everything of interest happens to a path:
//
//	hello    is A, B, B (touched), A
//	changed  is a file, a folder with a file, a symlink, a folder with other files
//	etc      holds hosts from the second day on, and gone on the first alone
//	made     is there on the last day alone
func dayTree(day int) *tree {
	var m maker
	file := func(seed uint64, name string) *tree {
		t := m.file(part{seed, 1000 + seed}).named(name)
		t.Mtime.Sec += int64(day) * 86400
		return t
	}
	pick := func(each ...*tree) *tree { return each[day-1] }
	etc := m.dir(file(20, "same")).named("etc")
	if day > 1 {
		etc.kids = append(etc.kids, file(21, "hosts"))
	} else {
		etc.kids = append(etc.kids, file(22, "gone"))
	}
	etc.kids[0].Mtime.Sec = 1
	top := m.dir(
		file([]uint64{1, 2, 2, 1}[day-1], "hello"),
		pick(file(3, "changed"), m.dir(file(4, "x")).named("changed"), m.link("hello").named("changed"), m.dir(file(5, "x"), file(6, "y")).named("changed")),
		etc,
		m.device(syscall.S_IFCHR|0o666, 1<<8|uint64(day/3)).named("device"),
	)
	if day == 4 {
		top.kids = append(top.kids, file(7, "made"))
	}
	return top
}

// withPast starts a server that shows a partition on its first days, and returns the folder of its files' pasts too.
func withPast(t *testing.T, days int) (s *server, dir, past string) {
	t.Helper()
	s = newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	for i := range days {
		s.do(order{Do: "commit", Key: day(i + 1), Name: fmt.Sprint("past ", i+1)})
	}
	s.do(order{Do: "serve", Name: s.dir})
	dir = filepath.Join(s.dir, "web1", "root")
	return s, dir, filepath.Join(dir, byFileName)
}

// namesIn lists a folder; days stand for the versions.
func namesIn(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		name := e.Name()
		for i := range 9 {
			if name == day(i+1).Version {
				name = fmt.Sprint(i + 1)
			}
		}
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestByFileHasOneEntryForEachContentThatAPathEverHad(t *testing.T) {
	_, dir, past := withPast(t, 4)
	for path, want := range map[string]string{
		"":              "changed/ device/ etc/ hello/ made/",
		"hello":         "1 2",
		"changed":       "1 3 x/ y/",
		"changed/x":     "2 4",
		"changed/y":     "4",
		"etc":           "gone/ hosts/ same/",
		"etc/gone":      "1",
		"etc/hosts":     "2",
		"etc/same":      "1",
		"device":        "1 3",
		"made":          "4",
		"etc/same/../.": "gone/ hosts/ same/",
	} {
		at := filepath.Join(past, path)
		if got := namesIn(t, at); got != want {
			t.Errorf("%q has %q, not %q", path, got, want)
		}
		for i := range 4 {
			if !slices.Contains(strings.Fields(want), fmt.Sprint(i+1)) {
				continue
			}
			// The entry is the file in the version.
			var got, of unix.Stat_t
			v := day(i + 1).Version
			if err := unix.Lstat(filepath.Join(at, v), &got); err != nil {
				t.Fatal(err)
			}
			if err := unix.Lstat(filepath.Join(dir, v, path), &of); err != nil || got != of {
				t.Errorf("%s in %s: %+v, want %+v, %v", path, v, got, of, err)
			}
			if file := dayTree(i + 1).child(path); file.IsRegular() {
				compareContent(t, filepath.Join(at, v), file)
			}
		}
	}
	if list := namesIn(t, dir); list != "1/ 2/ 3/ 4/ latest" {
		t.Errorf("the partition lists %q", list)
	}
	for _, path := range []string{"nothing", "hello/x", "etc/nothing", "etc/" + day(1).Version, "hello/" + day(3).Version, "hello/" + day(9).Version} {
		if _, err := os.Lstat(filepath.Join(past, path)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The kernel keeps names that nobody uses for as long as it has room; the folders of pasts are as many as paths, and so must go.
func TestFoldersOfPastsAreForgotten(t *testing.T) {
	s := newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "commit", Key: day(1), Name: "files"})
	s.do(order{Do: "serve", Name: s.dir})
	const most = 100
	s.do(order{Do: "pasts", N: most})
	past := filepath.Join(s.dir, "web1", "root", byFileName)
	sh := sit(t, filepath.Join(past, "folder-0000", "file-0000"))
	known := func() int { return s.do(order{Do: "pasts"}).Count }
	for i := range 1000 {
		if err := unix.Access(filepath.Join(past, fmt.Sprintf("folder-%04d/file-%04d", i/10, i%10)), unix.R_OK); err != nil {
			t.Fatal(err)
		}
		if i%250 == 249 {
			await(t, "folders forgotten", func() bool { return known() <= most })
		}
	}
	if !sh.has(day(1).Version)() || sh.stat(day(1).Version) != nil {
		t.Error("who sits in one of them sees", sh.names())
	}
	if n := known(); n < most/4 {
		t.Error("only", n, "are left")
	}
}

func TestLongPathsTakeABoundedMemory(t *testing.T) {
	v, _ := testView(t, "long paths")
	look := func(dir uint64, name string) (id uint64, st fuse.Status) {
		var out fuse.EntryOut
		st = v.Lookup(nil, &fuse.InHeader{NodeId: dir}, name, &out)
		return out.NodeId, st
	}
	dir, st := look(uint64(kindNode(partitionKind, 1)), byFileName)
	if st != fuse.OK {
		t.Fatal(st)
	}
	above := dir
	for n := maxName + 1; n <= maxPastPath; n += maxName + 1 {
		above = dir
		if dir, st = look(dir, strings.Repeat("n", maxName)); st != fuse.OK {
			t.Fatalf("%d bytes: %v", n, st)
		}
	}
	if _, st = look(dir, strings.Repeat("n", maxName)); st != fuse.Status(syscall.ENAMETOOLONG) {
		t.Error("a longer path:", st)
	}
	for i := range 20_000 {
		if _, st = look(above, fmt.Sprint("nothing ", i)); st != fuse.ENOENT {
			t.Fatal(st)
		}
	}
	n := 0
	for k := range v.byFiles.pasts.at {
		n += len(k.path)
	}
	if n > 8<<20 {
		t.Error("paths that were nothing take", n, "bytes")
	}
}
