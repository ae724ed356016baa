package capture

import (
	"runtime"
	"testing"
)

// A set may hold half a million files.
func TestTouchedFileTakesLittleMemory(t *testing.T) {
	const files, limit = 100_000, 100
	heap := func() int {
		runtime.GC()
		runtime.GC() // what had a finalizer
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	r := &resolver{touched: map[fileID]*touch{}}
	for i := range uint64(files) {
		r.touch(&stat{ino: i, nlink: 1})
		f := r.touched[fileID{ino: i}]
		if f.complete() {
			t.Fatal("a name is found before it is met")
		}
		f.meet(location{folder: fileID{ino: files}, name: "name"})
		if !f.complete() {
			t.Fatal("its only name is not found")
		}
	}
	if n := (heap() - before) / files; n > limit {
		t.Errorf("a file takes %d bytes, want %d at most", n, limit)
	}
	runtime.KeepAlive(r)
}
