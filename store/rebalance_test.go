package store

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"yester/store/pack"
)

// spread tells whether all packs have the shape of new ones.
func (sv *spreadVault) spread() bool {
	for _, p := range sv.known() {
		if p.whole || p.shape != sv.place.shape() {
			return false
		}
	}
	return true
}

// Packs that cannot be read at the moment, while a place is added, are not taken for spread.
func TestPacksThatCannotBeReadForAWhileAreSpreadLater(t *testing.T) {
	for _, hurt := range []error{syscall.ESTALE, syscall.EMFILE} {
		sv := newSpreadVault(t, shape{1, 0})
		sv.backup("v1", 0, 1, 2, 3)
		sv.backup("v2", 4, 5, 6)
		old, by := sv.mems[0], sv.fresh()
		err := sv.AddPlace(t.Context(), by, PlaceOptions{Progress: func(step string, _, _ int) {
			if step == "spread" {
				old.FailReads(hurt)
			}
		}})
		if !errors.Is(err, errLater) || sv.spread() {
			t.Errorf("%v: added, with %v", hurt, err)
		}
		sv.mems = append(sv.mems, by)
		if err := sv.Rebalance(t.Context(), PlaceOptions{}); err == nil || sv.told(Damaged, false) > 0 {
			t.Errorf("%v: spread, with %v, told %+v", hurt, err, sv.troubles)
		}
		old.FailReads(nil)
		sv.mendAll()
		must(t, sv.Rebalance(t.Context(), PlaceOptions{}))
		if !sv.spread() {
			t.Errorf("%v: some are not spread", hurt)
		}
		sv.mendAll()
		sv.holds()
		sv.whole()
		sv.reopen(by)
		sv.holds()
	}
}

// Packs that nobody knows of, since the place that has them is missing, are not taken for spread.
func TestSpreadingDoesNotEndWhileAPlaceIsMissing(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v1", 0, 1, 2, 3)
	by := sv.fresh()
	ctx, cancel := context.WithCancel(t.Context())
	err := sv.AddPlace(ctx, by, PlaceOptions{Progress: func(step string, _, _ int) {
		if step == "spread" {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	sv.reopen(by)
	if err := sv.Rebalance(t.Context(), PlaceOptions{}); !errors.Is(err, ErrMissing) {
		t.Errorf("spread, with %v", err)
	}
	sv.mems = append(sv.mems, by)
	sv.reopen(sv.mems...)
	must(t, sv.Rebalance(t.Context(), PlaceOptions{}))
	sv.reopen(by)
	sv.holds()
}

// A pack that is damaged past healing stays as it is, and is no reason to go on for ever.
func TestSpreadingEndsBesideADamagedPack(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v1", 0, 1, 2, 3)
	_, p, err := sv.locate(sv.hash.id(sv.chunks[0]))
	must(t, err)
	must(t, sv.mems[0].Damage(packName(p.instance, p.id), func(b []byte) []byte { clear(b[pack.BlockSize : len(b)-pack.BlockSize]); return b }))
	sv.files.close()
	must(t, sv.AddPlace(t.Context(), sv.fresh(), PlaceOptions{}))
	if sv.spread() || sv.told(Damaged, false) != 1 {
		t.Errorf("told %+v", sv.troubles)
	}
}

// While a place is missing nothing is written anew, as the old packs could not go. All is spread when it is back.
func TestPacksAreNotStoredTwiceWhileAPlaceIsMissing(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3)
	sv.reopen(sv.mems[:2]...)
	by, before := sv.fresh(), len(sv.known())
	if err := sv.AddPlace(t.Context(), by, PlaceOptions{}); !errors.Is(err, ErrMissing) || len(sv.known()) != before {
		t.Errorf("added, with %v, and of %d packs made %d", err, before, len(sv.known()))
	}
	sv.backup("v2", 4, 5)
	sv.holds()
	sv.mems = append(sv.mems, by)
	sv.reopen(sv.mems...)
	must(t, sv.Rebalance(t.Context(), PlaceOptions{}))
	if !sv.spread() {
		t.Error("some are not spread")
	}
	sv.holds()
	sv.whole()
}

// Nor while one fails that can be read.
func TestSpreadingEndsWhenAPlaceFails(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	for i := range 3 {
		sv.backup(fmt.Sprint("v", i), 2*i, 2*i+1)
	}
	by, before := sv.fresh(), len(sv.known())
	err := sv.AddPlace(t.Context(), by, PlaceOptions{Progress: func(step string, done, _ int) {
		if step == "spread" && done == 1 {
			by.FailWrites(syscall.EIO)
		}
	}})
	if !errors.Is(err, ErrMissing) || len(sv.known()) > before+1 {
		t.Errorf("added, with %v, and of %d packs made %d", err, before, len(sv.known()))
	}
	by.FailWrites(nil)
	sv.mems = append(sv.mems, by)
	sv.mendAll()
	must(t, sv.Rebalance(t.Context(), PlaceOptions{}))
	if !sv.spread() {
		t.Error("some are not spread")
	}
	sv.holds()
	sv.whole()
}
