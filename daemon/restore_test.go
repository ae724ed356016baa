package daemon

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
)

// What was never backed up is not deleted where files were, whatever is asked.
func TestDeletingWhereFilesWereSparesWhatIsNeverBackedUp(t *testing.T) {
	all := &snapshot.Scope{}
	for _, c := range []struct {
		what  string
		point string
		paths []string
		had   *snapshot.Scope // by the version
		only  []string        // of the policy
		ok    bool
	}{
		{"all of a partition", "/", nil, all, nil, false},
		{"its root by name", "/", []string{""}, all, nil, false},
		{"its root among others", "/", []string{"etc", ""}, all, nil, false},
		{"a folder", "/", []string{"usr"}, all, nil, true},
		{"a folder of which a part is backed up", "/", []string{"usr"}, all, []string{"/usr/local/etc"}, false},
		{"a folder that is backed up", "/", []string{"usr/local/etc"}, all, []string{"/usr/local/etc"}, true},
		{"a folder in one that is", "/", []string{"usr/local/etc"}, all, []string{"/usr"}, true},
		{"a folder that is backed up no more", "/", []string{"etc"}, all, []string{"/usr"}, false},
		{"a folder of which a part was backed up", "/", []string{"usr"}, &snapshot.Scope{Paths: []string{"/usr/local/etc"}}, nil, false},
		{"a folder that was backed up", "/", []string{"usr/local/etc"}, &snapshot.Scope{Paths: []string{"/usr/local/etc"}}, nil, true},
		{"a folder of a version that tells not what it was to have", "/", []string{"usr"}, nil, nil, false},
	} {
		o := &restoration{version: &snapshot.Version{Partition: snapshot.Partition{Name: "p", MountPoint: c.point}, Scope: c.had}, paths: c.paths}
		o.request.Delete = true
		o.goBy(&control.Policy{Paths: c.only, Excludes: []string{"*.iso"}})
		err := o.aim(aim{discover: func() ([]capture.Mount, error) {
			return []capture.Mount{{Partition: snapshot.Partition{Name: "p", MountPoint: c.point}}}, nil
		}})
		if o.target != nil {
			o.target.Close()
		}
		switch {
		case !c.ok && !errors.Is(err, control.BadRequest):
			t.Errorf("%s: %v", c.what, err)
		case c.ok && (err != nil || !slices.Contains(o.keep, "/usr/bin") || !slices.Contains(o.keep, "/lib") || !slices.Contains(o.keep, "*.iso")):
			t.Errorf("%s: %v, kept are %q", c.what, err, o.keep)
		}
	}
}

// A target that is where files were is so by any name, and the system's own folders are no surplus anywhere.
func TestDeletingElsewhereSparesWhatIsNeverBackedUp(t *testing.T) {
	point := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(point, link); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	for _, c := range []struct {
		point, to string
		ok        bool
	}{{point, point, false}, {point, link, false}, {point, "/", false}, {"/", "/", false}, {"/", elsewhere, true}, {point, elsewhere, true}} {
		o := &restoration{version: &snapshot.Version{Partition: snapshot.Partition{Name: "p", MountPoint: c.point}}}
		o.request.Delete, o.request.To = true, c.to
		err := o.aim(aim{})
		if o.target != nil {
			o.target.Close()
		}
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, control.BadRequest) {
			t.Errorf("all of %s to %s: %v", c.point, c.to, err)
		}
		if c.ok && slices.Contains(o.keep, "/usr/bin") != (c.point == "/") {
			t.Errorf("all of %s to %s: kept are %q", c.point, c.to, o.keep)
		}
	}
}

// What an earlier version was made without is not deleted by its restore, nor what is left out by now.
func TestDeletingGoesByWhatTheVersionWasMadeWithout(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	fill := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file(name)), 0o755), os.WriteFile(file(name), []byte("x"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill("docs/a", "VMs/disk", "cache/own", "now/old", "plain/a")
	if err := os.WriteFile(file("cache/CACHEDIR.TAG"), []byte(snapshot.CacheSignature), 0o644); err != nil {
		t.Fatal(err)
	}
	c, _ := serve(t, options(t))
	set := func(r control.ActivateRequest) {
		t.Helper()
		if _, err := c.Set(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	restore := func(version string, paths ...string) (control.Task, error) {
		t.Helper()
		task, err := c.Restore(t.Context(), control.RestoreRequest{Version: version, Paths: paths, OnConflict: control.ConflictOverwrite, Delete: true})
		if err != nil {
			return task, err
		}
		return await(t, c, task, nil), nil
	}
	yes, no := true, false
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max", Excludes: []string{dir + "/VMs"}, ExcludeCaches: &yes}); err != nil {
		t.Fatal(err)
	}
	without := backUp(t, c).Results[0].Version
	set(control.ActivateRequest{Excludes: []string{"now"}, ExcludeCaches: &no})
	fill("now/new", "surplus", "plain/surplus")
	if task, err := restore(without, dir); err != nil || task.State != control.Completed || task.Restored.Deleted != 2 || !task.Restored.Clean() {
		t.Errorf("got %+v, %+v, %v", task, task.Restored, err)
	}
	for _, name := range []string{"VMs/disk", "cache/own", "now/new", "now/old"} {
		if !exists(file(name)) {
			t.Errorf("%s was deleted", name)
		}
	}
	set(control.ActivateRequest{Paths: []string{file("docs")}})
	part := backUp(t, c).Results[0].Version
	set(control.ActivateRequest{Paths: []string{}})
	if _, err := restore(part, dir); !errors.Is(err, control.BadRequest) || !exists(file("plain/a")) {
		t.Errorf("a folder of which the version has a part: %v", err)
	}
	fill("docs/surplus")
	if task, err := restore(part, file("docs")); err != nil || task.Restored == nil || task.Restored.Deleted != 1 {
		t.Errorf("got %+v, %+v, %v", task, task.Restored, err)
	}
}

// What was to be overwritten and is not yet is in the way of who skips.
func TestRestoreThatWasBrokenOffGoesOnAsItBegan(t *testing.T) {
	_, c, dir, version, _ := startFilledUntil(t)
	file := filepath.Join(dir, "big")
	want, err := os.ReadFile(file)
	if err := errors.Join(err, os.WriteFile(file, random(4<<20), 0o644)); err != nil {
		t.Fatal(err)
	}
	r := control.RestoreRequest{Version: version.Version, Paths: []string{dir}, OnConflict: control.ConflictOverwrite, Rate: 1000} // an hour
	task, err := c.Restore(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if task, err = c.CancelTask(t.Context(), task.ID); err != nil || task.State != control.Cancelled || !strings.Contains(task.Hint, "the same command") || strings.Contains(task.Hint, "skip") {
		t.Errorf("got %+v, %v", task, err)
	}
	full := (&restoration{to: dir}).explain(syscall.ENOSPC)
	if s := full.Error(); !strings.Contains(s, "the same command") || strings.Contains(s, "skip") {
		t.Errorf("got %q", s)
	}
	r.Rate = 0
	task, err = c.Restore(t.Context(), r)
	if task = await(t, c, task, err); task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("it is not what the version has: %v", err)
	}
}

// What a request wants left out is left out.
func TestRestoreLeavesOutWhatTheRequestSays(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, r := range []control.RestoreRequest{{}, {NoOwner: true}, {NoMetadata: true}} {
		o := &restoration{version: &snapshot.Version{}, request: r, target: dir}
		if got := o.options(); got.NoOwner != r.NoOwner || got.NoMetadata != r.NoMetadata {
			t.Errorf("%+v became %+v", r, got)
		}
	}
}

// The same command is to go on with it when the daemon is there again, and nobody can give that before the first sweep.
func TestVersionWhoseRestoreWasCutOffExpiresAWeekLater(t *testing.T) {
	s := newStill(t)
	if err := os.WriteFile(filepath.Join(s.dir, "big"), random(4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s.days("2026-11-24", "2026-11-25", "2026-11-26")
	mustNot[control.Lifecycle](t)(s.pause(t.Context(), control.None{}))
	s.at("2026-12-24 03:00")
	r := control.RestoreRequest{Version: s.vault.Versions(s.instance.ID)[0].Version, Paths: []string{s.dir}, To: t.TempDir(), Rate: 1000} // an hour
	id := mustNot[control.Task](t)(s.restore(t.Context(), r)).ID
	killed := mustNot[control.Task](t)(s.db.Task(id)) // what a kill leaves
	wantHeld := func() {
		t.Helper()
		s.swept("2026-12-24 03:18")
		s.wantVersions("2026-11-24T0317", "2026-11-25T0317", "2026-11-26T0317")
	}
	s.again()
	if task := mustNot[control.Task](t)(s.tasks.get(id)); task.State != control.Cancelled {
		t.Fatalf("got %+v", task)
	}
	wantHeld()
	if err := s.db.PutTask(killed); err != nil {
		t.Fatal(err)
	}
	s.again()
	if task := mustNot[control.Task](t)(s.tasks.get(id)); task.State != control.Failed {
		t.Fatalf("got %+v", task)
	}
	wantHeld()
	s.swept("2026-12-31 03:19")
	s.wantVersions("2026-11-26T0317")
}
