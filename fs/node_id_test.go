package fs

import (
	"testing"

	"yester/snapshot"
	"yester/store"
)

func TestNodeIDsComeApartAgain(t *testing.T) {
	for _, slot := range []uint64{1, 2, 1 << 20, 1<<48 - 1} {
		for _, pos := range []int{0, 1, snapshot.MaxPageLen - 1, posMask} {
			id := entryNode(slot, pos)
			if id.kind() != entryKind || id.slot() != slot || id.pos() != pos || !id.inVersion() {
				t.Errorf("slot %d position %d: node %x is of kind %d, slot %d, position %d", slot, pos, id, id.kind(), id.slot(), id.pos())
			}
		}
	}
	for k := instanceKind; k <= byFileKind; k++ {
		id := kindNode(k, 123456)
		if id.kind() != k || id.ord() != 123456 || id.inVersion() != (k == versionKind) {
			t.Errorf("kind %d: node %x is of kind %d, ordinal %d", k, id, id.kind(), id.ord())
		}
	}
	if rootNode.inVersion() {
		t.Error("the top folder is in a version")
	}
	if snapshot.MaxPageLen > posMask+1 {
		t.Error("a page has more entries than a node id can tell")
	}
}

func TestInodeNumbersDifferBetweenVersionsOnly(t *testing.T) {
	tests := []struct{ ino, folded uint64 }{
		{0, 0},
		{1, 1},
		{1<<44 - 1, 1<<44 - 1},
		{1 << 44, 1},
		{3<<44 | 8, 11},
		{1<<64 - 1, 1<<44 - 1 ^ (1<<20 - 1)},
	}
	for _, tt := range tests {
		if got := foldIno(tt.ino); got != tt.folded {
			t.Errorf("inode %x folds to %x, not %x", tt.ino, got, tt.folded)
		}
	}
	for _, version := range []uint64{1, 2, maxVersions} {
		if got := inodeNumber(version, 77); got != version<<44|77 {
			t.Errorf("version %d: inode number %x", version, got)
		}
	}
	if inodeNumber(maxVersions+1, 77) != inodeNumber(1, 77) {
		t.Error("ordinals do not come round")
	}
	for k := instanceKind; k <= latestKind; k++ {
		if n := folderIno(kindNode(k, 5)); n >= inodeNumber(1, 0) || n == folderIno(kindNode(k, 6)) {
			t.Errorf("kind %d: inode number %x", k, n)
		}
	}
}

func TestSlotsAreGivenOnceAndFound(t *testing.T) {
	var table slots
	dir := kindNode(versionKind, 1)
	for i := range uint64(3 * blockLen) {
		s := slot{page: store.ID{byte(i)}, dir: dir, first: i * 7, version: 1}
		n := table.number(s)
		if n != i+1 || table.number(s) != n {
			t.Fatalf("page %d has number %d", i, n)
		}
		if got, ok := table.get(n); !ok || got != s {
			t.Fatalf("slot %d is %v, %v", n, got, ok)
		}
	}
	if other := table.number(slot{dir: dir + 1}); other != 3*blockLen+1 {
		t.Errorf("the same position of another directory has number %d", other)
	}
	for _, n := range []uint64{0, 3*blockLen + 2, 1 << 48} {
		if _, ok := table.get(n); ok {
			t.Errorf("there is a slot %d", n)
		}
	}
}
