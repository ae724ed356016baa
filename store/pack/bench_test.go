package pack

import (
	"bytes"
	"go/build"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func BenchmarkSeal128KiB(b *testing.B) {
	s, f := testSealer(b), Frame{Kind: KindFile, Raw: 128 << 10}
	plain, dst := make([]byte, 128<<10), make([]byte, 0, 129<<10)
	b.SetBytes(128 << 10)
	b.ReportAllocs()
	for b.Loop() {
		s.Seal(dst, 1, f, plain)
	}
}

func BenchmarkOpen128KiB(b *testing.B) {
	s, f := testSealer(b), Frame{Kind: KindFile, Raw: 128 << 10}
	sealed, dst := s.Seal(nil, 1, f, make([]byte, 128<<10)), make([]byte, 0, 128<<10)
	b.SetBytes(128 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(dst, 1, f, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// text is n bytes of Go source.
func text(n int) (out []byte) {
	files, err := filepath.Glob(filepath.Join(build.Default.GOROOT, "src", "net", "http", "*.go"))
	if err != nil || len(files) == 0 {
		files = []string{"bench_test.go", "doc.go"}
	}
	for i := 0; len(out) < n; i++ {
		src, err := os.ReadFile(files[i%len(files)])
		if err != nil {
			panic(err)
		}
		out = append(out, src...)
	}
	return out[:n]
}

func inputs() map[string][]byte {
	return map[string][]byte{"text": text(128 << 10), "random": noise()}
}

func noise() []byte { return randomBytes(rand.New(rand.NewPCG(5, 6)), 128<<10) }

var codecs = []struct {
	name string
	enc  Encoding
}{{"lz4", LZ4}, {"zstd", Zstd}}

func BenchmarkEncode128KiB(b *testing.B) {
	for _, c := range codecs {
		for name, raw := range inputs() {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				var e Encoder
				var out []byte
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					out, _ = e.Encode(raw, c.enc)
				}
				b.ReportMetric(float64(len(raw))/float64(len(out)), "ratio")
			})
		}
	}
}

func BenchmarkDecode128KiB(b *testing.B) {
	for _, c := range codecs {
		b.Run(c.name, func(b *testing.B) {
			raw := text(128 << 10)
			payload, enc := new(Encoder).Encode(raw, c.enc)
			dst := make([]byte, 0, len(raw)+DecodeSlack)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(dst, enc, payload, len(raw)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncoderMemory shows what one encoder keeps after chunks of the usual sizes.
func BenchmarkEncoderMemory(b *testing.B) {
	for _, c := range codecs {
		b.Run(c.name, func(b *testing.B) {
			var before, after runtime.MemStats
			raw := text(512 << 10)
			var e Encoder
			e.out = make([]byte, 0, len(raw)+encodeSlack)
			for b.Loop() {
				e = Encoder{out: e.out}
				runtime.GC()
				runtime.ReadMemStats(&before)
				for n := 4096; n <= len(raw); n *= 2 {
					e.Encode(raw[:n], c.enc)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
			}
			runtime.KeepAlive(&e)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1024, "KiB")
		})
	}
}

func BenchmarkBuild32MiB(b *testing.B) {
	builder, s := testBuilder(b, Shape{32, 2}, 32<<20), testSealer(b)
	raw := noise()
	b.SetBytes(32 << 20)
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset(testID, s)
		for builder.Fits(len(raw)) {
			builder.Append(Frame{Kind: KindFile, Raw: uint32(len(raw))}, raw)
		}
		p, err := builder.Finish()
		if err != nil {
			b.Fatal(err)
		}
		p.File(AllShards)
	}
}

func BenchmarkFinish32MiB(b *testing.B) {
	builder := testBuilder(b, Shape{32, 2}, 32<<20)
	for raw := noise(); builder.Fits(len(raw)); {
		builder.Append(Frame{Kind: KindFile, Raw: uint32(len(raw))}, raw)
	}
	n := builder.Len()
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		builder.built.data = builder.built.data[:n]
		p, err := builder.Finish()
		if err != nil {
			b.Fatal(err)
		}
		p.File(AllShards)
	}
}

func BenchmarkReadMeta32MiB(b *testing.B) {
	file := fileBytes(filled(b, Shape{32, 2}, 32<<20), AllShards)
	b.ReportAllocs()
	for b.Loop() {
		readMeta(b, file)
	}
}

func BenchmarkReadData128KiB(b *testing.B) {
	file := fileBytes(filled(b, Shape{32, 2}, 32<<20), AllShards)
	m := readMeta(b, file)
	for _, c := range []struct {
		name string
		bad  bool
	}{{"whole", false}, {"healing", true}} {
		b.Run(c.name, func(b *testing.B) {
			file := bytes.Clone(file)
			if c.bad {
				spoil(file, dataOffset(m, 40*BlockSize))
			}
			b.SetBytes(128 << 10)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := (Sources{{bytes.NewReader(file), m}}).ReadData(128<<10, 128<<10); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheck32MiB(b *testing.B) {
	file := fileBytes(filled(b, Shape{32, 2}, 32<<20), AllShards)
	m := readMeta(b, file)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Check(bytes.NewReader(file), m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRepairBurst32MiB(b *testing.B) {
	file := fileBytes(filled(b, Shape{32, 2}, 32<<20), AllShards)
	clear(file[1<<20 : 3<<20])
	m := readMeta(b, file)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := (Sources{{bytes.NewReader(file), m}}).Repair(); err != nil {
			b.Fatal(err)
		}
	}
}
