package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
)

// A large thing to back up, and slowly: some seconds at priority high.
const (
	largeFiles = 20
	largeFile  = 10 * mib
)

// large adds largeFiles files that are like no others.
func large(t testing.TB, p *partition, name string, seed byte) {
	t.Helper()
	tr := &tree{t: t, fs: p.fs, dir: p.dir, rand: newStream(seed)}
	for i := range largeFiles {
		tr.file(string(tr.bytes(largeFile)), name, strconv.Itoa(i))
	}
}

// A daemon that is killed at any moment loses nothing but time: it starts again, earlier versions are whole, and what a broken-off backup had
// stored is used by the next.
func TestKillInABackupLosesNothing(t *testing.T) {
	t.Parallel()
	rnd := newRand(t)
	home := newHome(t)
	p := newPartition(t, "ext4", 8*gib)
	hostileTree(t, p, 0.001)
	d := start(t, home)
	d.activate("max", p)
	versions := []version{d.backup(p)}
	states := []manifest{read(t, p.dir, socket)}
	for round := range 3 {
		large(t, p, fmt.Sprintf("0-large-%d", 9-round), byte(2+round)) // the first that is met
		d.activate("high", p)
		d.run(done, "backup")
		n := uint64(rnd.Int64N(largeFiles * largeFile * 3 / 4))
		d.reach(n)
		d.kill()
		t.Logf("killed after %d bytes", n)

		d = start(t, home)
		d.expected = regexp.MustCompile("cut off")
		for i, v := range versions {
			same(t, fmt.Sprintf("version %d after kill %d", i+1, round+1), states[i], read(t, v.Path))
		}
		if got := d.versions(p); len(got) != len(versions) {
			t.Fatalf("%d versions after a kill, want %d", len(got), len(versions))
		}
		d.activate("max", p)
		v := d.backup(p)
		// What was in complete packs is not new any more; up to two packs were on their way.
		if n > 100*mib && v.NewBytes > largeFiles*largeFile-16*mib {
			t.Errorf("killed after %d bytes, and yet the next backup had %d new bytes", n, v.NewBytes)
		}
		versions = append(versions, v)
		states = append(states, read(t, p.dir, socket))
		same(t, "the version after the kill", states[len(states)-1], read(t, v.Path))
	}
}

// SIGTERM in a backup ends it cleanly (which stop checks), and the next one goes on.
func TestTermInABackupEndsCleanly(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", 4*gib)
	large(t, p, "large", 7)
	d := start(t, home)
	d.activate("high", p)
	d.run(done, "backup")
	d.reach(40 * mib)
	id := d.status().Running.ID
	d.stop()

	d = start(t, home)
	var ended task
	d.json(&ended, "tasks", "show", id)
	if ended.State != "cancelled" && ended.State != "failed" {
		t.Errorf("the task that was broken off is %q", ended.State)
	}
	if v := d.versions(p); len(v) != 0 {
		t.Errorf("a broken-off backup left versions: %+v", v)
	}
	d.activate("max", p)
	v := d.backup(p)
	same(t, "the version after SIGTERM", read(t, p.dir), read(t, v.Path))
}

// A mount that a killed daemon left is replaced.
func TestStaleMountIsReplaced(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	must(t, os.WriteFile(p.path("file"), []byte("here"), 0o644))
	d := start(t, home)
	d.activate("max", p)
	v := d.backup(p)
	d.kill()
	if _, err := os.Stat(v.Path); !errors.Is(err, syscall.ENOTCONN) {
		t.Fatalf("after kill -9 the mount answers %v, not the error of a stale mount", err)
	}
	start(t, home)
	b, err := os.ReadFile(filepath.Join(v.Path, "file"))
	if err != nil || string(b) != "here" {
		t.Errorf("after the next start the version's file is %q, %v", b, err)
	}
	if m := mountsBelow(home); len(m) != 1 {
		t.Errorf("mounts: %q, want one", m)
	}
}

// Two daemons never share a home: the second is told who has it.
func TestSecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	d := start(t, home)
	a := at(t, home, "daemon")
	explained(t, a, failed, strconv.Itoa(d.cmd.Process.Pid))
	d.activate("max", p)
	d.backup(p)
}
