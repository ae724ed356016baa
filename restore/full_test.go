package restore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// fill takes all the room of a file system, and returns the file that has it.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "fill")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for step := int64(1 << 20); step >= 1<<10; {
		st, err := f.Stat()
		must(t, err)
		if err := unix.Fallocate(int(f.Fd()), 0, st.Size(), step); errors.Is(err, unix.ENOSPC) {
			step /= 2
		} else {
			must(t, err)
		}
	}
	return path
}

// A target without room for the attributes of a file is full, and the file gets no name without them; the same restore goes on when there is room.
func TestNothingIsRestoredWithoutItsAttributesOnAFullDisk(t *testing.T) {
	g := newRig(t)
	value := []byte(text(1, 90)) // an inode has room for one
	with := func(e snapshot.Entry, more ...snapshot.Xattr) snapshot.Entry {
		return g.xattrs(e, append([]snapshot.Xattr{{Name: "security.a", Value: value}}, more...)...)
	}
	acl := g.file("f", "")
	acl.Mode = unix.S_IFREG | 0o664
	for what, e := range map[string]snapshot.Entry{
		"file":    with(g.file("f", ""), snapshot.Xattr{Name: "user.a", Value: value}),
		"ACL":     with(acl, aclOf(6, 6, 4, 6, 4)),
		"symlink": with(g.symlink("f", "to"), snapshot.Xattr{Name: "trusted.a", Value: value}),
		"folder":  with(g.dir("f"), snapshot.Xattr{Name: "user.a", Value: value}),
	} {
		t.Run(what, func(t *testing.T) {
			v, dir := g.version(e), mountImage(t, newImage(t, 16, "mkfs.ext4", "-I", "256"))
			to := filepath.Join(dir, "to")
			must(t, os.Mkdir(to, 0o700))
			must(t, unix.Setxattr(to, "user.mine", []byte(text(1, 300)), 0)) // the block that this takes has room for the mark
			only := func(o *Options) { o.Paths = []string{"f"} }
			if e.IsDir() { // there is room to make it
				must(t, os.Mkdir(filepath.Join(to, "f"), 0o700))
			}
			filler := fill(t, dir)
			r, err := g.try(t.Context(), v, to, only)
			if !errors.Is(err, unix.ENOSPC) || r.Notes.Count > 0 {
				t.Errorf("on a full disk: %v, noted %v", err, r.Notes.Items)
			}
			if _, err := os.Lstat(filepath.Join(to, "f")); !e.IsDir() && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it has its name: %v", err)
			}
			must(t, os.Remove(filler))
			r = g.restore(v, to, only)
			wantLeft(t, "failed", r.Failed)
			wantLeft(t, "noted", r.Notes)
			wantSame(t, g, v, to, only)
		})
	}
}

// An attribute that the target cannot hold, however much room there is, is noted.
func TestAttributeTooLargeForTheTargetIsNoted(t *testing.T) {
	g := newRig(t)
	v := g.version(g.xattrs(g.file("f", "x"), snapshot.Xattr{Name: "user.a", Value: []byte(text(1, 40<<10))}))
	r := g.restore(v, mountImage(t, newImage(t, 16, "mkfs.ext4", "-O", "^ea_inode")))
	wantLeft(t, "failed", r.Failed)
	if r.Notes.Count != 1 || !strings.Contains(r.Notes.Items[0].What, "as large as user.a") {
		t.Errorf("noted are %v", r.Notes.Items)
	}
}
