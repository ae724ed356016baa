package capture

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// manyFiles fills a partition of its own with n files in folders of 100.
func manyFiles(b *testing.B, n, size int) *rig {
	r, dir := emptyRig(b)
	content := make([]byte, size)
	for i := range n {
		folder := fmt.Sprintf("%s/%d/%d", dir, i/2000, i/100)
		if i%100 == 0 {
			must(b, os.MkdirAll(folder, 0o755))
		}
		copy(content, fmt.Sprint(i))
		must(b, os.WriteFile(fmt.Sprintf("%s/file-%06d.txt", folder, i), content, 0o644))
	}
	return r
}

// Compare with BenchmarkFind: both have the inodes cached.
func BenchmarkUnchangedWalk(b *testing.B) {
	const files = 20_000
	r := manyFiles(b, files, 10)
	r.run()
	b.ReportAllocs()
	for b.Loop() {
		r.run()
	}
	b.ReportMetric(float64(files)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkFind(b *testing.B) {
	const files = 20_000
	r := manyFiles(b, files, 10)
	for b.Loop() {
		must(b, exec.Command("find", r.o.Partition.MountPoint, "-printf", "%T@").Run())
	}
	b.ReportMetric(float64(files)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkFirstBackup(b *testing.B) {
	for _, size := range []int{1000, 20_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			const files = 20_000
			r := manyFiles(b, files, size)
			var spent time.Duration
			for b.Loop() {
				b.StopTimer()
				fresh := newRig(b, r.o.Partition.MountPoint)
				b.StartTimer()
				start := time.Now()
				fresh.run()
				spent += time.Since(start)
			}
			b.ReportMetric(float64(files)*float64(b.N)/spent.Seconds(), "files/s")
		})
	}
}
