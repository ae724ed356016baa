package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A crowd reads, backs up, deletes, collects, damages and repairs one vault, all at once.
type crowd struct {
	t      *testing.T
	d      *daemon
	source *partition
	places []string
	made   int

	mu       sync.Mutex
	rand     *rand.Rand
	versions []*shown
	reads    int
	repairs  int
}

// A shown version is read as long as somebody holds reading.
type shown struct {
	kept
	path    string
	reading sync.RWMutex
}

// Eight readers, backups, a gc and a repair at once: no error, no wrong byte, and nothing that the race detector sees (which the daemon's log would
// tell). What the repair heals is damaged while it is read.
func TestEverythingAtOnceWithoutARace(t *testing.T) {
	t.Parallel()
	need(t)
	c := newCrowd(t, racing(t))
	for round := 0; more(t, round, 1) && !t.Failed(); round++ {
		c.round()
	}
	c.d.run(done, "vault", "check", "--read-data", "--wait")
	tally(t, c.reads, "versions read beside everything else, under the race detector")
	tally(t, c.repairs, "repairs beside everything else")
}

// racing builds the program with the race detector.
func racing(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("the race detector needs gcc")
	}
	program := filepath.Join(work, "yester-race")
	build := exec.Command("go", "build", "-race", "-o", program, "yester/cmd/yester")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build yester: %v\n%s", err, out)
	}
	return program
}

func newCrowd(t *testing.T, program string) *crowd {
	t.Helper()
	home := newHome(t)
	c := &crowd{t: t, rand: newRand(t), source: newPartition(t, "ext4", 4*gib)}
	c.d = startArgs(t, home, []string{program, "--home", home, "daemon"})
	c.d.expected = regexp.MustCompile(damageTold)
	args := []string{"vault", "init"}
	for _, name := range []string{"a", "b", "c"} {
		place := filepath.Join(filepath.Dir(home), "place-"+name)
		c.places = append(c.places, place)
		args = append(args, "--place", place)
	}
	c.d.run(done, args...)
	c.d.activate("max", c.source)
	small(t, c.source.path(), 200)
	for range 4 {
		c.backUp()
	}
	return c
}

// backUp changes the source and takes a version.
func (c *crowd) backUp() {
	c.t.Helper()
	for range 5 {
		c.made++
		must(c.t, os.WriteFile(c.source.path(fmt.Sprint("file-", c.made%12)), c.bytes(mib), 0o644))
	}
	state := read(c.t, c.source.dir)
	c.d.run(done, "backup", "--wait")
	all := c.d.versions(c.source)
	v := all[len(all)-1]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions = append(c.versions, &shown{kept: kept{v.Version, state}, path: v.Path})
}

func (c *crowd) bytes(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.rand.Uint32())
	}
	return b
}

// round has everybody do something.
func (c *crowd) round() {
	const readers, passes, backups = 8, 2, 2
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for range passes {
				c.read()
			}
		})
	}
	all.Go(c.maintain)
	for range backups {
		c.backUp()
	}
	all.Wait()
}

// read reads a version and compares it.
func (c *crowd) read() {
	c.mu.Lock()
	v := c.versions[c.rand.IntN(len(c.versions))]
	v.reading.RLock()
	c.reads++
	c.mu.Unlock()
	defer v.reading.RUnlock()
	got, err := readTree(v.path)
	if err != nil {
		c.t.Errorf("version %s: %v", v.version, err)
		return
	}
	same(c.t, "version "+v.version, v.state, got)
}

// maintain damages the vault and has it repaired, and deletes a version and has it collected.
func (c *crowd) maintain() {
	c.mu.Lock()
	h := &harmer{t: c.t, rand: rand.New(rand.NewPCG(c.rand.Uint64(), 0)), places: c.places}
	c.mu.Unlock()
	h.harm(0.5)
	if c.does("vault", "repair", "--wait") {
		c.repairs++
	}
	for c.forget() {
		c.does("vault", "gc", "--wait")
	}
}

// forget deletes the oldest version, when nobody reads it any more.
func (c *crowd) forget() bool {
	c.mu.Lock()
	if len(c.versions) <= 3 {
		c.mu.Unlock()
		return false
	}
	v := c.versions[0]
	c.versions = c.versions[1:]
	c.mu.Unlock()
	v.reading.Lock()
	return c.does("forget", v.version, "--partition", c.source.name, "--yes", "--wait")
}

// does runs a command line that must succeed.
func (c *crowd) does(args ...string) bool {
	a := at(c.t, c.d.home, args...)
	if a.code != done && !strings.Contains(a.stderr, "is already running") { // a gc is, by itself, after a deletion
		c.t.Errorf("yester %s: exit code %d\n%s%s", strings.Join(args, " "), a.code, a.stdout, a.stderr)
	}
	return a.code == done
}
