package fs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// readSmall reads file n of a folder of the tree "files", and compares.
func readSmall(t *testing.T, dir string, folder, n int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("folder-%04d/file-%04d", folder, n)))
	if err != nil || !bytes.Equal(b, part{uint64(folder*100 + n + 1), 800}.bytes()) {
		t.Fatalf("file %d of folder %d: %d bytes, %v", n, folder, len(b), err)
	}
}

// aheadIdle waits until nothing is being put into the page cache, and returns how many files were.
func aheadIdle(t *testing.T, s *server) int {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(time.Millisecond) {
		if a := s.do(order{Do: "ahead"}); a.Text == "idle" {
			return a.Count
		}
	}
	t.Fatal("files are put into the page cache for 20 s")
	return 0
}

// traced is mounted, with a trace of the requests.
func traced(t *testing.T, tree string) (s *server, dir string) {
	t.Helper()
	s = newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "commit", Key: day(1), Name: tree})
	s.do(order{Do: "serve and trace", Name: s.dir})
	return s, filepath.Join(s.dir, "web1", "root", day(1).Version)
}

func TestWhoReadsAFolderIsAskedForNoMoreOfIt(t *testing.T) {
	s, dir := traced(t, "files")
	list := func(folder int) {
		names, err := os.ReadDir(filepath.Join(dir, fmt.Sprintf("folder-%04d", folder)))
		if err != nil || len(names) != 100 {
			t.Fatal(len(names), err)
		}
	}
	reads := func() int { return strings.Count(s.do(order{Do: "trace"}).Text, ": READ n") }

	list(1)
	for _, n := range []int{7, 3, 50} {
		readSmall(t, dir, 1, n)
	}
	if n := aheadIdle(t, s); n != 97 {
		t.Errorf("%d files were put into the page cache", n)
	}
	if n := reads(); n != 3 {
		t.Errorf("the kernel asked %d times at first", n)
	}
	for n := range 100 {
		readSmall(t, dir, 1, n)
	}
	if n := reads(); n != 0 {
		t.Errorf("the kernel asked %d times more", n)
	}

	list(2) // beside it
	if n := aheadIdle(t, s); n != 97+100 {
		t.Errorf("%d files were put into the page cache when the folder beside it was listed", n)
	}
	for n := range 100 {
		readSmall(t, dir, 2, n)
	}
	if n := reads(); n != 0 {
		t.Errorf("the kernel asked %d times for files of a folder beside one that was copied", n)
	}
}

// Who lists the next folder and reads its files at once is given them before he can ask.
func TestFoldersThatComeNextAreGivenBeforeTheyAreRead(t *testing.T) {
	s, dir := traced(t, "files")
	unasked := 0
	for folder := range 20 {
		names, err := os.ReadDir(filepath.Join(dir, fmt.Sprintf("folder-%04d", folder)))
		if err != nil || len(names) != 100 {
			t.Fatal(len(names), err)
		}
		for n := range 100 {
			readSmall(t, dir, folder, n)
		}
		if !strings.Contains(s.do(order{Do: "trace"}).Text, ": READ n") {
			unasked++
		}
	}
	if unasked == 0 { // on a busy machine it is a few, on another most
		t.Errorf("of %d folders of 20 the kernel asked for no file", unasked)
	}
}

// Who opens files by name has the kernel know just these: nothing can be put there but what is being opened.
func TestReadingByNameIsNotReadAhead(t *testing.T) {
	s, dir := mounted(t, "files")
	for n := range 20 {
		readSmall(t, dir, 1, n)
	}
	if n := aheadIdle(t, s); n > 5 {
		t.Errorf("%d files were put into the page cache", n)
	}
}

func TestFilesOfAllShapesAreRightInThePageCache(t *testing.T) {
	s, dir := mounted(t, "shapes")
	want := shapesTree()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 5 {
				path := fmt.Sprint(i*5 + j)
				list, err := os.ReadDir(filepath.Join(dir, path))
				if err != nil || len(list) != 100 {
					t.Error(len(list), err)
					return
				}
				for _, e := range list {
					b, err := os.ReadFile(filepath.Join(dir, path, e.Name()))
					if err != nil || !bytes.Equal(b, want.child(path+"/"+e.Name()).content()) {
						t.Errorf("%s/%s: %d bytes, %v", path, e.Name(), len(b), err)
					}
				}
			}
		})
	}
	wg.Wait()
	if aheadIdle(t, s) == 0 {
		t.Error("none was put there")
	}
}

func (a *ahead) setHeat(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heat = d
}

func TestAFileThatWasDecodedIsNotDecodedAgain(t *testing.T) {
	a, id := new(ahead), entryNode(3, 70)
	if _, ok := a.readyFile(id, nil); ok {
		t.Error("a file of a page that is not read ahead")
	}
	*a.page(3) = aheadPage{slot: 3, running: true}
	d := newDecoded()
	d.buf = append(append(d.buf, make([]byte, storeHead)...), "content"...)
	d.at[70] = [2]int{0, len(d.buf)}
	a.setReady(3, d)
	if b, ok := a.readyFile(id, []byte("head ")); !ok || string(b) != "head content" {
		t.Errorf("%q, %v", b, ok)
	}
	if !a.wasRead(3, 70) {
		t.Error("it would be given to the kernel again")
	}
	if _, ok := a.readyFile(entryNode(3, 71), nil); ok {
		t.Error("a file that was not decoded")
	}
	if _, ok := a.readyFile(entryNode(3+aheadPages, 70), nil); ok {
		t.Error("a file of another page")
	}
	a.done(3, 1, 1, 0, false)
	if _, ok := a.readyFile(id, nil); ok {
		t.Error("a file of a page that is read ahead no more")
	}
}
