package pack

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const goldenVault = "../../integration/testdata/vaults/v1"

// goldenPacks are the pack files of the golden vault, records included.
func goldenPacks(t testing.TB) (files [][]byte) {
	t.Helper()
	err := filepath.WalkDir(goldenVault+"/instances", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(e.Name(), "instance.json") {
			return err
		}
		b, err := os.ReadFile(path)
		files = append(files, b)
		return err
	})
	if err != nil || len(files) < 6 {
		t.Fatalf("%d packs, %v", len(files), err)
	}
	return files
}

// goldenKey is the golden vault's master key, as its open key has it.
func goldenKey(t testing.TB) (key Key) {
	t.Helper()
	paths, err := filepath.Glob(goldenVault + "/keys/????????????????")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		var f struct {
			Body struct{ Kind, Key string }
		}
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &f)
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Body.Kind == "open" {
			if _, err := hex.Decode(key[:], []byte(f.Body.Key)); err != nil {
				t.Fatal(err)
			}
			return key
		}
	}
	t.Fatal("no open key")
	return key
}

// mostMemory is what hostile bytes may make us allocate in all.
const mostMemory = 64 << 20

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A holey is a file of some size that has a few bytes at both ends, and between them a hole.
type holey struct {
	head, tail []byte
	size       int64
	reads      int
}

func (h *holey) ReadAt(p []byte, off int64) (int, error) {
	h.reads++
	n := int(min(int64(len(p)), h.size-off))
	if n <= 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	if off < int64(len(h.head)) {
		copy(p[:n], h.head[off:])
	}
	if start := h.size - int64(len(h.tail)); off+int64(n) > start {
		if off >= start {
			copy(p[:n], h.tail[off-start:])
		} else {
			copy(p[start-off:n], h.tail)
		}
	}
	return n, nil
}

// forged is a meta block that claims what it likes, with its checksum right.
func forged(h Header) []byte {
	b := make([]byte, BlockSize)
	h.Count = uint16(h.metaBlocks())
	h.putBlock(b)
	return b
}

// Nobody without the key gets much memory or time by what meta blocks claim, be the file as long as a hole can be.
func TestHostileMetaBlocksTakeLittleMemory(t *testing.T) {
	most := Header{Shape: Shape{1, 3}, Shard: AllShards, DataLen: MaxData, Frames: MaxFrames, TableLen: MaxFrames*lineSize + Overhead}
	thin := Header{Shape: Shape{254, 1}, Shard: 3, DataLen: MaxData, Frames: 1, TableLen: lineSize + Overhead}
	files := map[string]*holey{
		"nothing":               {},
		"a hole":                {size: 1 << 62},
		"most of everything":    {head: forged(most), size: 3 * BlockSize},
		"and in a hole":         {head: forged(most), tail: forged(thin), size: 1 << 62},
		"as long as it claims":  {head: forged(most), size: most.FileSize()},
		"thin shards":           {head: forged(thin), tail: forged(thin), size: thin.FileSize()},
		"another at each end":   {head: forged(thin), tail: forged(most), size: 1 << 30},
		"a pack without frames": {head: forged(Header{Shape: Shape{32, 2}, Shard: AllShards, TableLen: Overhead}), size: 1 << 40},
	}
	s := testSealer(t)
	for name, f := range files {
		n := allocated(func() {
			m, err := ReadMeta(f, f.size)
			if err == nil {
				_, err = m.Table(s)
			}
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrSeal) {
				t.Errorf("%s: got %v", name, err)
			}
		})
		if n > mostMemory || f.reads > 4*maxScan/firstRead {
			t.Errorf("%s: %d bytes are allocated, %d reads", name, n, f.reads)
		}
	}
}

// Who has the key, and so can say anything, gets no more than the longest chunk by saying it.
func TestHostileFramesTakeLittleMemory(t *testing.T) {
	zstdOf := func(b ...byte) []byte { return append([]byte{0x28, 0xb5, 0x2f, 0xfd}, b...) }
	bomb := func(blocks int) []byte { // a frame of so many blocks of 128 KiB of one byte repeated
		b := zstdOf(0xa0, 0, 0, 0, 1) // single segment, content size of 4 bytes: 16 MiB
		for i := range blocks {
			last := byte(0)
			if i == blocks-1 {
				last = 1
			}
			b = append(b, last|1<<1, 0, 0x10, 'a')
		}
		return b
	}
	payloads := map[string]struct {
		enc Encoding
		b   []byte
		n   int
		ok  bool
	}{
		"raw of another length":     {Raw, []byte("a"), MaxRaw, false},
		"longer than a chunk":       {Raw, nil, MaxRaw + 1, false},
		"a negative length":         {Zstd, []byte("a"), -1, false},
		"lz4 that repeats nothing":  {LZ4, []byte{0x0f, 1, 0}, MaxRaw, false},
		"lz4 that repeats for ever": {LZ4, append([]byte{0x1f, 'a', 1, 0}, bytes.Repeat([]byte{0xff}, 1<<20)...), MaxRaw, false},
		"zstd of just the size":     {Zstd, bomb(128), MaxRaw, true},
		"zstd of more than it says": {Zstd, bomb(2000), MaxRaw, false},
		"zstd of less than it says": {Zstd, bomb(1), MaxRaw, false},
		"zstd with a large window":  {Zstd, zstdOf(0x80, 0xff, 0, 0, 0, 1, 1, 0, 0), MaxRaw, false},
		"zstd of 2^63 bytes":        {Zstd, zstdOf(0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0), MaxRaw, false},
		"skippable":                 {Zstd, []byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff}, MaxRaw, false},
	}
	for name, p := range payloads {
		n := allocated(func() {
			raw, err := Decode(nil, p.enc, p.b, p.n)
			if (err == nil) != p.ok || err == nil && len(raw) != p.n {
				t.Errorf("%s: %d bytes, %v", name, len(raw), err)
			}
		})
		if n > mostMemory {
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
	}
}

// The packs of the golden vault are as a builder makes them of what they hold.
func TestGoldenVaultIsBuiltToTheSameBytes(t *testing.T) {
	key := goldenKey(t)
	for _, file := range goldenPacks(t) {
		m := readMeta(t, file)
		h := m.Header
		s, err := NewSealer(&key, h.Pack)
		if err != nil {
			t.Fatal(err)
		}
		frames, err := m.Table(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBuilder(h.Vault, h.Pack, s, h.Shape, int(h.DataLen))
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range frames {
			sealed, _, err := Sources{{bytes.NewReader(file), m}}.ReadData(f.Offset, f.Stored)
			if err != nil {
				t.Fatal(err)
			}
			payload, err := s.Open(nil, uint32(i), f, sealed)
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := Decode(nil, f.Encoding, payload, int(f.Raw)); err != nil || len(raw) != int(f.Raw) {
				t.Errorf("frame %d: %v", i, err)
			}
			b.Append(f, payload)
		}
		p, err := b.Finish()
		if err != nil || !slices.Equal(fileBytes(p, AllShards), file) {
			t.Errorf("pack %v is built to other bytes, %v", h.Pack, err)
		}
	}
}
