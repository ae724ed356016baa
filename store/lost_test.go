package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"yester/store/pack"
)

// sevenPacks makes a version of each ten of 70 chunks.
func sevenPacks(tv *testVault) (ids []ID, chunks [][]byte) {
	chunks = someChunks(1, 70, 1000)
	for i := range 7 {
		ids = append(ids, tv.version(fmt.Sprint("v", i), chunks[10*i:10*i+10])...)
	}
	return ids, chunks
}

// Of very many chunks that are lost as many are held as there is memory for, and that there are others is told.
func TestNoMoreLossesAreHeldThanMayBe(t *testing.T) {
	tell := func(all []Problem) (told int) {
		for _, p := range all {
			if errors.Is(p.Err, ErrLost) && strings.Contains(p.Err.Error(), "more than 25 pieces") {
				told++
			}
		}
		return told
	}
	for _, gone := range []int{2, 3, 7} {
		tv := newVault(t)
		ids, chunks := sevenPacks(tv)
		tv.mostLost = 25
		for _, p := range tv.packPaths()[:gone] {
			must(t, os.Remove(p))
		}
		tv.cold()
		wantLost, wantTold := min(10*gone, 25), 0
		if 10*gone > 25 {
			wantTold = 1
		}
		if c := tv.check(CheckOptions{}); len(c.Lost) != wantLost || tell(c.Problems) != wantTold {
			t.Errorf("%d packs are gone: a check tells %d chunks, and %v", gone, len(c.Lost), c.Problems)
		}
		r := tv.repair(RepairOptions{})
		if len(r.Lost) != wantLost || tell(r.Problems) != wantTold || len(r.Salvaged) != gone {
			t.Errorf("%d packs are gone: a repair tells %d chunks, and %v", gone, len(r.Lost), r.Problems)
		}
		tv.version("again", chunks)
		tv.uncached(ids, chunks)
		tv.clean()
	}
}

// What can be read of packs without a table is not lost, however many there are.
func TestPacksWithoutATableAreLookedAtInTurn(t *testing.T) {
	tv := newVault(t)
	ids, _ := sevenPacks(tv)
	tv.mostLost = 25
	l, _, err := tv.locate(ids[69])
	must(t, err)
	last := tv.known()[l.pack].id
	for _, p := range tv.packPaths() {
		if strings.Contains(p, last.String()) {
			must(t, os.Remove(p))
			continue
		}
		blank(t, p, 0, pack.BlockSize)
		blank(t, p, -pack.BlockSize, -1)
	}
	tv.cold()
	c := tv.check(CheckOptions{})
	if len(c.Lost) != 10 || !c.Lost.Has(ids[60]) || !c.Lost.Has(ids[69]) {
		t.Errorf("%d chunks are lost, %v", len(c.Lost), c.Problems)
	}
}
