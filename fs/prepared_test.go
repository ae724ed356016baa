package fs

import (
	"context"
	"maps"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

func TestFoldersArePreparedInTheOrderTheyAreListed(t *testing.T) {
	page := pageOf(t, map[string]uint64{"a": 40, "b": 10, "c": 30, "d": 20})
	at := func(pos int) nodeID { return entryNode(5, pos) }
	order := func(before, last nodeID) (list []int) {
		for _, e := range subfolders(page, before, last) {
			list = append(list, e.pos)
		}
		return list
	}
	byInode, byName := []int{1, 3, 2, 0}, []int{0, 1, 2, 3}
	if got := order(0, at(1)); !slices.Equal(got, byInode) {
		t.Errorf("at first %v", got)
	}
	if got := order(at(1), at(3)); !slices.Equal(got, byInode) {
		t.Errorf("by inode %v", got)
	}
	if got := order(at(1), at(2)); !slices.Equal(got, byName) {
		t.Errorf("by name %v", got)
	}
	if got := order(entryNode(6, 1), at(2)); !slices.Equal(got, byInode) {
		t.Errorf("after a folder elsewhere %v", got)
	}
}

func TestOnlyFoldersThatMayComeStayPrepared(t *testing.T) {
	var p prepared
	p.follow(5, []entryAt{{10, 1}, {20, 3}, {30, 2}, {40, 0}})
	p.listed(entryNode(5, 1))
	for _, pos := range []int{3, 2, 0} {
		page := &preparedPage{id: store.ID{byte(pos)}, above: 5, pos: pos, small: make([]entryAt, 1), files: newDecoded()}
		p.pages = append(p.pages, page)
		if !p.add(page, func(d *decoded) error { d.buf = append(d.buf, "content"...); return nil }) {
			t.Fatal("not added")
		}
	}
	if !p.begin(entryNode(5, 2)) { // 3 was passed over, 2 is listed
		t.Fatal("there is nothing to do")
	}
	if p.begin(entryNode(5, 2)) {
		t.Error("two prepare at once")
	}
	p.end()
	if len(p.pages) != 1 || p.pages[0].pos != 0 || p.bytes != len("content") {
		t.Errorf("%d pages of %d bytes are left", len(p.pages), p.bytes)
	}
	page := p.pages[0]
	if _, d := p.take(store.ID{0}); d == nil || string(d.buf) != "content" {
		t.Error("it is not there")
	}
	if _, d := p.take(store.ID{0}); d != nil || p.bytes != 0 {
		t.Error("it was taken twice")
	}
	if p.add(page, func(*decoded) error { t.Error("decoded for nobody"); return nil }) {
		t.Error("added to what was taken")
	}
	p.bytes = preparedBytes
	if p.begin(entryNode(5, 0)) {
		t.Error("there is enough")
	}
}

// pageOf makes a page of folders by name and inode number.
func pageOf(t *testing.T, folders map[string]uint64) snapshot.Page {
	t.Helper()
	var last lastPut
	b := snapshot.NewBuilder(&last)
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		if err := b.Add(t.Context(), &snapshot.Entry{Name: []byte(name), Mode: unix.S_IFDIR | 0o755, Ino: folders[name]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := snapshot.ParsePage(last.raw)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// A lastPut keeps the page that was put last.
type lastPut struct{ raw []byte }

func (p *lastPut) Put(_ context.Context, _ store.Kind, raw []byte) (store.ID, bool, error) {
	p.raw = slices.Clone(raw)
	return store.ID{1}, true, nil
}
