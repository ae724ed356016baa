package integration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever browses a version sees what modes and ACLs let them see at the source, and nothing more; and whoever tries to change
// something is refused as on a disk that is mounted read-only.
func TestUsersMayDoWhatTheyMayOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			home := newHome(t)
			p := newPartition(t, fs, gib)
			guardedTree(t, p)
			writersTree(t, p)
			d := start(t, home)
			d.activate("max", p)
			v := d.backup(p)
			p.makeReadOnly(t)
			t.Run("see", func(t *testing.T) { seeTheSame(t, p.dir, v.Path) })
			t.Run("change", func(t *testing.T) { refusesAsADisk(t, p.path("tries"), filepath.Join(v.Path, "tries")) })
			t.Run("print", func(t *testing.T) { printTheSame(t, fs, p.dir, v.Path) })
		})
	}
}

// A version of a partition that not everybody could come to, through the folders above its mount point, is root's alone, whatever its own modes say.
func TestPartitionInAClosedFolderIsClosedInTheMount(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	var parts []*partition
	for name, close := range map[string]func(dir string){
		"by-mode": func(dir string) { must(t, os.Chmod(dir, 0o750)) },
		"by-acl":  func(dir string) { command(t, "setfacl", "-m", "u:4004:-", dir) },
	} {
		dir := filepath.Join(work, "closed-"+name)
		must(t, os.MkdirAll(dir+"/way", 0o755))
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		p := newPartitionAt(t, "ext4", gib, dir+"/way/stick-"+name)
		must(t, os.WriteFile(p.path("private.txt"), []byte("for some"), 0o644))
		close(dir)
		parts = append(parts, p)
	}
	d := start(t, home)
	d.activate("max", parts...)
	ways := func(v version) []string {
		folder := filepath.Dir(v.Path)
		return []string{v.Path, filepath.Join(folder, "latest"), filepath.Join(folder, ".by-file")}
	}
	barred := &syscall.Credential{Uid: 4004, Gid: 4004}
	d.run(done, "backup", "--wait")
	for _, p := range parts {
		v := d.versions(p)[0]
		for _, way := range append(ways(v), filepath.Dir(v.Path)) {
			if a := runAs(t, barred, "ls", way); a.code == 0 || !strings.Contains(a.stderr, "Permission denied") {
				t.Errorf("a user lists %s: %+v", way, a)
			}
			if a := runAs(t, nil, "ls", way); a.code != 0 {
				t.Errorf("root lists %s: %+v", way, a)
			}
		}
		dir := filepath.Dir(filepath.Dir(p.dir))
		command(t, "setfacl", "-b", dir)
		must(t, os.Chmod(dir, 0o755))
	}
	d.run(done, "backup", "--wait")
	for _, p := range parts {
		for _, way := range ways(d.versions(p)[0]) {
			if a := runAs(t, barred, "ls", way); a.code != 0 {
				t.Errorf("after the way was opened a user lists %s: %+v", way, a)
			}
		}
	}
}

var users = []user{
	{"nobody", 65534, 65534, nil},
	{"the owner", 4001, 4001, nil},
	{"one of the group", 4002, 4002, []uint32{4001}},
	{"named by an ACL", 4003, 4003, nil},
	{"barred by an ACL", 4004, 4004, []uint32{4001}},
	{"of a group named by an ACL", 4005, 4005, []uint32{4100, 4200}},
	{"of a group barred by an ACL", 4007, 4200, nil},
	{"with root's group", 4006, 0, nil},
	{"root", 0, 0, nil},
}

func seeTheSame(t *testing.T, source, mounted string) {
	sights := map[string]bool{}
	for _, u := range users {
		want, got := u.sees(t, source), u.sees(t, mounted)
		sights[fmt.Sprint(want)] = true
		paths := maps.Clone(want)
		maps.Copy(paths, got)
		for _, path := range slices.Sorted(maps.Keys(paths)) {
			if want[path] != got[path] {
				t.Errorf("%s (%d) sees of %q\n%s\nat the source, and in the mount\n%s", u.name, u.uid, path, want[path], got[path])
			}
		}
	}
	if len(sights) < 8 {
		t.Errorf("the tree tells only %d kinds of users apart", len(sights))
	}
}

// printTheSame compares what the programs that show ACLs, attributes and capabilities print. They list folders in the order of the
// disk, so only what they print of each file is compared.
func printTheSame(t *testing.T, fs, source, mounted string) {
	for _, u := range []user{{"root", 0, 0, nil}, {"the owner", 4001, 4001, nil}, {"nobody", 65534, 65534, nil}} {
		for _, show := range []struct{ command, between string }{
			{"getfacl -R -n .", "\n\n"},
			{"getfacl -R -n -P -t .", "\n\n"},
			{"getfattr -R -h -d -m - .", "\n\n"},
			{"getfattr -R -h -d -m - -e hex .", "\n\n"},
			{"getcap -r .", "\n"},
		} {
			want, got := u.prints(t, source, show.command, show.between), u.prints(t, mounted, show.command, show.between)
			if len(want) == 0 {
				t.Errorf("%s: %s prints nothing at the source", u.name, show.command)
			}
			if fs == "btrfs" && u.uid != 0 { // it lists root's own attributes to everybody, and lets nobody read them
				maps.DeleteFunc(want, func(s string, _ int) bool { return strings.Contains(s, "trusted.") })
			}
			all := maps.Clone(want)
			maps.Copy(all, got)
			var differ []string
			for s := range all {
				if want[s] != got[s] {
					differ = append(differ, fmt.Sprintf("%d times at the source, %d times in the mount:\n%s", want[s], got[s], s))
				}
			}
			if slices.Sort(differ); len(differ) > 0 {
				t.Errorf("%s: %s prints\n%s\n(%d differences)", u.name, show.command, strings.Join(differ[:min(5, len(differ))], "\n"), len(differ))
			}
		}
	}
}

// prints runs a command in a folder and counts each paragraph that it printed, and each line of its complaints.
func (u user) prints(t testing.TB, dir, command, between string) map[string]int {
	t.Helper()
	cmd := exec.Command("sh", "-c", `cd "$0" && exec `+command, dir)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", append(os.Environ(), "LC_ALL=C"), u.credential()
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if exit := (*exec.ExitError)(nil); !errors.As(cmd.Run(), &exit) && cmd.ProcessState == nil {
		t.Fatalf("%s did not run", command)
	}
	printed := map[string]int{}
	for _, s := range append(strings.Split(out.String(), between), strings.Split(complaints.String(), "\n")...) {
		if s = strings.TrimSpace(s); s != "" {
			printed[s]++
		}
	}
	return printed
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
