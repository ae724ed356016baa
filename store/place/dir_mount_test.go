package place

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// tmpfs mounts a small file system and returns where.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("yester-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

func TestFullDirKeepsWhatItHas(t *testing.T) {
	d := newDir(t, tmpfs(t, "size=1m"))
	mustWrite(t, d, "a/f", "old")
	err := d.Write(t.Context(), "a/f", make([]byte, 300_000), make([]byte, 2<<20))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "a/f") {
		t.Errorf("Write = %v", err)
	}
	expectNoTemporaries(t, d.disk)
	if got := content(t, d, "a/f"); got != "old" {
		t.Errorf("the file became %d bytes", len(got))
	}
	if err := d.Write(t.Context(), "b", make([]byte, 300_000)); err != nil {
		t.Errorf("what fits: %v", err)
	}
}

func TestFullDirStillRemoves(t *testing.T) {
	d := newDir(t, tmpfs(t, "size=1m"))
	mustWrite(t, d, "big", strings.Repeat("x", 900_000))
	if err := d.Write(t.Context(), "f", make([]byte, 500_000)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %v", err)
	}
	if err := d.Remove(t.Context(), "big"); err != nil {
		t.Error(err)
	}
	if err := d.Write(t.Context(), "f", make([]byte, 500_000)); err != nil {
		t.Error(err)
	}
}

func TestDirWithoutInodesIsFull(t *testing.T) {
	d := newDir(t, tmpfs(t, "size=1m,nr_inodes=4"))
	mustWrite(t, d, "f", "old") // the top, .tmp and f are three
	if err := d.Write(t.Context(), "a/b/c", []byte("x")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %v", err)
	}
	expectNoTemporaries(t, d.disk)
}

func TestDirSpaceIsThatOfItsFileSystem(t *testing.T) {
	d := newDir(t, tmpfs(t, "size=1m"))
	mustWrite(t, d, "f", strings.Repeat("x", 256<<10))
	free, total, err := d.Space(t.Context())
	if err != nil || total != 1<<20 || free != 768<<10 {
		t.Errorf("Space = %d, %d, %v", free, total, err)
	}
}

func TestReadOnlyDirIsRead(t *testing.T) {
	top := tmpfs(t, "size=1m")
	mustWrite(t, newDir(t, top), "a/f", "x")
	if err := unix.Mount("", top, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	d := newDir(t, top)
	if content(t, d, "a/f") != "x" {
		t.Error("not read")
	}
	if infos, err := d.List(t.Context(), "a"); err != nil || len(infos) != 1 {
		t.Errorf("List = %v, %v", infos, err)
	}
	if err := d.Sweep(t.Context()); err != nil {
		t.Errorf("Sweep of nothing = %v", err)
	}
	if err := d.Write(t.Context(), "a/f", []byte("y")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Write = %v", err)
	}
	if err := d.Remove(t.Context(), "a/f"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Remove = %v", err)
	}
}

func TestUnmountedDirIsNotWritten(t *testing.T) {
	below := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if err := unix.Mount("yester-test", below, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	d := newDir(t, below)
	if err := unix.Unmount(below, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), "f", []byte("x")); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("Write = %v", err)
	}
	if _, err := d.Open(t.Context(), "f"); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("Open = %v", err)
	}
	if _, err := d.List(t.Context(), "a"); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("List = %v", err)
	}
	if err := d.Remove(t.Context(), "f"); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("Remove = %v", err)
	}
	if _, _, err := d.Space(t.Context()); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("Space = %v", err)
	}
}
