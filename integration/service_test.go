package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The life of a service, by its command line: settings are refused as a whole, states follow each other as they may, and after its end nothing is
// left of it.
func TestServiceLivesAsItShould(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	must(t, os.WriteFile(p.path("file"), []byte(strings.Repeat("yesterday ", 1e5)), 0o644))
	d := start(t, home)
	explained(t, at(t, home, "pause"), failed, "not activated", "yester activate")
	explained(t, at(t, home, "set", "--retention", "7"), failed, "not activated")
	d.activate("max", p)
	d.backup(p)
	v := d.backup(p)

	before := d.run(done, "status", "--json").stdout
	for _, bad := range []struct{ line, says string }{
		{"--start 25:61", "no time of day"},
		{"--priority fast", "low, high, max"},
		{"--retention -3d", "cannot be kept for -3 days"},
		{"--window 30s", "between a minute and 24 hours"},
		{"--partition nope", "no partition"},
		{"--start 01:00 --keep-yearly -1", "-1 yearly"},
	} {
		explained(t, at(t, home, append([]string{"set"}, strings.Fields(bad.line)...)...), wrongUse, bad.says)
	}
	explained(t, at(t, home, "resume"), failed, "is ready, not paused")
	if policy := func(s string) string { _, s, _ = strings.Cut(s, `"policy"`); s, _, _ = strings.Cut(s, "}"); return s }; policy(before) != policy(d.run(done, "status", "--json").stdout) {
		t.Errorf("a refused setting changed something: %s", before)
	}

	a := d.run(done, "set", "--keep-latest=false", "--retention", "9")
	if !strings.Contains(a.stderr, "pausing for 9 days deletes every version") {
		t.Errorf("no warning: %q", a.stderr)
	}
	d.run(done, "set", "--keep-latest", "--keep-monthly", "3", "--window", "90m", "--catch-up")
	d.run(done, "pause")
	explained(t, at(t, home, "pause"), failed, "is paused, not ready")
	d.stop()
	d = start(t, home)
	if s := d.run(done, "status").stdout; !strings.Contains(s, "is paused") || !strings.Contains(s, "one of each of 3 months") || strings.Contains(s, "Next backup") {
		t.Errorf("after a restart:\n%s", s)
	}
	d.run(done, "resume")
	d.run(done, "pin", v.Version)
	explained(t, at(t, home, "forget", v.Version, "--yes"), failed, "is pinned")

	explained(t, at(t, home, "cancel"), wrongUse, "--yes")
	instance := filepath.Dir(filepath.Dir(v.Path))
	d.run(done, "cancel", "--yes", "--wait")
	if _, err := os.Stat(instance); !os.IsNotExist(err) {
		t.Errorf("the mount still shows %s: %v", instance, err)
	}
	if left, err := os.ReadDir(filepath.Join(home, "vault", "instances")); len(left) > 0 || err != nil && !os.IsNotExist(err) {
		t.Errorf("left in the vault: %v, %v", left, err)
	}
	explained(t, at(t, home, "backup"), failed, "not activated")
	explained(t, at(t, home, "cancel", "--yes"), failed, "not activated")
	d.activate("max", p)
	d.backup(p)
}

// Once for real: the clock on the wall is the daemon's, and the backup begins with the next minute.
func TestScheduledBackupBeginsByItself(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	d := start(t, home)
	next := time.Now().Add(70 * time.Second).Truncate(time.Minute)
	d.run(done, "activate", "--partition", p.name, "--priority", "max", "--start", next.Format("15:04"))
	d.wait("a scheduled backup", func() bool { s := d.status(); return s.Last != nil && s.Last.State == "completed" })
	var tasks []struct {
		Scheduled bool      `json:"scheduled"`
		Start     time.Time `json:"start"`
	}
	d.json(&tasks, "tasks")
	if len(tasks) != 1 || !tasks[0].Scheduled || tasks[0].Start.Before(next) {
		t.Errorf("got %+v, to begin at %v", tasks, next)
	}
	d.run(done, "set", "--start", next.Add(2*time.Minute).Format("15:04")) // after today's ran: tomorrow
	var s struct {
		Next time.Time `json:"next"`
	}
	d.json(&s, "status")
	if s.Next.Before(time.Now().Add(20 * time.Hour)) {
		t.Errorf("next is %v", s.Next)
	}
}
