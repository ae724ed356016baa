package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/store/place"
)

// stick has the goroutine that reads requests take a step that does not end.
func stick(t *testing.T, s *server, dir string) {
	t.Helper()
	for {
		s.do(order{Do: "stick"})
		if _, err := os.Stat(filepath.Join(dir, fmt.Sprint("none-", time.Now().UnixNano()))); !os.IsNotExist(err) { // after it comes a pause
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
	if text := s.do(order{Do: "ended"}).Text; text != "unmounted" {
		t.Errorf("it ended, and is told to be %q", text)
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

// waitsInStep tells whether the goroutine that reads requests came to wait in a step; false if what it was asked for ended before.
func waitsInStep(s *server, ended <-chan error) bool {
	const long = 200 * time.Millisecond
	for began, since := 0, time.Now(); began == 0 || time.Since(since) < long; time.Sleep(time.Millisecond) {
		if now := s.do(order{Do: "step"}).Count; now != began {
			began, since = now, time.Now()
		}
		if len(ended) > 0 {
			return false
		}
	}
	return true
}

func TestWhoListsAFolderCanBeKilledWhileWhatIsPreparedDoesNotCome(t *testing.T) {
	s, dir := mounted(t, "few files")
	path := func(folder int) string { return filepath.Join(dir, fmt.Sprintf("folder-%04d", folder)) }
	list := func(folder int) {
		if names, err := os.ReadDir(path(folder)); err != nil || len(names) != 100 {
			t.Fatal(len(names), err)
		}
	}
	for folder := range 19 {
		list(folder)
		for n := range 100 {
			readSmall(t, dir, folder, n)
		}
		aheadIdle(t, s)
		time.Sleep(1100 * time.Millisecond) // steps that took long on a busy machine are forgotten after a second: until then nobody would wait
		s.do(order{Do: "hold"})
		cmd := exec.Command("ls", path(folder+1))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if !waitsInStep(s, ended) {
			s.do(order{Do: "release"})
			continue // the machine is busy, and so it was not given its files before it was answered
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err == nil {
				t.Error("it was not killed")
			}
		case <-time.After(20 * time.Second):
			t.Error("it goes on")
		}
		s.do(order{Do: "release"})
		list(folder + 1)
		readSmall(t, dir, folder+1, 50)
		return
	}
	t.Error("nobody waited")
}

// A read that the goroutine which reads requests answers by decoding a file at once is given up too, and answered once.
func TestReadIsGivenUpWhileItsFileIsDecodedBeforeItsTurn(t *testing.T) {
	s := &testServer{place: place.NewMem(1)}
	if err := errors.Join(s.obey(order{Do: "open"}, nil), s.commit(t.Context(), day(1), smallTree())); err != nil {
		t.Fatal(err)
	}
	defer s.vault.Close()
	v, err := newView(Options{Vault: s.vault, Log: s.logger(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	var hello fuse.EntryOut
	if st := v.Lookup(nil, &fuse.InHeader{NodeId: uint64(kindNode(versionKind, 1))}, "hello", &hello); st != fuse.OK {
		t.Fatal(st)
	}
	slot := nodeID(hello.NodeId).slot()
	*v.ahead.page(slot) = aheadPage{slot: slot, running: true}
	v.ahead.setReady(slot, newDecoded())

	answers, kernel, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	c := &conn{view: v, fd: int(kernel.Fd()), jobs: make(map[uint64]*job), most: mostGivenUp}
	c.steps.left.Store(1)
	ask := fuse.ReadIn{Size: 4096}
	ask.Opcode, ask.Unique, ask.NodeId = opRead, 2, hello.NodeId
	if err := s.obey(order{Do: "away"}, new(answer)); err != nil {
		t.Fatal(err)
	}
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		c.take(unsafe.Slice((*byte)(unsafe.Pointer(&ask)), unsafe.Sizeof(ask)), &reply{own: true})
	}()
	await(t, "a read that waits", func() bool { return s.far.waiting.Load() > 0 })
	const gone = 0
	c.look(ask.Unique, gone)
	if n := c.givenUp; n != 1 {
		t.Error(n, "jobs are given up")
	}
	if err := s.obey(order{Do: "back"}, nil); err != nil {
		t.Fatal(err)
	}
	<-taken
	c.work.Wait()
	kernel.Close()
	all, err := io.ReadAll(answers)
	want := fuse.OutHeader{Length: uint32(outHeader), Status: -int32(unix.EINTR), Unique: ask.Unique}
	if err != nil || len(all) != outHeader || *(*fuse.OutHeader)(unsafe.Pointer(&all[0])) != want {
		t.Errorf("answered with %x, %v", all[:min(len(all), outHeader)], err)
	}
	if c.givenUp != 0 || c.busy() || c.job(ask.Unique) != nil {
		t.Error("it goes on")
	}
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
