package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// One task makes one version of each partition, and none spans two; the vault, and the mount, are in none of them.
func TestOneTaskMakesOneVersionOfEachPartition(t *testing.T) {
	t.Parallel()
	p := newPartition(t, "ext4", 8*gib)
	q := newPartitionAt(t, "xfs", gib, p.path("below"))
	home := p.path("its", "home")
	must(t, os.MkdirAll(home, 0o755))
	must(t, os.WriteFile(p.path("above"), []byte("of p"), 0o644))
	must(t, os.WriteFile(q.path("file"), []byte("of q"), 0o644))
	d := start(t, home)
	d.activate("max", p, q)
	d.run(done, "backup", "--wait")
	d.run(done, "backup", "--wait") // with the vault not empty
	of, below := d.versions(p), d.versions(q)
	if len(of) != 2 || len(below) != 2 {
		t.Fatalf("versions: %+v, %+v", of, below)
	}
	if b, err := os.ReadFile(filepath.Join(below[1].Path, "file")); err != nil || string(b) != "of q" {
		t.Errorf("%q, %v", b, err)
	}
	for folder, want := range map[string]string{".": "above below its lost+found", "below": "", "its/home": "index.lock"} {
		entries, err := os.ReadDir(filepath.Join(of[1].Path, folder))
		must(t, err)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s has %q, want %q", folder, got, want)
		}
	}
}
