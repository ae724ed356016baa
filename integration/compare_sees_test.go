package integration

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What compares must itself be able to fail: equal trees are equal, and each single difference is seen.
func TestComparisonSeesEveryDifference(t *testing.T) {
	t.Parallel()
	p := newPartition(t, "ext4", 8*gib)
	q := newPartition(t, "ext4", 8*gib)
	hostileTree(t, p, 0.01)
	want := read(t, p.dir)
	command(t, "cp", "-a", p.dir+"/.", q.dir)
	same(t, "an untouched copy", want, read(t, q.dir))
	if out := rsyncDifferences(t, p.dir, q.dir, "/holes"); out != "" {
		t.Errorf("rsync sees differences to an untouched copy:\n%s", out)
	}

	chtime := func(path string, nsec int64) error {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: st.Mtim.Sec, Nsec: nsec}}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW)
	}
	flip := func(path string, off int64) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		b := make([]byte, 1)
		_, _ = f.ReadAt(b, off)
		b[0] ^= 0x80
		_, err = f.WriteAt(b, off)
		return err
	}
	cases := []struct {
		name, path string
		change     func(path string) error
		want       string // in the line that tells
	}{
		{"byte in a file", "sizes/random-32769", func(p string) error { return flip(p, 32768) }, "content differs"},
		{"byte in a hole", "holes/10 GiB", func(p string) error { return flip(p, 7*gib) }, "content differs"},
		{"byte after data", "holes/small hole", func(p string) error { return flip(p, 101*kib) }, "content differs"},
		{"length", "holes/hole only", func(p string) error { return os.Truncate(p, gib+1) }, "size is"},
		{"nanosecond", "times/1907", func(p string) error { return chtime(p, 123_456_788) }, "mtime is"},
		{"nanosecond of a folder", "times/folder 2038", func(p string) error { return chtime(p, 1) }, "mtime is"},
		{"nanosecond of a symlink", "times/link 2038", func(p string) error { return chtime(p, 1) }, "mtime is"},
		{"mode", "modes/file-400", func(p string) error { return unix.Chmod(p, 0o401) }, "mode is"},
		{"setuid", "modes/file-4755", func(p string) error { return unix.Chmod(p, 0o755) }, "mode is"},
		{"owner", "links/symlink-1", func(p string) error { return os.Lchown(p, 1, 5678) }, "owner is"},
		{"group", "modes/owner-1000", func(p string) error { return os.Lchown(p, 1000, 1) }, "group is"},
		{"attribute", "attributes/file", func(p string) error { return unix.Setxattr(p, "user.binary", []byte{0}, 0) }, "attributes are"},
		{"lost attribute", "attributes/many", func(p string) error { return unix.Removexattr(p, "user.n7") }, "attributes are"},
		{"trusted attribute", "attributes/symlink", func(p string) error { return unix.Lremovexattr(p, "trusted.link") }, "attributes are"},
		{"ACL", "attributes/acl", func(p string) error { return unix.Removexattr(p, "system.posix_acl_access") }, "attributes are"},
		{"default ACL", "attributes/acl-folder", func(p string) error { return unix.Removexattr(p, "system.posix_acl_default") }, "attributes are"},
		{"capability", "attributes/capable", func(p string) error { return unix.Removexattr(p, "security.capability") }, "attributes are"},
		{"link target", "links/dangling", func(p string) error { return replace(p, func() error { return os.Symlink("no/such/filf", p) }) }, "target is"},
		{"device", "modes/char", func(p string) error {
			return replace(p, func() error { return unix.Mknod(p, unix.S_IFCHR|0o620, int(unix.Mkdev(5, 2))) })
		}, "device is"},
		{"type", "modes/overlay whiteout", func(p string) error { return replace(p, func() error { return os.WriteFile(p, nil, 0o606) }) }, "mode is"},
		{"broken hard link", "z-four", func(p string) error {
			b, _ := os.ReadFile(p)
			return replace(p, func() error { return os.WriteFile(p, b, 0o644) })
		}, "link count is"},
		{"other hard link", "links/fifo-2", func(p string) error {
			return replace(p, func() error { return os.Link(q.path("modes/fifo"), p) })
		}, "first hard link is"},
		{"missing name", "names/new\nline", os.Remove, "missing"},
		{"name too many", "names/extra", func(p string) error { return os.WriteFile(p, nil, 0o644) }, "should not be there"},
	}
	for _, c := range cases {
		must(t, c.change(q.path(c.path)))
	}
	lines := differences(want, read(t, q.dir))
	for _, c := range cases {
		if !slices.ContainsFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, strconv.Quote(c.path)) && strings.Contains(l, c.want)
		}) {
			t.Errorf("%s: %q was changed, and that %q was not seen", c.name, c.path, c.want)
		}
	}
	if t.Failed() {
		t.Logf("seen:\n  %s", strings.Join(lines, "\n  "))
	}
	if out := rsyncDifferences(t, p.dir, q.dir, "/holes"); strings.Count(out, "\n") < 20 {
		t.Errorf("rsync sees of %d differences no more than:\n%s", len(cases), out)
	}
}

// replace removes path and makes it anew.
func replace(path string, create func() error) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return create()
}
