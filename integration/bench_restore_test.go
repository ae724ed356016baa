package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkRestore measures restore next to `cp -a` of the source, and to restic and borg as Debian has them, each restoring the same tree from a repository of
// its own. It is for `make bench-restore`, which runs it once. Repositories and source stay in the page cache; what is restored is synced in the time that
// is measured. Of the figures in CPU seconds, ours are the daemon's and the command's.
func BenchmarkRestore(b *testing.B) {
	need(b)
	m := &bench{b: b, quick: os.Getenv("YESTER_BENCH_QUICK") != ""}
	s := newRestoreBench(m)
	s.tree()
	s.incompressible()
	m.print()
}

// A restoreBench has a source, and repositories of it.
type restoreBench struct {
	*bench
	daemon *daemon
	source *partition
	target *partition
	repos  *partition
	cpu    map[string][]float64
}

func newRestoreBench(m *bench) *restoreBench {
	b := m.b
	for _, p := range []string{"restic", "borg"} {
		if _, err := exec.LookPath(p); err != nil {
			b.Skip("it needs the program " + p)
		}
	}
	s := &restoreBench{bench: m, cpu: map[string][]float64{}}
	files, size := 300_000, int64(gib)
	if m.quick {
		files, size = 3000, 64*mib
	}
	home := newHome(b)
	s.source, s.target, s.repos = newPartition(b, "ext4", 32*gib), newPartition(b, "ext4", 32*gib), newPartition(b, "ext4", 32*gib)

	makeFiles(b, s.source.path("tree", "small"), 5, files, 100, 5000)
	makeBig(b, s.source.path("tree", "text"), newProse(1), size)
	makeBig(b, s.source.path("tree", "random"), newStream(3), size/2)
	makeBig(b, s.source.path("random"), newStream(4), 2*size)

	s.daemon = start(b, home)
	s.daemon.activate("max", s.source)
	s.daemon.backup(s.source)
	s.sh(`restic init -q && cd "$0" && restic backup -q tree`, s.source.dir)
	s.sh(`borg init -e repokey && cd "$0" && borg create ::it tree`, s.source.dir)
	return s
}

// environment is what restic and borg are told.
func (s *restoreBench) environment() []string {
	return append(os.Environ(), "RESTIC_REPOSITORY="+s.repos.path("restic"), "RESTIC_PASSWORD=x", "RESTIC_CACHE_DIR="+s.repos.path("cache"),
		"BORG_REPO="+s.repos.path("borg"), "BORG_PASSPHRASE=x", "BORG_BASE_DIR="+s.repos.path("base"), "HOME="+s.repos.path("base"))
}

// sh runs a line of shell, and returns how many seconds it and its children computed.
func (s *restoreBench) sh(line string, args ...string) float64 {
	cmd := exec.Command("sh", append([]string{"-e", "-c", line}, args...)...)
	cmd.Env = s.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.b.Fatalf("%s %q: %v\n%s", line, args, err, out)
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// computed is how many seconds the daemon has computed.
func (s *restoreBench) computed() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.daemon.cmd.Process.Pid))
	must(s.b, err)
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks float64
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseFloat(f[i], 64)
		must(s.b, err)
		ticks += n
	}
	return ticks / 100
}

// by restores with a line of shell, whose $0 is the folder, and returns how long that and the sync took.
func (s *restoreBench) by(name, line string, args ...string) func() float64 {
	return func() float64 {
		to := s.target.path("to")
		must(s.b, os.Mkdir(to, 0o755))
		fillMemory(s.b, s.repos.path("filler"), 30*time.Second)
		before := s.computed()
		var cpu float64
		seconds := timed(func() {
			cpu = s.sh(line+`; sync -f "$0"`, append([]string{to}, args...)...)
		})
		s.cpu[name] = append(s.cpu[name], cpu+s.computed()-before)
		s.check(to)
		must(s.b, os.RemoveAll(to))
		unix.Sync()
		return seconds
	}
}

// check fails the benchmark if hardly anything was restored.
func (s *restoreBench) check(to string) {
	for _, path := range []string{"random", "tree/random"} {
		if st, err := os.Stat(filepath.Join(to, path)); err == nil && st.Size() > mib {
			return
		}
	}
	s.b.Errorf("nothing was restored to %s", to)
}

// ours restores a path with the daemon.
func (s *restoreBench) ours(name, path string) func() float64 {
	return s.by(name, `"$1" --home "$2" restore latest "$3" --to "$0" --wait`, yester, s.daemon.home, s.source.path(path))
}

// computing adds a row of the CPU time that two took.
func (s *restoreBench) computing(what string, must bound, ours, limit string) {
	s.add(benchRow{what: what, unit: "CPU s", must: must, ours: s.cpu[ours], limit: s.cpu[limit]})
}

func (s *restoreBench) tree() {
	const cp, restic, borg = `cp -a "$1" "$0"`, `restic restore -q latest --target "$0"`, `cd "$0"; borg extract ::it`
	what := fmt.Sprintf("restore of %s files and large ones, ", "300,000 small")
	s.against(4, what+"to cp -a", "s", timesAtMost(1.5, "cp -a"), s.ours("to cp", "tree"), s.by("cp", cp, s.source.path("tree")))
	s.against(2, what+"to restic", "s", timesAtMost(0.5, "restic"), s.ours("to restic", "tree"), s.by("restic", restic))
	s.against(2, what+"to borg", "s", timesAtMost(0.5, "borg"), s.ours("to borg", "tree"), s.by("borg", borg))
	s.computing("the same, CPU, to cp -a", beside("cp -a"), "to cp", "cp")
	s.computing("the same, CPU, to restic", beside("restic"), "to restic", "restic")
	s.computing("the same, CPU, to borg", beside("borg"), "to borg", "borg")
}

// incompressible restores a file that does not shrink, as fast as the disk can be written.
func (s *restoreBench) incompressible() {
	s.against(4, "restore of 2 GiB that do not shrink, to a copy", "s", timesAtMost(1/0.8, "dd"), s.ours("large", "random"),
		s.by("dd", `dd if="$1" of="$0/random" bs=1M`, s.source.path("random")))
	s.computing("the same, CPU", beside("dd"), "large", "dd")
	s.repeat(1, "daemon's peak RSS after all of this", "MB", atMost(400), func() float64 { return float64(s.daemon.peakRSS()) / 1e6 })
}
