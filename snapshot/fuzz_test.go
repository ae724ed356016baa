package snapshot

import (
	"bytes"
	"context"
	"testing"

	"yester/store"
)

func FuzzPage(f *testing.F) {
	m := newMemory()
	b := NewBuilder(m)
	for i, e := range oneOfEach() {
		if err := b.Add(context.Background(), &e); err != nil {
			f.Fatal(i, err)
		}
	}
	if _, _, err := b.Finish(context.Background()); err != nil {
		f.Fatal(err)
	}
	for _, page := range m.chunks {
		f.Add(page)
	}
	_, pages := golden(f)
	for _, page := range pages {
		f.Add(page)
	}
	f.Add([]byte{indexPage, 0, 1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePage(b)
		if err != nil {
			return
		}
		for i := range p.Len() {
			var e Entry
			if p.Leaf() && p.Entry(i, &e) == nil {
				if !bytes.Equal(p.Name(i), e.Name) {
					t.Errorf("entry %d is named %q and %q", i, p.Name(i), e.Name)
				}
				_ = e.Xattrs.All(func(_, _ []byte) bool { return true })
			}
			_, _ = p.Ref(i)
		}
		p.Search([]byte("list"))
		p.Find([]byte("list"))
	})
}

// one is a Getter that has the same chunk for every id, so that lists which contain themselves are tried too.
type one []byte

func (o one) Get(context.Context, store.ID) ([]byte, error) { return o, nil }

func FuzzList(f *testing.F) {
	f.Add([]byte{listPage, 0, 1, 0, 1, 2, 3}, uint8(1), uint64(100))
	m := newMemory()
	b := NewFileBuilder(m)
	for i := range 30 {
		if err := b.Add(context.Background(), Ref{chunkID(i), 10}); err != nil {
			f.Fatal(err)
		}
	}
	if err := b.Finish(context.Background(), new(Entry)); err != nil {
		f.Fatal(err)
	}
	for _, page := range m.chunks {
		f.Add(page, uint8(1), uint64(300))
	}
	_, pages := golden(f)
	for _, page := range pages {
		if page[0] == listPage {
			f.Add(page, uint8(1), uint64(1<<20))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, depth uint8, size uint64) {
		e := Entry{Size: size, Content: []Ref{{chunkID(1), size}}, Depth: depth % maxDepth}
		n := 0
		_ = Spans(context.Background(), one(b), &e, 0, size, func(s Span) bool { n++; return n < 10_000 })
	})
}

func FuzzVersion(f *testing.F) {
	v := Version{Name: "v"}
	v.SetRoot(&Entry{Mode: 0o40755})
	b, err := v.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	records, _ := golden(f)
	for _, record := range records {
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseVersion(b)
		if err != nil {
			return
		}
		if _, err := v.RootEntry(); err != nil {
			t.Error(err)
		}
	})
}
