package integration

import (
	"maps"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// writersTree makes the folder in which all that writes is tried.
func writersTree(t testing.TB, p *partition) {
	t.Helper()
	tr := &tree{t: t, fs: p.fs, dir: p.path("tries"), rand: newStream(2)}
	file := func(mode uint32, owner int, elem ...string) string {
		t.Helper()
		path := tr.file("something to lose", elem...)
		must(t, unix.Setxattr(path, "user.yester", []byte("v"), 0))
		must(t, unix.Setxattr(path, "trusted.yester", []byte("v"), 0))
		must(t, os.Chown(path, owner, owner))
		must(t, unix.Chmod(path, mode))
		return path
	}
	file(0o644, 0, "file")
	file(0o600, 0, "private")
	file(0o666, 0, "shared")
	file(0o600, 4001, "theirs")
	file(0o644, 4001, "attributes")
	command(t, "setcap", "cap_net_raw=ep", file(0o6755, 0, "running"))
	must(t, os.Truncate(file(0o644, 0, "empty"), 0))
	command(t, "setfacl", "-m", "u:4003:rw,u:nobody:-", file(0o664, 0, "acl"))
	folders := map[string]uint32{"folder": 0o755, "empty folder": 0o755, "open folder": 0o777, "sticky": 0o1777, "closed": 0o700, "listed": 0o744}
	for name, mode := range folders {
		dir := tr.folder(name)
		if name != "empty folder" {
			file(0o666, 4001, name, "inside")
		}
		must(t, unix.Chmod(dir, mode))
	}
	for name, target := range map[string]string{"link": "file", "link to folder": "folder", "dangling": "no/where", "loop": "loop"} {
		must(t, os.Symlink(target, tr.path(name)))
	}
	must(t, unix.Mkfifo(tr.path("fifo"), 0o666))
	must(t, unix.Chmod(tr.path("fifo"), 0o666))
	must(t, unix.Mknod(tr.path("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Chmod(tr.path("null"), 0o666))
	setFlag(t, file(0o666, 0, "immutable"), flagImmutable)
	setFlag(t, file(0o666, 0, "append only"), flagAppendOnly)
	setFlag(t, file(0o666, 0, "not dumped"), flagNoDump)
}

// refusesAsADisk compares how everything that writes ends in the mounted version and at the source, which is read-only by now.
func refusesAsADisk(t *testing.T, source, mounted string) {
	for _, u := range []user{{"root", 0, 0, nil}, {"nobody", 65534, 65534, nil}, {"the owner", 4001, 4001, nil}, {"named by an ACL", 4003, 4003, nil}} {
		want, got := map[string]string{}, map[string]string{}
		u.probe(t, &want, "try", source)
		u.probe(t, &got, "try", mounted)
		refused := 0
		for _, what := range slices.Sorted(maps.Keys(want)) {
			if want[what] != got[what] {
				t.Errorf("%s (%d): %s ends in the mount with %q, on the disk with %q", u.name, u.uid, what, got[what], want[what])
			}
			if got[what] == reason(unix.EROFS) {
				refused++
			}
		}
		if refused < len(want)/3 {
			t.Errorf("%s: only %d of %d tries met a read-only file system", u.name, refused, len(want))
		}
	}
}

// makeReadOnly makes the partition what the mount of its version is: read-only, without setuid and devices. A read-only bind mount would
// not do: there the kernel asks for permission first and tells only those that have it that nobody can write.
func (p *partition) makeReadOnly(t testing.TB) {
	t.Helper()
	command(t, "mount", "-o", "remount,ro,nosuid,nodev", p.dir)
}
