package fs

import (
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
	"yester/store"
	"yester/store/pack"
	"yester/store/place"
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
	for _, ino := range []uint64{0, 1, 256, 1<<43 - 1} {
		if got := foldIno(ino); got != ino {
			t.Errorf("inode %x folds to %x", ino, got)
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
	if a, b := inodeNumber(1, 1<<64-1), inodeNumber(2, 0); a>>inoBits != 1 || a == b {
		t.Errorf("the largest inode number is %x", a)
	}
	for k := instanceKind; k <= latestKind; k++ {
		if n := folderIno(kindNode(k, 5)); n >= inodeNumber(1, 0) || n == folderIno(kindNode(k, 6)) {
			t.Errorf("kind %d: inode number %x", k, n)
		}
	}
}

func TestInodeNumbersDifferBetweenSubvolumes(t *testing.T) {
	const shift = 44 // as captures keep the ids of subvolumes
	seen := make(map[uint64][2]uint64)
	add := func(volume, ino uint64) {
		t.Helper()
		n := inodeNumber(1, volume<<shift|ino)
		if was, ok := seen[n]; ok && was != [2]uint64{volume, ino} {
			t.Fatalf("inode %d of subvolume %d and %d of %d have the number %x", ino, volume, was[1], was[0], n)
		}
		if n>>inoBits != 1 || n == inodeNumber(1, rootIno) {
			t.Fatalf("inode %d of subvolume %d has the number %x", ino, volume, n)
		}
		seen[n] = [2]uint64{volume, ino}
	}
	volumes := []uint64{0, 1<<20 - 1, 1<<20 - 2, 1<<20 - 3} // the partition itself, and those of a kernel that tells no ids
	for id := uint64(256); id < 300; id++ {
		volumes = append(volumes, id, id^1, id<<8, id<<11)
	}
	for _, volume := range volumes {
		for ino := uint64(256); ino < 1024; ino++ {
			add(volume, ino)
			add(volume, ino^volume)
			add(volume, ino<<12)
		}
		if volume > 0 {
			add(volume, volume)
		}
	}
}

// A file system gives the number of a file that was deleted to a new one, and a version may have both.
func TestInodeNumbersThatAreGivenAgainDiffer(t *testing.T) {
	start := time.Date(2026, 11, 22, 3, 17, 5, 0, time.UTC)
	ver := &version{ord: 3, time: start}
	number := func(ino uint64, born time.Time) uint64 {
		return ver.ino(&snapshot.Entry{Ino: ino, Btime: snapshot.Time{Sec: born.Unix(), Nsec: uint32(born.Nanosecond())}})
	}
	old := number(12, start.Add(-time.Nanosecond))
	if old != inodeNumber(3, 12) || ver.ino(&snapshot.Entry{Ino: 12}) != old {
		t.Errorf("a file that was there before has the number %x", old)
	}
	seen := map[uint64]bool{old: true}
	for _, born := range []time.Duration{0, 1, 2, 1e9, 1e9 + 1, 3600e9} {
		for ino := range uint64(100) {
			n := number(12+ino, start.Add(born))
			if seen[n] || n>>inoBits != 3 || n != number(12+ino, start.Add(born)) {
				t.Errorf("inode %d born after %v has the number %x", 12+ino, born, n)
			}
			seen[n] = true
		}
	}
	if number(rootIno, start) != inodeNumber(3, rootIno) {
		t.Error("the root has another number than its version's folder lists")
	}
	ver.time = time.Time{}
	if number(12, start) != old {
		t.Error("a version without a time knows when it was made")
	}
}

// If the clock was far back while a version was made, nearly all files in it are younger, and too many to have numbers that are theirs by chance.
func TestInodeNumbersOfFilesThatSeemToBeYoungerThanTheVersionAreTheirOwn(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 5, 0, time.UTC)
	for _, tt := range []struct {
		length, born time.Duration // since the start
		others       bool
	}{
		{time.Hour, -time.Second, false},
		{time.Hour, 0, true},
		{0, 0, true},
		{time.Hour, time.Hour, true},
		{time.Hour, 2 * time.Hour, true}, // if the clock was set back meanwhile
		{time.Hour, 26 * time.Hour, false},
		{time.Hour, 26 * 365 * 24 * time.Hour, false},
		{-time.Hour, 26 * 365 * 24 * time.Hour, true}, // it was set back, who knows how far
		{-time.Hour, -time.Second, false},
	} {
		ver := &version{ord: 3, time: start.Add(time.Second)}
		ver.opened.Store(&openVersion{start: start, end: start.Add(tt.length)})
		n := ver.ino(&snapshot.Entry{Ino: 12, Btime: snapshot.Time{Sec: start.Add(tt.born).Unix()}})
		if others := n != inodeNumber(3, 12); others != tt.others {
			t.Errorf("a file born %v after the start of a version that took %v has the number %x", tt.born, tt.length, n)
		}
	}
}

// The name of a version is later than what was made while it was, if the clock was set back.
func TestInodeNumbersThatAreGivenAgainDifferAfterTheClockWasSetBack(t *testing.T) {
	ctx, s := t.Context(), &testServer{place: place.NewMem(1)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.open(ctx, 1<<20))
	defer s.vault.Close()
	w, err := s.vault.Writer(day(1).Instance, store.WriterOptions{Encoding: pack.LZ4})
	must(err)
	named, _ := time.Parse(snapshot.NameLayout, day(1).Version)
	start := named.Add(-time.Hour)
	file := func(name string, born time.Duration) *tree {
		m := maker{ino: 11}
		at := snapshot.Time{Sec: start.Add(born).Unix()}
		return m.file().named(name).times(at, at, at)
	}
	m := maker{ino: 1}
	root, err := m.dir(file("deleted", -time.Hour), file("old", -time.Second), file("younger", 1000*time.Hour), file("new", time.Minute)).store(ctx, w)
	must(err)
	record := snapshot.Version{
		Instance: day(1).Instance, Name: day(1).Version, Partition: snapshot.Partition{Name: day(1).Partition}, Start: start, End: start.Add(time.Hour),
	}
	record.SetRoot(root)
	b, err := record.Encode()
	must(err)
	must(w.Commit(ctx, day(1), b))
	must(w.Close())
	v, err := newView(Options{Vault: s.vault, Log: s.logger(), Now: time.Now})
	must(err)
	defer v.close()
	look := func(in nodeID, name string) fuse.EntryOut {
		var out fuse.EntryOut
		if st := v.Lookup(nil, &fuse.InHeader{NodeId: uint64(in)}, name, &out); st != fuse.OK {
			t.Fatal(name, st)
		}
		return out
	}
	in := nodeID(look(kindNode(partitionKind, 1), day(1).Version).NodeId)
	deleted, old, younger, made := look(in, "deleted").Ino, look(in, "old").Ino, look(in, "younger").Ino, look(in, "new").Ino
	if deleted != old || younger != old || made == old {
		t.Errorf("numbers %x, %x and %x of files that were there before, %x of one that was made", deleted, old, younger, made)
	}
}

func TestSlotsAreGivenOnceAndFound(t *testing.T) {
	var table slots
	one, two := &version{ord: 1}, &version{ord: 2}
	page := func(i uint64) slot {
		return slot{page: store.ID{byte(i), byte(i >> 8)}, dir: kindNode(versionKind, i%7)}
	}
	given := make(map[uint64]bool)
	for i := range uint64(3*blockLen + 1) {
		for _, ver := range []*version{one, two} {
			s := page(i)
			n := table.number(ver, s)
			if n == 0 || given[n] || table.number(ver, s) != n {
				t.Fatalf("page %d has number %d", i, n)
			}
			given[n] = true
			if got, of := table.find(n); of != ver || got != s {
				t.Fatalf("slot %d is %v of %v", n, got, of)
			}
		}
	}
	if n := table.number(one, slot{page: page(5).page}); given[n] {
		t.Errorf("the same page of another directory has number %d", n)
	}
	for _, n := range []uint64{0, uint64(len(table.blocks))*blockLen + 1, 4*blockLen*2 - 1, 1 << 48} {
		if _, ok := table.get(n); ok {
			t.Errorf("there is a slot %d", n)
		}
	}
	was := table.number(one, page(0))
	kept := table.number(two, page(0))
	table.drop(one)
	if _, ok := table.get(was); ok {
		t.Error("a slot of a version that was dropped is there")
	}
	if _, ok := table.get(kept); !ok {
		t.Error("a slot of another version is gone")
	}
	if n := table.number(one, page(0)); given[n] {
		t.Errorf("number %d is given twice", n)
	}
}
