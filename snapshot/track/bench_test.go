package track

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkListening says what it costs others, and this process, that somebody listens: 50,000 files being made in a new folder, and in one that is older than the set, and a
// build of this repository with an empty cache, on a file system that is listened to and on the same that is not, by turns. percent is by how much all CPU time grows, slower-percent by how much longer it
// takes; Mbytes is what the set takes.
func BenchmarkListening(b *testing.B) {
	repository, err := filepath.Abs("../..")
	must(b, err)
	create := func(dir string) {
		script := `i=0; while [ $i -lt 50000 ]; do : > f$i; echo $i >> f$i; i=$((i+1)); done`
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = dir
		must(b, cmd.Run())
	}
	for _, w := range []struct {
		name  string
		older bool
		work  func(dir string)
	}{
		{"create", false, create},
		{"create-older", true, create},
		{"build", false, func(dir string) {
			cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "out"), "./cmd/yester")
			cmd.Dir = repository
			cmd.Env = append(os.Environ(), "GOCACHE="+filepath.Join(dir, "cache"), "GOTMPDIR="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}},
	} {
		b.Run(w.name, func(b *testing.B) {
			point := mounted(b, largeImage(b))
			u, err := WatchUnheard()
			must(b, err)
			must(b, u.Close())
			var without, with, alone, heard time.Duration // of processors, and by the clock
			var bytes, names int
			for i := 0; b.Loop(); i++ {
				for _, listen := range []bool{i%2 == 0, i%2 != 0} {
					dir := filepath.Join(point, fmt.Sprint(i, listen))
					if w.older || !listen {
						must(b, os.Mkdir(dir, 0o755))
					}
					if !listen {
						without += cpu(func() { alone += timed(func() { w.work(dir) }) })
					} else {
						with += cpu(func() {
							u, err := WatchUnheard()
							must(b, err)
							j, err := Open(point, u)
							must(b, err)
							if !w.older {
								must(b, os.Mkdir(dir, 0o755))
							}
							heard += timed(func() { w.work(dir) })
							s, err := j.Cut()
							must(b, err)
							bytes, names = s.size(), s.Len()
							if s.Unknown() != "" && s.Unknown() != unheardOf {
								b.Error(s.Unknown())
							}
							must(b, j.Close())
							must(b, u.Close())
						})
					}
					must(b, os.RemoveAll(dir))
				}
			}
			b.ReportMetric(100*(float64(with)/float64(without)-1), "percent")
			b.ReportMetric(100*(float64(heard)/float64(alone)-1), "slower-percent")
			b.ReportMetric(float64(bytes)/1e6, "Mbytes")
			b.ReportMetric(float64(names), "names")
			b.ReportMetric(without.Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// timed is how long work takes.
func timed(work func()) time.Duration {
	begin := time.Now()
	work()
	return time.Since(begin)
}

// cpu is the CPU time that this process and its children take for work.
func cpu(work func()) time.Duration {
	runtime.GC()
	used := func() (d time.Duration) {
		for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
			var r unix.Rusage
			_ = unix.Getrusage(who, &r)
			d += time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
		return d
	}
	before := used()
	work()
	return used() - before
}

func largeImage(b *testing.B) string {
	path := image(b)
	must(b, os.Truncate(path, 3<<30))
	run(b, "mkfs.ext4", "-q", "-F", "-N", "400000", path)
	return path
}
