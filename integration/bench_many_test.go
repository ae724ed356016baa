package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkMany measures what a backup takes as files grow in number: what it takes a file, which must stay as it is; what 100 changes take by journal; and
// memory. It is for `make bench-many`, which runs it once.
func BenchmarkMany(b *testing.B) {
	need(b)
	m := &bench{b: b, quick: os.Getenv("YESTER_BENCH_QUICK") != ""}
	counts := []int{10_000, 100_000, 1_000_000}
	if m.quick {
		counts = []int{1000, 10_000}
	}
	homes := newPartition(b, "ext4", 32*gib)
	var all []*manyBench
	for _, n := range counts {
		s := &manyBench{bench: m, files: n, homes: homes, source: newPartition(b, "ext4", 32*gib)}
		makeFiles(b, s.source.path("small"), 1, n, 100, 500)
		all = append(all, s)
	}
	s := all[len(all)-1]
	for _, few := range all[:len(all)-1] {
		what := fmt.Sprintf("a file, %d of them, and %d", s.files, few.files)
		m.against(4, "first backup: "+what, "µs", timesAtMost(1.2, "fewer"), s.first, few.first)
		m.against(4, "nothing changed, by walk: "+what, "µs", timesAtMost(1.2, "fewer"), s.unchanged, few.unchanged)
		m.against(4, "100 changed, by journal: a backup", "s", beside("fewer"), s.journal, few.journal)
	}
	m.repeat(4, fmt.Sprintf("100 of %d changed, by journal", s.files), "s", atMost(1), s.journal)
	m.repeat(1, fmt.Sprintf("peak RSS at max, %d files", s.files), "MB", atMost(400), func() float64 { return s.most })
	s.begin("low")
	s.daemon.run(done, "backup", "--wait")
	m.repeat(1, fmt.Sprintf("peak RSS at low, %d files", s.files), "MB", atMost(128), func() float64 { return float64(s.daemon.peakRSS()) / 1e6 })
	m.print()
}

// A manyBench is a partition and the daemon that backs it up.
type manyBench struct {
	*bench
	files  int
	source *partition
	homes  *partition
	daemon *daemon
	days   int
	most   float64 // peak RSS of all daemons at max so far, MB
}

// begin begins with an empty vault.
func (s *manyBench) begin(priority string) {
	s.end()
	home, err := os.MkdirTemp(s.homes.dir, "home-")
	must(s.b, err)
	s.daemon = start(s.b, home)
	s.daemon.activate(priority, s.source)
}

func (s *manyBench) end() {
	if s.daemon != nil {
		s.most = max(s.most, float64(s.daemon.peakRSS())/1e6)
		s.daemon.stop()
		must(s.b, os.RemoveAll(s.daemon.home))
	}
}

// backup is how many seconds a backup takes; it must be made by such a method.
func (s *manyBench) backup(method string) float64 {
	command(s.b, "sync")
	seconds := timed(func() { s.daemon.run(done, "backup", "--wait") })
	all := s.daemon.versions(s.source)
	if v := all[len(all)-1]; v.Method != method {
		s.b.Errorf("by %s because %s, not by %s", v.Method, v.Because, method)
	}
	return seconds
}

// first is how many microseconds a first backup takes for a file.
func (s *manyBench) first() float64 {
	s.begin("max")
	command(s.b, "sh", "-c", `find "$0" -type f -print0 | xargs -0 cat >/dev/null`, s.source.dir)
	return s.perFile(s.backup("walk"))
}

func (s *manyBench) perFile(seconds float64) float64 { return seconds * 1e6 / float64(s.files) }

// unchanged is the same of one in which nothing changed, by a daemon that was not there meanwhile.
func (s *manyBench) unchanged() float64 {
	s.most = max(s.most, float64(s.daemon.peakRSS())/1e6)
	s.daemon.stop()
	s.daemon = start(s.b, s.daemon.home)
	return s.perFile(s.backup("walk"))
}

// journal is how many seconds one takes in which 100 files changed that are spread over all folders.
func (s *manyBench) journal() float64 {
	s.days++
	for i := range 100 {
		at := i * (s.files / 100)
		name := fmt.Sprintf("small/part-%02d/folder-%05d/file-%06d.txt", at/100%30, at/100, at)
		must(s.b, os.WriteFile(filepath.Join(s.source.dir, name), fmt.Append(nil, "changed on day ", s.days), 0o644))
	}
	return s.backup("journal")
}
