package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
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
