package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A measure is what one run took. What does not apply is 0.
type measure struct {
	Seconds float64 `json:"seconds,omitempty"`
	CPU     float64 `json:"cpu_seconds,omitempty"` // user and system
	RSS     int64   `json:"peak_rss_bytes,omitempty"`
	Bytes   int64   `json:"bytes,omitempty"`
}

// measureCommand runs a program that must succeed. Its processor time and memory are those of all processes that it waits for.
func (c *contest) measureCommand(env []string, args ...string) measure {
	c.b.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		c.b.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, tail(out, 4000))
	}
	s := cmd.ProcessState
	return measure{
		Seconds: took.Seconds(), CPU: (s.UserTime() + s.SystemTime()).Seconds(),
		RSS: s.SysUsage().(*syscall.Rusage).Maxrss * kib,
	}
}

// measureDaemon runs a command line of ours, and counts what the daemon takes meanwhile. The peak of memory is the daemon's.
func (c *contest) measureDaemon(d *daemon, args ...string) measure {
	c.b.Helper()
	must(c.b, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.cmd.Process.Pid), []byte("5"), 0)) // forgets the peak so far
	before := c.cpu(d)
	m := c.measureCommand(nil, append([]string{yester, "--home", d.home}, args...)...)
	m.CPU += c.cpu(d) - before
	m.RSS = d.peakRSS()
	return m
}

// cpu is the processor time that the daemon took so far, in seconds.
func (c *contest) cpu(d *daemon) float64 {
	var t unix.Timespec
	must(c.b, unix.ClockGettime(int32(^d.cmd.Process.Pid<<3|2), &t)) // the clock of another process, see clock_getcpuclockid(3)
	return float64(t.Nano()) / 1e9
}
