package snapshot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever numbers are asked for, the names are those that a walk of everything has at these places.
func TestSampleFindsNamesByTheirNumbers(t *testing.T) {
	m := newMemory()
	p := paths{"/": aFolder(), "/empty": aFolder(), "/zz": aFolder(), "/zz/deep": aFolder(), "/zz/deep/er": aFolder()}
	var all []string
	for _, dir := range []string{"/a", "/b", "/zz/deep/er"} {
		p[dir] = aFolder()
		for i := range 700 { // more than one page
			p[fmt.Sprintf("%s/%03d", dir, i)] = aFile()
			all = append(all, fmt.Sprintf("%s/%03d", dir, i)[1:])
		}
	}
	p["/c"] = aFile()
	all = append(all, "c")
	slices.Sort(all)
	v := new(Version)
	v.SetRoot(p.root(t, m))
	if v.Totals.Files != uint64(len(all)) {
		t.Fatalf("%d files, want %d", v.Totals.Files, len(all))
	}
	sample := func(numbers ...uint64) (got []string) {
		t.Helper()
		if err := Sample(t.Context(), m, v, numbers, func(path string, _ *Entry) { got = append(got, path) }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var numbers []uint64
		var want []string
		for i := range all {
			if rnd.IntN(1+int(seed)*30) == 0 {
				numbers, want = append(numbers, uint64(i)), append(want, all[i])
			}
		}
		if got := sample(numbers...); !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %d names, want %d", seed, len(got), len(want))
		}
	}
	if got := sample(uint64(len(all)), 1<<40); len(got) != 0 {
		t.Errorf("past the end there are %q", got)
	}
}
