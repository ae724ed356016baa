package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Below .by-file a path leads to all that it ever was: under a shell that sits there, with the programs that people use, and for each user as far as the
// versions let them.
func TestByFileHoldsAllThatAFileEverWas(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	write := func(name, content string, mode os.FileMode, day int) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(p.path(name)), 0o755))
		must(t, os.WriteFile(p.path(name), []byte(content), 0o600))
		must(t, os.Chmod(p.path(name), mode))
		must(t, os.Chtimes(p.path(name), time.Time{}, time.Unix(int64(day)*86400, 123456789)))
	}
	write("docs/plan", "#!/bin/sh\necho one\n", 0o755, 1)
	write("docs/gone", "gone", 0o644, 1)
	write("hers/diary", "secret", 0o644, 1)
	d := start(t, home)
	d.activate("max", p)
	first := d.backup(p)
	top := filepath.Dir(first.Path)
	past := filepath.Join(top, ".by-file")
	plan, docs := sitIn(t, filepath.Join(past, "docs/plan")), sitIn(t, filepath.Join(past, "docs"))
	if got := plan.run("ls"); got != first.Version {
		t.Errorf("after the first backup: %s", got)
	}

	write("docs/plan", "#!/bin/sh\necho 'two'\n", 0o700, 2)
	must(t, os.Remove(p.path("docs/gone")))
	must(t, os.Chmod(p.path("hers"), 0o700))
	second := d.backup(p)
	plan.sees("ls", func(list string) bool { return list == first.Version+"\n"+second.Version })
	write("docs/plan", "#!/bin/sh\necho one\n", 0o755, 3)
	third := d.backup(p)
	if got := plan.run("ls"); got != first.Version+"\n"+second.Version {
		t.Errorf("an old content that is back: %s", got)
	}
	if got := plan.run("stat -c '%s %a %.9Y' *"); got != "19 755 86400.123456789\n21 700 172800.123456789" {
		t.Errorf("sizes, modes and times: %s", got)
	}
	if got := plan.run("test " + second.Version + " -ef " + second.Path + "/docs/plan && echo same"); got != "same" {
		t.Errorf("the entry and the file in its version: %s", got)
	}
	if got := plan.run("./" + first.Version + "; ./" + second.Version); got != "one\ntwo" {
		t.Errorf("they print %q", got)
	}
	if got := docs.run("find . | sort; cat gone/*"); got != ".\n./gone\n./gone/"+first.Version+"\n./plan\n./plan/"+first.Version+"\n./plan/"+second.Version+"\ngone" {
		t.Errorf("the folder prints %s", got)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	command(t, "cp", "-a", filepath.Join(past, "docs"), copied)
	command(t, "diff", "-r", filepath.Join(past, "docs"), copied)
	if all := command(t, "find", top); strings.Contains(all, ".by-file") {
		t.Error("who goes through the partition's folder comes to .by-file")
	}

	for _, u := range []user{{"nobody", 65534, 65534, nil}, {"root", 0, 0, nil}} {
		got := u.prints(t, past, "cat hers/diary/"+first.Version, "\n")
		if got["secret"] == 1 != (u.uid == 0) {
			t.Errorf("%s sees %v of what a later version hides", u.name, got)
		}
	}

	d.run(done, "forget", first.Version, "--partition", p.name, "--yes")
	plan.sees("ls", func(list string) bool { return list == second.Version+"\n"+third.Version })
	docs.sees("ls", func(list string) bool { return list == "plan" })
	if out, err := exec.Command("cat", filepath.Join(past, "docs/plan", first.Version)).CombinedOutput(); err == nil {
		t.Errorf("the deleted version shows %s", out)
	}
	d.run(done, "history", filepath.Join(past, "docs/plan"))
}
