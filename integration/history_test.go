package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a file was, what differs and what is gone is told by the program, for paths on the partition and below the mount.
func TestHistoryDiffAndFindTellWhatFilesWere(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", 4*gib)
	write := func(name, content string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(p.path(name)), 0o755))
		must(t, os.WriteFile(p.path(name), []byte(content), 0o644))
	}
	d := start(t, home)
	d.activate("max", p)
	write("docs/plan", "one")
	write("docs/gone\xff", "one")
	write("kept/same", "one")
	first := d.backup(p)
	write("docs/plan", "two")
	must(t, os.Chmod(p.path("docs/plan"), 0o600))
	must(t, os.Remove(p.path("docs/gone\xff")))
	write("docs/new", "one")
	second := d.backup(p)
	third := d.backup(p)

	type stay struct {
		First, Last, Kind, Mode, Browse string
		Changed                         []string
	}
	var h struct{ Stays []stay }
	for _, path := range []string{p.path("docs/plan"), filepath.Join(first.Path, "docs/plan"), filepath.Join(filepath.Dir(first.Path), "latest/docs/plan")} {
		d.json(&h, "history", path)
		if len(h.Stays) != 2 || h.Stays[0].First != first.Version || h.Stays[0].Last != first.Version || h.Stays[1].First != second.Version ||
			h.Stays[1].Last != third.Version || h.Stays[1].Mode != "0600" || !slices.Equal(h.Stays[1].Changed, []string{"content", "mode", "times"}) {
			t.Errorf("%s: %+v", path, h)
		}
		if b, err := os.ReadFile(h.Stays[0].Browse); err != nil || string(b) != "one" {
			t.Errorf("%s: %q, %v", h.Stays[0].Browse, b, err)
		}
	}
	d.run(failed, "history", p.path("nothing"))

	want := []string{
		"M " + p.path("docs") + " (times)", `- "` + p.path("docs") + `/gone\xff"`, "+ " + p.path("docs/new"),
		"M " + p.path("docs/plan") + " (content, mode, times)",
	}
	if got := strings.Split(strings.TrimSpace(d.run(done, "diff", first.Version, "latest", p.dir).stdout), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := d.run(done, "diff", second.Version, third.Version, "--partition", p.name).stdout; got != "" {
		t.Errorf("versions of one state differ: %s", got)
	}

	want = []string{p.path("docs/new"), p.path("docs/plan"), `"` + p.path("docs") + `/gone\xff" (deleted, last in ` + first.Version + ")"}
	if got := strings.Split(strings.TrimSpace(d.run(done, "find", "--all-versions", p.path("docs")+"/*").stdout), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	d.run(wrongUse, "find", "[")
}
