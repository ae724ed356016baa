package capture

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

var fileEpoch = time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)

// A crew is some workers of one partition.
type crew struct {
	t       *testing.T
	workers []member
}

type member struct {
	process *os.Process
	in      io.WriteCloser
	out     *os.File
	lines   *bufio.Reader
}

func newCrew(t *testing.T, point string, seed uint64, size int, env ...string) *crew {
	c := &crew{t: t}
	for i := range size {
		args := fmt.Sprintf("%d %s", seed+uint64(i), point)
		cmd := exec.Command("/proc/self/exe")
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if i%4 == 3 {
			args += " " + t.TempDir()
			cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		}
		cmd.Env = append(append(os.Environ(), env...), workerEnv+"="+args)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		must(t, err)
		out, to, err := os.Pipe()
		must(t, err)
		cmd.Stdout = to
		must(t, cmd.Start())
		to.Close()
		t.Cleanup(func() {
			in.Close()
			out.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
		c.workers = append(c.workers, member{cmd.Process, in, out, bufio.NewReader(out)})
	}
	return c
}

// begin has each worker do n operations; wait waits for their end.
func (c *crew) begin(n int) {
	for _, w := range c.workers {
		_, err := fmt.Fprintln(w.in, n)
		must(c.t, err)
	}
}

func (c *crew) wait() {
	for _, w := range c.workers {
		must(c.t, w.out.SetReadDeadline(time.Now().Add(8*time.Second)))
		line, err := w.lines.ReadString('\n')
		if err != nil {
			_ = w.process.Signal(unix.SIGQUIT) // it says what it is at
			c.t.Fatalf("a worker does not end: %v", err)
		}
		if line != "done\n" {
			c.t.Fatalf("a worker said %q", line)
		}
	}
}

// newSeed returns the seed of a test that goes by chance, and prints it; YESTER_SEED sets it, to have a failure again.
func newSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("YESTER_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		must(t, err)
		seed = n
	}
	t.Logf("YESTER_SEED=%d", seed)
	return seed
}

// endOf is when a test that goes by chance ends: after YESTER_TORTURE seconds, or the time given.
func endOf(t *testing.T, usual time.Duration) time.Time {
	t.Helper()
	if s := os.Getenv("YESTER_TORTURE"); s != "" {
		n, err := strconv.Atoi(s)
		must(t, err)
		usual = time.Duration(n) * time.Second
	}
	return time.Now().Add(usual)
}

// folderOf mounts a folder of a partition instead of the whole of it. Of a btrfs no snapshots are made then: on Linux 6.18, making one beside such writers as the
// workers are comes to a standstill within the kernel every now and then.
func folderOf(t *testing.T, whole string) (point string) {
	must(t, os.Mkdir(whole+"/folder", 0o755))
	write(t, whole+"/beside", "1")
	point = t.TempDir()
	mount(t, point, "mount", "--bind", whole+"/folder", point)
	command(t, "umount", whole)
	t.Cleanup(func() { command(t, "mount", "--bind", point, whole) }) // to be unmounted there
	return point
}

// Whatever is done to a partition, also while it is captured, a version by journal is what a walk makes that reads everything.
func TestVersionByJournalIsThatByWalk(t *testing.T) { byJournalAsByWalk(t, 6*time.Second, nil) }

// And so it is where caches come and go, and what is in them is left out.
func TestVersionByJournalLeavesOutWhatOneByWalkDoes(t *testing.T) {
	byJournalAsByWalk(t, 3*time.Second, func(r *journalRig, fstype string) {
		r.o.ExcludeCaches, r.o.ExcludeNodump = true, true
		point := r.o.Partition.MountPoint
		must(t, os.MkdirAll(point+"/d0/d1/d1", 0o755))
		command(t, "chattr", "+d", point+"/d0/d1/d1")
		switch fstype {
		case "xfs":
			r.o.Excludes = []string{snapshot.CacheTag}
		case "btrfs":
			r.o.Includes = []string{point, point + "/d0/d1"}
		}
	}, tagsEnv+"=1")
}

// And so it is where folders are made and listened to no more, as many names in them changed.
func TestVersionByJournalIsThatByWalkWhereFoldersAreIgnored(t *testing.T) {
	ignored := 0
	byJournalAsByWalk(t, 6*time.Second, func(r *journalRig, _ string) {
		r.journal.Busy(2)
		r.beforeCut = func() { ignored += r.journal.Report().Ignored }
	}, anewEnv+"=1")
	t.Logf("tally: %d folders that were ignored", ignored)
	if ignored == 0 {
		t.Error("no folder was ignored")
	}
}

// byJournalAsByWalk has a crew change partitions at random. change may change what is captured.
func byJournalAsByWalk(t *testing.T, usual time.Duration, change func(r *journalRig, fstype string), env ...string) {
	seed := newSeed(t)
	fstypes := []string{"ext4", "xfs", "btrfs"}
	versions, byWalk := 0, 0
	end := endOf(t, usual)
	for i, fstype := range fstypes {
		t.Run(fstype, func(t *testing.T) {
			until := time.Now().Add(time.Until(end) / time.Duration(len(fstypes)-i))
			point := partition(t, fstype)
			if fstype == "btrfs" {
				point = folderOf(t, point)
			}
			r := newJournalRig(t, point, nil)
			r.o.clock = time.Now
			if change != nil {
				change(r, fstype)
			}
			c := newCrew(t, point, seed, 8, env...)
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			c.begin(100)
			c.wait()
			r.tryNext()
			for time.Now().Before(until) && !t.Failed() {
				burst := func(capture bool) {
					c.begin(1 + random.IntN(60))
					if capture {
						r.tryNext() // of no certain state: what it misses the next one must have
					}
					c.wait()
				}
				burst(random.IntN(3) == 0)
				if r.beforeCut != nil && random.IntN(8) > 0 {
					r.awaitIgnored()
					if random.IntN(4) == 0 { // a capture that fails
						r.beforeCut()
						set, err := r.journal.Cut()
						must(t, err)
						burst(false)
						r.journal.Return(set)
					}
					burst(random.IntN(3) == 0)
				}
				r.vague = random.IntN(4) == 0
				v := r.tryNext()
				r.vague = false
				r.asWalk(v)
				if versions++; v.Method == "walk" {
					byWalk++
					t.Logf("%s was made by walk because %s", v.Name, v.Because)
				}
			}
		})
	}
	t.Logf("tally: %d versions by journal compared with a walk", versions-byWalk)
	t.Logf("tally: %d versions that were to be by journal and fell back to a walk", byWalk)
}
