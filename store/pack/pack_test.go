package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	testVault = [16]byte([]byte("the test's vault"))
	testID    = ID([]byte("the test's pack!"))
	testKey   = Key([]byte("the test's master key, 32 bytes."))
)

func testSealer(t testing.TB) *Sealer {
	t.Helper()
	s, err := NewSealer(&testKey, testID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testBuilder(t testing.TB, shape Shape, capacity int) *Builder {
	t.Helper()
	b, err := NewBuilder(testVault, testID, testSealer(t), shape, capacity)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seeded returns a source of randomness that a failing test names.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func chunkID(i int) (id ChunkID) {
	copy(id[:], fmt.Sprintf("chunk %d", i))
	return id
}

// filled returns a finished pack of raw frames, the data region having just size bytes (0, or 16 and more).
func filled(t testing.TB, shape Shape, size int) *Built {
	t.Helper()
	b := testBuilder(t, shape, size)
	noise := randomBytes(rand.New(rand.NewPCG(1, 2)), min(size, 1<<20))
	for left := size; left > 0; left = size - b.Len() {
		n := min(left-Overhead, len(noise)-Overhead)
		if rest := left - Overhead - n; rest > 0 && rest < Overhead {
			n -= Overhead
		}
		b.Append(Frame{Chunk: chunkID(len(b.Frames())), Kind: KindFile, Raw: uint32(n)}, noise[:n])
	}
	p, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fileBytes(p *Built, shard int) []byte { return slices.Concat(p.File(shard)...) }

func readMeta(t testing.TB, file []byte) *Meta {
	t.Helper()
	m, err := ReadMeta(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// dataOffset is where in a file of all shards byte x of the data region stands.
func dataOffset(m *Meta, x uint32) int64 { return int64(m.Header.MetaBlocks())*BlockSize + int64(x) }

// failing is a file parts of which give an error.
type failing struct {
	io.ReaderAt
	from, to int64
	err      error
	reads    int
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	f.reads++
	if off < f.to && off+int64(len(p)) > f.from {
		n := max(0, f.from-off)
		n2, _ := f.ReaderAt.ReadAt(p[:n], off)
		return n2, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// putSum sets the checksum of a meta block right.
func putSum(b []byte) { binary.LittleEndian.PutUint32(b[4:], sum(b[8:])) }
