package integration

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// counters are the files of a writer that goes on during a backup, with others between them, so that they are read over all of its time.
const counters = 25

func counterName(i int) string { return fmt.Sprintf("%02d-counter", i) }

// count writes 1, 2, 3 … to all counters, each time to one after the other and to the disk, until stop is closed. So at each moment none is ahead of the one before
// it, and the last is at most one behind the first.
func count(p *partition, stop <-chan struct{}) error {
	var files [counters]*os.File
	for i := range files {
		f, err := os.OpenFile(p.path(counterName(i)), os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		files[i] = f
	}
	for n := uint64(1); ; n++ {
		for _, f := range files {
			select {
			case <-stop:
				return nil
			default:
			}
			if _, err := f.WriteAt(binary.BigEndian.AppendUint64(nil, n), 0); err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
}

// counted reads the counters below dir.
func counted(t *testing.T, dir string) (all []uint64) {
	t.Helper()
	for i := range counters {
		b, err := os.ReadFile(filepath.Join(dir, counterName(i)))
		must(t, err)
		n := uint64(0)
		if len(b) == 8 {
			n = binary.BigEndian.Uint64(b)
		}
		all = append(all, n)
	}
	return all
}

// fill puts a new megabyte between the counters.
func fill(t *testing.T, p *partition, seed byte) {
	t.Helper()
	noise := rand.NewChaCha8([32]byte{seed})
	b := make([]byte, 1e6)
	for i := range counters {
		_, _ = noise.Read(b)
		must(t, os.WriteFile(p.path(fmt.Sprintf("%02d-filler-%d", i, seed)), b, 0o644))
	}
}

func snapshotsOn(p *partition) []string {
	all, _ := filepath.Glob(p.path(".yester-snapshot-*"))
	return all
}

// A version of a btrfs has everything as it was at one moment, though it takes seconds to read and a writer goes on all the time; and what a daemon that was killed
// leaves is gone when the next one has begun: the snapshot, and the hook after that it did not come to.
func TestBtrfsVersionIsOfOneMomentAndKilledDaemonsLeaveNoSnapshot(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "btrfs", gib)
	fill(t, p, 1)
	d := start(t, home)
	d.activate("low", p)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- count(p, stop) }()
	rest := sync.OnceFunc(func() { close(stop); must(t, <-ended) })
	t.Cleanup(rest)
	d.wait("the writer's first rounds", func() bool { b, _ := os.ReadFile(p.path(counterName(0))); return len(b) == 8 && b[7] > 1 })
	first := counted(t, p.dir)
	v := d.backup(p)
	last := counted(t, p.dir)
	got := counted(t, v.Path)
	t.Logf("the counters went from %d to %d, the version has %v", first[0], last[0], got)
	for i := 1; i < counters; i++ {
		if got[i] > got[i-1] || got[i]+1 < got[0] {
			t.Errorf("counters of different moments: %v", got)
			break
		}
	}
	if last[0] < got[0]+10 {
		t.Errorf("the writer came from %d to %d: too slow to prove anything", got[0], last[0])
	}
	var task struct {
		Results []struct {
			Consistency string `json:"consistency"`
		} `json:"results"`
	}
	d.json(&task, "tasks", "show", d.status().Last.ID)
	if len(task.Results) != 1 || task.Results[0].Consistency != "snapshot" {
		t.Errorf("got %+v", task)
	}
	if left := snapshotsOn(p); len(left) > 0 {
		t.Errorf("after the backup there are %v", left)
	}

	fill(t, p, 2)
	after := filepath.Join(filepath.Dir(home), "after")
	d.run(done, "set", "--after", "echo $YESTER_STATE >>"+after)
	d.run(done, "backup")
	d.reach(8e6)
	if n := len(snapshotsOn(p)); n != 1 {
		t.Errorf("%d snapshots during a backup", n)
	}
	d.kill()
	d = start(t, home)
	d.expected = regexp.MustCompile("cut off")
	if left := snapshotsOn(p); len(left) > 0 {
		t.Errorf("after the next start there are %v", left)
	}
	rest()
	v = d.backup(p)
	if b, _ := os.ReadFile(after); string(b) != "failed\ncompleted\n" {
		t.Errorf("the hooks after said %q", b)
	}
	if now := counted(t, p.dir); fmt.Sprint(counted(t, v.Path)) != fmt.Sprint(now) {
		t.Errorf("a still partition has %v", now)
	}
	if out := command(t, "rsync", "-aHAXSin", "--checksum", "--delete", p.dir+"/", v.Path+"/"); strings.TrimSpace(out) != "" {
		t.Errorf("differs from the source:\n%s", out)
	}
}
