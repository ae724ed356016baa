package fs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stick has the goroutine that reads requests take a step that does not end.
func stick(t *testing.T, s *server, dir string) {
	t.Helper()
	for try := 0; ; try++ {
		s.do(order{Do: "stick"})
		if _, err := os.Stat(filepath.Join(dir, fmt.Sprint("none-", try))); !os.IsNotExist(err) { // after it comes a pause
			t.Fatal(err)
		}
		var stuck string
		await(t, "the step", func() bool {
			stuck = s.do(order{Do: "stuck"}).Text
			return stuck != ""
		})
		if stuck == "yes" {
			return
		}
		s.do(order{Do: "let go"}) // it was done beside: requests and no pause came for long, on a busy machine
	}
}

func TestRequestsAreAnsweredWhileAStepDoesNotEnd(t *testing.T) {
	s, dir := mounted(t, "files")
	stick(t, s, dir)
	for n := range 100 {
		readSmall(t, dir, n, n)
	}
	if n := s.do(order{Do: "let go"}).Count; n < 100 {
		t.Errorf("%d requests were answered meanwhile", n)
	}
	readSmall(t, dir, 3, 50)
}

func TestUnmountingWhileAStepDoesNotEnd(t *testing.T) {
	s, dir := mounted(t, "files")
	stick(t, s, dir)
	detached := make(chan error, 1)
	go func() { detached <- unix.Unmount(s.dir, unix.MNT_DETACH) }()
	if err := <-detached; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it is still there")
	}
	s.do(order{Do: "let go"})
	s.do(order{Do: "unmount"})
}

// Whoever lists a folder of which a file is being prepared waits for that, and nobody else does.
func TestRequestsAreAnsweredWhileWhatIsPreparedDoesNotCome(t *testing.T) {
	s, dir := mounted(t, "files")
	list := func(folder int) {
		if names, err := os.ReadDir(filepath.Join(dir, fmt.Sprintf("folder-%04d", folder))); err != nil || len(names) != 100 {
			t.Error(len(names), err)
		}
	}
	folder, held := 0, 0
	for ; held == 0; folder++ {
		list(folder)
		for n := range 100 {
			readSmall(t, dir, folder, n)
		}
		aheadIdle(t, s)
		if held = s.do(order{Do: "hold"}).Count; held == 0 && folder == 15 {
			t.Fatal("nothing is prepared")
		}
	}
	var listed, answered sync.WaitGroup
	for i := range 3 { // the next ones
		listed.Go(func() { list(folder + i) })
	}
	done := make(chan struct{})
	answered.Go(func() {
		defer close(done)
		for n := range 50 {
			time.Sleep(time.Millisecond)
			if _, err := os.Stat(filepath.Join(dir, fmt.Sprint("none-", n))); !os.IsNotExist(err) {
				t.Error(err)
			}
		}
	})
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("nobody is answered")
	}
	s.do(order{Do: "release"})
	listed.Wait()
	answered.Wait()
}

// The goroutine that reads requests finds that there is work, and then whoever stands by takes that.
func TestNoStepIsTakenOfWorkThatIsGone(t *testing.T) {
	c := new(conn)
	c.steps.left.Store(1)
	if c.step() {
		t.Error("a step of nothing was taken")
	}
}

// Who asks more of files than what is in them has them given between his requests; many at once meet what is being given.
func TestManyWhoCopyFoldersGetWhatIsInThem(t *testing.T) {
	s, dir := mounted(t, "shapes")
	want := shapesTree()
	var all sync.WaitGroup
	for range 4 { // the same folders
		all.Go(func() {
			for i := range 20 {
				path := fmt.Sprint(i)
				list, err := os.ReadDir(filepath.Join(dir, path))
				if err != nil || len(list) != 100 {
					t.Error(len(list), err)
					return
				}
				for _, e := range list {
					full := filepath.Join(dir, path, e.Name())
					b, err := os.ReadFile(full)
					if err != nil || !bytes.Equal(b, want.child(path+"/"+e.Name()).content()) {
						t.Errorf("%s/%s: %d bytes, %v", path, e.Name(), len(b), err)
					}
					_, _ = unix.Llistxattr(full, nil)
				}
			}
		})
	}
	all.Wait()
	if aheadIdle(t, s) == 0 {
		t.Error("none was put there")
	}
}
