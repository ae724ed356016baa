package cut

import "testing"

func BenchmarkNext(b *testing.B) {
	c := mustNew(b, Default)
	data := noise(1, 64<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := data; len(rest) > 0; {
			rest = rest[c.Next(rest, true):]
		}
	}
}

// The bare loop, where nothing is skipped and nothing cuts.
func BenchmarkScan(b *testing.B) {
	data := noise(1, 1<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		scan(0, data, 0)
	}
}
