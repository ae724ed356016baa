package snapshot

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"yester/store"
)

// stayLines writes stays: kind, versions, aspects.
func stayLines(stays []Stay) (lines []string) {
	kinds := [...]string{"created", "changed", "deleted", "unread"}
	for _, s := range stays {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s-%s %d %s", kinds[s.Kind], s.First, s.Last, s.Versions, strings.Join(s.What.Names(), ","))))
	}
	return lines
}

func TestTimelineHasOneStayForEachState(t *testing.T) {
	m := newMemory()
	r := rand.New(rand.NewPCG(1, 1))
	p := somePaths(r, 1000)
	const at = "/large/dir/x"
	line := NewTimeline(m, at)
	day := 0
	add := func(change func()) {
		change()
		day++
		if err := line.Add(t.Context(), fmt.Sprint(day), p.root(t, m)); err != nil {
			t.Fatal(err)
		}
	}
	set := func(f func(e *Entry)) func() {
		return func() {
			e := p[at]
			f(&e)
			p[at] = e
		}
	}
	nothing := func() {}
	add(nothing) // 1: not there yet
	add(func() {
		p["/large/dir"] = Entry{Mode: syscall.S_IFDIR | 0o755}
		p[at] = Entry{Mode: syscall.S_IFREG | 0o644, Size: 1, Nlink: 1, Content: []Ref{{chunkID(1), 1}}}
	}) // 2
	add(nothing)                                                                                                  // 3
	add(func() { p["/large/000001-new"] = someFile(r) })                                                          // 4: only beside it
	add(set(func(e *Entry) { e.Ctime.Sec++ }))                                                                    // 5: nothing of note
	add(set(func(e *Entry) { e.Content, e.Mtime.Sec = []Ref{{chunkID(2), 1}}, 9 }))                               // 6
	add(set(func(e *Entry) { e.Mode, e.UID = e.Mode|0o111, 1000 }))                                               // 7
	add(func() { delete(p, at) })                                                                                 // 8
	add(func() { delete(p, "/large/dir") })                                                                       // 9: deleted still
	add(func() { p["/large/dir"] = Entry{Mode: syscall.S_IFREG} })                                                // 10: its folder is none
	add(func() { p["/large/dir"] = Entry{Mode: syscall.S_IFDIR}; p[at] = Entry{Mode: syscall.S_IFDIR | 0o700} })  // 11
	add(func() { p[at+"/below"] = someFile(r) })                                                                  // 12
	add(func() { delete(p, at+"/below"); p[at] = Entry{Mode: syscall.S_IFLNK | 0o700, Target: []byte("there")} }) // 13
	equalLines(t, "stays", stayLines(line.Stays()), []string{
		"created 2-5 4", "changed 6-6 1 content,times", "changed 7-7 1 mode,owner", "deleted 8-10 3",
		"created 11-11 1", "changed 12-12 1 content", "changed 13-13 1 type",
	})
	if e := line.Stays()[1].Entry; e.Content[0].ID != chunkID(2) || string(e.Name) != "x" {
		t.Errorf("got %+v", e)
	}
}

func TestTimelineReadsOnlyPagesThatAreNew(t *testing.T) {
	m := newMemory()
	r := rand.New(rand.NewPCG(2, 1))
	p := somePaths(r, 20_000)
	line := NewTimeline(m, "/large/000777")
	add := func() int {
		root := p.root(t, m)
		return m.count(func() {
			if err := line.Add(t.Context(), "v", root); err != nil {
				t.Fatal(err)
			}
		})
	}
	first := add()
	if first > 5 {
		t.Errorf("the first look reads %d pages", first)
	}
	if n := add(); n != 0 {
		t.Errorf("an unchanged version costs %d pages", n)
	}
	p["/large/009999"] = someFile(r) // far from it
	if n := add(); n >= first {
		t.Errorf("a change elsewhere costs %d pages, the first look %d", n, first)
	}
	p["/zzz"] = someFile(r)
	if n := add(); n != 1 {
		t.Errorf("a change in the root costs %d pages", n)
	}
	if s := line.Stays(); len(s) != 1 || s[0].Versions != 4 {
		t.Errorf("got %v", stayLines(s))
	}
}

func TestTimelineTellsWhatCannotBeRead(t *testing.T) {
	m := newMemory()
	r := rand.New(rand.NewPCG(3, 1))
	p := somePaths(r, 1000)
	g := losing{m, map[store.ID]bool{}}
	line := NewTimeline(g, "/large/000100")
	lostTree := p.root(t, m)
	g.lost[lostTree.Tree] = true
	p["/zzz"] = someFile(r)
	good := p.root(t, m)
	for i, root := range []*Entry{good, lostTree, lostTree, good, lostTree} {
		if err := line.Add(t.Context(), fmt.Sprint(i), root); err != nil {
			t.Fatal(err)
		}
	}
	line.AddUnread("5", store.ErrCorrupt)
	equalLines(t, "stays", stayLines(line.Stays()), []string{"created 0-0 1", "unread 1-2 2", "changed 3-3 1", "unread 4-5 2"})
}

func TestTimelineOfTheRoot(t *testing.T) {
	m := newMemory()
	p := somePaths(rand.New(rand.NewPCG(4, 1)), 10)
	line := NewTimeline(m, "/")
	for i := range 3 {
		if i == 2 {
			p["/x"] = Entry{Mode: syscall.S_IFREG}
		}
		if err := line.Add(t.Context(), fmt.Sprint(i), p.root(t, m)); err != nil {
			t.Fatal(err)
		}
	}
	equalLines(t, "stays", stayLines(line.Stays()), []string{"created 0-1 2", "changed 2-2 1 content"})
}
