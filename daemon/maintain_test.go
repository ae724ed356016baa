package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/store"
)

// await returns the end of a task.
func await(t *testing.T, c *control.Client, task control.Task, err error) control.Task {
	t.Helper()
	if err == nil {
		err = c.WatchTask(t.Context(), task.ID, func(now control.Task) error { task = now; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func check(t *testing.T, c *control.Client, part float64) control.Task {
	t.Helper()
	task, err := c.VaultCheck(t.Context(), control.CheckRequest{ReadData: part})
	return await(t, c, task, err)
}

func repair(t *testing.T, c *control.Client) control.Task {
	t.Helper()
	task, err := c.VaultRepair(t.Context())
	return await(t, c, task, err)
}

// random is content that no compression makes smaller.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// startFilled serves a vault with one version of a folder with a file named big.
func startFilled(t *testing.T) (o Options, c *control.Client, dir string, version control.Result) {
	t.Helper()
	o, c, dir, version, _ = startFilledUntil(t)
	return o, c, dir, version
}

// startFilledUntil is startFilled with a function that stops the daemon.
func startFilledUntil(t *testing.T) (o Options, c *control.Client, dir string, version control.Result, stop func()) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "source")
	needPartition(t, filepath.Dir(dir))
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "big"), random(4<<20), 0o644)); err != nil {
		t.Fatal(err)
	}
	o = options(t)
	c, stop = serve(t, o)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	return o, c, dir, backUp(t, c).Results[0], stop
}

// allPacks are the files of all packs, the one with the most bytes first.
func allPacks(t *testing.T, vault string) (paths []string) {
	t.Helper()
	size := map[string]int64{}
	err := filepath.WalkDir(vault, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !strings.Contains(p, "/packs/") {
			return err
		}
		info, err := e.Info()
		if err == nil {
			paths, size[p] = append(paths, p), info.Size()
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatalf("no pack in %s: %v", vault, err)
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(size[b], size[a]) })
	return paths
}

// largestPack is the file of the pack with the most bytes.
func largestPack(t *testing.T, vault string) string { return allPacks(t, vault)[0] }

// damage flips n bytes from off on.
func damageFile(t *testing.T, path string, off, n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b[off : off+n] {
		b[off+i] ^= 0xff
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheckFindsDamageAndRepairHealsIt(t *testing.T) {
	o, c, _, _ := startFilled(t)
	if got := check(t, c, 1); got.State != control.Completed || got.Report.Versions != 1 || got.Report.ReadPacks != got.Report.Packs || got.Report.ReadBytes < 4<<20 {
		t.Errorf("a whole vault: %+v, %+v", got, got.Report)
	}
	file := largestPack(t, o.Home.Vault)
	before, _ := os.ReadFile(file)
	damageFile(t, file, 1<<20, 100)

	got := check(t, c, 1)
	if got.State != control.Partial || got.Report.ProblemCount != 1 || got.Report.LostCount != 0 || got.Error != "" {
		t.Fatalf("got %+v, %+v", got, got.Report)
	}
	if p := got.Report.Problems[0]; !p.Heals || p.Pack != filepath.Base(file) || p.Place != o.Home.Vault || p.What == "" {
		t.Errorf("got %+v", p)
	}
	if s, err := c.Status(t.Context()); err != nil || !slices.ContainsFunc(s.Attention, func(l string) bool { return strings.Contains(l, got.ID) }) {
		t.Errorf("got %v, %v", s.Attention, err)
	}
	if r := repair(t, c); r.State != control.Completed || r.Report.HealedPacks != 1 || r.Report.HealedBlocks == 0 {
		t.Errorf("got %+v, %+v", r, r.Report)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the pack is not as it was: %v", err)
	}
	if s, err := c.Status(t.Context()); err != nil || len(s.Attention) > 1 { // one says that nothing is mounted
		t.Errorf("got %v, %v", s.Attention, err)
	}
	kept, err := c.Task(t.Context(), got.ID)
	if err != nil || kept.Report == nil || len(kept.Report.Problems) != 1 {
		t.Errorf("kept is %+v, %v", kept, err)
	}
}

// However much a repair heals is one message, and was met by nobody who read.
func TestWhatARepairHealsIsToldOnce(t *testing.T) {
	o, c, _, _ := startFilled(t)
	packs := allPacks(t, o.Home.Vault)
	for _, file := range packs {
		damageFile(t, file, 5000, 100)
	}
	r := repair(t, c)
	if r.State != control.Completed || r.Report.HealedPacks != len(packs) || len(packs) < 2 {
		t.Fatalf("got %+v, %+v", r, r.Report)
	}
	m := metricsOf(t, o)
	if m[`yester_damage_found_total{by="reading"}`] != 0 || m[`yester_damage_healed_total{by="reading"}`] != 0 || m[`yester_damage_healed_total{by="repair"}`] != float64(len(packs)) {
		t.Errorf("counted %v", m)
	}
	told, err := c.Messages(t.Context(), control.MessagesRequest{})
	if err != nil || len(told) != 1 || !strings.HasPrefix(told[0].Text, fmt.Sprintf("the repair %s healed %d packs", r.ID, len(packs))) || told[0].Resolved == nil {
		t.Errorf("told %+v, %v", told, err)
	}
}

// The backup that heals it finds the file as it was, and old enough not to be read again for its youth.
func TestDamageBeyondParityIsNamedAndALaterBackupHealsIt(t *testing.T) {
	o, c, dir, first := startFilled(t)
	const youth = 2100 * time.Millisecond
	time.Sleep(youth)
	second := backUp(t, c).Results[0]
	damageFile(t, largestPack(t, o.Home.Vault), 1<<20, 2<<20)
	for _, got := range []control.Task{check(t, c, 1), repair(t, c)} {
		r := got.Report
		if got.State != control.Partial || r.LostCount != 2 || r.LostChunks == 0 {
			t.Fatalf("got %+v, %+v", got, r)
		}
		for i, v := range []control.Result{first, second} {
			if l := r.Lost[i]; !strings.HasSuffix(l.Path, filepath.Join(dir, "big")) && !strings.HasSuffix(filepath.Join(dir, "big"), l.Path) ||
				l.Version != v.Version || l.Partition != v.Partition || l.Bytes == 0 || l.Bytes > 4<<20 {
				t.Errorf("got %+v", l)
			}
		}
	}
	backUp(t, c)
	if got := check(t, c, 1); got.State != control.Completed {
		t.Errorf("after a backup: %+v, %+v", got, got.Report)
	}
}

func TestForgetGivesSpaceBack(t *testing.T) {
	_, c, dir, first := startFilled(t)
	if err := errors.Join(os.Remove(filepath.Join(dir, "big")), os.WriteFile(filepath.Join(dir, "small"), []byte("stays"), 0o644)); err != nil {
		t.Fatal(err)
	}
	second := backUp(t, c).Results[0]
	before, err := c.VaultInfo(t.Context())
	if err != nil || before.Logical < 4<<20 || before.Compress < 0.9 || before.Dedup < 0.9 || before.Collected != nil || before.Parity == 0 {
		t.Errorf("got %+v, %v", before, err)
	}
	f, err := c.Forget(t.Context(), control.ForgetRequest{Partition: first.Partition, Version: first.Version})
	if err != nil || f.Task == nil {
		t.Fatalf("got %+v, %v", f, err)
	}
	if gc := await(t, c, *f.Task, nil); gc.State != control.Completed || gc.Report.Freed < 4<<20 || gc.Kind != control.KindGC {
		t.Errorf("got %+v, %+v", gc, gc.Report)
	}
	after, err := c.VaultInfo(t.Context())
	if err != nil || after.Stored+4<<20 > before.Stored || after.Collected == nil {
		t.Errorf("got %+v, %v, before %+v", after, err, before)
	}
	vs, err := c.Versions(t.Context(), control.VersionsRequest{})
	if err != nil || len(vs) != 1 || vs[0].Version != second.Version {
		t.Errorf("got %+v, %v", vs, err)
	}
	if _, err := c.Forget(t.Context(), control.ForgetRequest{Partition: first.Partition, Version: first.Version}); !errors.Is(err, control.NotFound) {
		t.Errorf("twice: %v", err)
	}
	if got := check(t, c, 1); got.State != control.Completed {
		t.Errorf("got %+v, %+v", got, got.Report)
	}
}

// A backup under way keeps what it may refer to, and one that met a bug of ours is none.
func TestBackupThatMetABugKeepsNoSpace(t *testing.T) {
	s := newStill(t)
	if err := os.WriteFile(filepath.Join(s.dir, "big"), random(4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s.days("2026-11-24")
	now := s.o.Now
	s.o.Now = func() time.Time {
		if strings.Contains(string(debug.Stack()), "/capture.run(") {
			panic("oops")
		}
		return now()
	}
	if task := s.backedUp(); task.State != control.Failed || task.Error != "internal error: oops" {
		t.Fatalf("got %+v", task)
	}
	s.o.Now = now
	k := s.vault.Versions(s.instance.ID)[0]
	f := mustNot[control.Forgotten](t)(s.forget(t.Context(), control.ForgetRequest{Partition: k.Partition, Version: k.Version}))
	if gc := wait(t, s.tasks, f.Task.ID); gc.State != control.Completed || gc.Report.Freed < 4<<20 {
		t.Errorf("got %+v, %+v", gc, gc.Report)
	}
}

// What a gc found again counts for nothing of what it did not.
func TestGCTellsWhatIsLost(t *testing.T) {
	for _, tt := range []struct {
		found store.Collected
		want  string
	}{
		{store.Collected{}, ""},
		{store.Collected{Recovered: 2}, ""},
		{store.Collected{Missing: 1}, "1 pieces"},
		{store.Collected{Missing: 2, Recovered: 2}, "2 pieces"},
	} {
		got := lacks(&tt.found)
		if (len(got) == 0) != (tt.want == "") || len(got) > 0 && !strings.HasPrefix(got[0].Err.Error(), tt.want) {
			t.Errorf("%+v: got %v", tt.found, got)
		}
	}
}

// A kill between the deletion and its gc, or in the gc, leaves it to the next daemon.
func TestGCThatADeletionIsDueOutlivesAKill(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	keys := s.vault.Versions(s.instance.ID)
	s.wantDue(false)
	if err := s.forgetUnpinned(t.Context(), s.vault, keys[0]); err != nil { // and killed
		t.Fatal(err)
	}
	s.again()
	s.wantDue(true)
	if err := s.chores(s.t.Context()); err != nil {
		t.Fatal(err)
	}
	gc := s.tasks.jobs[lane(control.KindGC)]
	<-gc.done
	if end := gc.look(s.o.Now()); end.State != control.Completed || !end.Scheduled {
		t.Errorf("got %+v", end)
	}
	s.wantDue(false)

	before := s.deleted()
	if err := s.forgetUnpinned(t.Context(), s.vault, keys[1]); err != nil {
		t.Fatal(err)
	}
	if err := s.collected(before, true); err != nil { // one that had begun before
		t.Fatal(err)
	}
	s.wantDue(true)
	if err := s.collected(s.deleted(), true); err != nil {
		t.Fatal(err)
	}
	if err := s.forgetUnpinned(t.Context(), s.vault, keys[1]); !errors.Is(err, control.NotFound) {
		t.Errorf("got %v", err)
	}
	s.wantDue(false)
}

// What a backup that was cut off has stored is used by the next one, and no version says so yet.
func TestGCWaitsForABackupThatWasCutOff(t *testing.T) {
	s := newStill(t, func(o *Options) { o.Settings.ScrubDays, o.Settings.DrillDays = new(int), new(int) })
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	cutOff := func(clock, state string) {
		t.Helper()
		s.at(clock)
		end := s.o.Now().Add(time.Hour)
		task := control.Task{ID: "b-" + clock[:10], Kind: control.KindBackup, State: state, Start: s.o.Now(), End: &end}
		if err := s.db.PutTask(task); err != nil {
			t.Fatal(err)
		}
		s.at(end.Format("2006-01-02 15:04"))
	}
	forget := func() {
		t.Helper()
		if err := s.forgetUnpinned(t.Context(), s.vault, s.vault.Versions(s.instance.ID)[0]); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	cutOff("2026-11-26 12:00", control.Cancelled)
	cutOff("2026-11-27 12:00", control.Failed)
	cutOff("2026-11-28 12:00", control.Skipped)
	s.wantChores()
	s.wantDue(true)
	s.at("2026-12-03 11:59")
	s.wantChores()
	s.at("2026-12-03 12:00") // a week after the first of them began
	s.wantChores("g-20261203-0001 completed")

	s.days("2026-12-04")
	cutOff("2026-12-04 12:00", control.Failed)
	forget()
	s.wantChores()
	s.days("2026-12-05")
	s.wantChores("g-20261205-0001 completed")
}

// What is due stays so if its task fails, which begins again after a day and not at once, and keeps nothing else from beginning; a gc also when there is more to collect.
func TestWhatFailedIsDueADayLater(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27")
	keys := s.vault.Versions(s.instance.ID)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	found := []string{strings.Repeat("a", 32)}
	must(s.changeUpkeep(func(u *upkeepState) { u.Repair, u.Scrubbed = found, s.o.Now().Add(-scrubEvery) }))
	must(s.forgetUnpinned(t.Context(), s.vault, keys[0]))
	let := s.busy()
	s.wantChores("r-20261127-0001 failed", "g-20261127-0001 failed", "c-20261127-0001 completed")
	if u := mustNot[upkeepState](t)(s.upkeepState()); !slices.Equal(u.Repair, found) || !u.Collect {
		t.Errorf("due is %+v", u)
	}
	must(s.forgetUnpinned(t.Context(), s.vault, keys[1]))
	s.wantChores("g-20261127-0002 failed")
	let()
	s.wantChores()
	s.at("2026-11-28 03:16")
	s.wantChores()
	s.at("2026-11-28 03:17")
	s.wantChores("r-20261128-0001 completed", "g-20261128-0001 completed", "d-20261128-0001 completed", "c-20261128-0001 completed")
	if u := mustNot[upkeepState](t)(s.upkeepState()); u.Repair != nil || u.Collect {
		t.Errorf("due is %+v", u)
	}
}

// What heals only with a place that is away waits for it, and is then healed; and what is said of it is over.
func TestDamageThatNeedsAMissingPlaceIsHealedWhenThatIsBack(t *testing.T) {
	places := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "c")}
	s := newStill(t, func(o *Options) {
		o.Settings.Vault.Places, o.Settings.ScrubDays, o.Settings.DrillDays = places, new(int), new(int)
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(s.dir, "big"), random(4<<20), 0o644))
	s.days("2026-11-24")
	must(os.Rename(places[1], places[1]+".away"))
	file := largestPack(t, places[0])
	damageFile(t, file, 1<<20, 100)
	found := filepath.Base(file)
	must(s.changeUpkeep(func(u *upkeepState) { u.Repair = []string{found} }))
	wantDue := func(want ...string) {
		t.Helper()
		if u := mustNot[upkeepState](t)(s.upkeepState()); !slices.Equal(u.Repair, want) {
			t.Errorf("due are %q, want %q", u.Repair, want)
		}
	}
	s.wantChores("r-20261124-0001 partial")
	wantDue(found)
	s.at("2026-11-25 03:16")
	s.wantChores()
	s.at("2026-11-25 03:17")
	s.wantChores("r-20261125-0001 partial")
	wantDue(found)
	if got := slices.Sorted(slices.Values(s.damaged())); !slices.Equal(got, []string{scrubDamage, placeCause(places[1])}) {
		t.Errorf("told are %q", got)
	}
	must(os.Rename(places[1]+".away", places[1]))
	must(s.vault.Mend(t.Context()))
	for len(s.troubles) > 0 {
		s.tell(<-s.troubles)
	}
	s.wantChores() // the place may come and go
	s.at("2026-11-25 04:17")
	s.wantChores("r-20261125-0002 completed")
	wantDue()
	if got := s.damaged(); len(got) > 0 {
		t.Errorf("%q stay", got)
	}
}

// What adding a place left, as another was away, goes on when that is back.
func TestSpreadingGoesOnWhenAPlaceIsBack(t *testing.T) {
	places := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "c")}
	s := newStill(t, func(o *Options) {
		o.Settings.Vault.Places, o.Settings.ScrubDays, o.Settings.DrillDays = places, new(int), new(int)
	})
	s.days("2026-11-24")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Rename(places[1], places[1]+".away"))
	s.site.settings.Vault.Places = append(places, filepath.Join(t.TempDir(), "d"))
	task, err := s.placeAdd(t.Context(), control.PlaceAddRequest{Place: s.site.settings.Vault.Places[3]})
	must(err)
	if got := wait(t, s.tasks, task.ID); got.State != control.Failed || !strings.Contains(got.Error, places[1]) {
		t.Errorf("got %+v", got)
	}
	s.wantChores()
	must(os.Rename(places[1]+".away", places[1]))
	must(s.vault.Mend(t.Context()))
	for len(s.troubles) > 0 {
		s.tell(<-s.troubles)
	}
	s.wantChores("p-20261124-0002 completed")
	s.wantChores()
}

// A place that is back while the task still fails is no less a reason to go on.
func TestSpreadingGoesOnWhenAPlaceIsBackBeforeItHasFailed(t *testing.T) {
	s := newStill(t, func(o *Options) { o.Settings.ScrubDays, o.Settings.DrillDays = new(int), new(int) })
	m := &maintenance{d: s.Daemon, vault: s.vault}
	for _, back := range []bool{false, true} {
		err := m.spread(func() error {
			if back {
				s.tell(store.Trouble{Kind: store.PlaceBack})
			}
			return errors.New("a place is missing")
		})
		if err == nil {
			t.Error("nothing failed")
		}
		if !back {
			s.wantChores()
		}
	}
	s.wantChores("p-20261123-0001 completed")
}

// busy has somebody collect, so that no repair and no gc goes well, until end is called.
func (s *still) busy() (end func()) {
	began, let, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	first := sync.OnceFunc(func() { close(began); <-let })
	go func() {
		_, err := s.vault.Collect(s.t.Context(), store.CollectOptions{Mark: func(context.Context, []byte, store.Visit) error {
			first()
			return errors.New("nothing is collected")
		}})
		done <- err
	}()
	select {
	case <-began:
	case err := <-done:
		s.t.Fatalf("it ended before it began: %v", err)
	}
	end = sync.OnceFunc(func() { close(let); <-done })
	s.t.Cleanup(end) // also if the test fails before it calls it
	return end
}

// wantChores does the chores until nothing begins any more, and looks at which tasks there were.
func (s *still) wantChores(want ...string) {
	s.t.Helper()
	var got []string
	for {
		before := mustNot[[]control.Task](s.t)(s.tasks.list())
		if err := s.chores(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		for _, task := range mustNot[[]control.Task](s.t)(s.tasks.list()) {
			if !slices.ContainsFunc(before, func(b control.Task) bool { return b.ID == task.ID }) {
				got = append(got, task.ID+" "+wait(s.t, s.tasks, task.ID).State)
			}
		}
		if n := len(mustNot[[]control.Task](s.t)(s.tasks.list())); n == len(before) || len(got) > 5 {
			break
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("at %v there were %q, want %q", s.o.Now(), got, want)
	}
}

func TestForgetSaysWhyNoGCBegins(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25")
	k := s.vault.Versions(s.instance.ID)[0]
	repair := mustNot[control.Task](t)(s.tasks.start(control.KindRepair, false, untilCancelled))
	f, err := s.forget(t.Context(), control.ForgetRequest{Partition: k.Partition, Version: k.Version})
	if err != nil || f.Task != nil || f.Because != "a repair is already running ("+repair.ID+")" {
		t.Errorf("got %+v, %v", f, err)
	}
	s.wantDue(true)
}

// What a deletion that failed half-way left is deleted later, and its space given back; unless it came to be wanted since.
func TestDeletionThatIsCompletedLater(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	keys := s.vault.Versions(s.instance.ID)
	by := func(p *control.Policy) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.policy = p
	}
	refused := func(what string, k store.VersionKey, want bool) {
		t.Helper()
		end, wanted := s.leave(k)
		if end != nil || wanted != want {
			t.Errorf("%s: it may go: %v, it is wanted: %v", what, end != nil, wanted)
		}
		if end != nil {
			end()
		}
	}
	by(&control.Policy{RetentionDays: 1, KeepLatest: true, KeepDaily: 3})
	refused("the policy keeps it by now", keys[0], true)
	by(&control.Policy{RetentionDays: 30})
	refused("it has not expired, and to delete it by hand failed", keys[0], true)
	by(nil)
	refused("nobody says when it expires", keys[0], true)
	by(&control.Policy{RetentionDays: 1, KeepLatest: true})
	refused("it is the newest", keys[2], true)
	if _, err := s.pin(t.Context(), control.PinRequest{Partition: keys[1].Partition, Version: keys[1].Version}); err != nil {
		t.Fatal(err)
	}
	refused("it is pinned", keys[1], true)
	s.hold(keys[0], 1)
	refused("it is being restored", keys[0], true)
	s.hold(keys[0], -1)
	for _, lock := range []interface {
		Lock()
		Unlock()
	}{&s.keeping, &s.deleting, &s.mu} {
		lock.Lock()
		refused("somebody is at work", keys[0], false)
		lock.Unlock()
	}
	v := s.vault
	s.vault = nil
	refused("the vault is not open yet", keys[0], false)
	s.vault = v
	w := mustNot[state.Watch](t)(s.db.Watch())
	if err := s.beginGrace(); err != nil {
		t.Fatal(err)
	}
	refused("it is in its first day", keys[0], true)
	if err := s.db.PutWatch(w); err != nil {
		t.Fatal(err)
	}
	end, wanted := s.leave(keys[0])
	if end == nil || wanted {
		t.Fatal("another may not go")
	}
	if s.keeping.TryLock() {
		t.Error("it can be pinned meanwhile")
	}
	end() // it failed again
	s.wantDue(false)
	if end, wanted = s.leave(keys[0]); end == nil || wanted {
		t.Fatal("another may not go the second time")
	}
	if err := s.vault.Delete(t.Context(), keys[0]); err != nil {
		t.Fatal(err)
	}
	end()
	s.wantDue(true)
	if err := s.keepService(control.StateCancelling); err != nil {
		t.Fatal(err)
	}
	if end, wanted = s.leave(keys[2]); end == nil || wanted {
		t.Fatal("one of a service that is cancelled may not go")
	}
	end()
}

// wantDue looks whether a gc is due.
func (s *still) wantDue(want bool) {
	s.t.Helper()
	if u, err := s.upkeepState(); err != nil || u.Collect != want {
		s.t.Errorf("a gc is due: %v, want %v, %v", u.Collect, want, err)
	}
}

func TestRebuildEntersAllPacks(t *testing.T) {
	_, c, _, _ := startFilled(t)
	task, err := c.VaultRebuild(t.Context())
	info, _ := c.VaultInfo(t.Context())
	if got := await(t, c, task, err); got.State != control.Completed || uint64(got.Report.Packs) != info.Packs {
		t.Errorf("got %+v, %+v", got, got.Report)
	}
}

func TestCancelledCheckStopsSoonAndTheNextGoesOn(t *testing.T) {
	_, c, dir, _ := startFilled(t)
	if err := os.WriteFile(filepath.Join(dir, "bigger"), random(48<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Priority: "low"}); err != nil { // 10 MB/s
		t.Fatal(err)
	}
	task, err := c.VaultCheck(t.Context(), control.CheckRequest{ReadData: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.VaultCheck(t.Context(), control.CheckRequest{}); !errors.Is(err, control.Busy) || !strings.Contains(err.Error(), task.ID) {
		t.Errorf("a second: %v", err)
	}
	begin := time.Now()
	got, err := c.CancelTask(t.Context(), task.ID)
	if err != nil || got.State != control.Cancelled || got.Error != "stopped on request" || time.Since(begin) > 5*time.Second {
		t.Errorf("got %+v, %v after %v", got, err, time.Since(begin))
	}
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	if got := check(t, c, 1); got.State != control.Completed {
		t.Errorf("got %+v", got)
	}
}

func TestVersionThatABackupBuildsOnStays(t *testing.T) {
	d := &Daemon{}
	key := store.VersionKey{Instance: "i", Partition: "root", Version: "2026-11-23T031705Z"}
	d.parents = map[store.VersionKey]struct{}{key: {}}
	if err := d.delete(t.Context(), nil, key, nil); !errors.Is(err, control.Busy) {
		t.Errorf("got %v", err)
	}
}

func TestTasksThatMovePacksExcludeEachOtherAndNoOthers(t *testing.T) {
	ts := newTasks(t)
	start := func(kind string) error {
		_, err := ts.start(kind, false, untilCancelled)
		return err
	}
	for _, kind := range []string{control.KindBackup, control.KindCheck, control.KindGC} {
		if err := start(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for _, kind := range []string{control.KindBackup, control.KindCheck, control.KindGC, control.KindRepair, control.KindRebuild} {
		if err := start(kind); !errors.Is(err, control.Busy) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := ts.stop(t.Context()); err != nil || !ts.idle() {
		t.Errorf("got %v", err)
	}
}

func TestReportsKeepListsInBoundsAndListingsDropThem(t *testing.T) {
	w := reporter{to: &control.Report{}}
	for range 1000 {
		w.path(control.Lost{Path: strings.Repeat("x", 4096)})
	}
	if n := len(w.to.Lost); w.to.LostCount != 1000 || n == 0 || n*4096 > maxReportBytes {
		t.Errorf("%d of %d kept", n, w.to.LostCount)
	}
	if b := (&control.Task{Report: w.to}).Brief(); b.Report.Lost != nil || b.Report.LostCount != 1000 || len(w.to.Lost) == 0 {
		t.Errorf("got %+v", b.Report)
	}
}

// count counts tasks of a kind, in a state unless that is "".
func count(t *testing.T, c *control.Client, kind, state string) (n int) {
	t.Helper()
	all, err := c.Tasks(t.Context(), control.TasksRequest{State: state})
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Kind == kind {
			n++
		}
	}
	return n
}

// until waits for something that nothing announces.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
