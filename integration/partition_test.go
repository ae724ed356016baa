package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The file systems on which everything must hold.
var fileSystems = []string{"ext4", "xfs", "btrfs"}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// A partition is a file system of its own in a sparse loop file, mounted for one test.
type partition struct {
	fs   string
	dir  string // where it is mounted
	name string // what yester calls it
}

var mkfs = map[string][]string{
	// Inodes of 256 bytes hold times before 1970 and nanoseconds. What would be initialized in the background is not, at a mount of minutes.
	"ext4":  {"mkfs.ext4", "-q", "-F", "-I", "256", "-E", "lazy_itable_init=1,lazy_journal_init=1"},
	"xfs":   {"mkfs.xfs", "-q", "-m", "bigtime=1"},
	"btrfs": {"mkfs.btrfs", "-q", "-m", "single"},
}

var mountOptions = map[string]string{"ext4": "noinit_itable", "xfs": "defaults", "btrfs": "defaults"}

var partitions atomic.Int32

// newPartition makes and mounts a partition of some bytes, which are not taken before they are used. It goes with the test.
func newPartition(t testing.TB, fs string, size int64) *partition {
	t.Helper()
	return newPartitionAt(t, fs, size, filepath.Join(work, fmt.Sprintf("%s-%d", fs, partitions.Add(1))))
}

// newPartitionAt is newPartition with the folder to be mounted at, which is not there yet.
func newPartitionAt(t testing.TB, fs string, size int64, dir string) *partition {
	t.Helper()
	need(t)
	p := &partition{fs: fs, dir: dir, name: partitionName(dir)}
	image := filepath.Join(work, filepath.Base(dir)+".img")
	f, err := os.Create(image)
	must(t, err)
	t.Cleanup(func() { _ = os.Remove(image) })
	must(t, f.Truncate(size))
	must(t, f.Close())
	must(t, os.Mkdir(dir, 0o755))
	command(t, append(mkfs[fs], image)...)
	// Past the page cache of the file system below, so that nothing lies in memory twice.
	loop := strings.TrimSpace(command(t, "losetup", "--direct-io=on", "--show", "-f", image))
	defer exec.Command("losetup", "-d", loop).Run() // takes place at the unmount
	command(t, "mount", "-o", mountOptions[fs], loop, dir)
	t.Cleanup(func() { p.unmount(t) })
	return p
}

// partitionName is the name that yester gives the partition mounted at dir.
func partitionName(dir string) string {
	return strings.ReplaceAll(strings.Trim(dir, "/"), "/", "-")
}

// unmount detaches the partition; its loop device goes with it. For a moment it may be in use by a process that another test is about to start, which
// has all descriptors until it is another program.
func (p *partition) unmount(t testing.TB) {
	out, err := exec.Command("umount", p.dir).CombinedOutput()
	for begin := time.Now(); err != nil && time.Since(begin) < 5*time.Second; time.Sleep(50 * time.Millisecond) {
		out, err = exec.Command("umount", p.dir).CombinedOutput()
	}
	if err != nil {
		t.Errorf("umount %s: %v: %s", p.dir, err, out)
		_ = exec.Command("umount", "-l", p.dir).Run()
	}
	_ = os.Remove(p.dir)
}

// path joins a path below the partition.
func (p *partition) path(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// command runs a program that must succeed, and returns what it printed.
func command(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
