package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"yester/store"
)

// found lists what a Finder tells of versions, newest first: the path and the version's number.
func found(t *testing.T, g Getter, pattern, point string, roots ...*Entry) (lines []string) {
	t.Helper()
	glob, err := ParseGlob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFinder(g, glob, point)
	for i, root := range roots {
		err := f.Next(t.Context(), root, func(path string, e *Entry, lost error) error {
			if lost != nil {
				path = "! " + path
			}
			lines = append(lines, fmt.Sprintf("%s %d", path, i))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

func aFile() Entry   { return Entry{Mode: syscall.S_IFREG | 0o644} }
func aFolder() Entry { return Entry{Mode: syscall.S_IFDIR | 0o755} }

func TestFindMatchesWholePathsPartsAndNames(t *testing.T) {
	m := newMemory()
	p := paths{"/": aFolder(), "/a": aFolder(), "/a/x.txt": aFile(), "/a/b": aFolder(), "/a/b/x.txt": aFile(), "/a/b/\xff": aFile(), "/y.txt": aFile()}
	root := p.root(t, m)
	for _, tt := range []struct{ pattern, point, want string }{
		{"x.txt", "/", "/a/b/x.txt /a/x.txt"},
		{"*.txt", "/", "/a/b/x.txt /a/x.txt /y.txt"},
		{"/*.txt", "/", "/y.txt"},
		{"/a/*.txt", "/", "/a/x.txt"},
		{"/a/b/", "/", "/a/b"},
		{"/a/**", "/", "/a /a/b /a/b/x.txt /a/b/\xff /a/x.txt"},
		{"b/*", "/", "/a/b/x.txt /a/b/\xff"},
		{"/a/{b,c}/x.txt", "/", "/a/b/x.txt"},
		{"/**/b/x.txt", "/", "/a/b/x.txt"},
		{"/home/*.txt", "/home", "/home/y.txt"},
		{"/home/**/b", "/home", "/home/a/b"},
		{"/*/a", "/home", "/home/a"},
		{"/home", "/home", "/home"},
		{"/etc/**", "/home", ""},
		{"/homes/**", "/home", ""},
		{"/nope/*", "/", ""},
		{"\xff", "/", "/a/b/\xff"},
		{"/a/*/\xff", "/", "/a/b/\xff"},
		{"\xfe", "/", ""},
		{"\ufffd", "/", ""},
	} {
		if got := found(t, m, tt.pattern, tt.point, root); strings.Join(got, " ") != each(tt.want) {
			t.Errorf("%s at %s: got %q, want %q", tt.pattern, tt.point, got, tt.want)
		}
	}
	for _, bad := range []string{"", "/", "[", "a/["} {
		if _, err := ParseGlob(bad); !errors.Is(err, ErrPattern) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// each puts the number of the only version behind every word.
func each(words string) string {
	var out []string
	for w := range strings.FieldsSeq(words) {
		out = append(out, w+" 0")
	}
	return strings.Join(out, " ")
}

func TestFindNamesTheLastVersionOfWhatWasDeleted(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMemory()
		all := []paths{somePaths(r, 300)}
		for range 8 {
			all = append(all, all[len(all)-1].changed(r, 10))
		}
		for range 2 { // what was deleted comes back
			all = append(all, all[r.IntN(len(all))])
		}
		slices.Reverse(all)
		var roots []*Entry
		var want []string
		told := map[string]bool{}
		for i, p := range all {
			roots = append(roots, p.root(t, m))
			var now []string
			for at := range p {
				if strings.HasSuffix(at, ".txt") && !told[at] {
					told[at] = true
					now = append(now, at)
				}
			}
			for _, at := range sorted(now) {
				want = append(want, fmt.Sprintf("%s %d", at, i))
			}
		}
		equalLines(t, fmt.Sprint("seed ", seed), found(t, m, "*.txt", "/", roots...), want)
	}
}

func TestFindReadsNoPageOfAVersionTwice(t *testing.T) {
	m := newMemory()
	r := rand.New(rand.NewPCG(5, 1))
	p := somePaths(r, 10_000)
	a := p.root(t, m)
	p["/zzz"] = aFile()
	b := p.root(t, m)
	one := m.count(func() { found(t, m, "/**", "/", b) })
	if two := m.count(func() { found(t, m, "/**", "/", b, a) }); two > one+4 {
		t.Errorf("two versions that differ in a name cost %d pages, one %d", two, one)
	}
	if n := m.count(func() { found(t, m, "/*", "/", b) }); n > 2 {
		t.Errorf("what lies in the root costs %d pages", n)
	}
	if n := m.count(func() { found(t, m, "/fa/*.txt", "/", b) }); n > 4 {
		t.Errorf("what lies in one folder costs %d pages", n)
	}
}

func TestFindTellsWhatCannotBeRead(t *testing.T) {
	m := newMemory()
	p := paths{"/": aFolder(), "/a": aFolder(), "/a/x": aFile(), "/b": aFolder(), "/b/x": aFile(), "/b/y": aFile()}
	root := p.root(t, m)
	a, err := LookupPath(t.Context(), m, *root, "/a")
	if err != nil {
		t.Fatal(err)
	}
	equalLines(t, "found", found(t, losing{m, map[store.ID]bool{a.Tree: true}}, "x", "/", root), []string{"! /a 0", "/b/x 0"})
}
