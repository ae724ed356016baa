// Package yester_test checks what holds for the repository as a whole: who imports whom, which libraries are used by whom and why, and
// that every package says what it is for.
package yester_test

import (
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport says which packages of this repository each may import; nothing imports upward. The kinds, encodings and cutting parameters in store's API are
// of store/pack and store/cut; who calls store with them may name them.
var mayImport = map[string][]string{
	"cmd/yester": {"daemon", "control", "store", "fs", "restore"},
	"daemon": {
		"control", "sched", "restore", "fs", "snapshot", "snapshot/capture", "snapshot/track", "store", "store/pack", "store/place",
		"daemon/alert", "daemon/meter", "daemon/state",
	},
	"daemon/alert":          {"control"},
	"daemon/meter":          {"control"},
	"daemon/state":          {"control"},
	"control":               {},
	"console":               {"control"},
	"sched":                 {},
	"restore":               {"snapshot", "store"},
	"fs":                    {"snapshot", "store"},
	"snapshot":              {"store", "store/pack"},
	"snapshot/capture":      {"snapshot", "store", "store/pack", "store/cut"},
	"snapshot/track":        {},
	"store":                 {"store/pack", "store/cut", "store/place"},
	"store/pack":            {},
	"store/cut":             {},
	"store/place":           {},
	"store/place/placetest": {"store/place"},
	"integration":           {},
	"docs":                  {}, // its reader of vaults knows FORMAT.md and nothing of ours
	".":                     {},
}

// testsMayImport is what test files may import in addition: themselves from outside, and whoever stands on the vault makes one in
// memory.
func testsMayImport(pkg string) []string {
	more := []string{pkg}
	if pkg == "store/place" {
		more = append(more, "store/place/placetest")
	}
	if slices.Contains(mayImport[pkg], "store") {
		more = append(more, "store/pack", "store/place")
	}
	if pkg == "snapshot/capture" {
		more = append(more, "snapshot/track")
	}
	return more
}

// A source is one Go file of the repository.
type source struct {
	path    string
	pkg     string // folder
	name    string // of the package, without _test
	test    bool
	imports []string
	doc     string
	lines   int
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != "." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "bin"):
			return filepath.SkipDir
		case e.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, b, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{
			path: path, pkg: filepath.Dir(path), name: strings.TrimSuffix(f.Name.Name, "_test"), test: strings.HasSuffix(path, "_test.go"),
			doc: f.Doc.Text(), lines: bytes.Count(b, []byte("\n")),
		}
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, name)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNobodyImportsUpward(t *testing.T) {
	for _, s := range sources(t) {
		allowed, ok := mayImport[s.pkg]
		if !ok {
			t.Errorf("%s: the folder %s is not in the table of who may import whom", s.path, s.pkg)
			continue
		}
		if s.test {
			allowed = append(slices.Clone(allowed), testsMayImport(s.pkg)...)
		}
		for _, i := range s.imports {
			if ours, ok := strings.CutPrefix(i, "yester/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which %s may not", s.path, ours, s.pkg)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	said := map[string]bool{}
	for _, s := range sources(t) {
		first := "Package " + s.name
		if s.name == "main" {
			first = "Command " + filepath.Base(s.pkg)
		}
		said[s.pkg] = said[s.pkg] || strings.HasPrefix(s.doc, first)
	}
	for _, pkg := range slices.Sorted(maps.Keys(said)) {
		if !said[pkg] {
			t.Errorf("package %s has no comment", pkg)
		}
	}
}

func TestNamesSayWhatAThingIs(t *testing.T) {
	for _, s := range sources(t) {
		for _, empty := range []string{"util", "utils", "common", "helper", "helpers", "manager", "impl"} {
			if s.name == empty || strings.TrimSuffix(filepath.Base(s.path), ".go") == empty {
				t.Errorf("%s: %q says nothing", s.path, empty)
			}
		}
	}
}

func TestNoFileIsTwoIdeas(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > 800 {
			t.Errorf("%s has %d lines", s.path, s.lines)
		}
	}
}

// A dependency is a line of docs/DEPENDENCIES.md.
type dependency struct {
	module string
	users  []string // packages that may import it
}

// dependencies reads the table of the page: | module | job | why | imported by |.
func dependencies(t *testing.T) []dependency {
	t.Helper()
	b, err := os.ReadFile("docs/DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []dependency
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		d := dependency{module: strings.Trim(cells[1], " `")}
		for user := range strings.SplitSeq(cells[4], ",") {
			d.users = append(d.users, strings.Trim(user, " `"))
		}
		all = append(all, d)
	}
	if len(all) == 0 {
		t.Fatal("docs/DEPENDENCIES.md has no table")
	}
	return all
}

func TestDependenciesAreThoseOfThePage(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var required, described []string
	for _, r := range mod.Require {
		if !r.Indirect {
			required = append(required, r.Path)
		}
	}
	for _, d := range dependencies(t) {
		described = append(described, d.module)
	}
	slices.Sort(required)
	slices.Sort(described)
	for _, m := range required {
		if !slices.Contains(described, m) {
			t.Errorf("go.mod requires %s, and docs/DEPENDENCIES.md does not say why", m)
		}
	}
	for _, m := range described {
		if !slices.Contains(required, m) {
			t.Errorf("docs/DEPENDENCIES.md speaks of %s, which go.mod does not require directly", m)
		}
	}
}

func TestLibrariesAreSeenByTheirUsersOnly(t *testing.T) {
	known := dependencies(t)
	for _, s := range sources(t) {
		for _, i := range s.imports {
			if first, _, _ := strings.Cut(i, "/"); !strings.Contains(first, ".") {
				continue
			}
			n := slices.IndexFunc(known, func(d dependency) bool { return i == d.module || strings.HasPrefix(i, d.module+"/") })
			switch {
			case n < 0:
				t.Errorf("%s imports %s, which docs/DEPENDENCIES.md does not have", s.path, i)
			case !slices.Contains(known[n].users, s.pkg):
				t.Errorf("%s imports %s, which by docs/DEPENDENCIES.md only %s may", s.path, i, known[n].users)
			}
		}
	}
}
