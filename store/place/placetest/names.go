package placetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"yester/store/place"
)

func listIsSortedAndFlat(t *testing.T, p place.Place) {
	for i, name := range []string{"b", "a/z", "a/b/c", "a/a", "a.b", "a-b", "c/d/e/f"} {
		write(t, p, name, make([]byte, i))
	}
	for dir, want := range map[string]string{
		"":      "[{a 0 true} {a-b 5 false} {a.b 4 false} {b 0 false} {c 0 true}]",
		"a":     "[{a 3 false} {b 0 true} {z 1 false}]",
		"c/d":   "[{e 0 true}]",
		"c/d/e": "[{f 6 false}]",
	} {
		got := fmt.Sprint(list(t, p, dir))
		if got != want {
			t.Errorf("List(%q) = %s, want %s", dir, got, want)
		}
	}
}

func missingFolderIsEmpty(t *testing.T, p place.Place) {
	write(t, p, "a/f", nil)
	for _, dir := range []string{"b", "a/b", "b/c/d"} {
		if infos := list(t, p, dir); len(infos) != 0 {
			t.Errorf("List(%s) = %v", dir, infos)
		}
	}
}

func removeTakesEmptyFolders(t *testing.T, p place.Place) {
	write(t, p, "a/b/c/one", nil)
	write(t, p, "a/two", nil)
	remove(t, p, "a/b/c/one")
	if got := fmt.Sprint(list(t, p, "a")); got != "[{two 0 false}]" {
		t.Errorf("List(a) = %s", got)
	}
	remove(t, p, "a/two")
	if got := list(t, p, ""); len(got) != 0 {
		t.Errorf("List() = %v", got)
	}
	write(t, p, "a/b/c/one", nil)
	expect(t, p, "a/b/c/one", nil)
}

func badNamesAreRefused(t *testing.T, p place.Place) {
	bad := []string{
		"/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", ".tmp", ".tmp/a", "a/.b", "a\x00b", "\x00",
	}
	for _, name := range append(bad, "") {
		if err := p.Write(t.Context(), name, []byte("x")); !errors.Is(err, place.ErrName) {
			t.Errorf("Write(%q): %v", name, err)
		}
		if _, err := p.Open(t.Context(), name); !errors.Is(err, place.ErrName) {
			t.Errorf("Open(%q): %v", name, err)
		}
		if err := p.Remove(t.Context(), name); !errors.Is(err, place.ErrName) {
			t.Errorf("Remove(%q): %v", name, err)
		}
	}
	for _, name := range bad {
		if _, err := p.List(t.Context(), name); !errors.Is(err, place.ErrName) {
			t.Errorf("List(%q): %v", name, err)
		}
	}
	for _, name := range []string{"a.b", "a..b", "-", "ä b", "a\\b"} {
		write(t, p, "odd/"+name, []byte(name))
		expect(t, p, "odd/"+name, []byte(name))
	}
}

func doneContextLeavesNothing(t *testing.T, p place.Place) {
	write(t, p, "old", []byte("old"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, openErr := p.Open(ctx, "old")
	_, listErr := p.List(ctx, "")
	_, _, spaceErr := p.Space(ctx)
	for i, err := range []error{
		p.Write(ctx, "old", []byte("new")), p.Write(ctx, "a/b", []byte("new")), p.Remove(ctx, "old"),
		openErr, listErr, spaceErr,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	expect(t, p, "old", []byte("old"))
	if infos := list(t, p, ""); len(infos) != 1 {
		t.Errorf("List() = %v", infos)
	}
}

func sweepKeepsFiles(t *testing.T, p place.Place) {
	if err := p.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, p, "a/tmp-1", []byte("x"))
	if err := p.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, p, "a/tmp-1", []byte("x"))
	write(t, p, "after", nil)
}

func spaceIsSane(t *testing.T, p place.Place) {
	if free, total, err := p.Space(t.Context()); err != nil || free == 0 || free > total {
		t.Errorf("Space = %d, %d, %v", free, total, err)
	}
}

func errorsNamePlaceAndFile(t *testing.T, p place.Place) {
	_, err := p.Open(t.Context(), "a/missing")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "a/missing") ||
		!strings.Contains(err.Error(), p.String()) {
		t.Errorf("%v", err)
	}
	write(t, p, "a/f", nil)
	f := open(t, p, "a/f")
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	_, err = f.ReadAt(make([]byte, 1), 0)
	if err == nil || !strings.Contains(err.Error(), "a/f") || !strings.Contains(err.Error(), p.String()) {
		t.Errorf("read of a closed file: %v", err)
	}
}
