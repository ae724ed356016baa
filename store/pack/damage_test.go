package pack

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
)

// wantHealed checks that a damaged file gives the whole file again, and its data region too.
func wantHealed(t testing.TB, what string, damaged, whole []byte) {
	t.Helper()
	m, err := ReadMeta(bytes.NewReader(damaged), int64(len(damaged)))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	p, _, err := Sources{{bytes.NewReader(damaged), m}}.Repair()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !bytes.Equal(fileBytes(p, AllShards), whole) {
		t.Fatalf("%s: repaired to something else", what)
	}
	data, _, err := Sources{{bytes.NewReader(damaged), m}}.ReadData(0, m.Header.DataLen)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !bytes.Equal(data, whole[dataOffset(m, 0):][:len(data)]) {
		t.Fatalf("%s: read something else", what)
	}
}

// spoil changes every byte of the blocks.
func spoil(file []byte, offsets ...int64) {
	for _, off := range offsets {
		for i := range file[off : off+BlockSize] {
			file[off+int64(i)] ^= 0xA5
		}
	}
}

func TestAnyTwoBlocksOfEveryRowHeal(t *testing.T) {
	whole := fileBytes(filled(t, Shape{32, 2}, 31*2*4096+100), AllShards)
	m := readMeta(t, whole)
	rows := m.Header.ShardBlocks()
	for a := range 34 {
		for b := range a {
			file := slices.Clone(whole)
			for r := range rows { // another pair in each row
				for _, shard := range []int{(a + r) % 34, (b + r) % 34} {
					if off, ok := m.Header.BlockOffset(shard*rows + r); ok {
						spoil(file, off)
					}
				}
			}
			wantHealed(t, fmt.Sprintf("shards %d and %d", a, b), file, whole)
		}
	}
}

func TestThreeBlocksOfARowAreDamage(t *testing.T) {
	whole := fileBytes(filled(t, Shape{32, 2}, 2*32*4096), AllShards)
	m := readMeta(t, whole)
	file := slices.Clone(whole)
	for _, b := range []int{2, 6, 66} { // shards 1, 3 and the second of parity, row 0
		off, _ := m.Header.BlockOffset(b)
		spoil(file, off)
	}
	_, _, err := Sources{{bytes.NewReader(file), m}}.Repair()
	wantErr(t, err, ErrDamaged)
	data, _, err := Sources{{bytes.NewReader(file), m}}.ReadData(2*4096-1, 2)
	wantErr(t, err, ErrDamaged)
	if data != nil {
		t.Fatal("bytes beside an error")
	}
	data, healed, err := Sources{{bytes.NewReader(file), m}}.ReadData(3*4096, 3*4096)
	if err != nil || healed != nil || !bytes.Equal(data, whole[dataOffset(m, 3*4096):][:3*4096]) {
		t.Fatal("what is not hit must be read", healed, err)
	}
}

func TestBurstOfTwoMiBHealsAnywhere(t *testing.T) {
	whole := fileBytes(filled(t, Shape{32, 2}, 32<<20), AllShards)
	r := seeded(t)
	const burst = 2 << 20
	at := []int{0, BlockSize, len(whole) - burst, len(whole) - burst - BlockSize}
	for len(at) < 12 {
		at = append(at, r.IntN((len(whole)-burst)/BlockSize)*BlockSize)
	}
	file := slices.Clone(whole)
	for _, off := range at {
		hit := file[off : off+burst]
		clear(hit)
		wantHealed(t, fmt.Sprintf("zeros at %d", off), file, whole)
		copy(hit, whole[off:])
		if off+burst > len(whole)-BlockSize {
			continue
		}
		hit = file[off+7:][:burst-BlockSize+1] // touches as many blocks
		copy(hit, randomBytes(r, 4096))
		clear(hit[4096:])
		wantHealed(t, fmt.Sprintf("rubbish at %d", off+7), file, whole)
		copy(hit, whole[off+7:])
	}
}

func TestLostHeadTailAndMiddleHeal(t *testing.T) {
	for _, size := range []int{0, 16, 5000, 64 * 4096, 1 << 20} {
		whole := fileBytes(filled(t, Shape{4, 2}, size), AllShards)
		m := readMeta(t, whole)
		covered := m.Header.MetaBlocks()*BlockSize + min(size, m.Header.ShardBlocks()*BlockSize)
		for _, n := range []int{1, 7, 4095, 4096, 4097, covered} {
			if n > covered {
				continue
			}
			wantHealed(t, fmt.Sprintf("%d: head of %d", size, n), whole[n:], whole)
			wantHealed(t, fmt.Sprintf("%d: tail of %d", size, n), whole[:len(whole)-n], whole)
			cut := slices.Concat(whole[:len(whole)/2], whole[len(whole)/2+n:])
			if n <= covered-2*BlockSize && size > 0 {
				wantHealed(t, fmt.Sprintf("%d: middle of %d", size, n), cut, whole)
			}
			wantHealed(t, fmt.Sprintf("%d: %d before", size, n), slices.Concat(make([]byte, n), whole), whole)
			wantHealed(t, fmt.Sprintf("%d: %d after", size, n), slices.Concat(whole, make([]byte, n)), whole)
		}
	}
}

func TestEachMetaBlockIsTakenFromWhereItIsIntact(t *testing.T) {
	whole := fileBytes(manyFrames(t), AllShards)
	n := readMeta(t, whole).Header.MetaBlocks()
	if n < 20 {
		t.Fatal("too few meta blocks for this test:", n)
	}
	r := seeded(t)
	tail := len(whole)/BlockSize - n
	for round := range 40 {
		file := slices.Clone(whole)
		for i := range n {
			bad := i + tail*r.IntN(2) // one copy of each
			if round == 0 {
				bad = i // all of the head
			}
			if round == 1 {
				bad = i + tail*(i*2/n) // the outer half of both ends, so that both scans have far to go
			}
			spoil(file, int64(bad)*BlockSize)
		}
		wantHealed(t, fmt.Sprint("round ", round), file, whole)
	}
	file := slices.Clone(whole)
	spoil(file, 5*BlockSize, int64(tail+5)*BlockSize)
	_, err := ReadMeta(bytes.NewReader(file), int64(len(file)))
	wantErr(t, err, ErrDamaged)
}

// manyFrames has more meta blocks than one read takes.
func manyFrames(t testing.TB) *Built {
	b := testBuilder(t, Shape{3, 1}, 1<<20)
	for i := range 2500 {
		b.Append(Frame{Chunk: chunkID(i), Kind: KindTree, Raw: 3}, []byte("abc"))
	}
	p, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestForeignMetaAtTheHeadIsNotBelieved(t *testing.T) {
	whole := fileBytes(manyFrames(t), AllShards)
	other := fileBytes(filled(t, Shape{3, 1}, 5000), AllShards)
	file := slices.Clone(whole)
	copy(file, other[:BlockSize])
	wantHealed(t, "block of another pack", file, whole)
}

// Of two packs in one file the first is read, and nothing of the second is taken for it.
func TestTwoPacksInOneFileAreNotMixed(t *testing.T) {
	for _, sizes := range [][2]int{{5000, 7000}, {300_000, 20_000}, {20_000, 300_000}} {
		first, second := filled(t, Shape{3, 1}, sizes[0]), filled(t, Shape{4, 2}, sizes[1])
		whole := fileBytes(first, AllShards)
		file := slices.Concat(whole, fileBytes(second, AllShards))
		want, err := readMeta(t, whole).Table(testSealer(t))
		if err != nil {
			t.Fatal(err)
		}
		m := readMeta(t, file)
		if got, err := m.Table(testSealer(t)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d bytes before %d: the table is %v, %v", sizes[0], sizes[1], got, err)
		}
		wantHealed(t, fmt.Sprint(sizes[0], " bytes before ", sizes[1]), file, whole)
	}
}

// TestFlippedBitsHealOrAreToldOf flips ever more bits: the file heals, or says that it does not, and never gives
// other bytes.
func TestFlippedBitsHealOrAreToldOf(t *testing.T) {
	r := seeded(t)
	var healed, damaged int
	for range 150 {
		whole := fileBytes(filled(t, Shape{1 + r.IntN(8), r.IntN(4)}, 16+r.IntN(200000)), AllShards)
		file := slices.Clone(whole)
		for range 1 + r.IntN(12) {
			file[r.IntN(len(file))] ^= 1 << r.IntN(8)
		}
		if cut := r.IntN(3); cut == 0 {
			file = file[r.IntN(len(file)/10):]
		}
		if healsOrSays(t, file, whole) {
			healed++
		} else {
			damaged++
		}
	}
	t.Logf("%d healed, %d damaged", healed, damaged)
	if healed == 0 || damaged == 0 {
		t.Error("the test does not test both")
	}
}

func healsOrSays(t *testing.T, file, whole []byte) bool {
	t.Helper()
	m, err := ReadMeta(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		wantErr(t, err, ErrDamaged)
		return false
	}
	p, _, err := Sources{{bytes.NewReader(file), m}}.Repair()
	if err != nil {
		wantErr(t, err, ErrDamaged)
		return false
	}
	if !bytes.Equal(fileBytes(p, AllShards), whole) {
		t.Fatal("repaired to something else")
	}
	return true
}

func TestReadErrorsOfTheMediumAreDamage(t *testing.T) {
	whole := fileBytes(filled(t, Shape{32, 2}, 1<<20), AllShards)
	for off := int64(0); off < int64(len(whole)); off += 3*4096 + 1000 {
		f := &failing{ReaderAt: bytes.NewReader(whole), from: off, to: off + 5000, err: fmt.Errorf("read: %w", syscall.EIO)}
		m, err := ReadMeta(f, int64(len(whole)))
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := Sources{{f, m}}.Repair()
		if err != nil || !bytes.Equal(fileBytes(p, AllShards), whole) {
			t.Fatalf("EIO at %d: %v", off, err)
		}
	}
	f := &failing{ReaderAt: bytes.NewReader(whole), to: int64(len(whole)), err: syscall.EIO}
	_, err := ReadMeta(f, int64(len(whole)))
	wantErr(t, err, ErrDamaged)
	wantErr(t, err, syscall.EIO)
}

func TestOtherReadErrorsAreNotDamage(t *testing.T) {
	whole := fileBytes(filled(t, Shape{32, 2}, 1<<20), AllShards)
	gone := errors.New("connection lost")
	f := &failing{ReaderAt: bytes.NewReader(whole), to: int64(len(whole)), err: gone}
	_, err := ReadMeta(f, int64(len(whole)))
	m := readMeta(t, whole)
	_, _, err2 := Sources{{f, m}}.ReadData(0, 100)
	_, err3 := Check(f, m)
	for _, err := range []error{err, err2, err3} {
		wantErr(t, err, gone)
		if errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	}
	if f.reads != 3 {
		t.Errorf("%d reads of a file that is gone", f.reads)
	}
}

func TestCheckFindsJustTheDamage(t *testing.T) {
	whole := fileBytes(filled(t, Shape{4, 2}, 2<<20), AllShards)
	m := readMeta(t, whole)
	n := m.Header.MetaBlocks()
	file := slices.Clone(whole)
	at := func(b int) int64 { off, _ := m.Header.BlockOffset(b); return off }
	spoil(file, 0, int64(len(file)-BlockSize), at(0), at(300), at(511), at(m.Header.Blocks()-1))
	d, err := Check(bytes.NewReader(file), m)
	if err != nil {
		t.Fatal(err)
	}
	want := Damage{Meta: []int{0, 2*n - 1}, Blocks: []int{0, 300, 511, m.Header.Blocks() - 1}}
	if !slices.Equal(d.Meta, want.Meta) || !slices.Equal(d.Blocks, want.Blocks) || d.None() {
		t.Fatalf("%+v, want %+v", d, want)
	}
	_, healed, err := Sources{{bytes.NewReader(file), m}}.Repair()
	if err != nil || !slices.Equal(healed, want.Blocks) {
		t.Fatal(healed, err)
	}
}

func TestShardsInManyPlacesSurviveTheLossOfSome(t *testing.T) {
	shape := Shape{3, 2}
	built := filled(t, shape, 100*4096+77)
	whole := fileBytes(built, AllShards)
	r := seeded(t)
	for lost := range 1 << shape.Shards() {
		var s Sources
		for i := range shape.Shards() {
			if lost&(1<<i) == 0 {
				file := fileBytes(built, i)
				s = append(s, Source{bytes.NewReader(file), readMeta(t, file)})
			}
		}
		r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
		p, _, err := s.Repair()
		if len(s) < shape.Data {
			if err == nil {
				t.Fatalf("%05b lost", lost)
			}
			continue
		}
		if err != nil || !bytes.Equal(fileBytes(p, AllShards), whole) {
			t.Fatalf("%05b lost: %v", lost, err)
		}
		for i := range shape.Shards() {
			if !bytes.Equal(fileBytes(p, i), fileBytes(built, i)) {
				t.Fatalf("%05b lost: shard %d differs", lost, i)
			}
		}
		checkRanges(t, r, s, whole)
	}
}

// A block that is not what it was under a right checksum is found by doing without it, if there is one more than is needed.
func TestForgedBlockSpoilsNoOther(t *testing.T) {
	shape := Shape{3, 2}
	built := filled(t, shape, 9*4096)
	for lost := range shape.Shards() {
		for forged := range shape.Shards() {
			if lost+forged == 2+3 {
				continue // of parity shard 3 data shard 2 is a plain sum: what spares the checksum of one does so of the other, and it is for the seals to tell
			}
			var s Sources
			for i := range shape.Shards() {
				file := fileBytes(built, i)
				m := readMeta(t, file)
				if i == forged {
					forgeBlock(file[m.Header.MetaBlocks()*BlockSize:][:BlockSize])
				}
				if i != lost {
					s = append(s, Source{bytes.NewReader(file), m})
				}
			}
			p, _, err := s.Repair()
			if err != nil || !bytes.Equal(fileBytes(p, lost), fileBytes(built, lost)) {
				t.Errorf("shard %d is lost, and %d forged: %v", lost, forged, err)
			}
			if p, _, err := s[1:].Repair(); err == nil && !bytes.Equal(fileBytes(p, lost), fileBytes(built, lost)) { // with none to spare
				t.Errorf("shard %d and one more are lost, and %d forged: healed to something else", lost, forged)
			}
		}
	}
}

// forgeBlock changes a block and leaves its checksum as it is.
func forgeBlock(b []byte) {
	const polynomial = 1<<32 | 0x1edc6f41
	was := sum(b)
	for i := range 33 {
		if polynomial>>(32-i)&1 == 1 {
			b[100+i/8] ^= 1 << (i % 8)
		}
	}
	if sum(b) != was {
		panic("the checksum is another")
	}
}

func checkRanges(t *testing.T, r *rand.Rand, s Sources, whole []byte) {
	t.Helper()
	h := s[0].Meta.Header
	start := int64(h.MetaBlocks()) * BlockSize
	for range 5 {
		off := uint32(r.IntN(int(h.DataLen)))
		n := uint32(r.IntN(int(h.DataLen-off) + 1))
		data, _, err := s.ReadData(off, n)
		if err != nil || !bytes.Equal(data, whole[start+int64(off):][:n]) {
			t.Fatalf("bytes %d+%d: %v", off, n, err)
		}
	}
	if _, _, err := s.ReadData(h.DataLen, 1); err == nil {
		t.Fatal("past the end")
	}
}

// TestDamageInSeveralPlacesHealsRowByRow damages each place in other rows, more of them than parity covers lost
// places.
func TestDamageInSeveralPlacesHealsRowByRow(t *testing.T) {
	shape := Shape{3, 1}
	built := filled(t, shape, 3*8*4096)
	var s Sources
	for i := range shape.Shards() {
		file := fileBytes(built, i)
		m := readMeta(t, file)
		spoil(file, int64(m.Header.MetaBlocks()+2*i)*BlockSize)
		s = append(s, Source{bytes.NewReader(file), m})
	}
	p, healed, err := s.Repair()
	if err != nil || len(healed) != 4 || !bytes.Equal(fileBytes(p, AllShards), fileBytes(built, AllShards)) {
		t.Fatal(healed, err)
	}
}

func TestFilesOfDifferentPacksAreNotMixed(t *testing.T) {
	a, b := fileBytes(filled(t, Shape{2, 1}, 50000), 0), fileBytes(filled(t, Shape{2, 1}, 50001), 1)
	_, _, err := Sources{{bytes.NewReader(a), readMeta(t, a)}, {bytes.NewReader(b), readMeta(t, b)}}.Repair()
	wantErr(t, err, ErrDamaged)
	if _, _, err := (Sources{}).Repair(); err == nil {
		t.Fatal("nothing gives nothing")
	}
}
