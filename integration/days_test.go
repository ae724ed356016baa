package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// An aged daemon is one whose days are a second long.
type aged struct {
	*daemon
	t    *testing.T
	noon time.Time // when it was noon of 2026-11-23
	args []string
}

const aDay = time.Second

// startAged builds a program with a fast clock and starts it.
func startAged(t *testing.T, home string) *aged {
	t.Helper()
	program := filepath.Join(filepath.Dir(home), "yester-fast")
	build := exec.Command("go", "build", "-tags", "fastclock", "-o", program, "yester/cmd/yester")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build a program with a fast clock: %v\n%s", err, out)
	}
	a := &aged{t: t, noon: time.Now()}
	a.args = []string{"env", "YESTER_DAY=" + aDay.String(), "YESTER_NOON=" + a.noon.Format(time.RFC3339Nano), program, "--home", home, "daemon"}
	a.start(home)
	return a
}

func (a *aged) start(home string) {
	a.daemon = startArgs(a.t, home, a.args)
	a.expected = regexp.MustCompile("is skipped|cut off")
}

// now is the time by the fast clock.
func (a *aged) now() time.Time {
	return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(time.Duration(float64(time.Since(a.noon)) * float64(24*time.Hour) / float64(aDay)))
}

// A turn is a scheduled backup.
type turn struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
	Scheduled bool      `json:"scheduled"`
	Start     time.Time `json:"start"`
}

// turns lists the scheduled backups, and looks that there is one a day at most, which began in its window if it was not skipped.
func (a *aged) turns() (turns []turn) {
	a.t.Helper()
	var all []turn
	a.json(&all, "tasks")
	days := map[string]string{}
	for _, task := range all {
		if task.Kind != "backup" || !task.Scheduled {
			continue
		}
		turns = append(turns, task)
		day := task.Start.Format(time.DateOnly)
		if other := days[day]; other != "" {
			a.t.Errorf("%s and %s are both of %s", other, task.ID, day)
		}
		days[day] = task.ID
		if at := task.Start.Sub(task.Start.Truncate(24 * time.Hour)); at < 3*time.Hour || at > 9*time.Hour {
			a.t.Errorf("%s, at 03:00 and with a window of 6 hours, began at %v", task.ID, task.Start)
		}
	}
	return turns
}

// completed counts those that completed.
func completed(turns []turn) (n int) {
	for _, t := range turns {
		if t.State == "completed" {
			n++
		}
	}
	return n
}

// A service lives for some days, each a second long, under a daemon that is driven by its command line, killed and started again.
func TestSecondLongDays(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	must(t, os.WriteFile(p.path("file"), []byte("every day"), 0o644))
	a := startAged(t, home)
	a.run(done, "activate", "--partition", p.name, "--priority", "max", "--start", "03:00", "--retention", "3")
	a.wait("four scheduled backups", func() bool { return completed(a.turns()) >= 4 })
	a.wait("the first version to expire", func() bool { v := a.versions(p); return len(v) > 0 && v[0].Version > "2026-11-25" })
	a.kill()
	a.start(home)
	before := completed(a.turns())
	a.wait("a scheduled backup after a kill", func() bool { return completed(a.turns()) > before })

	a.run(done, "pause")
	a.wait("what runs to end", func() bool { return a.status().Running == nil })
	paused, turns := a.now(), len(a.turns())
	a.wait("all but the newest version to expire", func() bool { return len(a.versions(p)) == 1 })
	a.wait("four days to pass", func() bool { return a.now().Sub(paused) > 4*24*time.Hour })
	if got := len(a.turns()); got != turns {
		t.Errorf("%d scheduled backups while it was paused", got-turns)
	}
	if v := a.versions(p); len(v) != 1 {
		t.Errorf("the newest version was not kept: %+v", v)
	}
	a.run(done, "set", "--keep-latest=false")
	a.wait("the newest version to expire", func() bool { return len(a.versions(p)) == 0 })

	a.run(done, "resume")
	before = completed(a.turns())
	a.wait("a scheduled backup after the pause", func() bool { return completed(a.turns()) > before })
	a.run(done, "cancel", "--yes", "--wait")
	explained(t, at(t, home, "cancel", "--yes"), failed, "not activated")
}
