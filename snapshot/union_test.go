package snapshot

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"yester/store"
)

// unionOf collects the names of some directories, and how many pages were lost.
func unionOf(t *testing.T, g Getter, trees []store.ID) (names []string, lost int) {
	t.Helper()
	u := NewUnion(g, trees, func(error) { lost++ })
	for {
		name, ok, err := u.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return names, lost
		}
		names = append(names, name)
	}
}

func TestUnionHasEachNameOnceAndReadsEachPageOnce(t *testing.T) {
	for _, n := range []int{2, 40, 3000, 20_000} {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMemory()
		p := paths{"/": {Mode: syscall.S_IFDIR | 0o755}}
		trees, names, pages := []store.ID{{}}, map[string]bool{}, map[store.ID]bool{}
		for range 8 {
			for range n {
				p[fmt.Sprintf("/%06d", r.IntN(3*n))] = someFile(r)
			}
			for range n / 2 {
				delete(p, fmt.Sprintf("/%06d", r.IntN(3*n)))
			}
			for at := range p {
				names[at[1:]] = at != "/"
			}
			root := p.root(t, m)
			trees = append(trees, root.Tree)
			pagesOf(t, m, root.Tree, pages)
			n = n/100 + 1
		}
		delete(names, "")
		var got []string
		if gets := m.count(func() { got, _ = unionOf(t, m, trees) }); gets != len(pages) {
			t.Errorf("seed %d: %d pages read, there are %d", seed, gets, len(pages))
		}
		if want := slices.Sorted(maps.Keys(names)); !slices.Equal(got, want) {
			t.Errorf("seed %d: %d names, want %d", seed, len(got), len(want))
		}
	}
}

func TestUnionGoesOnBehindLostPages(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	m := newMemory()
	p := somePaths(r, 10_000)
	var a, b Entry
	for _, e := range []*Entry{&a, &b} {
		if err := Lookup(t.Context(), m, p.root(t, m).Tree, []byte("large"), e); err != nil {
			t.Fatal(err)
		}
		p["/large/new"] = someFile(r)
	}
	all, _ := unionOf(t, m, []store.ID{a.Tree, b.Tree})
	got, lost := unionOf(t, losing{m, map[store.ID]bool{b.Tree: true}}, []store.ID{a.Tree, b.Tree})
	if lost != 1 || !slices.Equal(got, all[:len(all)-1]) {
		t.Errorf("%d pages lost, %d names of %d", lost, len(got), len(all))
	}
}

func TestContentKeysDifferAsEntriesDo(t *testing.T) {
	all := oneOfEach()
	other := all[0]
	for _, e := range all {
		if e.IsRegular() {
			other = e
			other.Size++
		}
	}
	all = append(all, other)
	for i := range all {
		for j := range all {
			a, b := &all[i], &all[j]
			same := Compare(a, b)&(TypeDiffers|ContentDiffers|TargetDiffers|DeviceDiffers) == 0
			if (a.ContentKey() == b.ContentKey()) != same {
				t.Errorf("%q and %q: same content is %v, and of their keys not", a.Name, b.Name, same)
			}
		}
	}
}

// Versions of before have no name for a file whose name had 256 bytes.
func TestFileWithoutANameHidesNoOthers(t *testing.T) {
	m := newMemory()
	nameless := Entry{Mode: syscall.S_IFREG, Size: 5, Data: 5, Content: []Ref{{chunkID(1), 5}}}
	root := Entry{Mode: syscall.S_IFDIR}
	root.Tree, root.Totals = build(t, m, append([]Entry{nameless}, oneOfEach()...))
	if got := read(t, m, root.Tree); len(got) != 1+len(oneOfEach()) {
		t.Errorf("%d entries are read", len(got))
	}
	if got, lost := unionOf(t, m, []store.ID{root.Tree}); lost != 0 || len(got) != len(oneOfEach()) {
		t.Errorf("%q, %d pages lost", got, lost)
	}
	v := Version{Name: "v"}
	v.SetRoot(&root)
	record, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	met := map[store.ID]bool{}
	err = Mark(t.Context(), m, record, func(id store.ID, _ int64) (bool, error) {
		met[id] = true
		return id == root.Tree, nil
	})
	if err != nil || !met[chunkID(1)] || !met[chunkID(5)] {
		t.Errorf("%d chunks are marked, %v", len(met), err)
	}
}
