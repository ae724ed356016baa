package docs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/zeebo/blake3"
)

const blockSize = 4096

var le = binary.LittleEndian

// A packFile is one file of a pack, by section 4 of the page.
type packFile struct {
	id, vault []byte
	shard     int
	k, m      int
	dataLen   int
	frames    int
	tableLen  int
	payload   []byte // of the meta blocks, joined
	have      []bool // by block, numbered through the shards: it is here and its sum is right
	shards    []byte // all of them; zero what is not here
}

func ceil(n, unit int) int { return (n + unit - 1) / unit }

// parsePack reads an undamaged head, and whatever there is of the blocks.
func parsePack(file []byte) (*packFile, error) {
	b := file[:blockSize]
	if string(b[:4]) != "YSTP" || le.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli) || b[8] != 1 {
		return nil, fmt.Errorf("no meta block: % x", b[:12])
	}
	p := &packFile{
		id: b[16:32], vault: b[32:48], shard: int(b[9]), k: int(b[10]), m: int(b[11]),
		dataLen: int(le.Uint32(b[48:])), tableLen: int(le.Uint32(b[52:])), frames: int(le.Uint32(b[56:])),
	}
	n := int(le.Uint16(b[14:]))
	blocks := ceil(p.dataLen, blockSize)
	rows := ceil(blocks, p.k)
	if p.tableLen != 40*p.frames+16 || n != max(1, ceil(p.tableLen+4*(blocks+p.m*rows), blockSize-64)) {
		return nil, fmt.Errorf("%d meta blocks for a table of %d bytes and %d blocks", n, p.tableLen, blocks)
	}
	for i := range n {
		b := file[i*blockSize:][:blockSize]
		if int(le.Uint16(b[12:])) != i || !bytes.Equal(b, file[len(file)-(n-i)*blockSize:][:blockSize]) {
			return nil, fmt.Errorf("meta block %d is not the same at both ends", i)
		}
		p.payload = append(p.payload, b[64:]...)
	}
	p.shards = make([]byte, (p.k+p.m)*rows*blockSize)
	p.have = make([]bool, (p.k+p.m)*rows)
	at := file[n*blockSize : len(file)-n*blockSize]
	for i := range p.have {
		virtual := i >= blocks && i < p.k*rows
		switch {
		case p.shard != 255 && i/rows != p.shard:
			continue
		case virtual:
			p.have[i] = true
			if p.shard == 255 {
				continue
			}
		}
		p.have[i] = virtual || p.sum(i) == crc32.Checksum(at[:blockSize], castagnoli)
		copy(p.shards[i*blockSize:], at[:blockSize])
		at = at[blockSize:]
	}
	if len(at) != 0 {
		return nil, fmt.Errorf("%d bytes too many", len(at))
	}
	return p, nil
}

// sum is what the meta blocks say of a block that is not virtual.
func (p *packFile) sum(block int) uint32 {
	blocks := ceil(p.dataLen, blockSize)
	if block >= blocks {
		block -= p.k*ceil(blocks, p.k) - blocks
	}
	return le.Uint32(p.payload[p.tableLen+4*block:])
}

// The field of the parity: GF(2^8) with the polynomial 0x11D.
func mul(a, b byte) (p byte) {
	for x := uint(a); b > 0; b >>= 1 {
		if b&1 != 0 {
			p ^= byte(x)
		}
		if x <<= 1; x&0x100 != 0 {
			x ^= 0x11D
		}
	}
	return p
}

func inverse(a byte) byte {
	for b := range 256 {
		if mul(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	panic("0 has no inverse")
}

// factor is what a data shard is multiplied by in a parity shard.
func (p *packFile) factor(parity, data int) byte { return inverse(byte(p.k+parity) ^ byte(data)) }

// solve computes the lost blocks of a row, at most m: the lost data from as many equations of parity that is there, then the lost parity.
func (p *packFile) solve(row int, lost []int) {
	rows := len(p.have) / (p.k + p.m)
	block := func(shard int) []byte { return p.shards[(shard*rows+row)*blockSize:][:blockSize] }
	isLost := map[int]bool{}
	var data []int
	for _, s := range lost {
		isLost[s] = true
		if s < p.k {
			data = append(data, s)
		}
	}
	var matrix [][]byte // of the lost data in the equations
	var sums [][]byte
	for q := 0; q < p.m && len(matrix) < len(data); q++ {
		if isLost[p.k+q] {
			continue
		}
		line := make([]byte, len(data))
		for i, s := range data {
			line[i] = p.factor(q, s)
		}
		sum := bytes.Clone(block(p.k + q))
		for s := range p.k {
			if !isLost[s] {
				addTo(sum, p.factor(q, s), block(s))
			}
		}
		matrix, sums = append(matrix, line), append(sums, sum)
	}
	for i := range data { // Gauss and Jordan; a Cauchy matrix needs no exchange of lines
		scale := inverse(matrix[i][i])
		matrix[i], sums[i] = times(scale, matrix[i]), times(scale, sums[i])
		for j := range data {
			if f := matrix[j][i]; j != i {
				addTo(matrix[j], f, matrix[i])
				addTo(sums[j], f, sums[i])
			}
		}
	}
	for i, s := range data {
		copy(block(s), sums[i])
	}
	for _, s := range lost {
		if s >= p.k {
			clear(block(s))
			for c := range p.k {
				addTo(block(s), p.factor(s-p.k, c), block(c))
			}
		}
	}
}

func times(f byte, b []byte) []byte {
	out := make([]byte, len(b))
	addTo(out, f, b)
	return out
}

func addTo(sum []byte, f byte, b []byte) {
	var table [256]byte
	for i := range table {
		table[i] = mul(f, byte(i))
	}
	for i, x := range b {
		sum[i] ^= table[x]
	}
}

// packFiles are the files of a pack that there are.
type packFiles struct {
	packFile
	key   []byte
	table []*frame
}

type frame struct {
	chunk         []byte
	kind, enc     int
	raw           int
	stored, start int // of its frame
	group         int // length of its group, 0: it is in none
}

// add takes in what a file has of the pack.
func (p *packFiles) add(f *packFile) {
	if p.payload == nil {
		p.packFile = *f
		return
	}
	for i, have := range f.have {
		if have {
			p.have[i] = true
			copy(p.shards[i*blockSize:][:blockSize], f.shards[i*blockSize:])
		}
	}
}

// open computes what lacks of the pack, and opens its table.
func (p *packFiles) open(t *testing.T, master []byte) {
	t.Helper()
	rows := len(p.have) / (p.k + p.m)
	for row := range rows {
		var lost []int
		for s := range p.k + p.m {
			if !p.have[s*rows+row] {
				lost = append(lost, s)
			}
		}
		p.solve(row, lost)
	}
	p.key = make([]byte, 32)
	blake3.DeriveKey("yester 2026-11-23 pack key 1", append(master[:32:32], p.id...), p.key)
	nonce := append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 8)...)
	lines, err := gcm(t, p.key).Open(nil, nonce, p.payload[:p.tableLen], append([]byte("yester pack table 1"), p.id...))
	must(t, err)
	start := 0
	var group []*frame
	for i := range len(lines) / 40 {
		line := lines[i*40:]
		a, b := le.Uint32(line[32:]), le.Uint32(line[36:])
		f := &frame{chunk: line[:32], raw: int(a & (1<<28 - 1)), kind: int(a >> 28), stored: int(b & (1<<28 - 1)), enc: int(b >> 28), start: start}
		p.table = append(p.table, f)
		start += f.stored
		if f.enc&8 == 0 {
			continue
		}
		if f.stored > 0 {
			group = nil
		}
		group = append(group, f)
		f.start, f.stored = group[0].start, group[0].stored
		length := 12*len(group) + 4
		for _, g := range group {
			length += g.raw
		}
		for _, g := range group {
			g.group = length
		}
	}
	if start != p.dataLen || len(p.table) != p.frames {
		t.Fatalf("%d frames of %d bytes, want %d of %d", len(p.table), start, p.frames, p.dataLen)
	}
}

// frame opens and decodes a frame, and returns a chunk of it.
func (p *packFiles) frame(t *testing.T, i int) []byte {
	t.Helper()
	f := p.table[i]
	nonce := append(le.AppendUint32(nil, uint32(i)), make([]byte, 8)...)
	data := append(le.AppendUint32(bytes.Clone(f.chunk), uint32(f.raw|f.kind<<28)), byte(f.enc))
	length := f.raw
	if f.group > 0 {
		nonce = append(le.AppendUint32(nil, uint32(f.start)), 1, 0, 0, 0, 0, 0, 0, 0)
		data = append(le.AppendUint32([]byte("yester pack group 1"), uint32(f.group)), byte(f.enc))
		length = f.group
	}
	b, err := gcm(t, p.key).Open(nil, nonce, p.shards[f.start:][:f.stored], data)
	must(t, err)
	switch f.enc & 7 {
	case 1:
		raw := make([]byte, length)
		n, err := lz4.UncompressBlock(b, raw)
		must(t, err)
		b = raw[:n]
	case 2:
		d, err := zstd.NewReader(nil)
		must(t, err)
		defer d.Close()
		b, err = d.DecodeAll(b, nil)
		must(t, err)
	}
	if len(b) != length {
		t.Fatalf("a frame of %d bytes, want %d", len(b), length)
	}
	if f.group > 0 {
		return member(t, b, f)
	}
	return b
}

// member is a chunk of a group.
func member(t *testing.T, group []byte, f *frame) []byte {
	t.Helper()
	n := int(le.Uint32(group[len(group)-4:]))
	at := 0
	for lines := group[len(group)-4-12*n : len(group)-4]; len(lines) > 0; lines = lines[12:] {
		length := int(le.Uint32(lines[8:]))
		if bytes.Equal(lines[:8], f.chunk[:8]) {
			return group[at:][:length]
		}
		at += length
	}
	t.Fatalf("chunk %x is not in its group", f.chunk)
	return nil
}
