package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Many files take time and space, but no memory: neither to back them up, nor to walk through their version.
func TestMemoryDoesNotGrowWithFiles(t *testing.T) {
	t.Parallel()
	const limit = 256_000_000
	files := max(3000, int(300_000*scale(t)))
	home := newHome(t)
	p := newPartition(t, "ext4", 16*gib)
	small(t, p.dir, files)
	d := start(t, home)
	d.activate("max", p)
	idle := d.peakRSS()

	v := d.backup(p)
	backedUp := d.peakRSS()
	began := time.Now()
	if n := walk(t, v.Path); n != files {
		t.Errorf("the walk met %d files, want %d", n, files)
	}
	t.Logf("walked in %v", time.Since(began).Round(10*time.Millisecond))
	walked := d.peakRSS()
	command(t, "sh", "-c", `cd "$0" && tar -cf - 0? | cat >/dev/null`, v.Path) // a fifth of them
	haveRead := d.peakRSS()
	d.backup(p)
	again := d.peakRSS()

	t.Logf("the daemon's peak RSS with %d files: idle %d MB, after the backup %d MB, after the walk %d MB, after reading many %d MB, after another backup %d MB",
		files, idle/1e6, backedUp/1e6, walked/1e6, haveRead/1e6, again/1e6)
	if again >= limit {
		t.Errorf("the daemon took %d bytes at its peak, more than %d", again, limit)
	}
}

// small makes n small files, 100 in a folder.
func small(t testing.TB, dir string, n int) {
	t.Helper()
	text := []byte(strings.Repeat("What is past is prologue; ", 80))
	for i := range n {
		folder := filepath.Join(dir, fmt.Sprintf("%02d", i/100%50), fmt.Sprint(i/5000))
		if i%100 == 0 {
			must(t, os.MkdirAll(folder, 0o755))
		}
		b := fmt.Appendf(nil, "%d\n", i)
		must(t, os.WriteFile(fmt.Sprintf("%s/file-%d", folder, i), append(b, text[:i*31%2000]...), 0o644))
	}
}

// walk lists everything below dir with all that stat tells, and counts the files.
func walk(t testing.TB, dir string) int {
	t.Helper()
	out, err := exec.Command("find", dir, "-type", "f", "-printf", "%s %T@ %n\n").Output()
	must(t, err)
	return strings.Count(string(out), "\n")
}
