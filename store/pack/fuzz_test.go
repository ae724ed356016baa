package pack

import (
	"bytes"
	"testing"
)

// seedBlocks are meta blocks, right and almost right.
func seedBlocks(f *testing.F) (blocks [][]byte) {
	for _, shape := range []Shape{{32, 2}, {1, 0}, {2, 3}} {
		for _, size := range []int{0, 30, 70000} {
			p := filled(f, shape, size)
			blocks = append(blocks, p.File(AllShards)[0][:BlockSize], p.File(0)[0][:BlockSize])
		}
	}
	for _, file := range goldenPacks(f) {
		blocks = append(blocks, file[:BlockSize])
	}
	return blocks
}

func FuzzParseBlock(f *testing.F) {
	for _, b := range seedBlocks(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Setting the checksum right lets the fuzzer past it.
		if len(b) == BlockSize {
			b = bytes.Clone(b)
			copy(b, magic)
			putSum(b)
		}
		h, payload, err := ParseBlock(b)
		if err != nil {
			return
		}
		again := append(make([]byte, headerSize), payload...)
		h.putBlock(again)
		if !bytes.Equal(again, b) || h.FileSize() <= 0 {
			t.Fatalf("%+v does not give its block again", h)
		}
	})
}

func FuzzReadMeta(f *testing.F) {
	for _, shape := range []Shape{{4, 1}, {1, 0}} {
		for _, size := range []int{0, 30, 7000} {
			file := fileBytes(filled(f, shape, size), AllShards)
			f.Add(file, true)
			f.Add(file[1:], false)
			f.Add(file[:len(file)-1], false)
		}
	}
	for _, file := range goldenPacks(f) {
		f.Add(file, false)
	}
	s := testSealer(f)
	f.Fuzz(func(t *testing.T, file []byte, fix bool) {
		if fix {
			file = fixSums(file)
		}
		m, err := ReadMeta(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		if frames, err := m.Table(s); err == nil && len(frames) != int(m.Header.Frames) {
			t.Fatal(len(frames))
		}
		if _, err := Check(bytes.NewReader(file), m); err != nil {
			t.Fatal(err)
		}
		// Parity of a few bytes may be asked to grow to a gigabyte by one who can forge meta blocks.
		if m.Header.Blocks() > 1000 {
			return
		}
		if p, _, err := (Sources{{bytes.NewReader(file), m}}).Repair(); err == nil {
			whole := fileBytes(p, int(m.Header.Shard))
			if m := readMeta(t, whole); m.Shift != 0 {
				t.Fatal("repaired to another size")
			}
		}
	})
}

// fixSums sets the checksum of whatever looks like a meta block.
func fixSums(file []byte) []byte {
	file = bytes.Clone(file)
	for b := file; len(b) >= BlockSize; b = b[BlockSize:] {
		if string(b[:4]) == magic {
			putSum(b[:BlockSize])
		}
	}
	return file
}

func FuzzTable(f *testing.F) {
	line := Frame{Chunk: chunkID(1), Kind: KindFile, Stored: 26, Raw: 10}
	f.Add([]byte{}, uint32(0))
	f.Add(line.appendLine(nil), uint32(26))
	f.Add(line.appendLine(line.appendLine(nil)), uint32(52))
	group := line
	group.Encoding, group.Raw = LZ4|grouped, 20
	rest := group
	rest.Stored = 0
	f.Add(rest.appendLine(group.appendLine(nil)), uint32(26))
	key := goldenKey(f)
	for _, file := range goldenPacks(f) {
		lines, dataLen := goldenTable(f, &key, file)
		f.Add(lines, dataLen)
	}
	s := testSealer(f)
	f.Fuzz(func(t *testing.T, lines []byte, dataLen uint32) {
		lines = lines[:len(lines)/lineSize*lineSize]
		h := Header{DataLen: dataLen, TableLen: uint32(len(lines) + Overhead), Frames: uint32(len(lines) / lineSize)}
		frames, err := (&Meta{Header: h, payload: s.sealTable(nil, lines)}).Table(s)
		if err != nil {
			return
		}
		var again []byte
		for i, f := range frames {
			if f.Offset+f.Stored > dataLen || f.Length() > MaxRaw {
				t.Fatalf("%+v", f)
			}
			if i > 0 && f.With(&frames[i-1]) {
				f.Stored = 0
			}
			again = f.appendLine(again)
		}
		if !bytes.Equal(again, lines) {
			t.Fatal("the table does not give its lines again")
		}
	})
}

// goldenTable is the table of a golden pack, open.
func goldenTable(f *testing.F, key *Key, file []byte) (lines []byte, dataLen uint32) {
	m := readMeta(f, file)
	s, err := NewSealer(key, m.Header.Pack)
	if err != nil {
		f.Fatal(err)
	}
	if lines, err = s.openTable(m.payload[:m.Header.TableLen]); err != nil {
		f.Fatal(err)
	}
	return lines, m.Header.DataLen
}

func FuzzDecode(f *testing.F) {
	var e Encoder
	for _, enc := range []Encoding{Raw, LZ4, Zstd} {
		for _, n := range []int{0, 1, 300, 5000, 200000} {
			raw := bytes.Repeat([]byte("yesterday "), n/10+1)[:n]
			out, got := e.Encode(raw, enc)
			f.Add(bytes.Clone(out), byte(got), n)
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte, enc byte, n int) {
		n = min(n, 1<<20)
		raw, err := Decode(nil, Encoding(enc), payload, n)
		if err == nil && len(raw) != n || err != nil && raw != nil {
			t.Fatalf("%d bytes for %d, %v", len(raw), n, err)
		}
	})
}
