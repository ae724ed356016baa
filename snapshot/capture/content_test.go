package capture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"yester/snapshot"
)

// A large file's chunks get their ids from several goroutines, and yet come in the order of the file.
func TestLargeFileIsInOrderWhoeverHashesIt(t *testing.T) {
	r, dir := emptyRig(t)
	r.workers = 3
	random := make([]byte, 9<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(random)
	parts := []struct {
		at   int64
		data []byte
	}{
		{0, random},
		{12 << 20, random}, // known by now, after a hole
		{21 << 20, bytes.Repeat([]byte("x"), 3<<20)}, // one chunk again and again
		{30 << 20, random[:100]},
	}
	want := make([]byte, 30<<20+100)
	f, err := os.Create(dir + "/file")
	must(t, err)
	defer f.Close()
	for _, p := range parts {
		copy(want[p.at:], p.data)
		_, err := f.WriteAt(p.data, p.at)
		must(t, err)
	}
	must(t, f.Sync())
	compare := func(v *snapshot.Version) {
		t.Helper()
		_, e := only(t, r, v)
		data, holes := r.content(&e)
		if !bytes.Equal(data, want) {
			t.Error("another content")
		}
		if n := fmt.Sprint([]string{fmt.Sprintf("%d+%d", 9<<20, 3<<20), fmt.Sprintf("%d+%d", 24<<20, 6<<20)}); fmt.Sprint(slices.Compact(holes)) != n {
			t.Errorf("holes %v, want %v", holes, n)
		}
	}
	compare(r.run())

	copy(want[5<<20:], "changed")
	_, err = f.WriteAt([]byte("changed"), 5<<20)
	must(t, err)
	must(t, f.Sync())
	compare(r.run())
}
