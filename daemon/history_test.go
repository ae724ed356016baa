package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yester/control"
	"yester/snapshot"
)

// threeVersions backs up a folder three times: first a, b and c; then a is changed, b is gone, and a name that is no text has come; then b is
// back, with the same content but another mode.
func threeVersions(t *testing.T) (c *control.Client, dir string, versions []string) {
	t.Helper()
	dir = source(t)
	needPartition(t, dir)
	c, _ = serve(t, options(t))
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	backup := func(errs ...error) {
		t.Helper()
		task := backUp(t, c)
		if err := errors.Join(errs...); err != nil || task.State != control.Completed {
			t.Fatalf("%v, %+v", err, task)
		}
		versions = append(versions, task.Results[0].Version)
	}
	write := func(name, content string, mode os.FileMode) error {
		path := filepath.Join(dir, name)
		return errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode))
	}
	backup()
	backup(write("a", "other", 0o644), os.Remove(filepath.Join(dir, "b")), write("new\xff", "x", 0o600))
	backup(write("b", strings.Repeat("b", 1e5), 0o600))
	return c, dir, versions
}

func TestHistoryOfPaths(t *testing.T) {
	c, dir, v := threeVersions(t)
	at := func(name string) string { return control.PathText(filepath.Join(dir, name)) }
	for _, tt := range []struct{ path, want string }{
		{at("c"), "created " + v[0] + " " + v[2]},
		{at("a"), "created " + v[0] + " " + v[0] + ", changed " + v[1] + " " + v[2] + " content times"},
		{at("b"), "created " + v[0] + " " + v[0] + ", deleted " + v[1] + " " + v[1] + ", created " + v[2] + " " + v[2]},
		{at("new\xff"), "created " + v[1] + " " + v[2]},
	} {
		h, err := c.History(t.Context(), control.HistoryRequest{Path: tt.path})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range h.Stays {
			got = append(got, strings.Join(append([]string{s.Kind, s.First, s.Last}, s.Changed...), " "))
		}
		if strings.Join(got, ", ") != tt.want || h.Path != tt.path {
			t.Errorf("%s: got %v, want %s", h.Path, got, tt.want)
		}
	}
	h, err := c.History(t.Context(), control.HistoryRequest{Path: at("b")})
	if err != nil || h.Stays[0].Mode != "0644" || h.Stays[0].Size != 1e5 || h.Stays[0].Type != "file" || h.Stays[1].File != nil || h.Stays[2].Mode != "0600" {
		t.Errorf("got %+v, %v", h, err)
	}
	for path, kind := range map[string]control.Kind{
		at("nope"): control.NotFound, "relative": control.BadRequest, `"/no end`: control.BadRequest, "": control.BadRequest,
	} {
		if _, err := c.History(t.Context(), control.HistoryRequest{Path: path}); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %s", path, err, kind)
		}
	}
}

func diffLines(t *testing.T, c *control.Client, r control.DiffRequest) (lines []string, err error) {
	t.Helper()
	err = c.Diff(t.Context(), r, func(d control.Difference) error {
		lines = append(lines, strings.Join(append([]string{d.Kind, d.Path}, d.Changed...), " "))
		return nil
	})
	return lines, err
}

func TestDiffOfVersions(t *testing.T) {
	c, dir, v := threeVersions(t)
	at := func(name string) string { return control.PathText(filepath.Join(dir, name)) }
	want := []string{"changed " + dir + " times", "changed " + at("a") + " content times", "deleted " + at("b"), "created " + at("new\xff")}
	if got, err := diffLines(t, c, control.DiffRequest{From: v[0], To: v[1], Path: dir}); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	// The folders above may have changed too: they are shared with others.
	if got, err := diffLines(t, c, control.DiffRequest{From: v[0], To: v[1]}); err != nil || len(got) < 4 || !slices.Equal(got[len(got)-4:], want) {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := diffLines(t, c, control.DiffRequest{From: v[1], To: "latest", Path: at("b")}); err != nil || !slices.Equal(got, []string{"created " + at("b")}) {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := diffLines(t, c, control.DiffRequest{From: v[2], To: "latest"}); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
	for _, tt := range []struct {
		r    control.DiffRequest
		kind control.Kind
	}{
		{control.DiffRequest{From: v[0], To: "nope"}, control.NotFound},
		{control.DiffRequest{From: v[0], To: "nope", Path: dir}, control.NotFound},
		{control.DiffRequest{From: v[0], To: v[1], Partition: "nope"}, control.NotFound},
		{control.DiffRequest{From: v[0], To: v[1], Path: at("nope")}, control.NotFound},
		{control.DiffRequest{From: v[0], To: v[1], Path: dir, Partition: "nope"}, control.BadRequest},
		{control.DiffRequest{From: v[0], To: v[1], Path: "x"}, control.BadRequest},
	} {
		if got, err := diffLines(t, c, tt.r); !errors.Is(err, tt.kind) || len(got) > 0 {
			t.Errorf("%+v: %q, %v", tt.r, got, err)
		}
	}
}

func TestFindInVersions(t *testing.T) {
	c, dir, v := threeVersions(t)
	if err := errors.Join(os.Remove(filepath.Join(dir, "b")), os.Remove(filepath.Join(dir, "c"))); err != nil {
		t.Fatal(err)
	}
	last := backUp(t, c).Results[0].Version
	find := func(r control.FindRequest) (lines []string, err error) {
		err = c.Find(t.Context(), r, func(f control.Found) error {
			line := strings.TrimPrefix(f.Path, dir+"/") + " " + f.Version
			if f.Deleted {
				line += " deleted"
			}
			lines = append(lines, line)
			return nil
		})
		return lines, err
	}
	for _, tt := range []struct {
		glob, version string
		want          []string
	}{
		{dir + "/?", "", []string{"a " + last}},
		{dir + "/?", "latest", []string{"a " + last}},
		{dir + "/?", v[0], []string{"a " + v[0], "b " + v[0], "c " + v[0]}},
		{dir + "/?", control.AllVersions, []string{"a " + last, "b " + v[2] + " deleted", "c " + v[2] + " deleted"}},
		{dir + "/nope", control.AllVersions, nil},
	} {
		if got, err := find(control.FindRequest{Glob: tt.glob, Version: tt.version}); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s in %q: got %q, %v", tt.glob, tt.version, got, err)
		}
	}
	for _, tt := range []struct {
		r    control.FindRequest
		kind control.Kind
	}{
		{control.FindRequest{Glob: "["}, control.BadRequest},
		{control.FindRequest{Glob: ""}, control.BadRequest},
		{control.FindRequest{Glob: "a", Version: "nope"}, control.NotFound},
		{control.FindRequest{Glob: "a", Partition: "nope"}, control.NotFound},
	} {
		if _, err := find(tt.r); !errors.Is(err, tt.kind) {
			t.Errorf("%+v: %v", tt.r, err)
		}
	}
}

// What lies below our own mount is never looked at, only its name is.
func TestPathsLieOnTheLongestMountPointOrBelowTheMount(t *testing.T) {
	all := []held{{name: "root", point: "/"}, {name: "var", point: "/var"}, {name: "var-lib", point: "/var/lib"}, {name: "unread"}}
	for _, tt := range []struct {
		path, name, at string
		kind           control.Kind
	}{
		{"/", "root", "/", ""},
		{"/etc/hosts", "root", "/etc/hosts", ""},
		{"/variety", "root", "/variety", ""},
		{"/var", "var", "/", ""},
		{"/var/lib/x", "var-lib", "/x", ""},
		{"/yester/web1/var/2026-11-22T031705Z/a/b", "var", "/a/b", ""},
		{"/real/mnt/web1/var/latest", "var", "/", ""},
		{"/yester/web1/var", "", "", control.BadRequest},
		{"/yester", "", "", control.BadRequest},
		{"/yester/web2/var/v/a", "", "", control.NotFound},
		{"/yester/web1/home/v/a", "", "", control.NotFound},
	} {
		p, at, err := lies(all, []string{"/yester", "/real/mnt"}, "web1", tt.path)
		if tt.kind != "" && !errors.Is(err, tt.kind) || tt.kind == "" && (err != nil || p.name != tt.name || at != tt.at) {
			t.Errorf("%s: %s %s, %v", tt.path, p.name, at, err)
		}
	}
	if _, _, err := lies(all[1:2], nil, "web1", "/etc"); !errors.Is(err, control.NotFound) {
		t.Errorf("a path on no partition that has versions: %v", err)
	}
}

func TestTimesThatJSONCannotWrite(t *testing.T) {
	for sec, year := range map[int64]int{-1 << 40: 0, 1 << 40: 9999, 0: 1970} {
		got := jsonTime(snapshot.Time{Sec: sec})
		if _, err := got.MarshalJSON(); err != nil || got.Year() != year {
			t.Errorf("%d: %v, %v", sec, got, err)
		}
	}
}
