package placetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"

	"yester/store/place"
)

// together runs f many times at once, each with its own number, and waits.
func together(t *testing.T, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			if err := f(i); err != nil {
				t.Errorf("goroutine %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func manyWriters(t *testing.T, p place.Place) {
	const rounds = 15
	together(t, func(i int) error {
		for n := range rounds {
			name := fmt.Sprintf("packs/%02x/%d-%d", n%4, i, n)
			if err := p.Write(t.Context(), name, []byte(name)); err != nil {
				return err
			}
			if _, err := p.List(t.Context(), "packs"); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 6 {
		for n := range rounds {
			name := fmt.Sprintf("packs/%02x/%d-%d", n%4, i, n)
			expect(t, p, name, []byte(name))
		}
	}
}

func readersSeeWholeFiles(t *testing.T, p place.Place) {
	version := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1000+i*7000) }
	write(t, p, "d/f", version(0))
	together(t, func(i int) error {
		for range 20 {
			if i%2 == 0 {
				if err := p.Write(t.Context(), "d/f", version(i)); err != nil {
					return err
				}
				continue
			}
			f, err := p.Open(t.Context(), "d/f")
			if err != nil {
				return err
			}
			got, err := read(f)
			f.Close()
			if err != nil || !bytes.Equal(got, version(int(got[0]))) {
				return fmt.Errorf("read %d bytes, %w", len(got), err)
			}
		}
		return nil
	})
}

// Some make and remove files in a folder, so that it comes and goes, while others write into it what must stay.
func removeDoesNotDisturbWrite(t *testing.T, p place.Place) {
	together(t, func(i int) error {
		for n := range 20 {
			name := fmt.Sprintf("a/b/%d-%d", i, n)
			if err := p.Write(t.Context(), name, []byte(name)); err != nil {
				return err
			}
			if i == 0 && n%7 == 0 {
				continue
			}
			if err := p.Remove(t.Context(), name); err != nil {
				return err
			}
			if _, err := p.Open(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("open of the removed %s: %v", name, err)
			}
		}
		return nil
	})
	if infos := list(t, p, "a/b"); len(infos) != 3 {
		t.Errorf("List = %v", infos)
	}
}
