package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// TestFirstSignalEndsAndTheNextCtrlCKills runs itself as a process that goes on after the first signal, as one does that reads from a dead disk.
func TestFirstSignalEndsAndTheNextCtrlCKills(t *testing.T) {
	if os.Getenv("YESTER_TEST_SIGNALS") != "" {
		ctx := untilSignal()
		fmt.Println("begun")
		<-ctx.Done()
		fmt.Println("ended")
		select {}
	}
	if signal.Ignored(os.Interrupt) {
		t.Skip("Ctrl-C is ignored here")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // if it goes on after all
	defer cancel()
	for _, tt := range []struct {
		trap  string // of the shell that starts it
		first syscall.Signal
		then  []syscall.Signal
	}{
		{"", syscall.SIGINT, []syscall.Signal{syscall.SIGINT}},
		{"", syscall.SIGTERM, []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT}},
		{"", syscall.SIGHUP, []syscall.Signal{syscall.SIGINT}},
		{"trap '' HUP; kill -HUP $$;", syscall.SIGINT, []syscall.Signal{syscall.SIGINT}}, // as by nohup
	} {
		if tt.first == syscall.SIGHUP && signal.Ignored(tt.first) {
			continue // these tests run by nohup
		}
		cmd := exec.CommandContext(ctx, "sh", "-c", tt.trap+`exec "$0" -test.run='^TestFirstSignalEndsAndTheNextCtrlCKills$'`, os.Args[0])
		cmd.Env = append(os.Environ(), "YESTER_TEST_SIGNALS=1")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		says := func(want string) {
			t.Helper()
			if !lines.Scan() || lines.Text() != want {
				t.Errorf("%+v: it says %q, not %q", tt, lines.Text(), want)
			}
		}
		says("begun")
		if tt.trap != "" {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if err != nil || !regexp.MustCompile(`SigIgn:\t[0-9a-f]{15}[13579bdf]\n`).Match(status) {
				t.Errorf("a hangup is not ignored any more: %v", err)
			}
		}
		for i, s := range append([]syscall.Signal{tt.first}, tt.then...) {
			if err := cmd.Process.Signal(s); err != nil {
				t.Errorf("%+v: %v", tt, err)
			}
			if i == 0 {
				says("ended")
			}
		}
		for lines.Scan() {
		}
		_ = cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
			t.Errorf("%+v: %v", tt, cmd.ProcessState)
		}
	}
}
