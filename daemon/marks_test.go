package daemon

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"yester/control"
	"yester/snapshot"
	"yester/store"
)

// What is left out of versions for a mark, because the policy says so, is not deleted by a restore; and it is in them again when the policy says so.
func TestMarksAreHeededWhileThePolicySaysSo(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(file(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(file("cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("cache/CACHEDIR.TAG", snapshot.CacheSignature)
	write("cache/own", "x")
	write("flagged", "x")
	if out, err := exec.Command("chattr", "+d", file("flagged")).CombinedOutput(); err != nil {
		t.Skipf("flags cannot be set here: %s", out)
	}
	c, _ := serve(t, options(t))
	yes, no := true, false
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max", ExcludeCaches: &yes, ExcludeNodump: &yes}); err != nil {
		t.Fatal(err)
	}
	files := func(want uint64) {
		t.Helper()
		if task := backUp(t, c); task.State != control.Completed || len(task.Results) != 1 || task.Results[0].Files != want {
			t.Errorf("want %d files, got %+v", want, task)
		}
	}
	files(4)
	write("new", "x")
	task, err := c.Restore(t.Context(), control.RestoreRequest{Version: "latest", Paths: []string{dir}, OnConflict: control.ConflictOverwrite, Delete: true})
	if task = await(t, c, task, err); task.State != control.Completed || task.Restored == nil || task.Restored.Deleted != 1 || !task.Restored.Clean() {
		t.Errorf("got %+v, %+v", task, task.Restored)
	}
	task, err = c.Restore(t.Context(), control.RestoreRequest{Version: "latest", Paths: []string{dir}, VerifyOnly: true})
	if task = await(t, c, task, err); task.State != control.Completed || !task.Restored.Clean() {
		t.Errorf("got %+v, %+v", task, task.Restored)
	}
	if a, err := c.Set(t.Context(), control.ActivateRequest{ExcludeNodump: &no}); err != nil || !a.Policy.ExcludeCaches || a.Policy.ExcludeNodump {
		t.Fatalf("got %+v, %v", a.Policy, err)
	}
	files(5)
	if _, err := c.Set(t.Context(), control.ActivateRequest{ExcludeCaches: &no}); err != nil {
		t.Fatal(err)
	}
	files(6)
}

// The vault's copy of the policy says it too; one of before there was a word for it leaves nothing out.
func TestMarksAreKeptWithThePolicyInTheVault(t *testing.T) {
	s := newStill(t)
	without := copied(t, s)
	if _, there := without["exclude_caches"]; there {
		t.Errorf("the copy is %v", without)
	}
	s.change(control.ActivateRequest{ExcludeCaches: ptr(true), ExcludeNodump: ptr(true)})
	if with := copied(t, s); with["exclude_caches"] != true || with["exclude_nodump"] != true {
		t.Errorf("the copy is %v", with)
	}
	p := mustNot[*control.Policy](t)(policyOf(t.Context(), s.vault, s.instance.ID, true))
	o := &restoration{version: &snapshot.Version{}}
	o.goBy(p)
	if caches, nodump, _ := o.marks(); !caches || !nodump {
		t.Errorf("a restore by %+v", p)
	}
}

// copied is the copy of the policy that the vault has.
func copied(t *testing.T, s *still) (fields map[string]any) {
	t.Helper()
	if err := s.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := mustNot[store.Policy](t)(s.vault.Policy(t.Context(), s.instance.ID))
	if err := json.Unmarshal(kept.Policy, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}
