package store

import (
	"fmt"
	"testing"

	"yester/store/pack"
)

func (v *Vault) nearTables() (n int) {
	for i := range v.near.tables {
		if v.near.tables[i].Load() != nil {
			n++
		}
	}
	return n
}

func TestPackThatIsReadChunkByChunkIsLearnt(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 600, 2000)
	ids := tv.version("v1", chunks)
	few := tv.version("v2", chunks[:100])
	tv.uncached(ids[:nearAfter-1], chunks)
	if n := tv.nearTables(); n != 0 {
		t.Errorf("%d packs learnt after %d chunks", n, nearAfter-1)
	}
	tv.uncached(ids, chunks)
	if n := tv.nearTables(); n != 1 {
		t.Errorf("%d packs learnt", n)
	}
	for i, id := range ids {
		near, ok := tv.near.find(&id)
		index, found, err := tv.index.find(id)
		if !ok || !found || err != nil || near.pack != index.pack || near.num != index.num || near.frame.Offset != index.frame.Offset || near.frame.Stored != index.frame.Stored {
			t.Fatalf("chunk %d: %+v, in the index %+v, %v", i, near, index, err)
		}
	}
	if id := (ID{1}); tv.hasNear(id) {
		t.Error("a chunk that there is not")
	}

	tv.delete("v1")
	if c := tv.collect(); c.Repacked != 1 {
		t.Fatalf("collected %+v", c)
	}
	for range 2 { // the second time from the new pack
		tv.uncached(few, chunks[:100])
	}
	tv.lacks(ids[100:])
	tv.quiet()
}

func (v *Vault) hasNear(id ID) bool {
	_, ok := v.near.find(&id)
	return ok
}

func TestOnlyPacksThatAreReadOftenAreLearnt(t *testing.T) {
	var n near
	for i := range uint32(10_000) {
		if n.saw(i % 100) {
			t.Fatalf("pack %d, asked for as often as 99 others", i%100)
		}
	}
	learnt := 0
	for i := range uint32(300) {
		if n.saw(1000 + i%3) {
			learnt++
		}
	}
	if learnt != 300/nearAfter-1 && learnt != 300/nearAfter {
		t.Errorf("learnt %d times", learnt)
	}
}

func BenchmarkLocate(b *testing.B) {
	v := benchVault(b)
	w, _ := v.Writer(machine, WriterOptions{Encoding: pack.LZ4})
	var ids []ID
	for i := range 8000 {
		id, _, err := w.Put(b.Context(), pack.KindFile, fmt.Appendf(nil, "chunk %d", i))
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("index", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, p, err := v.lookUp(ids[i%len(ids)]); p == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("near", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, p, err := v.locate(ids[i%len(ids)]); p == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
}
