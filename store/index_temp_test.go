package store

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"yester/store/pack"
)

// A temporary index finds what was entered and nothing else, whether it stays in memory or goes to files, of which none is left; what it holds in
// memory is bounded.
func TestTemporaryIndexFindsAllAndLeavesNothing(t *testing.T) {
	for _, c := range []struct {
		what          string
		packs, memory int
		file          bool
	}{
		{"nothing", 0, tempMemory, false},
		{"one pack", 1, tempMemory, false},
		{"in memory", 100, tempMemory, false},
		{"in a file from the first pack on", 100, 1, true},
		{"in a file later", 2000, 4 << 20, true},
	} {
		t.Setenv("TMPDIR", t.TempDir())
		x := newTempIndex()
		x.memory = c.memory
		r := rand.New(rand.NewPCG(1, 2))
		newID := func() (id ID) {
			for i := 0; i < len(id); i += 8 {
				binary.LittleEndian.PutUint64(id[i:], r.Uint64())
			}
			if r.IntN(4) == 0 { // crowds, whose first bytes are the same
				copy(id[:], "crowd")
			}
			return id
		}
		want := map[ID][]location{}
		often := []ID{newID(), newID()} // lie in many packs
		for number := range c.packs {
			frames := make([]pack.Frame, r.IntN(600))
			for i := range frames {
				frames[i] = pack.Frame{Chunk: newID(), Kind: pack.KindFile, Encoding: pack.LZ4, Offset: r.Uint32(), Stored: r.Uint32N(1 << 20), Raw: r.Uint32N(1 << 20)}
				if i < len(often) {
					frames[i].Chunk = often[i]
				}
				id := frames[i].Chunk
				want[id] = append(want[id], location{pack: uint32(number), num: uint32(i), frame: frames[i]})
			}
			if err := x.add(uint32(number), frames); err != nil {
				t.Fatal(err)
			}
			taken := 0
			for i := range x.bins {
				taken += cap(x.bins[i].entries)
			}
			if most := max(c.memory, tempBins*(tempRunLen+tempEntry)); taken > most {
				t.Fatalf("%s: %d bytes are in memory, %d may be", c.what, taken, most)
			}
		}
		if err := x.seal(); err != nil {
			t.Fatal(err)
		}
		if (x.sorted != nil) != c.file {
			t.Errorf("%s: %d chunks, and a file is %v", c.what, len(want), x.sorted != nil)
		}
		for id, l := range want {
			if got, found, err := x.find(id); err != nil || !found || !slices.Contains(l, got) {
				t.Fatalf("%s: %v is at %+v, %v, %v, want %+v", c.what, id, got, found, err, l)
			}
			if len(l) == 1 && r.IntN(16) > 0 {
				continue
			}
			all, err := x.all(id)
			slices.SortFunc(all, func(a, b location) int { return cmp.Compare(a.pack, b.pack) })
			if err != nil || !slices.Equal(all, l) {
				t.Fatalf("%s: %v is at %+v, %v, want %+v", c.what, id, all, err, l)
			}
		}
		for range 10_000 {
			id := newID()
			if got, found, err := x.find(id); err != nil || found {
				t.Fatalf("%s: found %+v, %v, which was never entered", c.what, got, err)
			}
		}
		if err := x.add(0, nil); err == nil {
			t.Error("a sealed index takes more")
		}
		if err := x.close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
			t.Errorf("%s: left are %v, %v", c.what, left, err)
		}
	}
}
