package integration

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goldenVaults = "testdata/vaults"

// A goldenCopy is a copy of a golden vault under a home of its own, to be opened and damaged.
type goldenCopy struct {
	t     testing.TB
	home  string
	name  string              // "v1", "v1-groups", "v1-spread"
	vault string              // the copy: the vault, or the folder with its places
	want  map[string][]string // the lines of each version
}

// copyGolden copies a golden vault into the folder home, which is not there yet.
func copyGolden(t testing.TB, name, home string) *goldenCopy {
	t.Helper()
	must(t, os.Mkdir(home, 0o755))
	g := &goldenCopy{t: t, home: home, name: name, vault: filepath.Join(home, "vault"), want: manifestOf(t, name)}
	command(t, "cp", "-r", filepath.Join(goldenVaults, name), g.vault)
	command(t, "chmod", "-R", "u=rwX,go=", g.vault)
	if name == "v1-spread" {
		var places []string
		for _, p := range goldenPlaces {
			places = append(places, fmt.Sprintf("%q", filepath.Join("vault", p)))
		}
		g.settings("[vault]\nplaces = [" + strings.Join(places, ", ") + "]\n")
	}
	return g
}

func (g *goldenCopy) settings(text string) {
	g.t.Helper()
	must(g.t, os.WriteFile(filepath.Join(g.home, "yester.toml"), []byte(text), 0o600))
}

// manifestOf reads the manifest of a golden vault: a line with a version's name, then its lines.
func manifestOf(t testing.TB, name string) map[string][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(goldenVaults, name+".manifest"))
	must(t, err)
	defer f.Close()
	want, version := map[string][]string{}, ""
	s := bufio.NewScanner(f)
	for s.Scan() {
		switch line := s.Text(); {
		case strings.HasPrefix(line, `"`):
			want[version] = append(want[version], line)
		case line != "":
			version = line
		}
	}
	must(t, s.Err())
	if len(want) == 0 {
		t.Fatalf("%s has no versions", f.Name())
	}
	return want
}

// version is where a version is mounted; the instance may have got another name by a backup, if it is that of this machine. One whose record few places have comes
// when all of it was found.
func (g *goldenCopy) version(version string) string {
	g.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		paths, err := filepath.Glob(filepath.Join(g.home, "mnt", "*", goldenName, version))
		must(g.t, err)
		if len(paths) == 1 {
			return paths[0]
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("version %s is mounted in %q", version, paths)
		}
	}
}

// shows compares what is mounted with the manifest, in each version but those paths that are lost.
func (g *goldenCopy) shows(when string, lost map[string]map[string]bool) {
	g.t.Helper()
	for version, all := range g.want {
		var want, got []string
		for _, l := range all {
			if !lost[version][pathOf(l)] {
				want = append(want, l)
			}
		}
		for _, l := range lines(g.t, g.version(version)) {
			if !lost[version][pathOf(l)] {
				got = append(got, l)
			} else if !strings.HasSuffix(l, "(input/output error)") {
				g.t.Errorf("%s: of version %s should be lost, and is read\n  %s", when, version, l)
			}
		}
		sameLines(g.t, when+": version "+version, want, got)
	}
}

// files are the contents of all files of the vault by their names.
func (g *goldenCopy) files(dir string) map[string]string {
	g.t.Helper()
	all := map[string]string{}
	must(g.t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(b)
		return err
	}))
	return all
}

// Vaults that earlier versions wrote are opened, shown as their manifests say, found whole, and not written to. docs/FORMAT.md, which says what
// their bytes are, has a reader of its own in docs.
func TestGoldenVaultsOpen(t *testing.T) {
	t.Parallel()
	need(t)
	disk := newPartition(t, "ext4", gib)
	secrets, err := os.ReadFile(filepath.Join(goldenVaults, "v1.keys"))
	must(t, err)
	passphrase, recovery, _ := strings.Cut(strings.TrimSpace(string(secrets)), "\n")
	for _, test := range []struct{ title, name, secret string }{
		{"by its open key", "v1", ""},
		{"by its passphrase", "v1", passphrase},
		{"by its recovery key", "v1", recovery},
		{"with groups", "v1-groups", ""},
		{"in three places", "v1-spread", ""},
	} {
		t.Run(test.title, func(t *testing.T) {
			g := copyGolden(t, test.name, disk.path(test.title))
			if test.secret != "" {
				g.removeOpenKeys()
				must(t, os.WriteFile(filepath.Join(g.home, "secret"), []byte(test.secret), 0o600))
				g.settings("passphrase_file = \"secret\"\n")
			}
			before := g.files(g.vault)
			d := start(t, g.home)
			g.shows("when opened", nil)
			if a := d.run(done, "vault", "check", "--read-data", "--wait"); !strings.Contains(a.stdout, "all is well") {
				t.Errorf("got %s", a.stdout)
			}
			if a := d.run(done, "vault", "repair", "--wait"); !strings.Contains(a.stdout, "all is well") {
				t.Errorf("got %s", a.stdout)
			}
			d.stop()
			after := g.files(g.vault)
			for name, b := range before {
				if after[name] != b {
					t.Errorf("%s was changed", name)
				}
			}
			for name := range after {
				if _, had := before[name]; !had {
					t.Errorf("%s was added", name)
				}
			}
		})
	}
}

// What an earlier version wrote is written to by this one: a backup, a deletion and a collection leave the old versions as they were.
func TestGoldenVaultsAreWrittenTo(t *testing.T) {
	t.Parallel()
	need(t)
	for _, name := range []string{"v1", "v1-groups", "v1-spread"} {
		t.Run(name, func(t *testing.T) {
			p := newPartition(t, "ext4", gib)
			tr := &tree{t: t, fs: p.fs, dir: p.dir, rand: newStream(1)}
			tr.goldenFirst()
			g := copyGolden(t, name, newPartition(t, "ext4", gib).path("home"))
			d := start(t, g.home)
			d.activate("max", p)
			first := d.backup(p)
			if first.NewBytes > 100*kib { // pages, and of v1-spread the first edition of a text
				t.Errorf("%d bytes are new of what the vault had", first.NewBytes)
			}
			tr.goldenSecond()
			d.wait("the next second, which names a version of its own", func() bool {
				return time.Now().UTC().Format(versionLayout) > first.Version
			})
			second := d.backup(p)
			d.run(done, "forget", first.Version, "--partition", p.name, "--yes", "--wait")
			d.run(done, "vault", "gc", "--wait")
			g.shows("after a collection", nil)
			sameLines(t, "the new version", lines(t, p.dir), lines(t, second.Path))
			d.run(done, "vault", "check", "--read-data", "--wait")
			logged, err := os.ReadFile(d.log)
			must(t, err)
			tellsNothing(t, g.files(g.vault))
			tellsNothing(t, map[string]string{"the daemon's log": string(logged)})
		})
	}
}

// tellsNothing fails the test if files have names or contents of the golden tree in the clear.
func tellsNothing(t testing.TB, files map[string]string) {
	t.Helper()
	for file, b := range files {
		for _, secret := range []string{
			"empty folder", "not UTF-8", "caf\u00e9", "dangling", "capable", "no dump", "page-297", "file-42", "renamed", "user.binary", // names
			"it was the best of times", "one file, two names", "root only", // contents
			goldenPassphrase,
		} {
			if strings.Contains(b, secret) || strings.Contains(file, secret) {
				t.Errorf("%s tells %q", file, secret)
			}
		}
	}
}

// Who can read a vault's files and has no key learns from them no name, content or secret.
func TestGoldenVaultsTellNoNames(t *testing.T) {
	for _, name := range []string{"v1", "v1-groups", "v1-spread"} {
		dir := filepath.Join(goldenVaults, name)
		tellsNothing(t, (&goldenCopy{t: t}).files(dir))
	}
}

// versionLayout is how a version's start names it.
const versionLayout = "2006-01-02T150405Z"

// removeOpenKeys leaves the keys that need a secret.
func (g *goldenCopy) removeOpenKeys() {
	g.t.Helper()
	n := 0
	for name, b := range g.files(g.vault) {
		if strings.Contains(name, "keys/") && strings.Contains(b, `"kind":"open"`) {
			must(g.t, os.Remove(filepath.Join(g.vault, name)))
			n++
		}
	}
	if n != 2 {
		g.t.Fatalf("%d files of open keys, want a key and its copy", n)
	}
}
