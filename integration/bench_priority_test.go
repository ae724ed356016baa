package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkPriority measures how gentle a backup of many files is: what it reads, the processor and the memory it takes, and what it is to somebody
// else who reads from the same disk. It is for `make bench-priority`, which runs it once.
func BenchmarkPriority(b *testing.B) {
	need(b)
	m := &bench{b: b, quick: os.Getenv("YESTER_BENCH_QUICK") != ""}
	files, big := 300_000, int64(500*mib)
	if m.quick {
		files, big = 3000, 200*mib
	}
	source := newPartition(b, "ext4", 16*gib)
	makeBig(b, source.path("big"), newProse(1), big)
	makeFiles(b, source.path("small"), 2, files, 100, 1000)
	for _, p := range []struct {
		name        string
		rate        float64 // MB/s
		cpus, limit float64
	}{{"low", 10, 1, 128}, {"high", 30, 2, 256}} {
		d := start(b, newHome(b))
		d.activate(p.name, source)
		u := d.watch(func() { d.run(done, "backup", "--wait") })
		u.rows(m, p.name, p.rate, p.cpus)
		v := d.versions(source)[0]
		walk(b, v.Path)
		command(b, "sh", "-c", `cat "$0"/small/part-0*/*/* | cat >/dev/null`, v.Path)
		m.repeat(1, fmt.Sprintf("%s: peak RSS, with a walk and reading in the mount", p.name), "MB", atMost(p.limit), func() float64 { return float64(d.peakRSS()) / 1e6 })
		d.stop()
	}
	m.foreground(source)
	m.print()
}

// usage is what a daemon took while something went on.
type usage struct {
	reads   []reading
	cpu     time.Duration // user and system
	elapsed time.Duration
}

type reading struct {
	at    time.Duration
	bytes uint64 // read since the process began
}

// watch looks at the daemon ten times a second until do has ended.
func (d *daemon) watch(do func()) (u usage) {
	d.t.Helper()
	ended, began, before := make(chan struct{}), time.Now(), d.cpu()
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for {
			u.reads = append(u.reads, reading{time.Since(began), d.bytesRead()})
			select {
			case <-ended:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	do()
	u.elapsed, u.cpu = time.Since(began), d.cpu()-before
	close(ended)
	<-looked
	return u
}

// bytesRead is what the daemon has read by calls, from the cache too.
func (d *daemon) bytesRead() uint64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", d.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), "rchar: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseUint(line, 10, 64)
	return n
}

// cpu is the processor time that the daemon took.
func (d *daemon) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	must(d.t, err)
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	user, err := strconv.Atoi(f[11])
	must(d.t, err)
	system, err := strconv.Atoi(f[12])
	must(d.t, err)
	return time.Duration(user+system) * time.Second / 100
}

// rows tells what was used beside what may be.
func (u *usage) rows(m *bench, name string, rate, cpus float64) {
	most := 0.0
	for first, last := 0, 0; last < len(u.reads); last++ {
		for u.reads[last].at-u.reads[first].at > 10*time.Second {
			first++
		}
		if first > 0 { // the ten seconds are full: what was read in them and the little before
			span := u.reads[last].at - u.reads[first-1].at
			most = max(most, float64(u.reads[last].bytes-u.reads[first-1].bytes)/span.Seconds()/1e6)
		}
	}
	all := float64(u.reads[len(u.reads)-1].bytes-u.reads[0].bytes) / u.elapsed.Seconds() / 1e6
	row := func(what, unit string, must bound, x float64) {
		m.repeat(1, name+": "+what, unit, must, func() float64 { return x })
	}
	row("read in any ten seconds, at most", "MB/s", atMost(rate*1.05), most)
	row("read, on average", "MB/s", atLeast(rate*0.9), all)
	row("processors, on average", "CPU", atMost(cpus), u.cpu.Seconds()/u.elapsed.Seconds())
}

// foreground measures how long somebody waits for random reads past the cache, with and without a backup: from another file on the same disk, and from the
// mount while all processors are busy.
func (m *bench) foreground(source *partition) {
	if _, err := exec.LookPath("fio"); err != nil {
		m.b.Log("no fio: what a backup is to others is not measured")
		return
	}
	other := newPartition(m.b, "ext4", 4*gib)
	makeBig(m.b, other.path("file"), newStream(9), gib)
	for _, priority := range []string{"low", "high"} {
		d := start(m.b, newHome(m.b))
		d.activate("max", other)
		mounted := filepath.Join(d.backup(other).Path, "file")
		d.activate(priority, source, other)
		with := func(f func() float64) func() float64 {
			return func() float64 {
				d.run(done, "backup")
				id := d.status().Running.ID
				defer d.run(done, "tasks", "cancel", id) // what it stored it reads again
				return f()
			}
		}
		disk := func() float64 { return m.waits(other.path("file"), "99.000000") }
		m.against(3, priority+": random reads of others, 99 % within", "ms", beside("alone"), with(disk), disk)
		busy := func() float64 {
			for range runtime.NumCPU() + 1 {
				hog := exec.Command("sh", "-c", "while :; do :; done")
				must(m.b, hog.Start())
				defer hog.Wait()
				defer hog.Process.Kill()
			}
			return m.waits(mounted, "99.900000")
		}
		m.against(3, priority+": random reads in the mount of a busy machine, 99.9 % within", "ms", beside("alone"), with(busy), busy)
		d.stop()
	}
}

// waits is how many milliseconds a part of random reads of 4 KiB take at most.
func (m *bench) waits(file, part string) float64 {
	seconds := 8
	if m.quick {
		seconds = 3
	}
	out := command(m.b, "fio", "--name=foreground", "--filename="+file, "--readonly", "--rw=randread", "--bs=4k", "--direct=1", "--ioengine=psync",
		"--time_based", "--runtime="+strconv.Itoa(seconds), "--output-format=json")
	var report struct {
		Jobs []struct {
			Read struct {
				Clat struct {
					Percentile map[string]float64 `json:"percentile"`
				} `json:"clat_ns"`
			} `json:"read"`
		} `json:"jobs"`
	}
	must(m.b, json.Unmarshal([]byte(out), &report))
	return report.Jobs[0].Read.Clat.Percentile[part] / 1e6
}
