package store

import (
	"encoding/binary"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"yester/store/pack"
	"yester/store/place"
)

// rebuiltChunks are those of the vault of BenchmarkRebuild, in packs of 256: as many as a pack of 32 MiB has of the usual size.
const (
	rebuiltChunks = 1_000_000
	rebuiltPack   = 256
)

// BenchmarkRebuild measures how long it takes to make the index of a million chunks anew: at open, when it is gone, and beside everything else, when
// it says wrong things. The packs are on disk and in the page cache; their chunks are tiny, but of a pack only the meta blocks are read.
func BenchmarkRebuild(b *testing.B) {
	if testing.Short() {
		b.Skip("it takes minutes")
	}
	dir := b.TempDir()
	p, err := place.NewDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	o := Options{Places: []place.Place{p}, Log: slog.New(slog.DiscardHandler), Reserve: 1}
	v := openNew(b, o)
	r := rand.New(rand.NewPCG(1, 1))
	for range rebuiltChunks / rebuiltPack {
		savePack(b, v, r)
	}
	o.IndexDir = filepath.Join(b.TempDir(), "index")
	report := func(b *testing.B, took, cpu time.Duration) {
		b.ReportMetric(cpu.Seconds()/float64(b.N)/(rebuiltChunks/1e6), "cpu-s/million")
		b.ReportMetric(rebuiltChunks*float64(b.N)/took.Seconds(), "chunks/s")
		b.ReportMetric(took.Seconds()/float64(b.N)/(rebuiltChunks/1e6), "s/million")
	}
	b.Run("gone", func(b *testing.B) {
		var took, cpu time.Duration
		for range b.N {
			if err := os.RemoveAll(o.IndexDir); err != nil {
				b.Fatal(err)
			}
			began, worked := time.Now(), worked()
			v, err := Open(b.Context(), o)
			took, cpu = took+time.Since(began), cpu+since(worked)
			if err != nil || len(v.packs) != rebuiltChunks/rebuiltPack {
				b.Fatal(err)
			}
			if err := v.Close(); err != nil {
				b.Fatal(err)
			}
		}
		report(b, took, cpu)
		b.ReportMetric(float64(sizeOf(b, o.IndexDir))/rebuiltChunks, "B/chunk")
	})
	b.Run("temporary", func(b *testing.B) { // of a vault that is only read
		o := o
		o.ReadOnly = true
		var took, cpu time.Duration
		for range b.N {
			began, worked := time.Now(), worked()
			v, err := Open(b.Context(), o)
			took, cpu = took+time.Since(began), cpu+since(worked)
			if err != nil || len(v.packs) != rebuiltChunks/rebuiltPack {
				b.Fatal(err)
			}
			if err := v.Close(); err != nil {
				b.Fatal(err)
			}
		}
		report(b, took, cpu)
	})
	for _, unclean := range []bool{false, true} { // of both kinds of start, to see what is gained
		b.Run(map[bool]string{false: "not, after an end", true: "not, after a kill"}[unclean], func(b *testing.B) {
			var took, cpu time.Duration
			for range b.N {
				if unclean {
					if err := os.Remove(filepath.Join(o.IndexDir, cleanFile)); err != nil {
						b.Fatal(err)
					}
				}
				began, worked := time.Now(), worked()
				v, err := Open(b.Context(), o)
				took, cpu = took+time.Since(began), cpu+since(worked)
				if err != nil {
					b.Fatal(err)
				}
				if err := v.Close(); err != nil {
					b.Fatal(err)
				}
			}
			report(b, took, cpu)
		})
	}
	b.Run("wrong", func(b *testing.B) {
		v, err := Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		defer v.Close()
		worked := worked()
		for b.Loop() {
			if _, err := v.RebuildIndex(b.Context(), nil); err != nil {
				b.Fatal(err)
			}
		}
		report(b, b.Elapsed(), since(worked))
	})
}

// worked is how long this process has had a processor. On a machine with other work that tells more than time.
func worked() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func since(before time.Duration) time.Duration { return worked() - before }

// savePack writes a pack of rebuiltPack tiny chunks, without entering it in the index.
func savePack(b *testing.B, v *Vault, r *rand.Rand) {
	id, sealer, err := v.newPack()
	if err != nil {
		b.Fatal(err)
	}
	builder, err := pack.NewBuilder(v.id, id, sealer, v.place.shape(), rebuiltPack*100)
	if err != nil {
		b.Fatal(err)
	}
	for range rebuiltPack {
		var chunk ID
		for i := 0; i < len(chunk); i += 8 {
			binary.LittleEndian.PutUint64(chunk[i:], r.Uint64())
		}
		builder.Append(pack.Frame{Chunk: chunk, Kind: pack.KindFile, Raw: 16}, chunk[:16])
	}
	built, err := builder.Finish()
	if err != nil {
		b.Fatal(err)
	}
	if _, _, err := v.place.writePack(b.Context(), machine, built, nil); err != nil {
		b.Fatal(err)
	}
}

func sizeOf(b *testing.B, dir string) (n int64) {
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}
