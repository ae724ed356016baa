package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
)

// Patterns are bytes, as names are, though they come as JSON: of a policy and of a restore.
func TestPatternsAreBytes(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	out, in := filepath.Join(dir, "a\xff.bad"), filepath.Join(dir, "a\xfe.bad")
	older, newer := filepath.Join(dir, "old\xff/older"), filepath.Join(dir, "old\xff/newer")
	if err := os.Mkdir(filepath.Dir(older), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{out, in, older} {
		if err := os.WriteFile(f, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there := func(f string) bool {
		_, err := os.Lstat(f)
		return err == nil
	}
	c, _ := serve(t, options(t))
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max", Excludes: control.PatternTexts([]string{"*\xff.bad"})}); err != nil {
		t.Fatal(err)
	}
	if task := backUp(t, c); task.State != control.Completed {
		t.Fatalf("got %+v", task)
	}
	restore := func(r control.RestoreRequest) {
		t.Helper()
		r.Version, r.Paths, r.OnConflict = "latest", []string{dir}, control.ConflictOverwrite
		task, err := c.Restore(t.Context(), r)
		if task = await(t, c, task, err); task.State != control.Completed {
			t.Errorf("got %+v", task)
		}
	}
	restore(control.RestoreRequest{Delete: true})
	if !there(out) || !there(in) {
		t.Errorf("what is left out of versions is there: %v, the other: %v", there(out), there(in))
	}
	if _, err := c.Set(t.Context(), control.ActivateRequest{Excludes: control.PatternTexts([]string{"old\xff"})}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(older, newer); err != nil {
		t.Fatal(err)
	}
	restore(control.RestoreRequest{Delete: true})
	if !there(out) || !there(newer) {
		t.Errorf("what the version was made without is there: %v, and what is new in a folder that is left out by now: %v", there(out), there(newer))
	}
	if err := errors.Join(os.Remove(out), os.Remove(in)); err != nil {
		t.Fatal(err)
	}
	restore(control.RestoreRequest{Excludes: control.PatternTexts([]string{"*\xfe.bad"})})
	if there(in) {
		t.Error("what the restore leaves out is there")
	}
	restore(control.RestoreRequest{Includes: control.PatternTexts([]string{"*\xfe.bad"})})
	if there(out) || !there(in) {
		t.Errorf("what versions have not is there: %v, the other: %v", there(out), there(in))
	}
	const malformed = `"a`
	if _, err := c.Restore(t.Context(), control.RestoreRequest{Version: "latest", Paths: []string{dir}, Excludes: []string{malformed}}); !errors.Is(err, control.BadRequest) {
		t.Errorf("a restore by what is no pattern: %v", err)
	}
	if _, err := c.Set(t.Context(), control.ActivateRequest{Excludes: []string{malformed}}); !errors.Is(err, control.BadRequest) {
		t.Errorf("a policy of what is no pattern: %v", err)
	}
}

// Daemons once kept patterns as they were: one that is no text of a pattern keeps nobody from setting something else.
func TestPatternOfBeforeDoesNotKeepAPolicyFromChanging(t *testing.T) {
	p := control.Policy{Start: "04:00", Priority: "low", RetentionDays: 30, WindowSeconds: 3600, Excludes: []string{`"abc`}}
	mounts := []capture.Mount{{Partition: snapshot.Partition{Name: "p", MountPoint: "/"}}}
	if err := checkPolicy(&p, &control.ActivateRequest{Start: "04:00"}, mounts); err != nil {
		t.Error(err)
	}
	if err := checkPolicy(&p, &control.ActivateRequest{Excludes: p.Excludes}, mounts); !errors.Is(err, control.BadRequest) {
		t.Errorf("a new one: %v", err)
	}
}
