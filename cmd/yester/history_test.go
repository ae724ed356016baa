package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"yester/control"
)

func TestHistoryFitsIn80Columns(t *testing.T) {
	var out, errs bytes.Buffer
	p := &program{out: &out, err: &errs}
	f := &control.File{Size: 999_900_000_000, UID: 1, Mtime: time.Date(2026, 11, 23, 3, 17, 5, 0, time.Local)}
	p.showHistory(&control.History{Partition: "root", Path: "/etc/hosts", Stays: []control.Stay{
		{First: "2026-11-22T031705Z", Kind: control.DiffCreated, File: f},
		{First: "2026-11-23T031705Z", Kind: control.DiffChanged, File: f, Changed: []string{"content", "mode", "owner", "times", "xattrs", "flags", "links"}},
		{First: "2026-11-24T031705Z", Kind: control.DiffDeleted},
		{First: "2026-11-25T031705Z", Kind: control.DiffUnread, Error: "damaged"},
		{First: "2026-11-26T031705Z", Kind: control.DiffChanged, File: f},
	}}, func(uint32) string { return "a-very-long-name" })
	want := `/etc/hosts, partition root
  VERSION             MODIFIED          SIZE      OWNER     CHANGED
  2026-11-22T031705Z  2026-11-23 03:17  999.9 GB  a-very-…  created
  2026-11-23T031705Z  2026-11-23 03:17  999.9 GB  a-very-…  content, mode,
                                                            owner, times,
                                                            xattrs, flags, links
  2026-11-24T031705Z                                        deleted
  2026-11-25T031705Z                                        cannot be read
  2026-11-26T031705Z  2026-11-23 03:17  999.9 GB  a-very-…  as before
`
	if out.String() != want || errs.String() != "yester: warning: /etc/hosts in version 2026-11-25T031705Z: damaged\n" {
		t.Errorf("got\n%s%s", out.String(), errs.String())
	}
	for l := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
}

func TestDifferenceLines(t *testing.T) {
	for _, tt := range []struct {
		d    control.Difference
		want string
	}{
		{control.Difference{Kind: control.DiffCreated, Path: "/a"}, "+ /a"},
		{control.Difference{Kind: control.DiffDeleted, Path: "/a b"}, "- /a b"},
		{control.Difference{Kind: control.DiffChanged, Path: "/a", Changed: []string{"content", "mode"}}, "M /a (content, mode)"},
		{control.Difference{Kind: control.DiffUnread, Path: "/a", Error: "damaged"}, "! /a (damaged)"},
		{control.Difference{Kind: control.DiffCreated, Path: control.PathText("/\xff")}, `+ "/\xff"`},
		{control.Difference{Kind: control.DiffCreated, Path: "/a\x1b[2J\nb"}, `+ "/a\x1b[2J\nb"`},
	} {
		if got := differenceText(&tt.d); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestFoundLines(t *testing.T) {
	var out, errs bytes.Buffer
	p := &program{out: &out, err: &errs}
	p.showFound(&control.Found{Path: "/a", Version: "v"})
	p.showFound(&control.Found{Path: "/b", Version: "v", Deleted: true})
	p.showFound(&control.Found{Path: "/c", Version: "v", Error: "damaged"})
	if out.String() != "/a\n/b (deleted, last in v)\n" || errs.String() != "yester: warning: /c in version v: damaged\n" {
		t.Errorf("got %s%s", out.String(), errs.String())
	}
}

func TestListsOfAnyLengthAreJSON(t *testing.T) {
	for n := range 3 {
		var out bytes.Buffer
		l := jsonList{program: &program{out: &out}}
		for range n {
			if err := l.add(control.Found{Path: "/<a>"}); err != nil {
				t.Fatal(err)
			}
		}
		l.end(nil)
		var got []control.Found
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != n || n > 0 && got[0].Path != "/<a>" {
			t.Errorf("%d: %v: %s", n, err, out.String())
		}
	}
	var out bytes.Buffer
	l := jsonList{program: &program{out: &out}}
	if l.end(errSaid); out.Len() > 0 {
		t.Errorf("an error before the first: %s", out.String())
	}
}

func TestPathsAreSeenBehindLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("real", filepath.Join(dir, "link")), os.MkdirAll(filepath.Join(dir, "far/away"), 0o755), os.Symlink("far/away", filepath.Join(dir, "near"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if got, err := seenPath("near/../x"); err != nil || got != filepath.Join(dir, "far/x") {
		t.Errorf("the folder above one behind a link: %s, %v", got, err)
	}
	t.Chdir(filepath.Join(dir, "near"))
	t.Setenv("PWD", filepath.Join(dir, "near")) // as a shell has it
	if got, err := seenPath("../x"); err != nil || got != filepath.Join(dir, "far/x") {
		t.Errorf("above the working folder: %s, %v", got, err)
	}
	t.Chdir(dir)
	for path, want := range map[string]string{
		"link": "link", "link/x": "real/x", "link/gone/x": "real/gone/x", "./real/../x": "x", "link/../x": "x", filepath.Join(dir, "link/x"): "real/x",
	} {
		if got, err := seenPath(path); err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, %v", path, got, err)
		}
	}
	if got, err := seenPath("/"); err != nil || got != "/" {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := seenPath(""); err == nil {
		t.Error("an empty path")
	}
}
