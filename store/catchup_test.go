package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What only a place has that is missing is neither damage, nor had by the one that is back.
func TestPlaceIsBehindWhileAnotherMayHaveWhatItLacks(t *testing.T) {
	for _, restart := range []bool{false, true} {
		sv := newSpreadVault(t, shape{3, 1})
		sv.backup("v0", 0, 1)
		hurts["gone"].begin(sv.mems[1])
		sv.backup("v1", 2, 3, 4)
		hurts["gone"].end(sv.mems[1])
		if restart {
			sv.reopen(sv.mems[:2]...)
		} else {
			hurts["gone"].begin(sv.mems[2])
		}
		for range 2 {
			sv.mendAll()
			if p := sv.Places(t.Context())[1]; !p.Behind || p.Err != nil {
				t.Errorf("the place that is back: %+v", p)
			}
		}
		sv.askAll()
		if !restart {
			unread := 0
			for _, i := range sv.versions["v1"] {
				_, err := sv.Get(t.Context(), sv.hash.id(sv.chunks[i]))
				if err != nil {
					unread++
				}
				if err != nil && (!errors.Is(err, ErrCorrupt) || errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), sv.mems[2].String()+" may have")) {
					t.Errorf("read from too few places: %v", err)
				}
			}
			if unread == 0 {
				t.Error("all can be read")
			}
		}
		if sv.told(Damaged, false)+sv.told(Damaged, true) > 0 {
			t.Errorf("told %+v", sv.troubles)
		}
		if restart {
			sv.reopen(sv.mems...)
		} else {
			hurts["gone"].end(sv.mems[2])
		}
		sv.mendAll()
		sv.holds()
		sv.whole()
	}
}

// A place that waits for another is not gone through again and again.
func TestPlaceThatWaitsForAnotherIsLeftAlone(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	hurts["gone"].begin(sv.mems[1])
	sv.backup("v1", 2, 3, 4)
	hurts["gone"].end(sv.mems[1])
	hurts["gone"].begin(sv.mems[2])
	sv.mendAll()
	if sv.someBehind() {
		t.Error("it is tried again at once")
	}
	sv.mems[1].FailWrites(syscall.EIO)
	_ = sv.tryBackup("v2", 5)
	sv.mems[1].FailWrites(nil)
	sv.mendAll()
	sv.backup("v3", 6)
	sv.mems[2].SetReadOnly(true) // it is not brought up to date, and can be read
	hurts["gone"].end(sv.mems[2])
	sv.mendAll()
	if p := sv.Places(t.Context())[1]; p.Behind {
		t.Errorf("the other is there again: %+v", p)
	}
	sv.mems[2].SetReadOnly(false)
	sv.mendAll()
	sv.holds()
	sv.whole()
}

// Damage that a missing place may heal is not past healing, and is healed when that is back.
func TestDamageIsNotPastHealingWhileAPlaceIsMissing(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3, 4, 5)
	sv.reopen(sv.mems[:2]...)
	for _, name := range sv.fileNames() {
		must(t, sv.mems[0].Damage(name, func(b []byte) []byte { clear(b); return b }))
	}
	sv.askAll()
	if sv.told(Damaged, false) > 0 {
		t.Errorf("told %+v", sv.troubles)
	}
	sv.reopen(sv.mems...)
	sv.askAll()
	sv.holds()
	sv.whole()
}

// letGo tells whether no place of the vault is being replaced any more.
func (sv *spreadVault) letGo() bool {
	sv.describe.Lock()
	defer sv.describe.Unlock()
	return !slices.ContainsFunc(sv.desc.Places, func(p placeInVault) bool { return p.Replaces != "" })
}

// A place that is being replaced is one of the vault's until another that drops out meanwhile is back: what lies in these two only may be nowhere else.
func TestReplacedPlaceStaysWhileAnotherIsMissing(t *testing.T) {
	for _, s := range []shape{{3, 1}, {5, 2}} {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 2, 3, 4)
		last := s.places - 1
		old, by := sv.mems[0], sv.fresh()
		away := []int{0}
		if s.survive > 1 {
			away = []int{0, 1}
		}
		sv.reopen(sv.without(away)...)
		err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{Progress: func(string, int, int) { hurts["gone"].begin(sv.mems[last]) }})
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), sv.mems[last].String()) {
			t.Errorf("%v: replaced, with %v", s, err)
		}
		sv.mendAll()
		if sv.told(Damaged, false) > 0 || sv.letGo() {
			t.Errorf("%v: told %+v", s, sv.troubles)
		}
		hurts["gone"].end(sv.mems[last])
		sv.reopen(append(sv.mems[1:last:last], old, by)...) // and it is dead
		sv.mendAll()
		sv.holds()
		sv.mems[0] = by
		sv.reopen(append(sv.mems, old)...)
		sv.mendAll()
		sv.holds()
		sv.whole()
		if !sv.letGo() {
			t.Errorf("%v: it is still one of the vault's", s)
		}
	}
}

// A new place that is empty after a restart, because nothing is there that it can be filled from, has not taken over.
func TestEmptySuccessorDoesNotTakeOver(t *testing.T) {
	for _, s := range []shape{{2, 1}, {3, 1}} {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 2, 3, 4)
		old, by := sv.mems[0], sv.fresh()
		ctx, progress := interrupted(t, 0)
		if err := sv.ReplacePlace(ctx, old.String(), by, PlaceOptions{Progress: progress}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		sv.reopen(append(sv.mems[1:s.places-1:s.places-1], by)...)
		sv.mendAll()
		sv.mendAll()
		if sv.letGo() {
			t.Errorf("%v: the old place is let go", s)
		}
		sv.reopen(append(sv.mems[1:s.places-1:s.places-1], by, old)...)
		sv.mendAll()
		sv.holds()
		sv.mems[0] = by
		sv.reopen(append(sv.mems, old)...)
		sv.mendAll()
		sv.holds()
		sv.whole()
	}
}

// An old place that fails for a while has the only copy of something as before.
func TestReplacedPlaceThatFailsForAWhileStays(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	sv.backup("v1", 0, 1, 2, 3)
	for _, p := range sv.packs {
		must(t, sv.mems[1].Remove(t.Context(), packName(p.instance, p.id)))
	}
	old, by := sv.mems[0], sv.fresh()
	if err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{Progress: func(string, int, int) { old.FailReads(syscall.ESTALE) }}); err == nil {
		t.Error("replaced")
	}
	sv.mems[0] = by
	for range 2 {
		sv.mendQuietly()
		if sv.letGo() {
			t.Fatal("it is let go")
		}
	}
	if sv.told(Damaged, false) > 0 {
		t.Errorf("told %+v", sv.troubles)
	}
	old.FailReads(nil)
	sv.mendAll()
	sv.holds()
	sv.whole()
	if !sv.letGo() {
		t.Error("it is still one of the vault's")
	}
}

// What a place missed fills it up to its reserve only, and the rest follows when there is room.
func TestWhatAPlaceMissedLeavesItsReserve(t *testing.T) {
	const reserve = 400_000
	for _, s := range several {
		sv := newSpreadVault(t, s)
		sv.o.Reserve = reserve
		sv.backup("v0", 0)
		hurts["gone"].begin(sv.mems[0])
		for i := range 10 {
			sv.backup("v"+strconv.Itoa(i+1), 2*i+1, 2*i+2)
		}
		hurts["gone"].end(sv.mems[0])
		sv.fill(0, reserve+100_000)
		sv.mendQuietly()
		most := uint64(0) // that one file takes
		for _, p := range sv.packs {
			most = max(most, uint64(p.size))
		}
		free, _, err := sv.mems[0].Space(t.Context())
		if p := sv.Places(t.Context())[0]; err != nil || free >= reserve || free+most < reserve || !errors.Is(placeError(p.Err), ErrNoSpace) {
			t.Errorf("%v: %d are free of a reserve of %d, %v; a pack takes %d at most; the place: %+v", s, free, reserve, err, most, p)
		}
		sv.holds()
		sv.mems[0].SetCapacity(0)
		sv.mendAll()
		sv.holds()
		sv.whole()
	}
}
