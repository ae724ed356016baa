package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
	"yester/snapshot/track"
)

// byJournal takes versions until one is by journal: while others change inode flags on the machine, say, none is.
func byJournal(t *testing.T, c *control.Client) control.Result {
	t.Helper()
	for range 20 {
		r := backUp(t, c).Results[0]
		switch {
		case r.Method == control.ByJournal:
			return r
		case strings.Contains(r.Because, "older than 5.17"), strings.Contains(r.Because, "cannot be counted"), strings.Contains(r.Because, "mapped"):
			t.Skip("changes cannot be listened to here: ", r.Because)
		}
		t.Logf("by walk, because %s", r.Because)
	}
	t.Fatal("no version is made by journal")
	return control.Result{}
}

func TestBackupGoesByTheJournal(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	o := options(t)
	var ahead atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	c, stop := serve(t, o)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	if r := backUp(t, c).Results[0]; r.Method != control.ByWalk || r.Because != "it is the first version" {
		t.Errorf("the first version was made by %s because %q", r.Method, r.Because)
	}
	byJournal(t, c)
	if err := os.WriteFile(filepath.Join(dir, "new"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := byJournal(t, c); r.Added != 1 {
		t.Errorf("%+v", r)
	}
	vs, err := c.Versions(t.Context(), control.VersionsRequest{})
	if last := len(vs) - 1; err != nil || vs[0].Method != control.ByWalk || vs[0].Because == "" || vs[last].Method != control.ByJournal || vs[last].Because != "" {
		t.Errorf("%+v, %v", vs, err)
	}
	if s := journalOf(t, c); s == nil || s.Since.IsZero() || s.Events == 0 {
		t.Errorf("status says %+v", s)
	}

	ahead.Store(int64(auditDays * 24 * time.Hour))
	if r := backUp(t, c).Results[0]; r.Method != control.ByWalk || !strings.Contains(r.Because, "every so often") && !strings.Contains(r.Because, "flags") {
		t.Errorf("after a week a version was made by %s because %q", r.Method, r.Because)
	}
	if ms, err := c.Messages(t.Context(), control.MessagesRequest{}); err != nil || hasKind(ms, control.MessageMissed) {
		t.Errorf("%+v, %v", ms, err)
	}
	byJournal(t, c)

	stop()
	c, _ = serve(t, o)
	if r := backUp(t, c).Results[0]; r.Method != control.ByWalk || r.Because != "nobody listened to changes since the version before" {
		t.Errorf("after a restart a version was made by %s because %q", r.Method, r.Because)
	}
}

func hasKind(ms []control.Message, kind string) bool {
	for _, m := range ms {
		if m.Kind == kind {
			return true
		}
	}
	return false
}

func journalOf(t *testing.T, c *control.Client) *control.Journal {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Partitions {
		if p.Selected {
			return p.Journal
		}
	}
	return nil
}

// What a machine sleeps through has passed: times that are kept are those of the wall, as the monotonic clock stands still then.
func TestDaysThatAMachineSleepsThroughCount(t *testing.T) {
	dir := source(t)
	m := needPartition(t, dir)
	d, err := newDaemon(options(t).withDefaults(), newState(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.rest(control.KindGC)
	kept := map[string]time.Time{"a rest": d.resting[control.KindGC]}
	if l := d.listeners.of(m.Partition); l.journal != nil {
		mustNot[*snapshot.Version](t)(l.capture(capture.Options{Now: time.Now}, 0, func(capture.Options) (*snapshot.Version, error) {
			return &snapshot.Version{Method: control.ByWalk}, nil
		}))
		kept["a walk"] = l.walked
	}
	for what, at := range kept {
		if at.IsZero() || strings.Contains(at.String(), " m=") {
			t.Errorf("%s: %v", what, at)
		}
	}
}

// A capture that comes to no version, for whatever reason, takes no changes from the next.
func TestFailedCaptureLosesNoChange(t *testing.T) {
	dir := source(t)
	m := needPartition(t, dir)
	var ls listeners
	defer ls.close()
	l := ls.of(m.Partition)
	if l.journal == nil {
		t.Skip(l.why)
	}
	take := func(work func(capture.Changes) error) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%v", p)
			}
		}()
		_, err = l.capture(capture.Options{Now: time.Now}, 0, func(o capture.Options) (*snapshot.Version, error) {
			return &snapshot.Version{}, work(o.Changes)
		})
		return err
	}
	const changes = 1000 // others may change some names too
	has := func(c capture.Changes) bool {
		set := c.(*track.Set)
		if set.Unknown() != "" {
			t.Skip(set.Unknown())
		}
		return set.Len() >= changes
	}
	for i := range changes {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("changed", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if take(func(capture.Changes) error { return os.ErrInvalid }) == nil || take(func(capture.Changes) error { panic("broken") }) == nil {
		t.Error("no error")
	}
	for _, want := range []bool{true, false} {
		if err := take(func(c capture.Changes) error {
			if has(c) != want {
				t.Errorf("the changes are told: %v, want %v", !want, want)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// foretold is what status says that the next backup will go by.
func foretold(t *testing.T, c *control.Client) string {
	t.Helper()
	j := journalOf(t, c)
	if j == nil {
		t.Fatal("status says nothing of the journal")
	}
	return j.Because
}

// What status says of the next backup comes true.
func TestStatusSaysWhatTheNextBackupWillGoBy(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	o := options(t)
	var ahead atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	c, _ := serve(t, o)
	ask := func(r control.ActivateRequest) {
		t.Helper()
		r.Paths = []string{dir}
		mustNot[control.Activation](t)(c.Activate(t.Context(), r))
	}
	ask(control.ActivateRequest{Priority: "max", Start: o.Now().UTC().Add(11 * time.Hour).Format("15:04")})
	byJournal(t, c)
	for _, tt := range []struct {
		want   string
		change func(newest control.Result)
	}{
		{capture.OtherFolders, func(control.Result) { ask(control.ActivateRequest{Excludes: []string{"*.tmp"}}) }},
		{"the version before is not the one since which changes were listened to", func(newest control.Result) {
			mustNot[control.Forgotten](t)(c.Forget(t.Context(), control.ForgetRequest{Partition: newest.Partition, Version: newest.Version}))
		}},
		{capture.ForAudit, func(control.Result) { ahead.Store(int64(auditDays*24*time.Hour - 6*time.Hour)) }},
	} {
		newest := byJournal(t, c)
		if why := foretold(t, c); why != "" {
			t.Skip("others change what is listened to: ", why)
		}
		tt.change(newest)
		if why := foretold(t, c); why != tt.want && !strings.Contains(why, "flags") {
			t.Errorf("foretold is %q, want %q", why, tt.want)
		}
		if tt.want == capture.ForAudit {
			ahead.Store(int64(auditDays * 24 * time.Hour))
		}
		if r := backUp(t, c).Results[0]; r.Because != tt.want && !strings.Contains(r.Because, "flags") {
			t.Errorf("by %s because %q, foretold was %q", r.Method, r.Because, tt.want)
		}
	}
}
