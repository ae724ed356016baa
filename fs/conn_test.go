package fs

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// killWaiting runs a command that comes to wait for the vault, and kills it. What go-fuse answers must end with its process too, and what nobody looks after while it
// waits, or that could not even be killed.
func killWaiting(t *testing.T, s *server, command ...string) {
	t.Helper()
	t.Cleanup(func() { s.try(order{Do: "back"}) })
	before := s.do(order{Do: "away"}).Count
	cmd := exec.Command(command[0], command[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	await(t, "a request that waits", func() bool { return s.do(order{Do: "away"}).Count > before })
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
		s.do(order{Do: "back"})
		<-ended
	}
}

func TestProcessCanBeKilledWhileTheVaultDoesNotAnswer(t *testing.T) {
	for name, command := range map[string]func(top, dir string) []string{
		"room":   func(top, _ string) []string { return []string{"stat", "--file-system", top} },
		"folder": func(_, dir string) []string { return []string{"ls", "-l", dir + "/folder"} },
		"file": func(_, dir string) []string {
			if _, err := os.Stat(dir + "/hello"); err != nil { // else it is the folder that is waited for
				t.Error(err)
			}
			return []string{"cat", dir + "/hello"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := mounted(t, "small")
			killWaiting(t, s, command(s.dir, dir)...)
			s.do(order{Do: "back"})
			compareContent(t, dir+"/hello", smallTree().child("hello")) // the answers that come late are in nobody's way
		})
	}
}

// The kernel is not told of a folder below .by-file by an answer that comes too late.
func TestLateAnswerIsForgotten(t *testing.T) {
	s, dir := mounted(t, "small")
	past := filepath.Join(filepath.Dir(dir), byFileName)
	if _, err := os.Stat(past); err != nil {
		t.Error(err)
	}
	killWaiting(t, s, "stat", past+"/folder")
	s.do(order{Do: "back"})
	await(t, "the folder to be found, and forgotten", func() bool {
		a := s.do(order{Do: "pasts"})
		return a.Text == "2" && a.Count < 2 // the other is .by-file
	})
}

// Programs are not made for EINTR from a file system, however long it takes.
func TestProcessThatGetsASignalHasItsAnswerHoweverLongTheVaultTakes(t *testing.T) {
	for _, name := range []string{"room", "file"} {
		t.Run(name, func(t *testing.T) {
			s, dir := mounted(t, "small")
			room := func() error { var st unix.Statfs_t; return unix.Statfs(s.dir, &st) }
			file := func() error { var st unix.Stat_t; return unix.Stat(dir+"/hello", &st) }
			call, other := room, []string{"stat", dir + "/hello"} // which asks for something else
			if name == "file" {
				call, other = file, []string{"stat", "--file-system", s.dir}
			}
			t.Cleanup(func() { s.try(order{Do: "back"}) })
			s.do(order{Do: "away"})
			thread, ended := make(chan int), make(chan error, 1)
			go func() {
				runtime.LockOSThread()
				thread <- unix.Gettid()
				ended <- call()
			}()
			id := <-thread
			await(t, "a request that waits", func() bool { return s.do(order{Do: "away"}).Count > 0 })
			if err := unix.Tgkill(os.Getpid(), id, unix.SIGURG); err != nil {
				t.Fatal(err)
			}
			killWaiting(t, s, other...) // its patience began later
			s.do(order{Do: "back"})
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestProcessThatGotASignalBeforeCanBeKilled(t *testing.T) {
	s, dir := mounted(t, "small")
	t.Cleanup(func() { s.try(order{Do: "back"}) })
	s.do(order{Do: "away"})
	cmd := exec.Command("bash", "-c", `trap : USR1; cd "$0"`, dir+"/folder")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a request that waits", func() bool { return s.do(order{Do: "away"}).Count > 0 })
	if err := cmd.Process.Signal(unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	killWaiting(t, s, "stat", "--file-system", s.dir) // the first look at the other is over
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
		s.do(order{Do: "back"})
		<-ended
	}
}

func TestNoMoreIsAskedOfAVaultThatDoesNotAnswerThanThereIsRoomFor(t *testing.T) {
	s, dir := mounted(t, "small")
	s.do(order{Do: "given up", N: 1})
	killWaiting(t, s, "ls", "-l", dir+"/folder")
	if n := s.do(order{Do: "given up"}).Count; n != 1 {
		t.Fatal(n, "jobs were given up")
	}
	ended := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		ended <- unix.Statfs(s.dir, &st)
	}()
	select {
	case err := <-ended:
		if err != unix.EIO {
			t.Error("got", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits")
		defer func() { <-ended }()
	}
	s.do(order{Do: "back"})
	await(t, "the job to end", func() bool { return s.do(order{Do: "given up"}).Count == 0 })
	compareContent(t, dir+"/hello", smallTree().child("hello"))
}
