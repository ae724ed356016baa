package integration

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A siege is a daemon with a vault in three places that is killed in the midst of its tasks again and again, and what must be there
// afterwards.
type siege struct {
	rand   *rand.Rand
	home   string
	source *partition
	places []string
	made   int

	kept    []kept   // versions that were committed
	pending manifest // of the version whose backup was under way
	doomed  string   // the version whose deletion was under way

	leaving, taking string // the place that was being replaced, and by which

	takes map[string]time.Duration // how long tasks of each kind take
	kills map[string]int
	met   map[string]int // those that met it at work
	torn  int            // kills that left temporary files
}

// A kept version, and what it must hold.
type kept struct {
	version string
	state   manifest
}

// A blow is a kind of task that is broken off.
type blow struct {
	kind string // as tasks have it

	// prepare makes work for the task, and returns the command line that has it done.
	prepare func(*siege, testing.TB, *daemon) []string

	// finish has done what is left of it; nil if that is nobody's need.
	finish func(*siege, testing.TB, *daemon)
}

var blows = []blow{
	{"backup", (*siege).backsUp, nil},
	{"gc", (*siege).forgets, nil},
	{"repair", (*siege).repairs, (*siege).repaired},
	{"place", (*siege).replaces, (*siege).replaced},
}

// The daemon is killed at any moment of any task, and nothing is lost: it starts, has every version, says what was broken off, and goes on.
// Of kills that came before or after the task there may be any number, they don't count.
func TestKillAtAnyMomentLosesNothing(t *testing.T) {
	t.Parallel()
	const enough = 10
	s := newSiege(t)
	for met := 0; more(t, met, enough) && !t.Failed(); met = sum(s.met) {
		if sum(s.kills) > 10*(1+met) {
			t.Fatalf("of %d kills only %d met a task at work: that is no test", sum(s.kills), met)
		}
		for _, i := range s.rand.Perm(len(blows)) {
			b := blows[i]
			if !t.Run(fmt.Sprintf("%d %s", sum(s.kills)+1, b.kind), func(t *testing.T) { s.round(t, b) }) {
				break
			}
		}
	}
	s.end(t)
}

func sum(of map[string]int) (n int) {
	for _, m := range of {
		n += m
	}
	return n
}

func newSiege(t *testing.T) *siege {
	s := &siege{
		rand: newRand(t), home: newHome(t), source: newPartition(t, "ext4", 4*gib),
		takes: map[string]time.Duration{}, kills: map[string]int{}, met: map[string]int{},
	}
	for _, name := range []string{"a", "b", "c"} {
		s.places = append(s.places, filepath.Join(filepath.Dir(s.home), "place-"+name))
	}
	for i := range 24 {
		s.sow(t, i)
	}
	small(t, s.source.path(), 300)
	t.Run("a first time", func(t *testing.T) {
		d := start(t, s.home)
		args := []string{"vault", "init"}
		for _, p := range s.places {
			args = append(args, "--place", p)
		}
		d.run(done, args...)
		d.activate("max", s.source)
		for range 3 {
			s.undisturbed(t, d, blows[0])
		}
		for _, b := range blows {
			s.undisturbed(t, d, b)
			if b.finish != nil {
				b.finish(s, t, d)
			}
			t.Logf("a %s takes %v", b.kind, s.takes[b.kind].Round(time.Millisecond))
		}
	})
	return s
}

// sow writes a file of a mebibyte or so that is like no other.
func (s *siege) sow(t testing.TB, i int) {
	t.Helper()
	s.made++
	b := make([]byte, mib+s.rand.IntN(64*kib))
	_, _ = rand.NewChaCha8([32]byte{byte(s.made), byte(s.made >> 8)}).Read(b)
	must(t, os.WriteFile(s.source.path(fmt.Sprintf("file-%d", i)), b, 0o644))
}

// undisturbed has a task done and measures it.
func (s *siege) undisturbed(t testing.TB, d *daemon, b blow) {
	t.Helper()
	args := b.prepare(s, t, d)
	began := time.Now()
	d.run(done, args...)
	s.takes[b.kind] = time.Since(began)
	s.reconcile(t, d)
}

// backsUp changes the source.
func (s *siege) backsUp(t testing.TB, d *daemon) []string {
	t.Helper()
	for len(s.kept) > 5 {
		d.run(done, s.forgets(t, d)...)
		s.reconcile(t, d)
	}
	for range 16 {
		s.sow(t, s.rand.IntN(24))
	}
	c := &changer{t: t, dir: s.source.dir, rand: s.rand, made: s.made}
	c.change(read(t, s.source.dir), 0.05)
	s.made = c.made
	s.pending = read(t, s.source.dir)
	return []string{"backup", "--wait"}
}

// forgets chooses a version to forget, which begins a gc.
func (s *siege) forgets(t testing.TB, d *daemon) []string {
	t.Helper()
	for len(s.kept) < 3 {
		d.run(done, s.backsUp(t, d)...)
		s.reconcile(t, d)
	}
	s.doomed = s.kept[s.rand.IntN(len(s.kept))].version
	return []string{"forget", s.doomed, "--partition", s.source.name, "--yes", "--wait"}
}

// repairs damages the vault.
func (s *siege) repairs(t testing.TB, d *daemon) []string {
	t.Helper()
	d.expected = regexp.MustCompile(damageTold)
	h := &harmer{t: t, rand: s.rand, places: s.places}
	for h.harm(0.7) == 0 {
	}
	return []string{"vault", "repair", "--wait"}
}

func (s *siege) repaired(_ testing.TB, d *daemon) { d.run(done, "vault", "repair", "--wait") }

// replaces has a new folder take over from one of the places.
func (s *siege) replaces(testing.TB, *daemon) []string {
	s.made++
	i := s.rand.IntN(len(s.places))
	s.leaving, s.places[i] = s.places[i], filepath.Join(filepath.Dir(s.home), fmt.Sprint("place-", s.made))
	s.taking = s.places[i]
	return []string{"vault", "place", "replace", s.leaving, s.taking, "--wait"}
}

// replaced has the folder take over if it has not by itself, after which the old one may be lost.
func (s *siege) replaced(t testing.TB, d *daemon) {
	t.Helper()
	if a := d.run(done, "vault", "place", "list"); !strings.Contains(a.stdout, s.taking+"\n") {
		d.run(done, "vault", "place", "replace", s.leaving, s.taking, "--wait")
	}
	must(t, os.RemoveAll(s.leaving))
	s.whole(t, d)
}

// round breaks one task off and looks what is left.
func (s *siege) round(t *testing.T, b blow) {
	d := start(t, s.home)
	d.idle()
	args := b.prepare(s, t, d)
	before := d.tasks()
	s.strike(t, d, b, args)
	temporary := s.temporary(t)

	expected := "cut off|a place is not used" // it was about to be one
	if d.expected != nil {
		expected = d.expected.String() + "|" + expected
	}
	d = start(t, s.home)
	d.expected = regexp.MustCompile(expected)
	s.brokenOff(t, d, b, before)
	if m := mountsBelow(s.home); len(m) != 1 {
		t.Errorf("mounts: %q, want one", m)
	}
	s.reconcile(t, d)
	s.whole(t, d)
	d.settle()
	if b.finish != nil {
		b.finish(s, t, d)
	}
	for _, path := range temporary {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was left by the kill, and stays", path)
		}
	}
	d.run(done, "vault", "check", "--wait")
}

// strike runs a command line and kills the daemon at a random moment of it, or soon after.
func (s *siege) strike(t testing.TB, d *daemon, b blow, args []string) {
	t.Helper()
	moment := time.Duration(1.2 * s.rand.Float64() * float64(s.takes[b.kind]))
	cmd := exec.Command(yester, append([]string{"--home", s.home}, args...)...)
	cmd.Dir = "/"
	began := time.Now()
	must(t, cmd.Start())
	ended := make(chan time.Duration, 1)
	go func() {
		_ = cmd.Wait()
		ended <- time.Since(began)
	}()
	time.Sleep(moment - time.Since(began))
	d.kill()
	if took := <-ended; took < moment {
		s.takes[b.kind] = took
	}
	s.kills[b.kind]++
	t.Logf("killed after %v of %v", moment.Round(time.Millisecond), s.takes[b.kind].Round(time.Millisecond))
}

// temporary lists the temporary files that lie in the places.
func (s *siege) temporary(t testing.TB) (paths []string) {
	t.Helper()
	for _, place := range s.places {
		err := filepath.WalkDir(filepath.Join(place, ".tmp"), func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
	if len(paths) > 0 {
		s.torn++
	}
	return paths
}

// settle waits until the daemon has made up for what it was killed in.
func (d *daemon) settle() {
	d.t.Helper()
	d.wait("all places to have what they lack", func() bool {
		return !slices.ContainsFunc(d.placeStates(), func(state string) bool { return state != "well" })
	})
}

// idle waits until a gc that was broken off is made up for.
func (d *daemon) idle() {
	d.t.Helper()
	quiet := 0
	d.wait("all tasks to end", func() bool {
		for _, t := range d.tasks() {
			if t.State == "running" {
				quiet = 0
				return false
			}
		}
		quiet++ // it begins a moment after the daemon
		return quiet == 5
	})
}

// tasks lists all tasks by their ids.
func (d *daemon) tasks() map[string]task {
	d.t.Helper()
	var all []task
	d.json(&all, "tasks", "list")
	byID := map[string]task{}
	for _, t := range all {
		byID[t.ID] = t
	}
	return byID
}

// brokenOff looks what became of the tasks that were not there before.
func (s *siege) brokenOff(t testing.TB, d *daemon, b blow, before map[string]task) {
	t.Helper()
	hit := false
	for id, now := range d.tasks() {
		if _, old := before[id]; old {
			continue
		}
		switch {
		case now.Kind == "gc" && (now.State == "running" || now.State == "completed"): // one that is made up for
		case now.Kind != b.kind:
			t.Errorf("there is a task %+v", now)
		case now.State == "failed" && strings.Contains(now.Error, "killed"):
			hit = true
		case now.State != "completed":
			t.Errorf("the task that was broken off is %+v", now)
		}
	}
	if hit {
		s.met[b.kind]++
	}
}

// reconcile compares the versions with those that must be there.
func (s *siege) reconcile(t testing.TB, d *daemon) {
	t.Helper()
	there := map[string]bool{}
	for _, v := range d.versions(s.source) {
		there[v.Version] = true
	}
	var still []kept
	for _, k := range s.kept {
		if there[k.version] {
			still = append(still, k)
		} else if k.version != s.doomed {
			t.Errorf("version %s is missing", k.version)
		}
		delete(there, k.version)
	}
	for _, v := range slices.Sorted(maps.Keys(there)) {
		if s.pending == nil {
			t.Errorf("version %s should not be there", v)
			continue
		}
		still = append(still, kept{v, s.pending})
		s.pending = nil
	}
	s.kept, s.pending, s.doomed = still, nil, ""
}

// whole compares what each version holds.
func (s *siege) whole(t testing.TB, d *daemon) {
	t.Helper()
	all := d.versions(s.source)
	for i, k := range s.kept {
		same(t, "version "+k.version, k.state, read(t, all[i].Path))
	}
}

// end looks at everything once more, and counts.
func (s *siege) end(t *testing.T) {
	t.Run("in the end", func(t *testing.T) {
		d := start(t, s.home)
		s.whole(t, d)
		s.undisturbed(t, d, blows[1])
		d.run(done, "vault", "check", "--read-data", "--wait")
		s.whole(t, d)
	})
	for _, b := range blows {
		tally(t, s.kills[b.kind], "kills in a "+b.kind)
		tally(t, s.met[b.kind], "kills in a "+b.kind+" that met it at work")
	}
	tally(t, s.torn, "kills that left temporary files")
}
