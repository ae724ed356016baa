package fs

import (
	"os/exec"
	"testing"
	"time"
)

// What go-fuse answers must end with its process too, or that could not even be killed.
func TestProcessCanBeKilledWhileTheVaultDoesNotAnswer(t *testing.T) {
	s, _ := mounted(t, "small")
	s.do(order{Do: "away"})
	cmd := exec.Command("stat", "--file-system", s.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	await(t, "a request that waits", func() bool { return s.do(order{Do: "away"}).Count > 0 })
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
		s.kill()
		<-ended
	}
}
