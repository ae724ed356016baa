package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkMount measures the mount next to its limits: the same tree on ext4, and a FUSE server that has everything in memory. It is for
// `make bench-mount`, which runs it once. The vault stays in the page cache; "cold" is without what the kernel knew of the mount.
func BenchmarkMount(b *testing.B) {
	need(b)
	m := &bench{b: b, quick: os.Getenv("YESTER_BENCH_QUICK") != ""}
	s := newMountBench(m)
	s.large()
	s.random()
	s.walk()
	s.wide()
	s.copies()
	m.repeat(1, "daemon's peak RSS in all of this", "MB", atMost(256), func() float64 { return float64(s.daemon.peakRSS()) / 1e6 })
	m.print()
}

// A mountBench has a source, its version in the mount, and a memory-only server.
type mountBench struct {
	*bench
	daemon  *daemon
	source  *partition
	version string // folder
	zstd    string // folder of a version compressed so
	memory  string // folder
	target  *partition
	size    int64 // of large files
}

func newMountBench(m *bench) *mountBench {
	b := m.b
	s := &mountBench{bench: m, size: 2 * gib}
	files, sources, names := 300_000, 80_000, 1_000_000
	if m.quick {
		s.size, files, sources, names = 64*mib, 3000, 800, 10_000
	}
	home := newHome(b)
	s.source = newPartition(b, "ext4", 64*gib)
	slow := newPartition(b, "ext4", 8*gib)
	s.target = newPartition(b, "ext4", 64*gib)

	makeBig(b, s.source.path("text"), newProse(1), s.size)
	makeBig(b, s.source.path("text-2"), newProse(2), s.size)
	makeBig(b, s.source.path("random"), newStream(3), s.size)
	makeBig(b, slow.path("text"), newProse(4), s.size)
	makeFiles(b, s.source.path("small"), 5, files, 100, 5000)
	makeFiles(b, s.source.path("sources"), 6, sources, 12, 9000)
	makeNames(b, s.source.path("names"), names)

	s.daemon = start(b, home)
	s.daemon.activate("high", slow)
	s.zstd = s.daemon.backup(slow).Path
	s.daemon.activate("max", s.source)
	s.version = s.daemon.backup(s.source).Path
	s.daemon.forgetPeak() // that of the backup has its own bound
	s.memory = startMemfs(b)
	return s
}

// uncached drops a file from the page cache.
func uncached(b testing.TB, path string) {
	b.Helper()
	f, err := os.Open(path)
	must(b, err)
	defer f.Close()
	must(b, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// dd reads files at once, and returns how many bytes came a second, in GB.
func (s *mountBench) dd(paths ...string) float64 {
	var size int64
	seconds := timed(func() {
		var all sync.WaitGroup
		for _, p := range paths {
			info, err := os.Stat(p)
			must(s.b, err)
			size += info.Size()
			all.Go(func() {
				if out, err := exec.Command("dd", "if="+p, "of=/dev/null", "bs=1M").CombinedOutput(); err != nil {
					s.b.Errorf("dd %s: %v\n%s", p, err, out)
				}
			})
		}
		all.Wait()
	})
	return float64(size) / seconds / 1e9
}

// cold is dd of files that are not in the page cache.
func (s *mountBench) cold(paths ...string) func() float64 {
	return func() float64 {
		for _, p := range paths {
			uncached(s.b, p)
		}
		return s.dd(paths...)
	}
}

func (s *mountBench) large() {
	text, text2, random := filepath.Join(s.version, "text"), filepath.Join(s.version, "text-2"), filepath.Join(s.version, "random")
	memory := s.cold(filepath.Join(s.memory, memfsBig))
	drain(s.b, text) // the vault into the page cache
	drain(s.b, text2)
	drain(s.b, random)
	drain(s.b, filepath.Join(s.zstd, "text"))
	s.repeat(7, "dd bs=1M of 2 GiB, lz4", "GB/s", atLeast(1.2), s.cold(text))
	s.repeat(7, "dd bs=1M of 2 GiB, incompressible", "GB/s", atLeast(1.2), s.cold(random))
	s.repeat(7, "dd bs=1M of 2 GiB, zstd", "GB/s", atLeast(0.7), s.cold(filepath.Join(s.zstd, "text")))
	s.against(5, "dd bs=1M of 2 GiB, lz4, and from memory", "GB/s", beside("memory-only FUSE"), s.cold(text), memory)
	s.against(5, "two files at once", "GB/s", timesAtLeast(1.2, "one"), s.cold(text, text2), s.cold(text))
	s.dd(text)
	onDisk := s.source.path("text")
	s.dd(onDisk)
	s.against(5, "second read of it", "GB/s", timesAtLeast(0.8, "ext4"), func() float64 { return s.dd(text) }, func() float64 { return s.dd(onDisk) })
}

// random reads 4 KiB at random places of a large file.
func (s *mountBench) random() {
	path := filepath.Join(s.version, "random")
	reads := 20_000
	if s.quick {
		reads = 500
	}
	many := func(readers int) func() float64 {
		return func() float64 {
			uncached(s.b, path)
			seconds := timed(func() {
				var all sync.WaitGroup
				for i := range readers {
					all.Go(func() { s.readAt(path, uint64(i), reads/readers) })
				}
				all.Wait()
			})
			return float64(reads) / seconds
		}
	}
	s.repeat(5, "4 KiB random reads in 2 GiB", "/s", atLeast(8000), many(1))
	s.repeat(5, "the same, 100 readers at once", "/s", atLeast(10_000), many(100))
}

func (s *mountBench) readAt(path string, seed uint64, n int) {
	f, err := os.Open(path)
	if err != nil {
		s.b.Error(err)
		return
	}
	defer f.Close()
	rnd := rand.New(rand.NewPCG(seed, 1))
	must(s.b, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
	buf := make([]byte, 4*kib)
	for range n {
		if _, err := f.ReadAt(buf, rnd.Int64N(s.size/int64(len(buf)))*int64(len(buf))); err != nil {
			s.b.Error(err)
			return
		}
	}
}

// forget has the kernel forget names and attributes, but not the pages of files.
func forget(b testing.TB) {
	b.Helper()
	must(b, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
}

// sh is how many seconds a line of shell takes.
func (s *mountBench) sh(line string, args ...string) float64 {
	return timed(func() {
		if out, err := exec.Command("sh", append([]string{"-c", line}, args...)...).CombinedOutput(); err != nil {
			s.b.Errorf("%s %q: %v\n%s", line, args, err, out)
		}
	})
}

func (s *mountBench) walk() {
	find := func(dir string, cold bool) func() float64 {
		return func() float64 {
			if cold {
				forget(s.b)
			}
			return s.sh(`find "$0" -printf '%s %T@\n' >/dev/null`, dir)
		}
	}
	ours, disk, memory := filepath.Join(s.version, "small"), s.source.path("small"), s.memory
	s.against(6, "find -printf '%s %T@' of 300,000 files, cold", "s", timesAtMost(2.5, "ext4"), find(ours, true), find(disk, true))
	s.against(4, "the same, and from memory", "s", beside("memory-only FUSE"), find(ours, true), find(memory, true))
	find(ours, false)()
	find(disk, false)()
	s.against(6, "find -printf '%s %T@' of 300,000 files, warm", "s", timesAtMost(1.5, "ext4"), find(ours, false), find(disk, false))
}

// wide looks into a folder of a million names.
func (s *mountBench) wide() {
	dir := filepath.Join(s.version, "names")
	s.repeat(5, "ls -f of a folder of a million names", "s", atMost(2), func() float64 {
		forget(s.b)
		return s.sh(`ls -f "$0" >/dev/null`, dir)
	})
	n := 0
	s.repeat(20, "lookup of one name in it, cold", "ms", atMost(5), func() float64 {
		forget(s.b)
		_, err := os.Lstat(dir)
		must(s.b, err)
		n += 449
		return 1000 * timed(func() {
			_, err := os.Lstat(fmt.Sprintf("%s/name-%07d", dir, n))
			must(s.b, err)
		})
	})
}

// copies compares what is copied from the mount with what is copied from ext4, each with its files or its vault in the page cache.
func (s *mountBench) copies() {
	ready := func(name string) {
		fillMemory(s.b, s.target.path("filler"), 30*time.Second) // which may push out what is to be read
		s.sh(`find "$0" "$1" -type f -exec cat {} + >/dev/null`, s.source.path(name), filepath.Join(s.daemon.home, "vault"))
		forget(s.b)
	}
	both := func(name string, work func(dir string) float64) (mount, disk func() float64) {
		of := func(dir string) func() float64 {
			return func() float64 {
				ready(name)
				return work(filepath.Join(dir, name))
			}
		}
		return of(s.version), of(s.source.path(""))
	}
	mount, disk := both("small", func(dir string) float64 {
		seconds := s.sh(`cp -a "$0" "$1"`, dir, s.target.path("copy"))
		s.sh(`rm -rf "$0"; sync`, s.target.path("copy"))
		return seconds
	})
	s.against(4, "cp -a of 300,000 small files, 1.5 GB", "s", timesAtMost(1.5, "ext4"), mount, disk)
	mount, disk = both("sources", func(dir string) float64 { return s.sh(`tar -C "$0" -c . | cat >/dev/null`, dir) })
	s.against(6, "tar c of 80,000 files", "s", timesAtMost(2, "ext4"), mount, disk)
}
