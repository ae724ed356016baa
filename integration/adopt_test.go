package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// startElse starts a daemon as if on another machine: of another name, and with another id.
func startElse(t testing.TB, home, name string) *daemon {
	t.Helper()
	id := filepath.Join(home, "machine-id")
	must(t, os.WriteFile(id, []byte(strings.Repeat("5e", 16)+"\n"), 0o444))
	return startArgs(t, home, []string{
		"unshare", "-m", "-u", "sh", "-c", `mount --bind "$0" /etc/machine-id && hostname "$1" && shift && exec "$@"`, id, name, yester, "--home", home, "daemon",
	})
}

// sees is a path as the daemon sees it, which has mounts of its own.
func (d *daemon) sees(path string) string {
	return filepath.Join("/proc", strconv.Itoa(d.cmd.Process.Pid), "root", path)
}

// mode is who may do what in a folder.
func mode(t testing.TB, dir string) os.FileMode {
	t.Helper()
	info, err := os.Stat(dir)
	must(t, err)
	return info.Mode().Perm()
}

// An identity is who a daemon is, and what somebody should know.
type identity struct {
	Instance struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"instance"`
	Attention []string `json:"attention"`
}

// A new machine goes on with the versions of one that is gone: it reads only what changed, with the old settings. Of two daemons one has them.
func TestNewMachineGoesOnWithTheVersionsOfAnOldOne(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p, disk := newPartition(t, "ext4", gib), newPartition(t, "ext4", 4*gib)
	hostileTree(t, p, 0.002)
	old := start(t, home)
	vault := disk.path("vault")
	old.run(done, "vault", "init", "--place", vault)
	old.activate("max", p)
	old.run(done, "set", "--retention", "123")
	first := old.backup(p)
	var was identity
	old.json(&was, "status")
	old.stop()

	home = newHome(t)
	d := startElse(t, home, "web2")
	explained(t, at(t, home, "vault", "adopt", "--place", p.dir), failed, "no vault", p.dir)
	a := d.run(done, "vault", "adopt", "--place", vault)
	if !strings.Contains(a.stdout, was.Instance.Name) || !strings.Contains(a.stdout, first.Version) {
		t.Errorf("adopting shows\n%s", a.stdout)
	}
	var is identity
	if d.json(&is, "status"); is.Instance.ID == was.Instance.ID {
		t.Fatal("the other machine is the same one: this tests nothing")
	}
	folder := d.sees(filepath.Join(home, "mnt", was.Instance.Name))
	if got := mode(t, folder); got != 0o700 {
		t.Errorf("the folder of another machine's versions, whose users have other numbers, has mode %o", got)
	}
	explained(t, at(t, home, "vault", "adopt", "--as-instance", "nobody"), failed, "nobody")
	explained(t, at(t, home, "vault", "adopt", "--as-instance", was.Instance.Name), wrongUse, "--yes")
	explained(t, at(t, home, "vault", "adopt", "--as-instance", was.Instance.Name+"~"+was.Instance.ID[:8]), wrongUse, "--yes")
	d.run(done, "vault", "adopt", "--as-instance", was.Instance.Name, "--yes")
	if d.json(&is, "status"); is.Instance.ID != was.Instance.ID || is.Instance.Name != "web2" {
		t.Errorf("after adopting it is %+v", is.Instance)
	}
	if got := mode(t, folder); got != 0o755 {
		t.Errorf("after adopting, the folder of its versions has mode %o", got)
	}
	must(t, os.WriteFile(p.path("new"), []byte("new"), 0o644))
	a = d.run(done, "activate")
	if !strings.Contains(a.stdout, "123 days") || !strings.Contains(a.stdout, p.dir) {
		t.Errorf("it is activated with other settings:\n%s", a.stdout)
	}
	for _, v := range d.versions(p) { // the vault still has it by the old name
		if _, err := os.Stat(d.sees(v.Path)); err != nil {
			t.Errorf("after adopting, %s cannot be browsed: %v", v.Version, err)
		}
	}
	d.run(done, "backup", "--wait")
	var last struct {
		Results []struct {
			Parent    string `json:"parent"`
			ReadBytes uint64 `json:"read_bytes"`
			Added     uint64 `json:"added"`
		} `json:"results"`
	}
	d.json(&last, "tasks", "show", d.status().Last.ID)
	if r := last.Results; len(r) != 1 || r[0].Parent != first.Version || r[0].Added != 1 || r[0].ReadBytes > 64*kib {
		t.Errorf("the first backup there: %+v, want the parent %s and next to nothing read", r, first.Version)
	}
	if got := d.versions(p); len(got) != 2 {
		t.Errorf("it has %+v", got)
	}
	explained(t, at(t, home, "vault", "adopt", "--place", p.dir), failed, "has a vault already")

	old = start(t, old.home)
	old.expected = regexp.MustCompile("belong to another daemon")
	explained(t, at(t, old.home, "backup", "--wait"), failed, "belong to another daemon", "web2")
	explained(t, at(t, old.home, "forget", "--yes", first.Version), failed, "belong to another daemon")
	explained(t, at(t, old.home, "vault", "gc"), failed, "belong to another daemon")
	if old.json(&is, "status"); !strings.Contains(strings.Join(is.Attention, "\n"), "belong to another daemon") {
		t.Errorf("the old one's status says %q", is.Attention)
	}
	explained(t, at(t, old.home, "vault", "adopt", "--as-instance", was.Instance.ID[:8]), wrongUse, "--yes")
	old.run(done, "vault", "adopt", "--as-instance", was.Instance.ID[:8], "--yes")
	old.backup(p)
	d.expected = old.expected
	explained(t, at(t, home, "backup", "--wait"), failed, "belong to another daemon", old.home)
}

// A machine that was installed anew has the name of the old one, and another id. Both have versions in the vault, each in a folder of its own.
func TestTwoInstancesOfOneNameAreToldApart(t *testing.T) {
	t.Parallel()
	p, disk := newPartition(t, "ext4", gib), newPartition(t, "ext4", 4*gib)
	must(t, os.WriteFile(p.path("file"), []byte("old"), 0o644))
	d := start(t, newHome(t))
	vault := disk.path("vault")
	d.run(done, "vault", "init", "--place", vault)
	d.activate("max", p)
	d.backup(p)
	var is identity
	d.json(&is, "status")
	oldID, name := is.Instance.ID, is.Instance.Name
	d.stop()

	must(t, os.WriteFile(p.path("file"), []byte("new"), 0o644))
	d = startElse(t, newHome(t), name)
	d.run(done, "vault", "adopt", "--place", vault)
	d.activate("max", p)
	v := d.backup(p)
	d.json(&is, "status")
	if is.Instance.Name != name || is.Instance.ID == oldID {
		t.Fatalf("the other one is %+v: this tests nothing", is.Instance)
	}
	if b, err := os.ReadFile(d.sees(filepath.Join(v.Path, "file"))); string(b) != "new" {
		t.Errorf("the version is not in %s: %q, %v", v.Path, b, err)
	}
	if a := d.run(done, "history", filepath.Join(v.Path, "file")); !strings.Contains(a.stdout, v.Version) {
		t.Errorf("its history by the path in the mount:\n%s", a.stdout)
	}
	d.run(done, "restore", "--wait", v.Version, filepath.Join(v.Path, "file"), "--verify-only")
	d.stop()

	to := disk.path("to")
	must(t, os.Mkdir(to, 0o755))
	shown := name + "~" + oldID[:8]
	a := bare(t, done, "versions", "--vault", vault)
	for _, id := range []string{oldID, is.Instance.ID} {
		if !strings.Contains(a.stdout, "Instance "+name+"~"+id[:8]+"\n") {
			t.Errorf("without a daemon %s is not told apart:\n%s", id, a.stdout)
		}
	}
	explained(t, bare(t, wrongUse, "restore", "latest", "--vault", vault, "--to", to), wrongUse, shown)
	explained(t, bare(t, wrongUse, "restore", "latest", "--vault", vault, "--to", to, "--instance", name), wrongUse, shown)
	for _, instance := range []string{shown, oldID[:8], oldID} {
		bare(t, done, "restore", "latest", "--vault", vault, "--to", to, "--instance", instance, "--on-conflict", "overwrite", "--yes")
		if b, err := os.ReadFile(filepath.Join(to, "file")); string(b) != "old" {
			t.Errorf("%s: restored is %q, %v", instance, b, err)
		}
	}
}
