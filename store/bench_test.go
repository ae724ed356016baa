package store

import (
	"fmt"
	"log/slog"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

// benchVault is a vault in a temporary folder, that holds chunks of 128 KiB.
func benchVault(b *testing.B) *Vault {
	dir := b.TempDir()
	p, err := place.NewDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	o := Options{Places: []place.Place{p}, IndexDir: dir + "/index", Log: slog.New(slog.DiscardHandler), Reserve: 1, Cache: 1 << 20}
	if err := Init(b.Context(), o); err != nil {
		b.Fatal(err)
	}
	v, err := Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { v.Close() })
	return v
}

func benchChunks(n, size int) [][]byte {
	chunks := someChunks(1, n, 1)
	for i := range chunks {
		big := someChunks(uint64(i), 2, size*2)[i%2]
		chunks[i] = append(chunks[i], big[:min(len(big), size)]...)
	}
	return chunks
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 128 << 10} {
		for _, o := range []WriterOptions{{Encoding: pack.Raw}, {Encoding: pack.LZ4}, {Encoding: pack.LZ4, Workers: 2}, {Encoding: pack.Zstd}} {
			b.Run(fmt.Sprintf("%d/encoding %d, %d workers", size, o.Encoding, o.Workers), func(b *testing.B) {
				v := benchVault(b)
				w, _ := v.Writer(machine, o)
				chunks := benchChunks(64, size)
				var total int64
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					c := chunks[i%len(chunks)]
					c[0], c[1], c[2], c[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
					if _, _, err := w.Put(b.Context(), pack.KindFile, c); err != nil {
						b.Fatal(err)
					}
					total += int64(len(c))
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(total / int64(b.N))
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, enc := range []pack.Encoding{pack.Raw, pack.LZ4, pack.Zstd} {
		b.Run(fmt.Sprintf("encoding %d", enc), func(b *testing.B) {
			v := benchVault(b)
			w, _ := v.Writer(machine, WriterOptions{Encoding: enc})
			var ids []ID
			var total int64
			for _, c := range benchChunks(256, 128<<10) {
				id, _, err := w.Put(b.Context(), pack.KindFile, c)
				if err != nil {
					b.Fatal(err)
				}
				ids = append(ids, id)
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c, err := v.Get(b.Context(), ids[i%len(ids)])
				if err != nil {
					b.Fatal(err)
				}
				total += int64(len(c))
			}
			b.SetBytes(total / int64(b.N))
		})
	}
}
