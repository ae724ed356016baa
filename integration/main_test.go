// Package integration tests the built program on real partitions and real mounts.
//
// Each test makes its own file systems in loop files, its own home for a daemon, and drives the program as a user does: by its command
// line. It needs root and /dev/fuse; without them each test is skipped and says so. What must come of it is that nothing stays behind:
// no mount, no loop device, no process, no file.
package integration

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// work is the folder that everything of this run lies in, and yester the program under test.
var work, yester string

// missing says what this machine lacks for these tests; empty if nothing.
var missing = lacking()

const workPrefix = "yester-it-"

func TestMain(m *testing.M) {
	if os.Getenv(probeEnv) != "" {
		os.Exit(probe())
	}
	if dir := os.Getenv(memfsEnv); dir != "" {
		os.Exit(memfsServe(dir))
	}
	if dir := os.Getenv(caselessEnv); dir != "" {
		os.Exit(caselessServe(dir))
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if missing != "" {
		fmt.Println("Every integration test is skipped:", missing)
		return m.Run()
	}
	if err := prepare(); err != nil {
		fmt.Println("prepare:", err)
		return 1
	}
	code := m.Run()
	if left := leftBehind(work); len(left) > 0 {
		fmt.Printf("left behind:\n  %s\n", strings.Join(left, "\n  "))
		code = 1
	}
	sweep(work)
	return code
}

// lacking tells why the tests cannot run here.
func lacking() string {
	if os.Getuid() != 0 {
		return "they need root"
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return "they need /dev/fuse"
	}
	for _, p := range []string{"rsync", "setfacl", "setfattr", "setcap", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"} {
		if _, err := exec.LookPath(p); err != nil {
			return "they need the program " + p + " (make packages)"
		}
	}
	return ""
}

// need skips the test on a machine that cannot run it.
func need(t testing.TB) {
	t.Helper()
	if missing != "" {
		t.Skip(missing)
	}
}

// prepare removes what a crashed run left, makes the work folder and builds the program.
func prepare() error {
	for _, dir := range abandoned() {
		fmt.Println("removing what a crashed run left in", dir)
		sweep(dir)
	}
	work = filepath.Join(os.TempDir(), workPrefix+strconv.Itoa(os.Getpid()))
	// Ordinary users walk through it, to mounts and partitions.
	if err := errors.Join(os.Mkdir(work, 0o755), os.Chmod(work, 0o755), makeProbe()); err != nil {
		return err
	}
	yester = filepath.Join(work, "yester")
	build := exec.Command("go", "build", "-o", yester, "yester/cmd/yester")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		sweep(work)
		return fmt.Errorf("build yester: %w\n%s", err, out)
	}
	return nil
}

// abandoned lists the work folders of runs that are no more.
func abandoned() []string {
	var dirs []string
	all, _ := filepath.Glob(filepath.Join(os.TempDir(), workPrefix+"*"))
	for _, dir := range all {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), workPrefix))
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// leftBehind lists the mounts, loop devices and processes that have to do with dir.
func leftBehind(dir string) []string {
	var left []string
	for _, m := range mountsBelow(dir) {
		left = append(left, "mount "+m)
	}
	for _, l := range loopsBelow(dir) {
		left = append(left, "loop device "+l)
	}
	for _, pid := range processesBelow(dir) {
		left = append(left, "process "+strconv.Itoa(pid))
	}
	return left
}

// sweep ends and removes all of it.
func sweep(dir string) {
	for _, pid := range processesBelow(dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	mounts := mountsBelow(dir)
	for i := len(mounts) - 1; i >= 0; i-- {
		_ = syscall.Unmount(mounts[i], syscall.MNT_DETACH)
	}
	for _, l := range loopsBelow(dir) {
		_ = exec.Command("losetup", "-d", l).Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Println("sweep:", err)
	}
}

// mountsBelow lists mount points below dir, in the order in which they were mounted.
func mountsBelow(dir string) []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var mounts []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			mounts = append(mounts, f[4])
		}
	}
	return mounts
}

// loopsBelow lists loop devices whose file is below dir.
func loopsBelow(dir string) []string {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	var loops []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), dir+"/") {
			loops = append(loops, "/dev/"+strings.Split(f, "/")[3])
		}
	}
	return loops
}

// processesBelow lists the processes whose program is below dir.
func processesBelow(dir string) []int {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	var pids []int
	for _, exe := range exes {
		if target, err := os.Readlink(exe); err == nil && strings.HasPrefix(target, dir+"/") {
			if pid, err := strconv.Atoi(strings.Split(exe, "/")[2]); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
