package pack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// groupOf is a group of chunks of so many bytes of text.
func groupOf(sizes ...int) *Group {
	g := new(Group)
	text := strings.Repeat("tomorrow and tomorrow and tomorrow ", 4000)
	for i, n := range sizes {
		g.Add(Frame{Chunk: ChunkID(numbered(byte(i), 32)), Kind: KindFile, Raw: uint32(n)}, []byte(text[i:i+n]))
	}
	return g
}

func TestGroupsComeBackAmongOtherFrames(t *testing.T) {
	r := seeded(t)
	b, s := testBuilder(t, Shape{4, 2}, 1<<20), testSealer(t)
	var e Encoder
	want := map[ChunkID][]byte{}
	single := func() {
		id, raw := ChunkID(randomBytes(r, 32)), randomBytes(r, r.IntN(5000))
		b.Append(Frame{Chunk: id, Kind: KindTree, Raw: uint32(len(raw))}, raw)
		want[id] = raw
	}
	var g Group
	for i := range 20 {
		g.Reset()
		for range 2 + r.IntN(40) {
			id, raw := ChunkID(randomBytes(r, 32)), bytes.Repeat([]byte{byte(len(want))}, r.IntN(3000))
			g.Add(Frame{Chunk: id, Kind: KindFile, Raw: uint32(len(raw))}, raw)
			want[id] = raw
		}
		for k := range g.Frames() {
			if got := g.Chunk(k); !bytes.Equal(got, want[g.Frames()[k].Chunk]) {
				t.Fatalf("chunk %d before it is stored: %d bytes", k, len(got))
			}
		}
		payload, enc := e.Encode(g.Bytes(), []Encoding{LZ4, Zstd}[i%2])
		b.AppendGroup(g.Frames(), enc, payload)
		for range r.IntN(3) {
			single()
		}
	}
	p, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	file := fileBytes(p, AllShards)
	m := readMeta(t, file)
	frames, err := m.Table(s)
	if err != nil || len(frames) != len(want) || !slices.Equal(frames, b.Frames()) {
		t.Fatal(len(frames), len(want), err)
	}
	for i, f := range frames {
		at := dataOffset(m, f.Offset)
		checkFrame(t, s, i, f, file[at:at+int64(f.Stored)], want[f.Chunk])
	}
}

// A group opens as just what it was sealed as.
func TestGroupOpensOnlyAsItself(t *testing.T) {
	b, s := testBuilder(t, Shape{1, 0}, 1<<20), testSealer(t)
	g := groupOf(1000, 2000, 3000)
	var e Encoder
	payload, enc := e.Encode(g.Bytes(), LZ4)
	payload = bytes.Clone(payload)
	b.AppendGroup(g.Frames(), enc, payload)
	b.AppendGroup(g.Frames(), enc, payload)
	f, other := b.Frames()[0], b.Frames()[3]
	sealed := b.built.data[f.Offset:][:f.Stored]
	for i := range 5 { // whatever its line
		if got, err := s.Open(nil, uint32(i), f, sealed); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("line %d: %v", i, err)
		}
	}
	for name, change := range map[string]func(*Frame){
		"another place":    func(f *Frame) { f.Offset = other.Offset },
		"another length":   func(f *Frame) { f.Group++ },
		"another encoding": func(f *Frame) { f.Encoding = Zstd | grouped },
		"a chunk":          func(f *Frame) { f.Group, f.Encoding = 0, LZ4 },
	} {
		g := f
		change(&g)
		_, err := s.Open(nil, 0, g, sealed)
		if err == nil {
			t.Errorf("it opens as %s", name)
		}
	}
	if bytes.Equal(sealed, b.built.data[other.Offset:][:other.Stored]) {
		t.Error("the same nonce twice")
	}
}

func TestMemberIsFoundByIDAndLength(t *testing.T) {
	g := groupOf(10, 0, 30, 30)
	all := bytes.Clone(g.Bytes())
	if n, err := Members(all); n != 4 || err != nil || len(all) != g.Len() {
		t.Errorf("%d members of %d bytes, %v", n, len(all), err)
	}
	for i, f := range g.Frames() {
		if b, err := Member(all, &f); err != nil || !bytes.Equal(b, g.Chunk(i)) {
			t.Errorf("chunk %d: %q, %v", i, b, err)
		}
		f.Raw++
		_, err := Member(all, &f)
		wantErr(t, err, ErrDamaged)
	}
	_, err := Member(all, &Frame{Chunk: chunkID(9), Raw: 10})
	wantErr(t, err, ErrDamaged)
	for _, b := range [][]byte{nil, all[:3], all[len(all)-4:], binary.LittleEndian.AppendUint32(nil, 1<<31), all[20:]} {
		_, err := Member(b, &g.Frames()[0])
		wantErr(t, err, ErrDamaged)
	}
}

// Tables that no builder writes are refused: by the sum of what they say, not by one line.
func TestForgedGroupsAreRefused(t *testing.T) {
	line := func(raw, stored uint32, enc Encoding) Frame {
		return Frame{Chunk: chunkID(1), Kind: KindFile, Raw: raw, Stored: stored, Encoding: enc}
	}
	s := testSealer(t)
	for name, lines := range map[string][]Frame{
		"a group without a frame":  {line(100, 0, LZ4|grouped)},
		"longer than it was":       {line(10, 60, LZ4|grouped)},
		"a group that is raw":      {line(100, 60, grouped)},
		"an encoding of later":     {line(100, 60, 11)},
		"another encoding goes on": {line(100, 60, LZ4|grouped), line(100, 0, Zstd|grouped)},
		"a chunk without a frame":  {line(100, 60, LZ4|grouped), line(0, 0, Raw)},
		"too long a group":         {line(MaxRaw, 60, LZ4|grouped), line(1, 0, LZ4|grouped)},
		"too many chunks":          slices.Concat([]Frame{line(1, 60, LZ4|grouped)}, slices.Repeat([]Frame{line(0, 0, LZ4|grouped)}, MaxGroup/memberLine)),
	} {
		var b []byte
		for _, l := range lines {
			b = l.appendLine(b)
		}
		h := Header{DataLen: 60, TableLen: uint32(len(b) + Overhead), Frames: uint32(len(lines))}
		if _, err := (&Meta{Header: h, payload: s.sealTable(nil, b)}).Table(s); err == nil {
			t.Errorf("%s is taken", name)
		} else {
			wantErr(t, err, ErrDamaged)
		}
	}
}

// What cannot be read must not be written, and chunks of a group may be as small as they are.
func TestGroupsOfTinyChunksAreRead(t *testing.T) {
	b := testBuilder(t, Shape{2, 1}, 1<<20)
	g := new(Group)
	for i := range 1000 {
		g.Add(Frame{Chunk: ChunkID(numbered(byte(i), 32)), Kind: KindFile}, nil)
	}
	b.AppendGroup(g.Frames(), Zstd, make([]byte, 300)) // bytes of a forger; they are not decoded here
	p, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	m := readMeta(t, fileBytes(p, AllShards))
	if frames, err := m.Table(testSealer(t)); err != nil || len(frames) != 1000 {
		t.Errorf("%d frames, %v", len(frames), err)
	}
}

func TestShareIsOfTheChunkInItsGroup(t *testing.T) {
	sum := 0
	g := groupOf(100, 1, 2000, 0, 700)
	b := testBuilder(t, Shape{1, 0}, 1<<20)
	b.AppendGroup(g.Frames(), LZ4, make([]byte, 400))
	for _, f := range b.Frames() {
		sum += int(f.Share())
	}
	if sum > 416 || sum < 410 {
		t.Errorf("shares of a frame of 416 bytes are %d", sum)
	}
	if one := (&Frame{Stored: 77}); one.Share() != 77 {
		t.Error("of a frame by itself")
	}
}

// TestNumbersOfGroups pins the bytes of a group and how it is sealed; the vault v1-groups does so too.
func TestNumbersOfGroups(t *testing.T) {
	var g Group
	g.Add(Frame{Chunk: ChunkID(numbered(0x40, 32)), Kind: KindFile, Raw: 5}, []byte("hello"))
	g.Add(Frame{Chunk: ChunkID(numbered(0x60, 32)), Kind: KindFile, Raw: 3}, []byte("you"))
	want := "helloyou" + "@ABCDEFG\x05\x00\x00\x00" + "`abcdefg\x03\x00\x00\x00" + "\x02\x00\x00\x00"
	if got := string(g.Bytes()); got != want {
		t.Errorf("got %q", got)
	}
	if g.Len() != len(want) || MaxGroup != 1<<20 || LZ4|grouped != 9 || Zstd|grouped != 10 {
		t.Error("numbers")
	}
	c := forFrame(7, &Frame{Offset: 0x01020304, Group: 0x8000, Encoding: LZ4 | grouped})
	if got, want := fmt.Sprintf("%x %q", c.nonce, c.data[:c.n]), `040302010100000000000000 "yester pack group 1\x00\x80\x00\x00\t"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzGroup(f *testing.F) {
	f.Add(bytes.Clone(groupOf(5, 0, 9).Bytes()), []byte("id of the chunk"), uint32(9))
	f.Add([]byte{}, []byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, group, id []byte, n uint32) {
		var frame Frame
		copy(frame.Chunk[:], id)
		frame.Raw = n
		count, err := Members(group)
		b, memberErr := Member(group, &frame)
		if err == nil && count > len(group)/memberLine || memberErr == nil && (err != nil || len(b) != int(n)) {
			t.Fatalf("%d members, %v; %d bytes of %d, %v", count, err, len(b), n, memberErr)
		}
	})
}
