package daemon

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"yester/control"
)

// Without a daemon nobody knows what the last check read, so a part of the packs is another one each time.
func TestPartOfACheckWithoutADaemonIsDrawn(t *testing.T) {
	o, c, dir, _, stop := startFilledUntil(t)
	if err := os.WriteFile(filepath.Join(dir, "more"), random(4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	stop()
	packs, err := filepath.Glob(filepath.Join(o.Home.Vault, "instances/*/packs/*/*"))
	if err != nil || len(packs) < 2 {
		t.Fatalf("packs %q, %v", packs, err)
	}
	slices.SortFunc(packs, func(a, b string) int { return cmp.Compare(filepath.Base(a), filepath.Base(b)) })
	for _, file := range packs[1:] { // all but the one that comes first
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		damageFile(t, file, int(info.Size()/2), 10)
	}
	v, err := OpenOffline(t.Context(), OfflineOptions{Places: []string{o.Home.Vault}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for range 300 {
		task := v.Check(t.Context(), 0.01, func(control.Task) {})
		switch {
		case task.Report == nil || task.Report.ReadPacks != 1:
			t.Fatalf("got %+v, %+v", task, task.Report)
		case task.Report.ProblemCount > 0:
			return
		}
	}
	t.Error("300 checks have read the same pack")
}

// No daemon is ending, and there is none to wait for.
func TestTaskWithoutADaemonThatIsStoppedSaysHowItGoesOn(t *testing.T) {
	o, _, _, _, stop := startFilledUntil(t)
	stop()
	v, err := OpenOffline(t.Context(), OfflineOptions{Places: []string{o.Home.Vault}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := control.RestoreRequest{Version: "latest", To: t.TempDir(), Rate: 1000} // an hour
	task, err := v.Restore(ctx, r, "", func(control.Task) { cancel() })
	if err != nil || task.State != control.Cancelled || task.Error != "stopped on request" || task.Hint != goesOn(control.KindRestore) {
		t.Errorf("got %+v, %v", task, err)
	}
}
