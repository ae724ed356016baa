package snapshot

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"yester/store"
)

// paths are what a version has, by paths from "/": what the tests of diff, timeline and find compare trees with.
type paths map[string]Entry

// children lists the names in each folder, in order.
func (p paths) children() map[string][]string {
	in := map[string][]string{}
	for at := range p {
		if at != "/" {
			in[path.Dir(at)] = append(in[path.Dir(at)], path.Base(at))
		}
	}
	for _, names := range in {
		slices.Sort(names)
	}
	return in
}

// root builds the tree and returns the root's entry.
func (p paths) root(t testing.TB, m Putter) *Entry {
	t.Helper()
	in := p.children()
	var folder func(at string) Entry
	folder = func(at string) Entry {
		e := p[at]
		b := NewBuilder(m)
		for _, name := range in[at] {
			child := folder(path.Join(at, name))
			child.Name = []byte(name)
			if err := b.Add(context.Background(), &child); err != nil {
				t.Fatal(err)
			}
		}
		if e.IsDir() {
			var err error
			if e.Tree, e.Totals, err = b.Finish(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		return e
	}
	root := folder("/")
	return &root
}

// sorted lists the paths in the order of a walk: by names, a folder before what is in it.
func sorted(all []string) []string {
	parts := func(s string) []string { return strings.Split(strings.Trim(s, "/"), "/") }
	slices.SortFunc(all, func(a, b string) int { return slices.Compare(parts(a), parts(b)) })
	return slices.Compact(all)
}

// below tells whether a path is at or below another one.
func below(at, top string) bool {
	return top == "/" || at == top || strings.HasPrefix(at, top+"/")
}

// differences is Diff by brute force: a line for each path.
func differences(a, b paths, top string) (lines []string) {
	for _, at := range sorted(append(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))...)) {
		x, inA := a[at]
		y, inB := b[at]
		switch {
		case !below(at, top):
		case !inB:
			lines = append(lines, "- "+at)
		case !inA:
			lines = append(lines, "+ "+at)
		case Compare(&x, &y) != 0:
			lines = append(lines, fmt.Sprintf("M %s %v", at, Compare(&x, &y).Names()))
		}
	}
	return lines
}

// line is a change as differences writes it.
func line(c *Change) string {
	switch {
	case c.Err != nil:
		return "! " + string(c.Path)
	case c.New == nil:
		return "- " + string(c.Path)
	case c.Old == nil:
		return "+ " + string(c.Path)
	}
	return fmt.Sprintf("M %s %v", c.Path, c.What.Names())
}

func diffLines(t *testing.T, g Getter, a, b *Entry, at string) (lines []string) {
	t.Helper()
	if err := Diff(t.Context(), g, a, b, at, func(c *Change) error { lines = append(lines, line(c)); return nil }); err != nil {
		t.Fatal(err)
	}
	return lines
}

// somePaths is a random version with n files in some folders, one of them large.
func somePaths(r *rand.Rand, n int) paths {
	p := paths{"/": {Mode: syscall.S_IFDIR | 0o755}, "/large": {Mode: syscall.S_IFDIR | 0o755}}
	for i := range n / 2 {
		p[fmt.Sprintf("/large/%06d", i)] = someFile(r)
	}
	for range n / 2 {
		at := "/"
		for range 1 + r.IntN(4) {
			if e, ok := p[at]; !ok || e.IsDir() {
				p[at] = Entry{Mode: syscall.S_IFDIR | 0o755}
				at = path.Join(at, fmt.Sprintf("f%c", 'a'+r.IntN(6)))
			}
		}
		if _, there := p[at+".txt"]; !there {
			p[at+".txt"] = someFile(r)
		}
	}
	return p
}

func someFile(r *rand.Rand) Entry {
	n := r.IntN(1000)
	return Entry{Mode: syscall.S_IFREG | 0o644, Nlink: 1, Size: 10, Mtime: Time{Sec: int64(n)}, Ino: r.Uint64() >> 20, Content: []Ref{{chunkID(n), 10}}}
}

// changed is a copy of p with n random changes.
func (p paths) changed(r *rand.Rand, n int) paths {
	q := maps.Clone(p)
	all := sorted(slices.Collect(maps.Keys(p)))
	for range n {
		at := all[1+r.IntN(len(all)-1)]
		e, there := q[at]
		if !there {
			continue
		}
		switch r.IntN(6) {
		case 0: // it goes, with what is in it
			maps.DeleteFunc(q, func(other string, _ Entry) bool { return below(other, at) })
			continue
		case 1: // it becomes something else
			maps.DeleteFunc(q, func(other string, _ Entry) bool { return below(other, at) })
			e = Entry{Mode: syscall.S_IFLNK | 0o777, Target: []byte("x")}
		case 2:
			e.Mode ^= 0o11
		case 3:
			e.UID++
		case 4:
			e.Mtime.Sec++
		case 5: // something new beside it
			q[at+"-new"] = someFile(r)
		}
		q[at] = e
	}
	return q
}

func (m *memory) count(f func()) int {
	before := m.gets
	f()
	return m.gets - before
}

// losing is a Getter that has lost some chunks.
type losing struct {
	Getter
	lost map[store.ID]bool
}

func (l losing) Get(ctx context.Context, id store.ID) ([]byte, error) {
	if l.lost[id] {
		return nil, store.ErrCorrupt
	}
	return l.Getter.Get(ctx, id)
}

// pagesOf lists the tree pages below a page.
func pagesOf(t *testing.T, m *memory, tree store.ID, all map[store.ID]bool) {
	if all[tree] || tree == (store.ID{}) {
		return
	}
	all[tree] = true
	p, err := ParsePage(m.chunks[tree])
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Len() {
		var e Entry
		if ref, _ := p.Ref(i); !p.Leaf() {
			pagesOf(t, m, ref.ID, all)
		} else if err := p.Entry(i, &e); err == nil {
			pagesOf(t, m, e.Tree, all)
		}
	}
}

func equalLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		g, w := append(got, make([]string, len(want))...)[i], append(want, make([]string, len(got))...)[i]
		if g != w {
			t.Fatalf("%s: line %d of %d is %q, want %q of %d", what, i, len(got), g, w, len(want))
		}
	}
}
