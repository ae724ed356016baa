package integration

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"testing"
	"time"
)

// BenchmarkBackup measures backups and restores next to restic, borg and what the machine can do at all. It is for `make bench` and `make bench-quick`,
// which run it once. Each program reads the same partition and writes to another, both loop images of ext4 with a journal; all of memory is page cache
// before each run, and who is first changes from run to run.
func BenchmarkBackup(b *testing.B) {
	need(b)
	c := newContest(b)
	s := &backupBench{contest: c, source: newPartition(b, "ext4", 64*gib), target: newPartition(b, "ext4", 64*gib)}
	s.data = makeBenchTree(b, s.source.dir, c.scale)
	s.tools = []*tool{newYesterTool(s, s.source, ours, "lz4"), newYesterTool(s, s.source, "yester, zstd", "zstd"), newResticTool(s), newBorgTool(s)}
	fillMemory(b, s.target.path("filler"), 30*time.Second)
	for round := range c.rounds {
		s.round(round)
	}
	text, log, random := s.newLarge(newProse(30)), s.newLarge(newAccessLog(32)), s.newLarge(newStream(31))
	for round := range c.rounds {
		s.large(round, "one large file, text", text)
		s.large(round, "one large file, log", log)
		s.large(round, "one large file, random", random)
	}
	c.finish()
}

// A backupBench is one source, one partition for all that is written, and the programs.
type backupBench struct {
	*contest
	source, target *partition
	data           *benchTree
	tools          []*tool
}

// A tool is a backup program, with one repository at a time.
type tool struct {
	name    string
	begin   func()
	backup  func() measure
	forget  func()                  // what it heard of changes; nil: it does not listen
	method  func() string           // by what the newest version was made, of those that listen
	restore func(to string) measure // of the newest version
	size    func() int64            // bytes of the repository
	end     func()                  // removes it
}

// round measures everything once.
func (s *backupBench) round(round int) {
	s.limits("first backup", round, s.source, map[string]string{
		"cat":     `find "$0" -type f -print0 | xargs -0 cat >/dev/null`,
		"tar|lz4": `tar -C "$0" -c . | lz4 -1 -q - "$1/out.lz4"`,
		"cp -a":   `cp -a "$0" "$1/out"`,
	})
	for _, t := range s.tools {
		t.begin()
	}
	s.each("first backup", round, func(t *tool) measure { return t.backup() })
	s.sizes("size after the first backup")
	s.forget()
	s.each("no change", round, func(t *tool) measure { return t.backup() })
	s.byJournal("no change")
	s.limits("no change", round, s.source, map[string]string{"find": `find "$0" -printf '%T@ %s\n' >/dev/null`})
	s.data.change(s.b, 2*round)
	s.forget()
	s.each("a day's change", round, func(t *tool) measure { return t.backup() })
	s.sizes("size after a day's change")
	s.data.change(s.b, 2*round+1)
	s.byJournal("a day's change")
	s.each("restore", round, func(t *tool) measure {
		to := s.target.path("restored")
		must(s.b, os.Mkdir(to, 0o755))
		defer s.clear("restored")
		return t.restore(to)
	})
	s.limits("restore", round, s.source, map[string]string{"cp -a": `cp -a "$0" "$1/out"`})
	for _, t := range s.tools {
		t.end()
	}
	s.trim()
}

// trim has the image give back the space of what was removed, or it would grow by all that is written in a round.
func (s *backupBench) trim() { command(s.b, "fstrim", s.target.dir) }

// newLarge makes a partition with one file, of 8 GiB if the scale is 1.
func (s *backupBench) newLarge(content io.Reader) *partition {
	p := newPartition(s.b, "ext4", 16*gib)
	makeBig(s.b, p.path("large"), content, int64(8192*s.scale)*mib)
	return p
}

// large measures the first backup of one file, next to what the machine can do.
func (s *backupBench) large(round int, what string, source *partition) {
	t := newYesterTool(s, source, ours, "lz4")
	t.begin()
	s.ready(source)
	s.add(what, t.name, t.backup())
	t.end()
	s.limits(what, round, source, map[string]string{
		"cat": `cat "$0/large" >/dev/null`,
		"cp":  `cp "$0/large" "$1/out"`,
		"lz4": `lz4 -1 -q "$0/large" "$1/out.lz4"`,
	})
	s.trim()
}

// forget has those that listen to changes forget what they heard, so that all look at every name.
func (s *backupBench) forget() {
	for _, t := range s.tools {
		if t.forget != nil {
			t.forget()
		}
	}
}

// byJournal measures those that listen to changes, which the others cannot. Where one looked at every name all the same, the phase says so.
func (s *backupBench) byJournal(phase string) {
	for _, t := range s.tools {
		if t.forget == nil {
			continue
		}
		s.ready(s.source)
		m := t.backup()
		s.add(phase+", by "+t.method(), t.name, m)
	}
}

// each measures all tools in a phase, another one first in each round.
func (s *backupBench) each(phase string, round int, do func(*tool) measure) {
	for i := range s.tools {
		t := s.tools[(i+round)%len(s.tools)]
		s.ready(s.source)
		s.add(phase, t.name, do(t))
	}
}

// limits measures lines of shell, given the source and a folder for their output.
func (s *backupBench) limits(phase string, round int, source *partition, lines map[string]string) {
	names := slices.Sorted(maps.Keys(lines))
	for i := range names {
		name := names[(i+round)%len(names)]
		out := s.target.path("limit")
		must(s.b, os.Mkdir(out, 0o755))
		s.ready(source)
		s.add(phase, name, s.measureCommand(nil, "sh", "-c", lines[name], source.dir, out))
		s.clear("limit")
	}
}

func (s *backupBench) sizes(what string) {
	for _, t := range s.tools {
		s.add(what, t.name, measure{Bytes: t.size()})
	}
}

// ready writes back what is dirty, fills memory, and has all of a source in the page cache.
func (s *backupBench) ready(source *partition) {
	command(s.b, "sync")
	fillMemory(s.b, s.target.path("filler"), 3*time.Second)
	command(s.b, "sh", "-c", `find "$0" -type f -print0 | xargs -0 cat >/dev/null`, source.dir)
}

// clear removes a folder of the target.
func (s *backupBench) clear(name string) { must(s.b, os.RemoveAll(s.target.path(name))) }

// fillMemory fills all memory that nobody uses with a file that has nothing but a hole: memory that is free goes back to the host of a virtual machine, and
// to get it again takes whoever touches it first two seconds and more a GiB. It fills no more than was free at first, or it would push out what others have in the
// page cache where the kernel frees memory all the time.
func fillMemory(b testing.TB, path string, most time.Duration) {
	b.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(b, err)
	defer f.Close()
	must(b, f.Truncate(256*gib))
	buf := make([]byte, 4*mib)
	for off, end, n := int64(0), time.Now().Add(most), free(b)-400*mib; off < n && time.Now().Before(end); off += int64(len(buf)) {
		_, err := f.ReadAt(buf, off)
		must(b, err)
	}
}

// free is how many bytes of memory hold nothing at all.
func free(b testing.TB) int64 {
	var kb int64
	data, err := os.ReadFile("/proc/meminfo")
	must(b, err)
	var total int64
	_, err = fmt.Sscanf(string(data), "MemTotal: %d kB\nMemFree: %d kB", &total, &kb)
	must(b, err)
	return kb * kib
}
