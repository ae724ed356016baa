package integration

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A restore that is cancelled, or whose daemon is killed, leaves whole files only, and goes on where it was.
func TestRestoreGoesOnAfterCancelAndKill(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p, q := newPartition(t, "ext4", 4*gib), newPartition(t, "ext4", 4*gib)
	hostileTree(t, p, 0.002)
	large(t, p, "large", 3)
	d := start(t, home)
	d.activate("max", p)
	d.backup(p)
	want := read(t, p.dir, socket)
	again := []string{"restore", "latest", "--partition", p.name, "--to", q.dir}
	slowly := append(again[:len(again):len(again)], "--limit-rate", "60M")

	d.run(done, slowly...)
	id := d.restoring(20 * mib)
	began := time.Now()
	d.run(done, "tasks", "cancel", id)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the cancelled restore took %v to stop", took)
	}
	var ended task
	d.json(&ended, "tasks", "show", id)
	if ended.State != "cancelled" {
		t.Errorf("the cancelled restore is %q", ended.State)
	}
	wholeOnly(t, want, q)

	d.run(done, slowly...)
	d.restoring(40 * mib)
	d.kill()
	wholeOnly(t, want, q)
	d = start(t, home)
	d.expected = regexp.MustCompile("cut off")
	d.run(done, append(again, "--wait")...)
	same(t, "what was restored in three goes", want, read(t, q.dir))
}

// restoring waits until the running restore has done some bytes, and returns its id.
func (d *daemon) restoring(n uint64) (id string) {
	d.t.Helper()
	d.wait("a restore under way", func() bool {
		var all []task
		d.json(&all, "tasks", "--state", "running")
		for _, r := range all {
			if strings.HasPrefix(r.ID, "r-") && r.Progress.Bytes >= n {
				id = r.ID
				return true
			}
		}
		return false
	})
	return id
}

// wholeOnly fails the test if a file of the target is not whole, or has a name that none should have.
func wholeOnly(t testing.TB, want manifest, q *partition) {
	t.Helper()
	got := read(t, q.dir)
	files := 0
	for path, g := range got {
		w, ok := want[path]
		switch {
		case path == "lost+found":
		case !ok:
			t.Errorf("%q should not be there", path)
		case !fs.FileMode(g.mode).IsDir() && g.mode&0o170000 == 0o100000 && g.content != w.content:
			t.Errorf("%q is not whole", path)
		default:
			files++
		}
	}
	if files == 0 || files == len(want) {
		t.Errorf("%d of %d entries are there: this tests nothing", files, len(want))
	}
}

// A target that is not there, is full or read-only is told, and what is in the way of a file stays unless it may go.
func TestRestoreSaysWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	p, q := newPartition(t, "ext4", gib), newPartition(t, "ext4", 40*mib)
	large(t, p, "large", 4)
	must(t, os.WriteFile(p.path("file"), []byte("version"), 0o644))
	d := start(t, newHome(t))
	d.activate("max", p)
	d.backup(p)
	d.expected = regexp.MustCompile("task failed.*(is full|is read-only)")
	all := []string{"restore", "latest", "--partition", p.name, "--wait", "--to"}

	explained(t, at(t, d.home, append(all, q.path("no", "such"))...), failed, q.path("no", "such"), "not there")
	if _, err := os.Lstat(q.path("no")); err == nil {
		t.Error("a missing target was made")
	}
	explained(t, at(t, d.home, append(all, q.dir)...), failed, "full", q.dir)
	explained(t, at(t, d.home, append(all, filepath.Join(d.home, "mnt"))...), wrongUse, "shows the versions")
	explained(t, at(t, d.home, append(all, filepath.Join(d.home, "vault"))...), wrongUse, "own")
	command(t, "mount", "-o", "remount,ro", q.dir)
	explained(t, at(t, d.home, append(all, q.dir)...), failed, "read-only", q.dir)
	command(t, "mount", "-o", "remount,rw", q.dir)

	must(t, os.WriteFile(p.path("file"), []byte("mine"), 0o644))
	explained(t, at(t, d.home, "restore", "latest", p.path("file"), "--on-conflict", "overwrite"), wrongUse, "--yes")
	explained(t, at(t, d.home, "restore", "latest", p.path("nothing")), failed, "nothing")
	explained(t, at(t, d.home, "restore", "2001-01-01", p.path("file")), failed, "oldest")
	a := d.run(done, "restore", "latest", p.path("file"), "--wait")
	if b, _ := os.ReadFile(p.path("file")); string(b) != "mine" || !strings.Contains(a.stdout, "1 skipped") {
		t.Errorf("skipping: %q, %s", b, a.stdout)
	}
	d.run(done, "restore", "today", p.path("file"), "--on-conflict", "overwrite", "--yes", "--wait")
	if b, _ := os.ReadFile(p.path("file")); string(b) != "version" {
		t.Errorf("overwriting: %q", b)
	}
}

// A restore that overwrites leaves of each file the old one or the new one, whenever its daemon is killed.
func TestKillInOverwritingLeavesOldOrNewFiles(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", 4*gib)
	for i := range 12 {
		must(t, os.WriteFile(p.path(fmt.Sprintf("file-%02d", i)), random(byte(i), 6*mib), 0o644))
	}
	d := start(t, home)
	d.activate("max", p)
	d.backup(p)
	newer := read(t, p.dir)
	spoilt := func() manifest {
		for path, r := range newer {
			if r.mode&unix.S_IFMT != unix.S_IFREG {
				continue
			}
			b, err := os.ReadFile(p.path(path))
			must(t, err)
			copy(b[2*mib:], "spoilt")
			must(t, os.WriteFile(p.path(path), b[:5*mib], 0o600))
		}
		return read(t, p.dir)
	}
	args := []string{"restore", "latest", "--partition", p.name, "--on-conflict", "overwrite", "--yes"}
	for round := 0; more(t, round, 2); round++ {
		older := spoilt()
		d.run(done, append(args, "--limit-rate", "40M")...)
		d.restoring(uint64(10+15*(round%3)) * mib)
		d.kill()
		kinds := map[string]int{}
		for path, r := range read(t, p.dir) {
			switch {
			case r.mode&unix.S_IFMT != unix.S_IFREG:
			case r == newer[path]:
				kinds["new"]++
			case r == older[path]:
				kinds["old"]++
			case strings.HasPrefix(path, ".yester-restore-"): // a name that it had not changed yet
			default:
				t.Errorf("%q is neither: %v", path, differences(manifest{path: newer[path]}, manifest{path: r}))
			}
		}
		if kinds["new"] == 0 || kinds["old"] == 0 {
			t.Errorf("%v: this tests nothing", kinds)
		}
		d = start(t, home)
		d.expected = regexp.MustCompile("cut off")
		d.run(done, append(args, "--wait")...)
		same(t, "what was overwritten in two goes", newer, read(t, p.dir))
	}
}

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = newStream(seed).Read(b)
	return b
}

// What the target cannot hold is said once for each kind, and all else is restored.
func TestWhatTheTargetCannotHoldIsToldOnceForEachKind(t *testing.T) {
	t.Parallel()
	p, q := newPartition(t, "ext4", 16*gib), newPartition(t, "ext4", gib)
	hostileTree(t, p, 0.001)
	d := start(t, newHome(t))
	d.activate("max", p)
	d.backup(p)
	want := read(t, p.dir, socket).without("holes")
	poor := q.path("ramfs") // has owners, modes and times, and neither attributes nor flags
	must(t, os.Mkdir(poor, 0o755))
	command(t, "mount", "-t", "ramfs", "none", poor)
	t.Cleanup(func() { command(t, "umount", poor) })
	d.run(warned, "restore", "latest", "--partition", p.name, "--to", poor, "--exclude", p.path("holes"), "--wait") // it does not tell where holes are, either
	var all []task
	d.json(&all, "tasks")
	var last task
	d.json(&last, "tasks", "show", all[len(all)-1].ID)
	kinds := map[string]int{}
	for _, w := range last.Warnings {
		kinds[strings.SplitN(w.What, " cannot be kept", 2)[0]]++
	}
	for _, kind := range []string{"ACLs", "capabilities", "inode flags", "attributes user.*", "attributes trusted.*", "attributes security.*"} {
		if kinds[kind] != 1 {
			t.Errorf("%q is told %d times", kind, kinds[kind])
		}
	}
	if len(kinds) != 6 {
		t.Errorf("told are %v", kinds)
	}
	got := read(t, poor)
	for path, r := range want {
		r.xattrs = ""
		if strings.HasPrefix(path, "attributes/acl") || path == "." { // the mode of what had an ACL has its mask for a group
			r.mode = got[path].mode
		}
		want[path] = r
	}
	same(t, "what was restored there", want, got)
}
