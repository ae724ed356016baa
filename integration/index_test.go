package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The index is a cache: whatever becomes of it between two runs of the daemon, the next makes it good by itself, says so, and everything is
// there.
func TestDaemonMendsItsIndex(t *testing.T) {
	t.Parallel()
	need(t)
	disk := newPartition(t, "ext4", 2*gib)
	tables := func(t *testing.T, index string) []string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(index, "*.sst"))
		must(t, err)
		if len(files) == 0 {
			t.Fatalf("no table in %s", index)
		}
		return files
	}
	removeTable := func(t *testing.T, index string) { must(t, os.Remove(tables(t, index)[0])) }
	flip := func(t *testing.T, index string) {
		for _, f := range tables(t, index) {
			b, err := os.ReadFile(f)
			must(t, err)
			b[len(b)/3] ^= 4
			must(t, os.WriteFile(f, b, 0o600))
		}
	}
	const anew = "the index is made anew from the packs"
	for _, test := range []struct {
		title string
		kill  bool // the daemon before; else it ends as it should
		harm  func(t *testing.T, index string)
		says  string
	}{
		{"deleted", false, func(t *testing.T, index string) { must(t, os.RemoveAll(index)) }, "packs entered in the index"},
		{"a table removed", false, removeTable, anew},
		{"a byte flipped", false, flip, anew},
		{"a table removed after a kill", true, removeTable, anew},
		{"a byte flipped after a kill", true, flip, anew},
		{"an older copy put back", false, func(t *testing.T, index string) {
			must(t, os.RemoveAll(index))
			must(t, os.Rename(index+".older", index))
		}, "a pack that the index knows is gone; the index is made anew"},
	} {
		t.Run(test.title, func(t *testing.T) {
			g := copyGolden(t, "v1", disk.path(strings.ReplaceAll(test.title, ",", "")))
			index := filepath.Join(g.home, "index")
			p := newPartition(t, "ext4", gib)
			tr := &tree{t: t, fs: p.fs, dir: p.dir, rand: newStream(7)}
			tr.file(string(tr.bytes(3*mib)), "three")
			d := start(t, g.home)
			d.activate("max", p)
			first := d.backup(p)
			d.stop()
			command(t, "cp", "-a", index, index+".older")
			d = start(t, g.home)
			tr.file(string(tr.bytes(3*mib)), "three")
			d.run(done, "forget", first.Version, "--partition", p.name, "--yes", "--wait")
			v := d.backup(p)
			want := lines(t, p.dir)
			d.stop()
			d = start(t, g.home)
			if test.kill {
				d.kill()
			} else {
				d.stop()
			}
			test.harm(t, index)

			d = start(t, g.home)
			d.expected = regexp.MustCompile(anew + "|the index is made anew|index: Received err")
			g.shows("with the index mended", nil)
			sameLines(t, "the version taken since", want, lines(t, v.Path))
			d.run(done, "vault", "check", "--read-data", "--wait")
			if b, err := os.ReadFile(d.log); err != nil || !strings.Contains(string(b), test.says) {
				t.Errorf("the daemon does not say %q: %v", test.says, err)
			}
		})
	}
}
