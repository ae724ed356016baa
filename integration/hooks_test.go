package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A hook before puts the data into a state of its own, and the version has that; the hook after takes it back.
func TestHooksMakeTheVersionConsistent(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	must(t, os.WriteFile(p.path("data"), []byte("in use"), 0o644))
	d := start(t, home)
	d.expected = regexp.MustCompile("hook failed|task failed")
	d.activate("max", p)
	out := d.run(done, "set", "--before", "echo quiet >"+p.path("data")+"; echo locked", "--after", "echo 'in use' >"+p.path("data")+"; exit 7",
		"--hook-timeout", "30s", "--on-hook-failure", "warn").stdout
	if !strings.Contains(out, "at most 30 s, failure only warns") {
		t.Errorf("got:\n%s", out)
	}
	a := d.run(warned, "backup", "--wait")
	if !strings.Contains(a.stderr, "warning: the hook after the backup failed: exit status 7") {
		t.Errorf("got %q", a.stderr)
	}
	v := d.versions(p)[0]
	b, err := os.ReadFile(filepath.Join(v.Path, "data"))
	if err != nil || string(b) != "quiet\n" {
		t.Errorf("the version has %q, %v", b, err)
	}
	if b, err := os.ReadFile(p.path("data")); err != nil || string(b) != "in use\n" {
		t.Errorf("left was %q, %v", b, err)
	}
	if s := d.run(done, "tasks", "show", d.status().Last.ID).stdout; !strings.Contains(s, "hook before: done in") || !strings.Contains(s, "\n  locked\n") ||
		!strings.Contains(s, "hook after: failed: exit status 7 in") {
		t.Errorf("got:\n%s", s)
	}
	explained(t, at(t, home, "set", "--hook-timeout", "soon"), wrongUse, "no length of time")
	explained(t, at(t, home, "set", "--on-hook-failure", "ignore"), wrongUse, "abort and warn")
	d.run(done, "set", "--after", "", "--before", "exit 1", "--on-hook-failure", "abort")
	explained(t, at(t, home, "backup", "--wait"), failed, "the hook before the backup failed: exit status 1", "yester tasks show")
	if n := len(d.versions(p)); n != 1 {
		t.Errorf("%d versions", n)
	}
}
