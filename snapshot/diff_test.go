package snapshot

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"yester/store"
)

func TestDiffTellsWhatComparingEveryPathDoes(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMemory()
		p := somePaths(r, 200+r.IntN(3000))
		q := p.changed(r, r.IntN(40))
		a, b := p.root(t, m), q.root(t, m)
		for _, top := range []string{"/", "/large", "/fa", "/fa/fb"} {
			if _, there := p[top]; !there {
				continue
			}
			what := fmt.Sprintf("seed %d, %s", seed, top)
			equalLines(t, what, diffLines(t, m, a, b, top), differences(p, q, top))
			equalLines(t, what+", back", diffLines(t, m, b, a, top), differences(q, p, top))
		}
		equalLines(t, "all that is there", diffLines(t, m, nil, a, ""), differences(paths{}, p, "/"))
	}
}

// Folders that grow and shrink by much have pages on another number of levels.
func TestDiffAlignsFoldersOfAnySize(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	m := newMemory()
	full := somePaths(r, 60_000)
	for _, keep := range []int{0, 1, 300, 5000, 25_000} {
		part := paths{}
		for at, e := range full {
			if name, ok := strings.CutPrefix(at, "/large/"); !ok || name < fmt.Sprintf("%06d", keep) {
				part[at] = e
			}
		}
		equalLines(t, fmt.Sprint(keep), diffLines(t, m, part.root(t, m), full.root(t, m), "/large"), differences(part, full, "/large"))
	}
}

func TestDiffReadsPagesInProportionToChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	m := newMemory()
	p := somePaths(r, 100_000)
	a := p.root(t, m)
	for _, changes := range []int{0, 1, 10} {
		q := paths{}
		for at, e := range p {
			q[at] = e
		}
		for range changes {
			at := fmt.Sprintf("/large/%06d", r.IntN(50_000))
			e := q[at]
			e.Mtime.Sec += 5000
			q[at] = e
		}
		b := q.root(t, m)
		// Top of the root, and index pages and a leaf of the large folder, in each of two versions.
		const depth = 4
		got := m.count(func() {
			equalLines(t, fmt.Sprint(changes), diffLines(t, m, a, b, "/"), differences(p, q, "/"))
		})
		if most := 1 + 2*depth*changes + 1; got > most || changes == 0 && got > 0 {
			t.Errorf("%d changes among %d names: %d pages read, want at most %d", changes, len(p), got, most)
		}
	}
}

func TestDiffGoesOnBehindLostPages(t *testing.T) {
	for range 60 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMemory()
		p := somePaths(r, 3000)
		q := p.changed(r, 20)
		a, b := p.root(t, m), q.root(t, m)
		pages := map[store.ID]bool{}
		pagesOf(t, m, a.Tree, pages)
		pagesOf(t, m, b.Tree, pages)
		g := losing{m, map[store.ID]bool{}}
		for id := range pages {
			if id != a.Tree && id != b.Tree && r.IntN(40) == 0 {
				g.lost[id] = true
			}
		}
		all := differences(p, q, "/")
		lost := 0
		for _, l := range diffLines(t, g, a, b, "/") {
			if l[0] == '!' {
				lost++
			} else if !slices.Contains(all, l) {
				t.Errorf("seed %d: %q, which is not so", seed, l)
			}
		}
		if missed := missing(all, diffLines(t, g, a, b, "/")); len(missed) > 0 && lost == 0 {
			t.Errorf("seed %d: nothing is said to be lost, and missing are %q", seed, missed)
		}
	}
}

// missing lists what is in want and not in got.
func missing(want, got []string) []string {
	return slices.DeleteFunc(slices.Clone(want), func(l string) bool { return slices.Contains(got, l) })
}

func TestLostPageThatBothHaveIsNoDifference(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	m := newMemory()
	p := somePaths(r, 2000)
	q := p.changed(r, 0)
	q["/other"] = someFile(r)
	a, b := p.root(t, m), q.root(t, m)
	large, err := LookupPath(t.Context(), m, *a, "/large")
	if err != nil {
		t.Fatal(err)
	}
	equalLines(t, "lost", diffLines(t, losing{m, map[store.ID]bool{large.Tree: true}}, a, b, "/"), []string{"+ /other"})
}

func TestDiffOfWhatIsNowhere(t *testing.T) {
	m := newMemory()
	p := somePaths(rand.New(rand.NewPCG(3, 1)), 100)
	a := p.root(t, m)
	for _, at := range []string{"/nope", "/large/000001/x"} {
		if err := Diff(t.Context(), m, a, a, at, func(*Change) error { return nil }); !errors.Is(err, ErrNotExist) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestDiffEndsWithTheVisitor(t *testing.T) {
	m := newMemory()
	a := somePaths(rand.New(rand.NewPCG(3, 1)), 1000).root(t, m)
	enough, n := errors.New("enough"), 0
	err := Diff(t.Context(), m, nil, a, "/", func(*Change) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 3 {
		t.Errorf("%v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Diff(ctx, m, nil, a, "/", func(*Change) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAspects(t *testing.T) {
	file := Entry{Mode: syscall.S_IFREG | 0o644, Size: 5, Nlink: 1, Mtime: Time{Sec: 1}, Content: []Ref{{chunkID(1), 5}}}
	for _, tt := range []struct {
		change func(e *Entry)
		want   string
	}{
		{func(*Entry) {}, ""},
		{func(e *Entry) { e.Ctime.Sec, e.Btime.Sec, e.Ino, e.Racy = 1, 1, 1, true }, ""},
		{func(e *Entry) { e.Content = []Ref{{chunkID(2), 5}} }, "content"},
		{func(e *Entry) { e.Size = 6 }, "content"},
		{func(e *Entry) { e.Mode |= 0o4000 }, "mode"},
		{func(e *Entry) { e.GID = 1 }, "owner"},
		{func(e *Entry) { e.Mtime.Nsec = 1 }, "times"},
		{func(e *Entry) { e.Xattrs = EncodeXattrs([]Xattr{{"user.a", nil}}) }, "xattrs"},
		{func(e *Entry) { e.XattrRefs = []Ref{{chunkID(3), 5000}} }, "xattrs"},
		{func(e *Entry) { e.Flags = 0x10 }, "flags"},
		{func(e *Entry) { e.Nlink = 2 }, "links"},
		{func(e *Entry) { e.Mode, e.UID, e.Mtime.Sec = syscall.S_IFDIR|0o755, 1, 7 }, "type mode owner"},
		{func(e *Entry) { e.Mode = syscall.S_IFLNK | 0o644; e.Target = []byte("x") }, "type"},
	} {
		e := file
		tt.change(&e)
		if got := strings.Join(Compare(&file, &e).Names(), " "); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	link := Entry{Mode: syscall.S_IFLNK, Target: []byte("a")}
	other := Entry{Mode: syscall.S_IFLNK, Target: []byte("b")}
	device, another := Entry{Mode: syscall.S_IFCHR, Rdev: 1}, Entry{Mode: syscall.S_IFCHR, Rdev: 2}
	if Compare(&link, &other) != TargetDiffers || Compare(&device, &another) != DeviceDiffers {
		t.Error("links or devices")
	}
}

// A day's diff of a million files with a hundred changes.
func BenchmarkDiffOfAMillionFiles(b *testing.B) {
	m := newMemory()
	version := func(day int64) *Entry {
		root := NewBuilder(m)
		for f := range 1000 {
			folder := NewBuilder(m)
			for i := range 1000 {
				e := Entry{Name: fmt.Appendf(nil, "file%04d", i), Mode: syscall.S_IFREG | 0o644, Size: 10, Content: []Ref{{chunkID(i), 10}}}
				if f%10 == 0 && i == f/10 {
					e.Mtime.Sec = day
				}
				if err := folder.Add(b.Context(), &e); err != nil {
					b.Fatal(err)
				}
			}
			e := Entry{Name: fmt.Appendf(nil, "folder%04d", f), Mode: syscall.S_IFDIR | 0o755}
			e.Tree, e.Totals, _ = folder.Finish(b.Context())
			if err := root.Add(b.Context(), &e); err != nil {
				b.Fatal(err)
			}
		}
		e := Entry{Mode: syscall.S_IFDIR | 0o755}
		e.Tree, e.Totals, _ = root.Finish(b.Context())
		return &e
	}
	one, two := version(1), version(2)
	b.ReportAllocs()
	before := m.gets
	for b.Loop() {
		n := 0
		if err := Diff(b.Context(), m, one, two, "/", func(*Change) error { n++; return nil }); err != nil || n != 100 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(m.gets-before)/float64(b.N), "pages/op")
}
