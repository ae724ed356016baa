package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

func TestMissingPlaceIsFoundAgain(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2)
	if err := sv.Close(); err != nil {
		t.Fatal(err)
	}
	var there atomic.Bool
	o := sv.options(sv.mems[1:]...)
	o.Look = func() []place.Place {
		if there.Load() {
			return []place.Place{place.NewMem(1), sv.mems[0]}
		}
		return nil
	}
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	sv.Vault = v
	sv.backup("v2", 3, 4)
	sv.mendAll()
	if !sv.someAway() {
		t.Error("found where it is not")
	}
	there.Store(true)
	sv.mendAll()
	sv.holds()
	sv.whole()
	if sv.told(PlaceFailed, false) != 1 || sv.told(PlaceBack, false) != 1 {
		t.Errorf("told %+v", sv.troubles)
	}
}

func TestDamageThatCannotBeWrittenBackIsTold(t *testing.T) {
	for err, kind := range map[error]error{syscall.ENOSPC: ErrNoSpace, syscall.EDQUOT: ErrNoSpace, syscall.EROFS: ErrReadOnly} {
		t.Run(err.Error(), func(t *testing.T) { testDamageThatCannotBeWrittenBack(t, err, kind) })
	}
}

func testDamageThatCannotBeWrittenBack(t *testing.T, why, kind error) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v1", 0, 1, 2)
	for _, name := range sv.fileNames() {
		if err := sv.mems[0].Damage(name, func(b []byte) []byte { b[pack.BlockSize+5] ^= 1; return b }); err != nil {
			t.Fatal(err)
		}
	}
	sv.mems[0].FailWrites(why)
	sv.holds()
	sv.mendQuietly()
	sv.holds()
	isNot := func(t Trouble) bool { return t.Kind != Damaged || t.Healed || !errors.Is(t.Err, kind) }
	if sv.told(Damaged, false) == 0 || slices.ContainsFunc(sv.troubles, isNot) {
		t.Errorf("told %+v", sv.troubles)
	}
	sv.mems[0].FailWrites(nil)
	sv.askAll()
	sv.whole()
}

func TestFolderTakenAwayMeanwhile(t *testing.T) {
	top := t.TempDir()
	dir := func(name string) string { return filepath.Join(top, name) }
	o := Options{Reserve: 1, Log: slog.New(slog.DiscardHandler), IndexDir: dir("index")}
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Mkdir(dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		p, err := place.NewDir(dir(name))
		if err != nil {
			t.Fatal(err)
		}
		o.Places = append(o.Places, p)
	}
	if err := Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	sv := &spreadVault{Vault: v, t: t, versions: map[string][]int{}, chunks: someChunks(1, 10, 50_000)}
	defer func() {
		if err := sv.Close(); err != nil {
			t.Error(err)
		}
	}()
	sv.backup("v1", 0, 1, 2)
	sv.backup("v2", 2, 3)
	if err := os.Rename(dir("b"), dir("away")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir("b"), 0o700); err != nil { // the empty mount point
		t.Fatal(err)
	}
	sv.holds()
	sv.backup("v3", 4, 5)
	sv.remove("v1")
	if list, err := os.ReadDir(dir("b")); err != nil || len(list) > 0 {
		t.Errorf("written to the mount point: %v, %v", list, err)
	}
	if err := os.Remove(dir("b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir("away"), dir("b")); err != nil {
		t.Fatal(err)
	}
	sv.mendAll()
	sv.holds()
	sv.whole()
}
