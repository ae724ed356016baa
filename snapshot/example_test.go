package snapshot

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"yester/store"
)

// The examples of docs/FORMAT.md.

func ExampleEntry() {
	fmt.Printf("% x", appendEntry(nil, &Entry{Name: []byte("a"), Mode: 0o100644}))
	// Output: 01 61 00 a4 83 02 00 00 00 00 00 00 00 00 00 00 00
}

// numbered is an id that counts up from its first byte.
func numbered(first byte) (id store.ID) {
	for i := range id {
		id[i] = first + byte(i)
	}
	return id
}

// asOnThePage prints bytes so that runs which count up are short.
func asOnThePage(b []byte) {
	s := fmt.Sprintf("% x", b)
	for _, first := range []byte{0x40, 0x60, 0x80} {
		id := numbered(first)
		s = strings.ReplaceAll(s, fmt.Sprintf("% x", id[:]), fmt.Sprintf("%02x %02x .. %02x", id[0], id[1], id[31]))
	}
	fmt.Println(s)
}

func ExamplePage() {
	ctx, m := context.Background(), newMemory()
	b := NewBuilder(m)
	_ = b.Add(ctx, &Entry{Name: []byte("a"), Mode: 0o100644})
	_ = b.Add(ctx, &Entry{Name: []byte("b"), Mode: 0o100644, Nlink: 1, Ino: 12, Size: 5, Content: []Ref{{numbered(0x40), 5}}})
	id, _, _ := b.Finish(ctx)
	asOnThePage(m.chunks[id])

	var p pageBuf
	for _, r := range []PageRef{{[]byte("a"), numbered(0x60), 2}, {[]byte("m"), numbered(0x80), 3}} {
		p.add(r.First, appendPageRef(nil, r), r.Count)
	}
	asOnThePage(p.appendTo(nil, indexPage))
	// Output:
	// 01 00 02 00 11 00 00 00 43 00 00 00 01 61 00 a4 83 02 00 00 00 00 00 00 00 00 00 00 00 01 62 00 a4 83 02 00 00 01 0c 05 00 00 00 00 00 01 0a 40 41 .. 5f
	// 02 00 02 00 23 00 00 00 46 00 00 00 01 61 60 61 .. 7f 02 01 6d 80 81 .. 9f 03
}

func ExampleFileBuilder() {
	ctx, m := context.Background(), newMemory()
	b := NewFileBuilder(m)
	_ = b.Add(ctx, Ref{numbered(0x40), 131072})
	_ = b.Add(ctx, Ref{Len: 4096})
	_ = b.Add(ctx, Ref{numbered(0x60), 100})
	_ = b.flush(ctx, 0)
	for _, page := range m.chunks {
		asOnThePage(page)
	}
	// Output:
	// 03 00 03 00 40 41 .. 5f 00 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 02 00 00 00 00 00 60 61 .. 7f 64 10 02 00 00 00 00 00
}

func ExampleVersion() {
	var v Version
	v.SetRoot(&Entry{Mode: 0o40755, Nlink: 3, Ino: 2, Size: 4096, Totals: Totals{2, 0, 5}, Tree: numbered(0x60)})
	asOnThePage(v.Root)
	fmt.Println(base64.StdEncoding.EncodeToString(v.Root))
	// Output:
	// 00 20 ed 83 01 00 00 03 02 80 20 00 00 00 00 02 00 05 60 61 .. 7f
	// ACDtgwEAAAMCgCAAAAAAAgAFYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=
}
