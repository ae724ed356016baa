package fs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFolderThatCannotServeIsRefused(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign")
	if err := errors.Join(os.Mkdir(foreign, 0o755), unix.Mount("none", foreign, "tmpfs", 0, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(foreign, unix.MNT_DETACH) })
	for where, want := range map[string]string{
		dir:     "is not empty: choose an empty folder for the mount",
		file:    "is not a folder: choose an empty folder for the mount",
		foreign: "is a mount point of tmpfs: choose an empty folder for the mount",
	} {
		if a := s.try(order{Do: "serve", Name: where}); a.Err != where+" "+want {
			t.Errorf("%q", a.Err)
		}
	}
}

func TestStaleMountIsDetachedAndAliveOneIsNot(t *testing.T) {
	first, _ := mounted(t, "small")
	second := newServer(t)
	second.do(order{Do: "instance", Key: day(1), Name: "web2"})
	if a := second.try(order{Do: "serve", Name: first.dir}); !strings.HasPrefix(a.Err, "another daemon is serving "+first.dir) {
		t.Errorf("over a mount that is alive: %q", a.Err)
	}
	first.kill()
	if _, err := os.ReadDir(first.dir + "/web1/root/latest/folder"); !errors.Is(err, unix.ENOTCONN) {
		t.Fatal("the mount of a killed server answers", err)
	}
	second.do(order{Do: "commit", Key: day(1), Name: "small"})
	second.do(order{Do: "serve", Name: first.dir})
	if _, err := os.ReadDir(filepath.Join(first.dir, "web2/root/latest/")); err != nil {
		t.Error("after the stale mount was detached:", err)
	}
	second.do(order{Do: "unmount"})
	if top, err := topMount(first.dir); err != nil || top != (mountPoint{}) {
		t.Errorf("left behind: %+v, %v", top, err)
	}
}

func TestStaleMountsOnTopOfOneAnotherAreDetached(t *testing.T) {
	s, _ := mounted(t, "small")
	s.kill()
	if err := unix.Mount(s.dir, s.dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(s.dir, link); err != nil {
		t.Fatal(err)
	}
	if err := Detach(link); err != nil {
		t.Error(err)
	}
	if top, err := topMount(s.dir); err != nil || top != (mountPoint{}) {
		t.Errorf("left behind: %+v, %v", top, err)
	}
	for _, nothing := range []string{s.dir, filepath.Join(s.dir, "not/there")} {
		if err := Detach(nothing); err != nil {
			t.Error(err)
		}
	}
}

func TestUnmountWhileInUse(t *testing.T) {
	s, dir := mounted(t, "hostile")
	cmd := exec.Command("sleep", "1000")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	f, err := os.Open(filepath.Join(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.do(order{Do: "unmount"})
	s.do(order{Do: "unmount"})
	if top, err := topMount(s.dir); err != nil || top != (mountPoint{}) {
		t.Errorf("left behind: %+v, %v", top, err)
	}
	if _, err := f.ReadAt(make([]byte, 10), 5<<20); err == nil {
		t.Error("a file can be read after unmounting")
	}
}

func TestUnmountEndsCopiesOfTheMountToo(t *testing.T) {
	s, dir := mounted(t, "small")
	elsewhere := t.TempDir()
	if err := unix.Mount(dir, elsewhere, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(elsewhere, unix.MNT_DETACH)
	s.do(order{Do: "unmount"})
	if _, err := os.ReadFile(elsewhere + "/hello"); !errors.Is(err, unix.ENOTCONN) {
		t.Error("a copy of the mount answers", err)
	}
}

func TestUnmountByHandEndsServing(t *testing.T) {
	s, _ := mounted(t, "small")
	if err := unix.Unmount(s.dir, 0); err != nil {
		t.Fatal(err)
	}
	s.do(order{Do: "unmount"}) // returns once it is served no more
	s.do(order{Do: "serve", Name: s.dir})
}

func TestKernelIsToldNotToAskAgain(t *testing.T) {
	s := newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "commit", Key: day(1), Name: "hostile"})
	s.do(order{Do: "serve and trace", Name: s.dir})
	dir := filepath.Join(s.dir, "web1/root", day(1).Version)
	use := func() string {
		for range 3 {
			for _, command := range [][]string{{"cat", dir + "/big", dir + "/plain"}, {"ls", "-la", dir}, {"ls", dir + "/no"}, {"readlink", dir + "/symlink"}} {
				exec.Command(command[0], command[1:]...).Run()
			}
		}
		return s.do(order{Do: "trace"}).Text
	}
	first := use()
	if n := strings.Count(first, ": OPEN n") + strings.Count(first, ": OPENDIR n"); n != 2 {
		t.Errorf("%d times OPEN or OPENDIR at first", n)
	}
	if strings.Count(first, ": READ n") < 9 {
		t.Error("not read")
	}
	var again []string
	for range 5 { // other tests have the kernel drop what it knows, at any time
		again = nil
		for line := range strings.Lines(use()) {
			if strings.HasPrefix(line, "rx ") && !strings.Contains(line, "XATTR") {
				again = append(again, line)
			}
		}
		if len(again) == 0 {
			return
		}
	}
	t.Error("asked again, five times:", again)
}

// Programs are not made for EINTR from a file system. Here each call is met by signals while it waits.
func TestSignalsDoNotDisturbCalls(t *testing.T) {
	_, dir := mounted(t, "wide")
	fd := openDir(t, filepath.Join(dir, "wide"))
	tid, done := make(chan int), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		tid <- unix.Gettid()
		buf := make([]byte, 1<<20) // a page of the tree after the other for each call
		for n, err := 1, error(nil); n > 0; {
			if n, err = unix.Getdents(fd, buf); err != nil {
				t.Error(err)
			}
		}
	}()
	for id := <-tid; ; {
		select {
		case <-done:
			return
		default:
			unix.Tgkill(os.Getpid(), id, unix.SIGURG)
			runtime.Gosched()
		}
	}
}

// cut aborts the connection of the mount on a folder.
func cut(t *testing.T, dir string) {
	t.Helper()
	top, err := topMount(dir)
	if err != nil {
		t.Fatal(err)
	}
	control := t.TempDir()
	if err := unix.Mount("none", control, "fusectl", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(control, 0)
	_, minor, _ := strings.Cut(top.device, ":")
	if err := os.WriteFile(filepath.Join(control, minor, "abort"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestMountThatWasCutIsToldFromOneUnmountedByHand(t *testing.T) {
	s, dir := mounted(t, "small")
	cut(t, s.dir)
	if text := s.do(order{Do: "ended"}).Text; text != "cut" {
		t.Errorf("it ended, and is told to be %q", text)
	}
	if _, err := os.ReadDir(dir); !errors.Is(err, unix.ENOTCONN) {
		t.Error("a mount that was cut answers", err)
	}
	s.do(order{Do: "unmount"})
	if top, err := topMount(s.dir); err != nil || top != (mountPoint{}) {
		t.Errorf("left behind: %+v, %v", top, err)
	}
	s.do(order{Do: "serve", Name: s.dir})
	cut(t, s.dir)
	s.do(order{Do: "ended"})
	s.do(order{Do: "serve", Name: s.dir}) // what is left of the other is no hindrance
	if err := unix.Unmount(s.dir, 0); err != nil {
		t.Fatal(err)
	}
	if text := s.do(order{Do: "ended"}).Text; text != "unmounted" {
		t.Errorf("it was unmounted, and is told to be %q", text)
	}
}

// mountDisk mounts another file system on a folder, again and again until it has the id of a mount that is gone, as the next one mostly does.
func mountDisk(t *testing.T, dir string, id int) {
	t.Helper()
	for range 20 {
		if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		top, err := topMount(dir)
		if err != nil {
			t.Fatal(err)
		}
		if top.id == id {
			return
		}
	}
}

func TestMountWithTheIDOfOneUnmountedByHandIsAnother(t *testing.T) {
	for _, where := range []string{"elsewhere", "there"} {
		s, _ := mounted(t, "small")
		at, err := topMount(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Unmount(s.dir, 0); err != nil {
			t.Fatal(err)
		}
		dir := s.dir
		if where == "elsewhere" {
			dir = t.TempDir()
		}
		mountDisk(t, dir, at.id)
		if text := s.do(order{Do: "ended"}).Text; text != "unmounted" {
			t.Errorf("a disk is mounted %s, and the mount is told to be %q", where, text)
		}
		s.do(order{Do: "unmount"})
		if top, err := topMount(dir); err != nil || top.fsType != "tmpfs" {
			t.Errorf("the disk %s is gone: %+v, %v", where, top, err)
		}
		for unix.Unmount(dir, unix.MNT_DETACH) == nil {
		}
	}
}

func TestMountOfAnotherProcessIsNotTakenForOneThatWasCut(t *testing.T) {
	first, _ := mounted(t, "small")
	second := newServer(t)
	second.do(order{Do: "instance", Key: day(1), Name: "web2"})
	second.do(order{Do: "commit", Key: day(1), Name: "small"})
	if err := unix.Unmount(first.dir, 0); err != nil {
		t.Fatal(err)
	}
	second.do(order{Do: "serve", Name: first.dir}) // with the same id and device
	if text := first.do(order{Do: "ended"}).Text; text != "unmounted" {
		t.Errorf("it was unmounted, and is told to be %q", text)
	}
	first.do(order{Do: "unmount"})
	if _, err := os.ReadDir(filepath.Join(first.dir, "web2/root/latest/")); err != nil {
		t.Error("the other's mount is gone:", err)
	}
	second.do(order{Do: "unmount"})
}

// What was asked of a vault that does not answer goes on for as long as that, and the mount is served no more all the same.
func TestMountThatWasCutEndsWhateverTheVaultAnswers(t *testing.T) {
	s, dir := mounted(t, "small")
	t.Cleanup(func() { s.try(order{Do: "back"}) })
	s.do(order{Do: "away"})
	cmd := exec.Command("ls", "-l", dir+"/folder")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a request that waits", func() bool { return s.do(order{Do: "away"}).Count > 0 })
	cut(t, s.dir)
	cmd.Wait()
	if text := s.do(order{Do: "ended"}).Text; text != "cut" {
		t.Errorf("it ended, and is told to be %q", text)
	}
	s.do(order{Do: "back"})
	s.do(order{Do: "unmount"})
}
