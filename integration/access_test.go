package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever browses a version sees what modes and ACLs let them see at the source, and nothing more.
func TestUsersSeeWhatTheyMayAndNothingMore(t *testing.T) {
	t.Parallel()
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			home := newHome(t)
			p := newPartition(t, fs, gib)
			guardedTree(t, p)
			d := start(t, home)
			d.activate("max", p)
			v := d.backup(p)

			sights := map[string]bool{}
			for _, u := range []user{
				{"nobody", 65534, 65534, nil},
				{"the owner", 4001, 4001, nil},
				{"one of the group", 4002, 4002, []uint32{4001}},
				{"named by an ACL", 4003, 4003, nil},
				{"barred by an ACL", 4004, 4004, []uint32{4001}},
				{"of a group named by an ACL", 4005, 4005, []uint32{4100, 4200}},
				{"with root's group", 4006, 0, nil},
			} {
				source, mount := u.sees(t, p.dir), u.sees(t, v.Path)
				sights[fmt.Sprint(source)] = true
				paths := maps.Clone(source)
				maps.Copy(paths, mount)
				for _, path := range slices.Sorted(maps.Keys(paths)) {
					if source[path] != mount[path] {
						t.Errorf("%s (%d) sees of %q\n%s\nat the source, and in the mount\n%s", u.name, u.uid, path, source[path], mount[path])
					}
				}
			}
			if len(sights) < 6 {
				t.Errorf("the tree tells only %d kinds of users apart", len(sights))
			}
		})
	}
}

// guardedTree makes files and folders of every mode that matters, with several owners, with and without ACLs.
func guardedTree(t testing.TB, p *partition) {
	t.Helper()
	put := func(dir, name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("kept from some: "+path), 0o644))
		must(t, unix.Setxattr(path, "user.yester", []byte("attribute"), 0))
		must(t, unix.Setxattr(path, "trusted.yester", []byte("root's"), 0))
	}
	guard := func(path string, owner int, mode uint32, acl string) {
		t.Helper()
		must(t, os.Chown(path, owner, owner))
		must(t, unix.Chmod(path, mode))
		if acl != "" {
			command(t, "setfacl", "-m", acl, path)
		}
	}
	modes := []uint32{0, 0o400, 0o040, 0o004, 0o444, 0o440, 0o404, 0o044, 0o600, 0o640, 0o755, 0o111, 0o711, 0o1777, 0o2750, 0o4755, 0o501, 0o070}
	acls := []string{"", "u:4003:rx", "u:4004:-", "g:4100:rx,g:4200:-", "u:4003:rwx,m::x", "u:4001:-,o::rx"}
	for _, owner := range []int{0, 4001} {
		for _, mode := range modes {
			for i, acl := range acls {
				dir := p.path(fmt.Sprintf("%d-%o-%d", owner, mode, i))
				put(dir, "known")
				put(dir, "known-folder/known")
				must(t, os.Symlink("known", filepath.Join(dir, "link")))
				file := dir + ".file"
				put(p.dir, filepath.Base(file))
				guard(file, owner, mode, acl)
				guard(dir, owner, mode, acl)
			}
		}
	}
}
