package placetest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	"yester/store/place"
)

func writtenIsRead(t *testing.T, p place.Place) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		want := noise(byte(n), n)
		write(t, p, "keys/one", want)
		expect(t, p, "keys/one", want)
	}
	write(t, p, "vault.json", []byte("{}"))
	expect(t, p, "vault.json", []byte("{}"))
}

func partsAreJoined(t *testing.T, p place.Place) {
	write(t, p, "none")
	expect(t, p, "none", nil)
	write(t, p, "some", []byte("a"), nil, []byte("bc"), []byte{}, []byte("d"))
	expect(t, p, "some", []byte("abcd"))
}

func partsAreNotChanged(t *testing.T, p place.Place) {
	a, b := noise(1, 10_000), noise(2, 10_000)
	write(t, p, "f", a, b)
	if !bytes.Equal(a, noise(1, 10_000)) || !bytes.Equal(b, noise(2, 10_000)) {
		t.Error("Write changed its parts")
	}
	want := bytes.Join([][]byte{a, b}, nil)
	clear(a)
	expect(t, p, "f", want)
}

func manyPartsAndBigOnes(t *testing.T, p place.Place) {
	var parts [][]byte
	for i := range 3000 {
		parts = append(parts, noise(byte(i), i%50))
	}
	parts = append(parts, noise(3, 9<<20), []byte("end"))
	write(t, p, "many", parts...)
	expect(t, p, "many", bytes.Join(parts, nil))
}

func writeReplaces(t *testing.T, p place.Place) {
	for _, content := range []string{"first", "a longer second", "3"} {
		write(t, p, "a/b/c", []byte(content))
		expect(t, p, "a/b/c", []byte(content))
	}
	if infos := list(t, p, "a/b"); len(infos) != 1 {
		t.Errorf("List = %v", infos)
	}
}

func readAtIsThatOfIO(t *testing.T, p place.Place) {
	data := noise(1, 1000)
	write(t, p, "f", data)
	f := open(t, p, "f")
	defer f.Close()
	if f.Size() != 1000 {
		t.Errorf("Size = %d", f.Size())
	}
	for _, x := range []struct {
		off     int64
		n, want int
		eof     bool
	}{{0, 10, 10, false}, {500, 100, 100, false}, {990, 20, 10, true}, {1000, 1, 0, true}, {5000, 1, 0, true}} {
		b := make([]byte, x.n)
		n, err := f.ReadAt(b, x.off)
		if n != x.want || errors.Is(err, io.EOF) != x.eof || !x.eof && err != nil {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v", x.n, x.off, n, err)
		} else if n > 0 && !bytes.Equal(b[:n], data[x.off:][:n]) {
			t.Errorf("ReadAt(%d bytes, %d): wrong bytes", x.n, x.off)
		}
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("ReadAt(-1): %v", err)
	}
}

func missingFileIsErrNotExist(t *testing.T, p place.Place) {
	write(t, p, "a/there", nil)
	for _, name := range []string{"missing", "a/missing", "b/missing", "a"} {
		f, err := p.Open(t.Context(), name)
		if err == nil {
			f.Close()
			t.Errorf("Open(%s): no error", name)
		} else if name != "a" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s): %v", name, err)
		}
	}
}

func openFileOutlivesItsName(t *testing.T, p place.Place) {
	old := noise(1, 50_000)
	write(t, p, "d/replaced", old)
	write(t, p, "d/removed", old)
	replaced, removed := open(t, p, "d/replaced"), open(t, p, "d/removed")
	write(t, p, "d/replaced", []byte("new"))
	remove(t, p, "d/removed")
	for _, f := range []place.File{replaced, removed} {
		if got, err := read(f); err != nil || !bytes.Equal(got, old) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	expect(t, p, "d/replaced", []byte("new"))
}

func removeOfNothingIsNoError(t *testing.T, p place.Place) {
	remove(t, p, "missing")
	remove(t, p, "no/such/folder")
	write(t, p, "a/f", nil)
	remove(t, p, "a/missing")
	remove(t, p, "a/f")
	remove(t, p, "a/f")
}
