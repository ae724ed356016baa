package snapshot

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
)

func TestEditedDirectoryIsTheOneBuiltAnew(t *testing.T) {
	seed := newSeed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, n := range []int{0, 1, 2, 50, 300, 1500, 4000} {
		m := newMemory()
		entries := someEntries(r, n)
		editor := NewEditor(m, m)
		tree, totals := build(t, m, entries)
		for range 20 {
			entries, tree, totals = editSome(t, r, m, editor, entries, tree, totals)
		}
	}
}

// editSome changes some entries, and checks that it makes the same pages as all of them added anew.
func editSome(t *testing.T, r *rand.Rand, m *memory, d *Editor, entries []Entry, tree [32]byte, totals Totals) ([]Entry, [32]byte, Totals) {
	t.Helper()
	changes := someEntries(r, 1+r.IntN(4))
	for range r.IntN(5) {
		if len(entries) > 0 {
			e := entries[r.IntN(len(entries))]
			e.Size, e.Target = e.Size+1, nil
			if r.IntN(4) == 0 { // makes pages end by their bytes
				e.Xattrs = EncodeXattrs([]Xattr{{"user.long", make([]byte, r.IntN(60000))}})
			}
			changes = append(changes, e)
		}
	}
	if r.IntN(5) == 0 && len(entries) > 0 { // all names in a stretch
		from := r.IntN(len(entries))
		changes = append(changes, entries[from:min(len(entries), from+r.IntN(700))]...)
	}
	slices.SortStableFunc(changes, func(a, b Entry) int { return bytes.Compare(a.Name, b.Name) })
	changes = slices.CompactFunc(changes, func(a, b Entry) bool { return bytes.Equal(a.Name, b.Name) })

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Begin(t.Context(), tree, totals))
	for _, c := range changes {
		i, there := slices.BinarySearchFunc(entries, c.Name, func(e Entry, name []byte) int { return bytes.Compare(e.Name, name) })
		var old Entry
		found, err := d.Seek(t.Context(), c.Name, &old)
		must(err)
		if found != there || found && !same(old, entries[i]) {
			t.Fatalf("sought %q: %v %+v", c.Name, found, old)
		}
		if there {
			entries = slices.Delete(slices.Clone(entries), i, i+1)
		}
		if !there || r.IntN(3) > 0 {
			entries = slices.Insert(slices.Clone(entries), i, c)
			must(d.Add(t.Context(), &c))
		}
	}
	got, gotTotals, err := d.End(t.Context())
	must(err)
	if want, wantTotals := build(t, m, entries); got != want || gotTotals != wantTotals {
		t.Fatalf("%d entries: tree %x, %+v; want %x, %+v", len(entries), got, gotTotals, want, wantTotals)
	}
	return entries, got, gotTotals
}

func TestEditReadsAndPutsOnlyPagesNearTheChange(t *testing.T) {
	m := newMemory()
	entries := someEntries(rand.New(rand.NewPCG(1, 2)), 100_000)
	tree, totals := build(t, m, entries)
	before := len(m.chunks)
	m.gets = 0
	d := NewEditor(m, m)
	if err := d.Begin(t.Context(), tree, totals); err != nil {
		t.Fatal(err)
	}
	e := Entry{Name: entries[50_000].Name, Mode: syscall.S_IFREG, Size: 1}
	var old Entry
	if found, err := d.Seek(t.Context(), e.Name, &old); err != nil || !found {
		t.Fatal(found, err)
	}
	if err := d.Add(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.gets > 20 || len(m.chunks)-before > 5 {
		t.Errorf("%d pages read, %d put, of %d", m.gets, len(m.chunks)-before, before)
	}
}
