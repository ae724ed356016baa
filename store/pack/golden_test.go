package pack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/blake3"
)

// tiny is the pack of the worked example in the package comment.
func tiny(t testing.TB) *Built {
	t.Helper()
	id := ID(numbered(0x10, 16))
	key := Key(numbered(0x00, 32))
	s, err := NewSealer(&key, id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBuilder([16]byte(numbered(0x20, 16)), id, s, Shape{2, 1}, 4096)
	if err != nil {
		t.Fatal(err)
	}
	b.Append(Frame{Chunk: ChunkID(numbered(0x40, 32)), Kind: KindFile, Encoding: Raw, Raw: 5}, []byte("hello"))
	b.Append(Frame{Chunk: ChunkID(numbered(0x60, 32)), Kind: KindTree, Encoding: LZ4, Raw: 20}, twentyA)
	p, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// twentyA is "aaaaaaaaaaaaaaaaaaaa" as an LZ4 block: a literal, 14 bytes from one byte back, 5 literals.
var twentyA = []byte("\x1aa\x01\x00\x50aaaaa")

// numbered is n bytes counting up from first.
func numbered(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// TestGoldenPack pins every number of format 1. If it fails, the change makes another format: packs in the world no
// longer open.
func TestGoldenPack(t *testing.T) {
	want := goldenFile(t, "testdata/tiny.hex")
	if got := fileBytes(tiny(t), AllShards); !bytes.Equal(got, want) {
		t.Errorf("not the pack of testdata/tiny.hex but\n%s", dumpBlocks(got))
	}
	want = goldenFile(t, "testdata/tiny-shard2.hex")
	if got := fileBytes(tiny(t), 2); !bytes.Equal(got, want) {
		t.Errorf("not the file of testdata/tiny-shard2.hex but\n%s", dumpBlocks(got))
	}
}

func TestGoldenPackIsRead(t *testing.T) {
	file := goldenFile(t, "testdata/tiny.hex")
	key := Key(numbered(0x00, 32))
	s, err := NewSealer(&key, ID(numbered(0x10, 16)))
	if err != nil {
		t.Fatal(err)
	}
	m := readMeta(t, file)
	frames, err := m.Table(s)
	if err != nil || len(frames) != 2 {
		t.Fatal(frames, err)
	}
	for i, want := range []string{"hello", strings.Repeat("a", 20)} {
		sealed, _, err := Sources{{bytes.NewReader(file), m}}.ReadData(frames[i].Offset, frames[i].Stored)
		if err != nil {
			t.Fatal(err)
		}
		checkFrame(t, s, i, frames[i], sealed, []byte(want))
	}
}

// TestGoldenPackByHand follows the package comment with nothing of this package.
func TestGoldenPackByHand(t *testing.T) {
	file := goldenFile(t, "testdata/tiny.hex")
	var key [32]byte
	blake3.DeriveKey("yester 2026-11-23 pack key 1", append(numbered(0x00, 32), file[16:32]...), key[:])
	block, _ := aes.NewCipher(key[:])
	gcm, _ := cipher.NewGCM(block)

	table, err := gcm.Open(nil, []byte("\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"), file[64:64+96],
		append([]byte("yester pack table 1"), file[16:32]...))
	line0 := append(numbered(0x40, 32), 5, 0, 0, 0x10, 21, 0, 0, 0x00)
	line1 := append(numbered(0x60, 32), 20, 0, 0, 0x20, 26, 0, 0, 0x10)
	if err != nil || !bytes.Equal(table, slices.Concat(line0, line1)) {
		t.Fatalf("table %x, %v", table, err)
	}
	hello, err := gcm.Open(nil, make([]byte, 12), file[4096:4096+21], append(numbered(0x40, 32), 5, 0, 0, 0x10, 0))
	if err != nil || string(hello) != "hello" {
		t.Fatal(hello, err)
	}
	many, err := gcm.Open(nil, []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), file[4096+21:4096+47],
		append(numbered(0x60, 32), 20, 0, 0, 0x20, 1))
	if err != nil || !bytes.Equal(many, twentyA) {
		t.Fatal(many, err)
	}
	for i, d := range file[4096 : 4096+47] { // shard 1 is virtual
		if p := gfMul(gfInverse(2), d); file[8192+i] != p {
			t.Fatalf("parity byte %d is %02x, want %02x", i, file[8192+i], p)
		}
	}
}

// TestNumbersOfFormat1 pins what the golden pack does not hold.
func TestNumbersOfFormat1(t *testing.T) {
	if [5]Kind{KindFile, KindTree, KindList, KindXattr, KindRecord} != [5]Kind{1, 2, 3, 4, 5} {
		t.Error("kinds")
	}
	if [3]Encoding{Raw, LZ4, Zstd} != [3]Encoding{0, 1, 2} {
		t.Error("encodings")
	}
	if [6]int{BlockSize, AllShards, Overhead, MaxRaw, MaxData, MaxFrames} != [6]int{4096, 255, 16, 1 << 24, 1 << 28, 1 << 20} {
		t.Error("sizes")
	}
	// A frame of a single segment stating 20 bytes, and in it the byte a repeated 20 times.
	frame := []byte("\x28\xb5\x2f\xfd\x20\x14\xa3\x00\x00a")
	if raw, err := Decode(nil, Zstd, frame, 20); err != nil || string(raw) != strings.Repeat("a", 20) {
		t.Error("zstd:", raw, err)
	}
	if raw, err := Decode(nil, LZ4, twentyA, 20); err != nil || string(raw) != strings.Repeat("a", 20) {
		t.Error("lz4:", raw, err)
	}
}

func TestNewerFormatIsSaid(t *testing.T) {
	file := goldenFile(t, "testdata/tiny.hex")
	for _, b := range [][]byte{file[:BlockSize], file[3*BlockSize:]} {
		b[8] = 2
		putSum(b)
	}
	_, err := ReadMeta(bytes.NewReader(file), int64(len(file)))
	wantErr(t, err, ErrFormat)
	_, _, err = ParseBlock(file[:BlockSize])
	wantErr(t, err, ErrFormat)
}

func TestZeroSum(t *testing.T) {
	if got := sum(make([]byte, BlockSize)); got != zeroSum {
		t.Errorf("%#x", got)
	}
}

// goldenFile reads a file written as one line of hex a block, without the zeros at the block's end.
func goldenFile(t testing.TB, name string) (file []byte) {
	t.Helper()
	lines, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		block, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, append(block, make([]byte, BlockSize-len(block))...)...)
	}
	return file
}

func dumpBlocks(file []byte) string {
	var s strings.Builder
	for block := range slices.Chunk(file, BlockSize) {
		s.WriteString(hex.EncodeToString(bytes.TrimRight(block, "\x00")) + "\n")
	}
	return s.String()
}
