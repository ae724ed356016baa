package daemon

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/sched"
	"yester/store/pack"
)

// niceThreads counts the threads of this process by their nice value.
func niceThreads(t *testing.T) map[int]int {
	t.Helper()
	stats, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil {
		t.Fatal(err)
	}
	count := map[int]int{}
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		nice, err := strconv.Atoi(strings.Fields(rest)[16])
		if err != nil {
			t.Fatal(err)
		}
		count[nice]++
	}
	return count
}

// grow adds a file that takes a backup at priority low some tenths of a second, and one at high a moment.
func (s *still) grow(name string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), random(6<<20), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// The thread that reads, cuts and compresses is the only one that is nice, so a restore or the mount beside it is not held up; and it ends
// with the task.
func TestBackupWorksOnNiceThreadsAndNothingElseDoes(t *testing.T) {
	s := newStill(t)
	usual := niceThreads(t)
	for _, p := range []sched.Priority{sched.Low, sched.High} {
		s.change(control.ActivateRequest{Priority: p.Name})
		s.grow(p.Name)
		task := mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{}))
		most := 0
		for s.tasks.atWork(control.KindBackup) != "" {
			most = max(most, niceThreads(t)[p.Nice])
			time.Sleep(time.Millisecond)
		}
		// One reads, others compress, and with more than one thread a pack of files and one of pages are written beside them.
		if limit := p.Threads + 2*(p.Threads-1); most == 0 || most > limit {
			t.Errorf("%s: at most %d threads were nice, want 1 to %d", p.Name, most, limit)
		}
		if end := wait(t, s.tasks, task.ID); end.State != control.Completed {
			t.Errorf("%s: got %+v", p.Name, end)
		}
		eventually(t, "nice threads end", func() bool { return niceThreads(t)[p.Nice] == usual[p.Nice] })
	}
}

// Somebody who waits for a restore is not to wait for a nice thread.
func TestNobodyWaitsForNiceThreadsInARestore(t *testing.T) {
	s := newStill(t)
	s.change(control.ActivateRequest{Priority: "low"})
	for i := range 10 { // six seconds of work
		s.grow(strconv.Itoa(i))
	}
	backup := mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{}))
	nice := func() bool { return niceThreads(t)[sched.Low.Nice] > 0 }
	eventually(t, "the backup is nice", nice)
	restore := mustNot[control.Task](t)(s.tasks.start(control.KindRestore, false, untilCancelled))
	eventually(t, "it is as usual beside a restore", func() bool { return !nice() })
	if s.tasks.atWork(control.KindBackup) == "" {
		t.Error("the backup has ended")
	}
	for _, id := range []string{restore.ID, backup.ID} {
		mustNot[control.Task](t)(s.tasks.cancel(t.Context(), id))
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// The priority of a task is that of its beginning, in everything that it is made of.
func TestChangedPriorityTakesEffectWithTheNextTask(t *testing.T) {
	s := newStill(t)
	s.change(control.ActivateRequest{Priority: "low"})
	s.grow("a")
	began := time.Now()
	first := mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{}))
	eventually(t, "the first begins to read", func() bool { return niceThreads(t)[sched.Low.Nice] > 0 })
	s.change(control.ActivateRequest{Priority: "max"})
	limit := debug.SetMemoryLimit(-1)
	if niceThreads(t)[sched.Low.Nice] == 0 || limit > sched.Low.Memory {
		t.Errorf("the running task has a memory limit of %d, nice threads %v", limit, niceThreads(t))
	}
	if end := wait(t, s.tasks, first.ID); end.State != control.Completed || time.Since(began) < 500*time.Millisecond {
		t.Errorf("6 MiB at 10 MB/s took %v: %+v", time.Since(began), end)
	}
	eventually(t, "nice threads end", func() bool { return niceThreads(t)[sched.Low.Nice] == 0 })
	s.grow("b")
	second := mustNot[control.Task](t)(s.backup(t.Context(), control.BackupRequest{}))
	if end := wait(t, s.tasks, second.ID); end.State != control.Completed {
		t.Errorf("got %+v", end)
	}
	if limit := debug.SetMemoryLimit(-1); limit <= sched.Low.Memory || limit > sched.High.Memory {
		t.Errorf("after the next task the memory limit is %d", limit)
	}
}

// At low, what is mapped of the index is given back; elsewhere Go leaves it an eighth.
func TestGoLeavesRoomForTheRestOfTheProcess(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for p, most := range map[sched.Priority]int64{sched.Low: 98e6, sched.High: 194e6, sched.Max: 320e6} {
		if setMemoryLimit(p, 0); debug.SetMemoryLimit(-1) != most {
			t.Errorf("%s: Go may have %d bytes, want %d", p.Name, debug.SetMemoryLimit(-1), most)
		}
	}
}

// What a vault needs for its packs comes on top, from the time it is open on and as it grows, whatever the priority.
func TestMemoryLimitFollowsTheVault(t *testing.T) {
	s := newStill(t)
	s.change(control.ActivateRequest{Priority: "low"})
	needs := int64(0)
	for _, name := range []string{"a", "b"} {
		s.grow(name)
		s.backedUp()
		if err := s.chores(t.Context()); err != nil {
			t.Fatal(err)
		}
		limit := debug.SetMemoryLimit(-1)
		if n := s.vault.Memory(); n <= needs || limit != sched.Low.Memory-program+n {
			t.Errorf("Go may have %d bytes, and the vault needs %d, before %d", limit, n, needs)
		}
		needs = s.vault.Memory()
	}
	s.again()
	if limit := debug.SetMemoryLimit(-1); limit != sched.Low.Memory-program+needs {
		t.Errorf("after a start Go may have %d bytes, and the vault needs %d", limit, needs)
	}
}

// What each row of the table of priorities makes of a writer: threads and compression.
func TestPriorityIsThreadsAndCompressionOfAWriter(t *testing.T) {
	for _, p := range []sched.Priority{sched.Low, sched.High, sched.Max} {
		o := writerOptions(p)
		if threads := o.Workers + 1; p.Threads > 0 && threads != p.Threads {
			t.Errorf("%s: %d threads, want %d", p.Name, threads, p.Threads)
		}
		for _, asked := range []string{sched.LZ4, sched.Zstd} {
			if q, err := priorityOf(&control.Policy{Priority: p.Name, Compression: asked}); err != nil || q.Compression != asked || q.Memory != p.Memory {
				t.Errorf("%s with %s is %+v, %v", p.Name, asked, q, err)
			}
		}
		if want := map[string]pack.Encoding{"lz4": pack.LZ4, "zstd": pack.Zstd}[p.Compression]; o.Encoding != want {
			t.Errorf("%s: compresses with %v, want %s", p.Name, o.Encoding, p.Compression)
		}
	}
}
