package capture

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFolderIsNotGoneForItsName(t *testing.T) {
	open := func(dir string) int {
		must(t, os.MkdirAll(dir, 0o755))
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	dir := t.TempDir()
	there, gone := open(dir+"/dir/x (deleted)"), open(dir+"/dir/gone")
	r := &resolver{src: &source{fd: open(dir + "/elsewhere"), live: -1}} // as if both were moved just when they are looked up
	path := func(fd int) error {
		st, err := statFD(fd, statMask)
		must(t, err)
		_, err = r.path(fd, &st)
		return err
	}
	if err := path(there); !isUnsure(err) {
		t.Error(err)
	}
	must(t, os.Remove(dir+"/dir/gone"))
	if err := path(gone); err != errGone {
		t.Error(err)
	}
}

func heap() int {
	runtime.GC()
	runtime.GC() // what had a finalizer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A set may hold hundreds of thousands of folders, and all of them lie as deep as one can be named.
func TestFolderWithChangesTakesLittleMemoryWhereverItLies(t *testing.T) {
	const folders, limit = 2000, 1000
	f, err := newFilter("/", &Options{System: true})
	must(t, err)
	r := &resolver{w: &walker{survey: &survey{filter: f}}, root: &dirty{}, folders: map[fileID]*dirty{}}
	deep := strings.Repeat(strings.Repeat("d", 249)+"/", 14)
	before := heap()
	for i := range uint64(folders) {
		r.place(deep+fmt.Sprint(i), &stat{ino: i}).tell()
	}
	if n := (heap() - before) / folders; n > limit {
		t.Errorf("a folder takes %d bytes, want %d at most", n, limit)
	}
	if d := r.root.find(deep + "7"); d == nil || d != r.folders[fileID{ino: 7}] {
		t.Errorf("it is not found: %v", d)
	}
	runtime.KeepAlive(r)
}

// A set may hold half a million files.
func TestTouchedFileTakesLittleMemory(t *testing.T) {
	const files, limit = 100_000, 100
	before := heap()
	r := &resolver{touched: map[fileID]*touch{}}
	for i := range uint64(files) {
		r.touch(&stat{ino: i, nlink: 1})
		f := r.touched[fileID{ino: i}]
		if f.complete() {
			t.Fatal("a name is found before it is met")
		}
		f.meet(location{folder: fileID{ino: files}, name: "name"})
		if !f.complete() {
			t.Fatal("its only name is not found")
		}
	}
	if n := (heap() - before) / files; n > limit {
		t.Errorf("a file takes %d bytes, want %d at most", n, limit)
	}
	runtime.KeepAlive(r)
}
