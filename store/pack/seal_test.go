package pack

import (
	"bytes"
	"testing"
)

func TestFrameOpensOnlyAsItsLineSays(t *testing.T) {
	s := testSealer(t)
	f := Frame{Chunk: chunkID(1), Kind: KindFile, Encoding: Zstd, Raw: 100}
	payload := []byte("as long as need be")
	sealed := s.Seal(nil, 7, f, payload)
	if got, err := s.Open(nil, 7, f, sealed); err != nil || !bytes.Equal(got, payload) {
		t.Fatal(err)
	}
	refuse := func(what string, s *Sealer, number uint32, f Frame, sealed []byte) {
		t.Helper()
		got, err := s.Open(nil, number, f, sealed)
		wantErr(t, err, ErrSeal)
		if len(got) != 0 {
			t.Error(what, "gave bytes")
		}
	}
	refuse("another number", s, 8, f, sealed)
	for what, change := range map[string]func(*Frame){
		"another chunk":    func(f *Frame) { f.Chunk[31] ^= 1 },
		"another kind":     func(f *Frame) { f.Kind = KindTree },
		"another encoding": func(f *Frame) { f.Encoding = LZ4 },
		"another length":   func(f *Frame) { f.Raw++ },
	} {
		g := f
		change(&g)
		refuse(what, s, 7, g, sealed)
	}
	for i := range sealed {
		sealed[i] ^= 1
		refuse("a flipped bit", s, 7, f, sealed)
		sealed[i] ^= 1
	}
	refuse("a short frame", s, 7, f, sealed[:len(sealed)-1])
	refuse("nothing", s, 7, f, nil)
	key, id := testKey, testID
	key[0]++
	id[0]++
	other, _ := NewSealer(&key, testID)
	refuse("another key", other, 7, f, sealed)
	other, _ = NewSealer(&testKey, id)
	refuse("another pack", other, 7, f, sealed)
}

func TestTableOpensOnlyWithItsKeyAndPack(t *testing.T) {
	m := readMeta(t, fileBytes(filled(t, Shape{2, 1}, 50000), AllShards))
	key, id := testKey, testID
	key[0]++
	id[0]++
	for _, s := range []func() (*Sealer, error){
		func() (*Sealer, error) { return NewSealer(&key, testID) },
		func() (*Sealer, error) { return NewSealer(&testKey, id) },
	} {
		s, err := s()
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Table(s)
		wantErr(t, err, ErrSeal)
	}
}

func TestSealDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop things at random under the race detector")
	}
	s, f := testSealer(t), Frame{Kind: KindFile, Raw: 4096}
	plain, dst := make([]byte, 4096), make([]byte, 0, 5000)
	var sealed, opened []byte
	if n := testing.AllocsPerRun(100, func() { sealed = s.Seal(dst, 1, f, plain) }); n != 0 {
		t.Error("Seal:", n)
	}
	if n := testing.AllocsPerRun(100, func() { opened, _ = s.Open(plain[:0], 1, f, sealed) }); n != 0 || len(opened) != 4096 {
		t.Error("Open:", n, len(opened))
	}
}
