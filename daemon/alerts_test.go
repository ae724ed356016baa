package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/store"
)

// A webhook is an HTTP server on an address of its own that notes the alerts it gets.
type webhook struct {
	got chan control.Alert
	s   *http.Server
}

func serveHook(t *testing.T, address string) *webhook {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	h := &webhook{got: make(chan control.Alert, 100)}
	h.s = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a control.Alert
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(b, &a)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.got <- a
	})}
	done := make(chan struct{})
	go func() { _ = h.s.Serve(l); close(done) }()
	t.Cleanup(func() { h.s.Close(); <-done })
	return h
}

// next waits for an alert.
func (h *webhook) next(t *testing.T) control.Alert {
	t.Helper()
	select {
	case a := <-h.got:
		return a
	case <-time.After(time.Minute):
		t.Fatal("no alert came")
		return control.Alert{}
	}
}

// The server is down when the backup fails, while the daemon is restarted in the middle of its tries, and comes back after that.
func TestAlertsOutliveTheDaemonAndADeadServer(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	o := options(t)
	o.Retry = time.Millisecond
	c, stop := serve(t, o)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	hook := control.Channel{Name: "hook", Webhook: &control.Webhook{URL: "http://" + address}}
	added, err := c.AlertsAdd(t.Context(), control.ChannelAddRequest{Channel: hook})
	if err != nil || len(added.Key) < 26 {
		t.Fatalf("got %+v, %v", added, err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if task := backUp(t, c); task.State != control.Failed {
			t.Fatalf("a backup of what is gone: %+v", task)
		}
	}
	channel := func() control.Channel {
		list, err := c.Alerts(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("got %+v, %v", list, err)
		}
		return list[0]
	}
	for channel().Failures < 3 {
		time.Sleep(time.Millisecond)
	}
	if s, err := c.Status(t.Context()); err != nil || !strings.Contains(strings.Join(s.Attention, "\n"), "the channel hook takes no alerts since") {
		t.Errorf("status says %q, %v", s.Attention, err)
	}
	stop()

	c, stop = serve(t, o)
	if q := channel(); q.Failures < 3 || q.Waiting != 1 || !strings.Contains(q.Error, "refused") {
		t.Errorf("after a restart: %+v", q)
	}
	h := serveHook(t, address)
	raised := h.next(t)
	if raised.Event != control.EventRaised || raised.Kind != control.MessageBackup || raised.Instance.ID == "" || !strings.Contains(raised.Text, dir+" is not there") {
		t.Errorf("got %+v", raised)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	over := h.next(t)
	if over.Event != control.EventRecovered || over.Resolved == nil || strings.TrimSuffix(over.ID, "/recovered") != strings.TrimSuffix(raised.ID, "/raised") {
		t.Errorf("got %+v", over)
	}
	if tests, err := c.AlertsTest(t.Context(), ""); err != nil || len(tests) != 1 || tests[0].Error != "" || h.next(t).Event != control.EventTest {
		t.Errorf("got %+v, %v", tests, err)
	}
	if err := c.AlertsRemove(t.Context(), "hook"); err != nil {
		t.Error(err)
	}
	stop()
	if n := len(h.got); n != 0 {
		t.Errorf("%d alerts too many", n)
	}
	if left, err := os.ReadDir(o.Home.Alerts); err != nil || len(left) != 0 {
		t.Errorf("secrets left: %v, %v", left, err)
	}
}

func TestChannelThatGaveUpAllItHadIsTold(t *testing.T) {
	s := newStill(t)
	failing := control.Channel{Name: "hook", Webhook: &control.Webhook{URL: "http://127.0.0.1:9/"}, Failures: 170, Failing: s.o.Now(), Error: "it is refused"}
	if err := errors.Join(s.db.PutChannel(failing), s.openAlerts()); err != nil {
		t.Fatal(err)
	}
	st := mustNot[control.Status](t)(s.status(t.Context(), control.None{}))
	if want := "the channel hook takes no alerts since 2026-11-23 12:00:00: it is refused; what it did not take for a week was given up"; !strings.Contains(strings.Join(st.Attention, "\n"), want) {
		t.Errorf("status says %q", st.Attention)
	}
}

func TestStatusTellsWhichRecipientsAreRefused(t *testing.T) {
	s := newStill(t)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.db.PutChannel(control.Channel{Name: "smtp", SMTP: &control.SMTP{To: []string{"a@b", "c@d"}}, Error: "a@b is refused"}))
	must(s.openAlerts())
	if st := mustNot[control.Status](t)(s.status(t.Context(), control.None{})); !strings.Contains(strings.Join(st.Attention, "\n"), "the channel smtp does not reach all: a@b is refused") {
		t.Errorf("status says %q", st.Attention)
	}
}

// open lists the causes of the open messages of a kind.
func (s *still) open(kind string) (texts []string) {
	for _, m := range s.alerts.List(true) {
		if m.Kind == kind {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

func TestADayWithoutACompletedVersionIsTold(t *testing.T) {
	s := newStill(t)
	look := func(clock string) []string {
		s.at(clock)
		s.lookAtVersions(t.Context(), s.vault)
		return s.open(control.MessageLate)
	}
	if got := look("2026-11-24 17:59"); len(got) != 0 { // activated the day before at noon, with a window of six hours
		t.Errorf("too early: %q", got)
	}
	if got := look("2026-11-24 18:01"); len(got) != 1 || !strings.Contains(got[0], "has no version yet") {
		t.Errorf("no version at all: %q", got)
	}
	if got := look("2026-11-24 19:00"); len(got) != 1 || s.alerts.List(true)[len(s.alerts.List(true))-1].Count != 1 {
		t.Errorf("told again: %q", got)
	}
	s.to("2026-11-25 03:17")
	if got := look("2026-11-25 03:18"); len(got) != 0 {
		t.Errorf("after a version: %q", got)
	}
	if got := look("2026-11-26 09:17"); len(got) != 0 {
		t.Errorf("too early: %q", got)
	}
	if got := look("2026-11-26 09:18"); len(got) != 1 || !strings.Contains(got[0], "the newest is 2026-11-25T0317") {
		t.Errorf("a day after it: %q", got)
	}
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	if got := look("2026-11-27 00:00"); len(got) != 0 {
		t.Errorf("while paused: %q", got)
	}
	mustNot[control.Lifecycle](t)(s.resume(t.Context(), control.None{}))
	if got := append(look("2026-11-27 00:01"), look("2026-11-28 06:01")...); len(got) != 0 {
		t.Errorf("just resumed: %q", got)
	}
	if got := look("2026-11-28 06:02"); len(got) != 1 {
		t.Errorf("a day after it was resumed: %q", got)
	}
}

func TestTasksThatDoNotEndWellAreToldAndThatTheNextOneDid(t *testing.T) {
	s := newStill(t)
	s.taskEnded(&control.Task{ID: "g-1", Kind: control.KindGC, State: control.Failed, Error: "the disk is full"})
	s.taskEnded(&control.Task{ID: "r-1", Kind: control.KindRestore, State: control.Partial, Restored: &control.Restored{FailedCount: 1}})
	s.taskEnded(&control.Task{ID: "c-1", Kind: control.KindCheck, State: control.Cancelled})
	if got := s.open(control.MessageTask); len(got) != 2 || !strings.Contains(got[0], "the gc g-1 failed: the disk is full") {
		t.Errorf("got %q", got)
	}
	s.taskEnded(&control.Task{ID: "g-2", Kind: control.KindGC, State: control.Completed})
	s.taskEnded(&control.Task{ID: "r-2", Kind: control.KindRestore, State: control.Completed})
	if got := s.open(control.MessageTask); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestWhatAnyTaskFindsLostIsTold(t *testing.T) {
	for _, kind := range []string{control.KindGC, control.KindCancel, control.KindCheck, control.KindRepair} {
		s := newStill(t)
		s.taskEnded(&control.Task{ID: "x-1", Kind: kind, State: control.Partial, Report: &control.Report{ProblemCount: 1}})
		if got := s.open(control.MessageDamage); len(got) != 1 || !strings.Contains(got[0], "a "+kind+" found the vault damaged") || !s.vaultDamaged() {
			t.Errorf("got %q", got)
		}
	}
}

// A disk that is going bad would have each of its files be an alert of its own, among which nobody sees the others.
func TestWhatReadingHealsIsOneMessageForAPlaceAndDay(t *testing.T) {
	s := newStill(t)
	for _, at := range []string{"/a 1", "/a 2", "/b 1", "/a 3"} {
		place, file, _ := strings.Cut(at, " ")
		s.tell(store.Trouble{Kind: store.Damaged, Place: place, File: file, Offset: -1, Healed: true})
	}
	var got []string
	for _, m := range s.alerts.List(false) {
		if m.Kind == control.MessageDamage && m.Resolved != nil {
			got = append(got, fmt.Sprint(m.Count, " ", m.Text))
		}
	}
	slices.Sort(got)
	if want := []string{"1 damage of 1 in /b was healed; look after the disk", "3 damage of 3 in /a was healed; look after the disk"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// What stays damaged and waits for no repair of the daemon's own is not over because a check of another part finds nothing.
func TestDamageThatNobodyRepairsIsNotOverByAnyCheck(t *testing.T) {
	s := newStill(t)
	id := strings.Repeat("a", 32)
	for _, p := range []control.Problem{{Place: "/b", Version: "v"}, {Pack: id}} {
		s.taskEnded(&control.Task{ID: "r-1", Kind: control.KindRepair, State: control.Partial, Report: &control.Report{ProblemCount: 1, Problems: []control.Problem{p}}, Scheduled: true})
	}
	if got := s.damaged(); !slices.Equal(got, []string{scrubDamage, foundDamage}) {
		t.Errorf("told are %q", got)
	}
	wait(t, s.tasks, mustNot[control.Task](t)(checks(0)(s)).ID)
	if got := s.damaged(); !slices.Equal(got, []string{foundDamage}) {
		t.Errorf("%q stay", got)
	}
}

// Damage is over when whoever could have met it again looked for it and did not.
func TestDamageIsOverWhenItWasLookedForAndNotFound(t *testing.T) {
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	all := []string{"a", "b", foundDamage, scrubDamage}
	for _, tt := range []struct {
		what  string
		look  func(*still) (control.Task, error)
		stays []string
	}{
		{"a check of no data", checks(0), all},
		{"one of some data", checks(0.1), all},
		{"one of all data", checks(1), nil},
		{"a repair of all", func(s *still) (control.Task, error) { return s.vaultRepair(t.Context(), control.None{}) }, nil},
		{"the daemon's repair of a pack", func(s *still) (control.Task, error) {
			err := s.repairFound([]string{b})
			return s.tasks.jobs[lane(control.KindRepair)].look(s.o.Now()), err
		}, []string{"a", foundDamage}},
	} {
		s := newStill(t)
		s.days("2026-11-24")
		for _, id := range []string{a, b} {
			s.tell(store.Trouble{Kind: store.Damaged, File: "instances/m/packs/" + id[:2] + "/" + id, Offset: -1})
		}
		found := &control.Report{ProblemCount: 1}
		s.taskEnded(&control.Task{ID: "c-1", Kind: control.KindCheck, State: control.Partial, Report: found})
		s.taskEnded(&control.Task{ID: "c-2", Kind: control.KindCheck, State: control.Partial, Report: found, Scheduled: true})
		if err := s.changeUpkeep(func(u *upkeepState) { u.Repair = []string{b} }); err != nil {
			t.Fatal(err)
		}
		now := *s.clock.Load()
		s.at("2026-11-24 01:00") // they come up again later than that
		if end := wait(t, s.tasks, mustNot[control.Task](t)(tt.look(s)).ID); end.State != control.Completed {
			t.Errorf("%s: %+v", tt.what, end)
		}
		if got := s.damaged(); !slices.Equal(got, all) {
			t.Errorf("%s, and it came up since: %q stay", tt.what, got)
		}
		s.clock.Store(&now)
		wait(t, s.tasks, mustNot[control.Task](t)(tt.look(s)).ID)
		if got := s.damaged(); !slices.Equal(got, tt.stays) || s.vaultDamaged() != (len(got) > 0) {
			t.Errorf("%s: %q stay, want %q", tt.what, got, tt.stays)
		}
	}
}

// What the daemon's own check found besides packs, as a damaged record, every check looks at again.
func TestWhatIsNotInPacksIsOverByAnyCheck(t *testing.T) {
	s := newStill(t)
	s.taskEnded(&control.Task{ID: "c-1", Kind: control.KindCheck, State: control.Partial, Report: &control.Report{ProblemCount: 1}, Scheduled: true})
	wait(t, s.tasks, mustNot[control.Task](t)(checks(0)(s)).ID)
	if got := s.damaged(); len(got) != 0 {
		t.Errorf("%q stay", got)
	}
}

// A place that is not well is told as that: it makes no damage of a check or a repair, and keeps none from being over.
func TestPlaceThatIsNotWellIsNoDamage(t *testing.T) {
	places := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "c")}
	s := newStill(t, func(o *Options) { o.Settings.Vault.Places = places })
	s.days("2026-11-24")
	if err := os.Rename(places[1], places[1]+".away"); err != nil {
		t.Fatal(err)
	}
	byDaemon := func(s *still) (control.Task, error) {
		err := s.repairFound([]string{strings.Repeat("b", 32)})
		return s.tasks.jobs[lane(control.KindRepair)].look(s.o.Now()), err
	}
	byHand := func(s *still) (control.Task, error) { return s.vaultRepair(t.Context(), control.None{}) }
	for what, look := range map[string]func(*still) (control.Task, error){"a check": checks(1), "a repair": byHand, "the daemon's repair": byDaemon} {
		s.tell(store.Trouble{Kind: store.Damaged, File: "instances/m/packs/bb/" + strings.Repeat("b", 32), Offset: -1})
		if end := wait(t, s.tasks, mustNot[control.Task](t)(look(s)).ID); end.State != control.Partial || end.Report.ProblemCount != 1 {
			t.Errorf("%s: %+v, %+v", what, end, end.Report)
		}
		for len(s.troubles) > 0 {
			s.tell(<-s.troubles)
		}
		if got := s.damaged(); !slices.Equal(got, []string{placeCause(places[1])}) || s.vaultDamaged() {
			t.Errorf("%s: told are %q", what, got)
		}
	}
}

// Damage that parity heals, and a full or read-only disk keeps from being written anew, is told, but is nothing that is lost. Once a file is whole again no damage of it is left.
func TestDamageThatHealsIsNotOpen(t *testing.T) {
	s := newStill(t)
	met := store.Trouble{Kind: store.Damaged, Place: "/a", File: "instances/m/packs/bb/" + strings.Repeat("b", 32), Offset: 7}
	for _, err := range []error{store.ErrNoSpace, store.ErrReadOnly} {
		met.Err = err
		s.tell(met)
	}
	all := s.alerts.List(false)
	if len(all) != 1 || all[0].Count != 2 || !strings.Contains(all[0].Text, "could not be written anew") || s.vaultDamaged() {
		t.Errorf("told %+v", all)
	}
	met.Err = store.ErrCorrupt
	s.tell(met)
	if got := s.damaged(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("open are %q", got)
	}
	met.Healed = true
	s.tell(met)
	if got := s.damaged(); len(got) > 0 {
		t.Errorf("%q stay", got)
	}
}

// checks begins a check that reads a part of the data.
func checks(part float64) func(*still) (control.Task, error) {
	return func(s *still) (control.Task, error) {
		return s.vaultCheck(s.t.Context(), control.CheckRequest{ReadData: part})
	}
}

// damaged are the causes of the open messages of damage, of those of packs the first letter.
func (s *still) damaged() (causes []string) {
	for _, m := range s.alerts.List(true) {
		if i := strings.LastIndex(m.Cause, "/packs/"); i > 0 {
			m.Cause = m.Cause[i+7:][:1]
		}
		causes = append(causes, m.Cause)
	}
	return causes
}

// A version that is not taken in keeps no backup from going by journal.
func TestStrayVersionIsToldAndIsNoDamageOfOthers(t *testing.T) {
	s := newStill(t)
	s.tell(store.Trouble{Kind: store.Stray, File: "instances/m/versions/root/v", Offset: -1})
	all := s.alerts.List(false)
	if len(all) != 1 || all[0].Kind != control.MessageDamage || !strings.Contains(all[0].Text, "instances/m/versions/root/v came with a place") || s.vaultDamaged() {
		t.Errorf("told %+v", all)
	}
}
