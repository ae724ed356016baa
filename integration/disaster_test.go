package integration

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bare runs the program as on a machine that has nothing else of yester.
func bare(t testing.TB, code int, args ...string) answer {
	t.Helper()
	a := at(t, filepath.Join(work, "no-such-home"), args...)
	if a.code != code {
		t.Fatalf("yester %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), a.code, code, a.stdout, a.stderr)
	}
	return a
}

// With nothing but a copy of the vault's folder, made while a backup was running and mounted read-only, every committed version comes back.
func TestVaultAloneIsEnough(t *testing.T) {
	t.Parallel()
	p, q, disk := newPartition(t, "ext4", 4*gib), newPartition(t, "ext4", 4*gib), newPartition(t, "ext4", 4*gib)
	hostileTree(t, p, 0.002)
	d := start(t, newHome(t))
	d.activate("max", p)
	v := d.backup(p)
	want := read(t, p.dir, socket)
	large(t, p, "0-large", 5)
	d.activate("high", p)
	d.run(done, "backup")
	d.reach(80 * mib)
	vault := disk.path("vault")
	command(t, "rsync", "-a", filepath.Join(d.home, "vault")+"/", vault+"/")
	if s := d.status(); s.Running == nil {
		t.Fatal("the backup ended before the copy did: this tests nothing")
	}
	d.run(done, "tasks", "cancel", d.status().Running.ID)
	before, writable := fingerprint(t, vault), vault
	vault = disk.path("read-only")
	must(t, os.Mkdir(vault, 0o755))
	command(t, "mount", "--bind", writable, vault)
	command(t, "mount", "-o", "remount,bind,ro", vault)

	var all []version
	if err := json.Unmarshal([]byte(bare(t, done, "versions", "--vault", vault, "--json").stdout), &all); err != nil || len(all) != 1 || all[0].Version != v.Version {
		t.Fatalf("the copy has %+v, %v", all, err)
	}
	bare(t, done, "vault", "check", "--read-data", "--vault", vault)
	bare(t, done, "restore", "latest", "--vault", vault, "--to", q.dir)
	same(t, "what was restored from the copy", want, read(t, q.dir))
	bare(t, done, "restore", "latest", "--vault", vault, "--to", q.dir, "--verify-only")
	mnt := q.path("mnt")
	mountAlone(t, mnt, vault, func() {
		dirs, err := filepath.Glob(filepath.Join(mnt, "*", p.name, v.Version))
		must(t, err)
		if len(dirs) != 1 {
			t.Fatalf("mounted are %q", dirs)
		}
		same(t, "the version in the mount", want, read(t, dirs[0]))
		if got := mode(t, filepath.Dir(filepath.Dir(dirs[0]))); got != 0o700 {
			t.Errorf("users of this machine come to those of an unknown one: %o", got)
		}
	})
	command(t, "umount", vault)
	vault = writable
	bare(t, done, "restore", "latest", "--vault", vault, "--to", q.dir)
	bare(t, done, "vault", "check", "--vault", vault)
	if after := fingerprint(t, vault); after != before {
		t.Errorf("the vault was changed:\n%s\nbefore:\n%s", after, before)
	}
	explained(t, bare(t, failed, "versions", "--vault", q.dir), failed, "no vault", q.dir)
	explained(t, bare(t, failed, "versions", "--vault", q.path("nowhere")), failed, "nowhere")
}

// A restore from a copy of the vault deletes nothing of what this machine's own daemon has, nor another vault, where they lie in what is restored.
func TestRestoreFromACopyLeavesWhatIsYestersAlone(t *testing.T) {
	t.Parallel()
	p, disk := newPartition(t, "ext4", 4*gib), newPartition(t, "ext4", 4*gib)
	home := p.path("srv/lib/home")
	must(t, os.MkdirAll(home, 0o755))
	must(t, os.WriteFile(p.path("srv/file"), []byte("x"), 0o644))
	d := start(t, home)
	d.activate("max", p)
	d.backup(p)
	d.wait("the vault to have a copy of the policy", func() bool {
		copies, _ := filepath.Glob(filepath.Join(home, "vault/instances/*/policy.json"))
		return len(copies) > 0
	})
	d.stop()
	command(t, "rsync", "-a", filepath.Join(home, "vault"), p.path("srv")+"/")
	command(t, "rsync", "-a", filepath.Join(home, "vault"), disk.dir+"/")
	must(t, os.Mkdir(filepath.Join(home, "alerts"), 0o700))
	must(t, os.WriteFile(filepath.Join(home, "alerts/secret"), []byte("x"), 0o600))
	must(t, os.WriteFile(p.path("srv/surplus"), []byte("x"), 0o644))
	own := func() (all string) {
		for _, name := range []string{"vault", "index", "state", "alerts"} {
			all += fingerprint(t, filepath.Join(home, name))
		}
		return all
	}
	before := own()
	a := at(t, home, "restore", "latest", "--vault", disk.path("vault"), p.path("srv"), "--delete", "--on-conflict", "overwrite", "--yes")
	explained(t, a, warned, "a vault lies in it")
	if after := own(); after != before {
		t.Errorf("there were\n%s\nand are\n%s", before, after)
	}
	for name, stays := range map[string]bool{"srv/vault/vault.json": true, "srv/file": true, "srv/surplus": false} {
		if _, err := os.Lstat(p.path(name)); stays != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mountAlone mounts a vault without a daemon while f is called.
func mountAlone(t testing.TB, mnt, vault string, f func()) {
	t.Helper()
	cmd := exec.Command(yester, "mount", "--vault", vault, mnt)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	b := make([]byte, 100)
	if n, err := out.Read(b); err != nil || !strings.Contains(string(b[:n]), "Mounted") {
		_ = cmd.Process.Kill()
		t.Fatalf("yester mount: %q, %v", b[:n], err)
	}
	defer func() {
		must(t, cmd.Process.Signal(syscall.SIGINT))
		if err := cmd.Wait(); err != nil {
			t.Errorf("yester mount ended with %v", err)
		}
		if m := mountsBelow(filepath.Dir(mnt)); len(m) > 0 {
			t.Errorf("it left %q", m)
		}
	}()
	f()
}

// fingerprint is every name below a folder, with its size and the time of its last change.
func fingerprint(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			st := info.Sys().(*syscall.Stat_t)
			b.WriteString(path + " " + info.ModTime().String() + " " + time.Unix(st.Ctim.Unix()).String() + "\n")
		}
		return err
	}))
	return b.String()
}

// Of a vault in three places one may be gone, and one with a passphrase opens with that and no other.
func TestVaultAloneWithAPlaceMissingAndAPassphrase(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p, q := newPartition(t, "ext4", gib), newPartition(t, "ext4", gib)
	hostileTree(t, p, 0.001)
	secret, wrong := filepath.Join(home, "secret"), filepath.Join(home, "wrong")
	must(t, os.WriteFile(secret, []byte("correct horse\n"), 0o600))
	must(t, os.WriteFile(wrong, []byte("battery staple\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(home, "yester.toml"), []byte("passphrase_file = \"secret\"\n"), 0o600))
	places := []string{filepath.Join(home, "a"), filepath.Join(home, "b"), filepath.Join(home, "c")}
	d := start(t, home)
	d.run(done, "vault", "init", "--key", "passphrase", "--passphrase-file", secret, "--place", places[0], "--place", places[1], "--place", places[2])
	d.activate("max", p)
	d.backup(p)
	want := read(t, p.dir, socket)
	d.stop()
	must(t, os.RemoveAll(places[1]))
	from := []string{"--vault", places[0], "--vault", places[1], "--vault", places[2], "--passphrase-file"}
	before := fingerprint(t, places[0]) + fingerprint(t, places[2])
	explained(t, at(t, home+"-none", append([]string{"versions"}, append(from, wrong)...)...), failed, "wrong passphrase")
	bare(t, done, append([]string{"restore", "latest", "--to", q.dir}, append(from, secret)...)...)
	same(t, "what was restored with a place missing", want, read(t, q.dir))
	a := bare(t, warned, append([]string{"vault", "check"}, append(from, secret)...)...)
	if !strings.Contains(a.stdout, places[1]) {
		t.Errorf("a check does not name the missing place:\n%s", a.stdout)
	}
	if after := fingerprint(t, places[0]) + fingerprint(t, places[2]); after != before {
		t.Errorf("the vault was changed:\n%s\nbefore:\n%s", after, before)
	}
	explained(t, bare(t, failed, "versions", "--vault", places[0], "--passphrase-file", secret), failed, "missing")
}

// Of a vault that was copied while a version was committed, so that the copy has its record and not its packs, all other versions come back, from a
// read-only bind mount, and it is said plainly what is the matter with that one.
func TestCopyThatLacksPacksOfTheNewestVersionHasAllOthers(t *testing.T) {
	t.Parallel()
	p, q := newPartition(t, "ext4", gib), newPartition(t, "ext4", gib)
	hostileTree(t, p, 0.001)
	d := start(t, newHome(t))
	d.activate("max", p)
	v := d.backup(p)
	want := read(t, p.dir, socket)
	vault, copied, mounted := filepath.Join(d.home, "vault"), filepath.Join(d.home, "copy"), filepath.Join(d.home, "read-only")
	must(t, os.Mkdir(mounted, 0o755))
	command(t, "rsync", "-a", vault+"/", copied+"/")
	large(t, p, "large", 7)
	newest := d.backup(p)
	command(t, "rsync", "-a", "--exclude", "packs", vault+"/", copied+"/")
	command(t, "mount", "--bind", copied, mounted)
	t.Cleanup(func() { command(t, "umount", mounted) })
	command(t, "mount", "-o", "remount,bind,ro", mounted)
	before := fingerprint(t, copied)

	var all []struct{ Version, State, Error string }
	if err := json.Unmarshal([]byte(bare(t, done, "versions", "--vault", mounted, "--json").stdout), &all); err != nil || len(all) != 2 ||
		all[0].Error != "" || all[1].Version != newest.Version || !strings.Contains(all[1].Error, "copied while the version was being made") {
		t.Errorf("the copy has %+v, %v", all, err)
	}
	part := q.path("part")
	must(t, os.Mkdir(part, 0o755))
	a := bare(t, warned, "restore", "latest", "--vault", mounted, "--to", part)
	if !strings.Contains(a.stderr, "copied while the version was being made") || !strings.Contains(a.stderr, v.Version) {
		t.Errorf("restoring the newest version says\n%s%s", a.stdout, a.stderr)
	}
	explained(t, at(t, d.home+"-none", "restore", "latest", "--vault", mounted, "--to", part, p.path("large")), failed, "copied while the version was being made", v.Version)
	must(t, os.Remove(part))
	bare(t, done, "restore", v.Version, "--vault", mounted, "--to", q.dir)
	same(t, "the version before it", want, read(t, q.dir))
	if a := bare(t, warned, "vault", "check", "--vault", mounted); !strings.Contains(a.stdout, newest.Version) || strings.Contains(a.stdout, v.Version) {
		t.Errorf("a check says\n%s", a.stdout)
	}
	if after := fingerprint(t, copied); after != before {
		t.Errorf("the vault was changed:\n%s\nbefore:\n%s", after, before)
	}
}
