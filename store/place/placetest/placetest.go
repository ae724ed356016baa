// Package placetest is the suite that every place must pass. It asks for what package place promises and for nothing
// that only some places have.
package placetest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"yester/store/place"
)

// Run runs the suite. fresh returns a new, empty place for the test it is given, and has it cleaned up when that ends.
func Run(t *testing.T, fresh func(t *testing.T) place.Place) {
	for _, x := range []struct {
		rule string
		test func(*testing.T, place.Place)
	}{
		{"WrittenIsRead", writtenIsRead},
		{"PartsAreJoined", partsAreJoined},
		{"PartsAreNotChanged", partsAreNotChanged},
		{"ManyPartsAndBigOnes", manyPartsAndBigOnes},
		{"WriteReplaces", writeReplaces},
		{"ReadAtIsThatOfIO", readAtIsThatOfIO},
		{"MissingFileIsErrNotExist", missingFileIsErrNotExist},
		{"OpenFileOutlivesItsName", openFileOutlivesItsName},
		{"ListIsSortedAndFlat", listIsSortedAndFlat},
		{"MissingFolderIsEmpty", missingFolderIsEmpty},
		{"RemoveTakesEmptyFolders", removeTakesEmptyFolders},
		{"RemoveOfNothingIsNoError", removeOfNothingIsNoError},
		{"BadNamesAreRefused", badNamesAreRefused},
		{"DoneContextLeavesNothing", doneContextLeavesNothing},
		{"SweepKeepsFiles", sweepKeepsFiles},
		{"SpaceIsSane", spaceIsSane},
		{"ErrorsNamePlaceAndFile", errorsNamePlaceAndFile},
		{"ManyWriters", manyWriters},
		{"ReadersSeeWholeFiles", readersSeeWholeFiles},
		{"RemoveDoesNotDisturbWrite", removeDoesNotDisturbWrite},
	} {
		t.Run(x.rule, func(t *testing.T) { x.test(t, fresh(t)) })
	}
}

func write(t *testing.T, p place.Place, name string, parts ...[]byte) {
	t.Helper()
	if err := p.Write(t.Context(), name, parts...); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, p place.Place, name string) {
	t.Helper()
	if err := p.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, p place.Place, name string) place.File {
	t.Helper()
	f, err := p.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func list(t *testing.T, p place.Place, dir string) []place.Info {
	t.Helper()
	infos, err := p.List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// read returns all of an open file.
func read(f place.File) ([]byte, error) {
	b := make([]byte, f.Size())
	n, err := f.ReadAt(b, 0)
	if n == len(b) && errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// expect fails unless name holds want.
func expect(t *testing.T, p place.Place, name string, want []byte) {
	t.Helper()
	f := open(t, p, name)
	defer f.Close()
	if got, err := read(f); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes, %v; want %d bytes", name, len(got), err, len(want))
	}
}

// noise is n bytes that differ from seed to seed.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}
