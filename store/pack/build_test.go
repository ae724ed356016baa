package pack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// sample is a chunk on its way through a pack.
type sample struct {
	f   Frame
	raw []byte
}

func samples(r *rand.Rand) (all []sample) {
	text := bytes.Repeat([]byte("all our yesterdays have lighted fools "), 20000)
	for _, n := range []int{
		0, 1, 2, 15, 16, 17, 40, 255, 256, 1023, 1024, 1025, 4079, 4080, 4081,
		32 << 10, 128<<10 - 1, 128<<10 + 1, 512 << 10,
	} {
		for kind := KindFile; kind <= KindRecord; kind++ {
			enc := Encoding(r.IntN(3))
			f := Frame{Chunk: chunkID(len(all)), Kind: kind, Encoding: enc, Raw: uint32(n)}
			raw := text[:n]
			if r.IntN(4) == 0 {
				raw = randomBytes(r, n)
			}
			all = append(all, sample{f, raw})
		}
	}
	return all
}

func TestEveryKindEncodingAndSizeComesBack(t *testing.T) {
	r := seeded(t)
	for _, shape := range []Shape{{32, 2}, {1, 0}, {1, 2}, {5, 3}, {200, 55}} {
		b := testBuilder(t, shape, 1<<20) // grows
		s, all := testSealer(t), samples(r)
		var e Encoder
		for i, c := range all {
			payload, got := e.Encode(c.raw, c.f.Encoding)
			c.f.Encoding = got
			all[i].f = b.Append(c.f, payload)
		}
		p, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		file := fileBytes(p, AllShards)
		m := readMeta(t, file)
		frames, err := m.Table(s)
		if err != nil || len(frames) != len(all) {
			t.Fatal(len(frames), err)
		}
		for i, f := range frames {
			if f != all[i].f {
				t.Fatalf("frame %d: %v, was %v", i, f, all[i].f)
			}
			at := dataOffset(m, f.Offset)
			checkFrame(t, s, i, f, file[at:at+int64(f.Stored)], all[i].raw)
		}
	}
}

func checkFrame(t testing.TB, s *Sealer, number int, f Frame, sealed, want []byte) {
	t.Helper()
	payload, err := s.Open(nil, uint32(number), f, sealed)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Decode(nil, f.Encoding.Single(), payload, f.Length())
	if err == nil && f.Group != 0 {
		raw, err = Member(raw, &f)
	}
	if err != nil || !bytes.Equal(raw, want) {
		t.Fatalf("frame %d (%d bytes in encoding %d): %v", number, f.Raw, f.Encoding, err)
	}
}

var sizes = []int{0, 16, 17, 4095, 4096, 4097, 32 * 4096, 32*4096 + 1, 33 * 4096, 1 << 20, 1<<20 - 4096}

func TestFileIsWhatItsHeaderSays(t *testing.T) {
	for _, shape := range []Shape{{32, 2}, {3, 0}, {1, 1}} {
		for _, size := range sizes {
			p := filled(t, shape, size)
			for shard := -1; shard < shape.Shards(); shard++ {
				name := shard
				if shard < 0 {
					name = AllShards
				}
				checkFile(t, p, name, size)
			}
		}
	}
}

func checkFile(t *testing.T, p *Built, shard, size int) {
	t.Helper()
	file := fileBytes(p, shard)
	m := readMeta(t, file)
	h := m.Header
	want := p.Header()
	want.Shard = uint8(shard)
	if h != want || h.FileSize() != int64(len(file)) || int(h.DataLen) != size || m.Shift != 0 {
		t.Fatalf("shard %d of %d bytes: %+v, %d bytes", shard, size, h, len(file))
	}
	d, err := Check(bytes.NewReader(file), m)
	if err != nil || !d.None() {
		t.Fatalf("shard %d of %d bytes: %+v, %v", shard, size, d, err)
	}
}

// Frames that get their places one after the other and are sealed at once, in any order, make the pack that Append makes. Where they move, those before are sealed.
func TestReservedFramesAreSealedInAnyOrder(t *testing.T) {
	r := seeded(t)
	all := samples(r)
	var group Group
	for i := range 5 {
		group.Add(Frame{Chunk: chunkID(i), Kind: KindFile, Raw: 1000}, bytes.Repeat([]byte{byte(i)}, 1000))
	}
	appended, reserved := testBuilder(t, Shape{32, 2}, 16<<20), testBuilder(t, Shape{32, 2}, 16<<20)
	var later []func()
	seal := func() {
		r.Shuffle(len(later), func(i, j int) { later[i], later[j] = later[j], later[i] })
		var sealed sync.WaitGroup
		for _, seal := range later {
			sealed.Go(seal)
		}
		sealed.Wait()
		later = nil
	}
	moves := 0
	for _, c := range all {
		c.f.Encoding = Raw
		if reserved.Moves(len(c.raw)) {
			seal()
			moves++
		}
		want := appended.Append(c.f, c.raw)
		place := reserved.Reserve(c.f, len(c.raw))
		if got := reserved.Frames()[len(reserved.Frames())-1]; got != want {
			t.Fatalf("%+v, appended it is %+v", got, want)
		}
		later = append(later, func() { place.Seal(c.raw) })
	}
	payload, enc := new(Encoder).Encode(group.Bytes(), LZ4)
	appended.AppendGroup(group.Frames(), enc, payload)
	place := reserved.ReserveGroup(group.Frames(), enc, len(payload))
	later = append(later, func() { place.Seal(payload) })
	seal()
	if moves < 2 {
		t.Errorf("memory was taken %d times", moves)
	}
	a, err := appended.Finish()
	if err != nil {
		t.Fatal(err)
	}
	want := fileBytes(a, AllShards)
	b, err := reserved.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fileBytes(b, AllShards), want) {
		t.Error("not the pack that Append makes")
	}
}

func TestBuilderIsUsedAgain(t *testing.T) {
	b := testBuilder(t, Shape{32, 2}, 1<<20)
	var want []byte
	for i := range 3 {
		b.Reset(testID, testSealer(t))
		if i == 1 { // something longer between
			for range 8 {
				b.Append(Frame{Kind: KindTree, Raw: 100000}, bytes.Repeat([]byte{0xFF}, 100000))
			}
		} else {
			b.Append(Frame{Kind: KindTree, Raw: 5000}, make([]byte, 5000))
		}
		p, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		got := fileBytes(p, AllShards)
		if i == 0 {
			want = got
		}
		if i == 2 && !bytes.Equal(got, want) {
			t.Fatal("the pack built before shows through")
		}
	}
}

func TestFullPackOfUsualSizeIsReadAtOnce(t *testing.T) {
	file := fileBytes(filled(t, Shape{32, 2}, 32<<20), AllShards)
	r := &failing{ReaderAt: bytes.NewReader(file)}
	m, err := ReadMeta(r, int64(len(file)))
	if err != nil || r.reads != 1 {
		t.Fatal(r.reads, err)
	}
	if h := m.Header; h.DataBlocks() != 8192 || h.ShardBlocks() != 256 || h.ParityBlocks() != 512 {
		t.Fatalf("%+v", h)
	}
}

func TestFitsKeepsToTheCapacity(t *testing.T) {
	b := testBuilder(t, Shape{1, 0}, 100)
	if !b.Fits(84) || b.Fits(85) {
		t.Fatal("a payload of 84 bytes and its tag are 100 bytes")
	}
	b.Append(Frame{Kind: KindFile, Raw: 84}, make([]byte, 84))
	if b.Fits(0) {
		t.Fatal("full is full")
	}
}

func TestImpossibleShapesAreRefused(t *testing.T) {
	for _, s := range []Shape{{0, 2}, {-1, 2}, {1, -1}, {254, 2}, {256, 0}, {1 << 62, 1 << 62}} {
		if _, err := NewBuilder(testVault, testID, testSealer(t), s, 1000); err == nil {
			t.Errorf("%v", s)
		}
	}
	if _, err := NewBuilder(testVault, testID, testSealer(t), Shape{1, 254}, 32<<20); err == nil {
		t.Error("8 GiB of parity")
	}
}

func TestAppendRefusesWhatCannotBeReadBack(t *testing.T) {
	for i, f := range []Frame{
		{Kind: 0, Raw: 3}, {Kind: 6, Raw: 3}, {Kind: 1, Raw: 4}, {Kind: 1, Encoding: 3, Raw: 9}, {Kind: 1, Encoding: LZ4, Raw: 3},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatalf("%+v was taken", f)
				}
			}()
			testBuilder(t, Shape{1, 0}, 100).Append(f, make([]byte, 3))
		})
	}
}
