package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// BenchmarkJournal captures a partition in which 100 files changed, by journal; the number of files must not matter. YESTER_BENCH_FILES=1000000 adds that
// many.
func BenchmarkJournal(b *testing.B) {
	sizes := []int{10_000, 100_000}
	if s := os.Getenv("YESTER_BENCH_FILES"); s != "" {
		n, err := strconv.Atoi(s)
		must(b, err)
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkJournal(b, n) })
	}
}

func benchmarkJournal(b *testing.B, files int) {
	point := largePartition(b, files)
	r := newJournalRig(b, point, nil)
	name := func(i int) string { return fmt.Sprintf("%s/%03d/%03d/%d", point, i/100_000, i/100%1000, i%100) }
	for i := range files {
		if i%100 == 0 {
			must(b, os.MkdirAll(filepath.Dir(name(i)), 0o755))
		}
		f, err := os.Create(name(i))
		must(b, err)
		_, err = fmt.Fprint(f, i)
		must(b, err)
		must(b, f.Close())
	}
	r.next("walk")
	round := 0
	for b.Loop() {
		b.StopTimer()
		round++
		for i := range 100 {
			must(b, os.WriteFile(name(i*files/100), fmt.Append(nil, "changed", round), 0o644))
		}
		b.StartTimer()
		if v := r.next("journal"); v.Changed < 100 {
			b.Fatalf("%d changed", v.Changed)
		}
	}
}

// largePartition is a partition with room for so many files.
func largePartition(b *testing.B, files int) (point string) {
	needRoot(b)
	dir := b.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "point")
	must(b, os.WriteFile(image, nil, 0o600))
	must(b, os.Truncate(image, int64(files)*6000+1<<30))
	must(b, os.Mkdir(point, 0o755))
	command(b, "mkfs.ext4", "-q", "-N", fmt.Sprint(files+files/10+10_000), image)
	mount(b, point, "mount", "-o", "loop,noatime", image, point)
	return point
}
