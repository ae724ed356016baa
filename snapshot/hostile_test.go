package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"yester/store"
	"yester/store/pack"
)

// mostMemory is what decoding hostile bytes may allocate in all, over the bytes themselves.
const mostMemory = 64 << 20

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// leaf is a page of one item.
func leaf(item []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{leafPage, 0, 1, 0}, uint32(len(item)))
	return append(b, item...)
}

// What is said of lengths and counts is not believed, and few bytes do not become many: each of these is as long as a chunk can be.
func TestHostileBytesTakeLittleMemory(t *testing.T) {
	entry := func(e Entry) []byte { return appendEntry(nil, &e) }
	file := entry(Entry{Name: []byte("f"), Mode: 0o100644})
	file = file[:len(file)-1] // without the count of refs
	holes := func(n int) []byte {
		return append(binary.AppendUvarint(bytes.Clone(file), uint64(n)), bytes.Repeat([]byte{1 | 2}, pack.MaxRaw-100)...)
	}
	pages := map[string][]byte{
		"more refs than there are bytes": leaf(append(bytes.Clone(file), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)),
		"as many refs as bytes":          leaf(holes(pack.MaxRaw - 100)),
		"as many refs as may be":         leaf(holes(maxRefs)),
		"a name that does not end":       leaf([]byte{0xff, 0xff, 0xff, 0xff, 0x7f, 'a'}),
		"an index that does not end":     append(binary.LittleEndian.AppendUint32([]byte{indexPage, 0, 1, 0}, 1<<31), 0xff),
		"more items than may be":         append([]byte{leafPage, 0, 0xff, 0xff}, make([]byte, pack.MaxRaw-4)...),
	}
	for name, b := range pages {
		n := allocated(func() {
			p, err := ParsePage(b)
			for i := 0; err == nil && i < p.Len(); i++ {
				var e Entry
				if p.Leaf() {
					err = p.Entry(i, &e)
				} else {
					_, err = p.Ref(i)
				}
				p.Search([]byte("g"))
				p.Find([]byte("g"))
			}
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%s: got %v", name, err)
			}
		})
		if n > mostMemory {
			t.Errorf("%s: %d bytes are allocated for %d", name, n, len(b))
		}
	}
	lists := map[string][]byte{
		"more items than bytes":  {listPage, 0, 0xff, 0xff},
		"fewer items than bytes": append([]byte{listPage, 0, 1, 0}, make([]byte, pack.MaxRaw-4)...),
		"a list below itself":    append(append([]byte{listPage, 0, 1, 0}, bytes.Repeat([]byte{7}, 32)...), 1, 0, 0, 0, 0, 0, 0, 1),
	}
	for name, b := range lists {
		e := Entry{Size: 1 << 60, Content: []Ref{{chunkID(1), 1 << 60}}, Depth: maxDepth}
		n := allocated(func() {
			err := Spans(context.Background(), one(b), &e, 0, e.Size, func(Span) bool { return true })
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%s: got %v", name, err)
			}
		})
		if n > mostMemory {
			t.Errorf("%s: %d bytes are allocated for %d", name, n, len(b))
		}
	}
	root := `"format":1,"root":"AACkgwIAAAAAAAAAAAA="`
	many := strings.Repeat("{},", (pack.MaxRaw-100)/3)
	records := map[string]string{
		"many warnings":     `{` + root + `,"warnings":[` + many + `{}]}`,
		"many unknown":      `{` + root + `,"unknown":[` + many + `{}]}`,
		"deep":              `{` + root + `,"unknown":` + strings.Repeat("[", 1<<20),
		"a root of no end":  `{"format":1,"root":"` + strings.Repeat("/", 12<<20) + `"}`,
		"a time of no end":  `{` + root + `,"start":"` + strings.Repeat("0", 12<<20) + `"}`,
		"many equal fields": `{` + root + strings.Repeat(`,"root":""`, 1<<20) + `}`,
	}
	for name, b := range records {
		raw := []byte(b)
		if n := allocated(func() { _, _ = ParseVersion(raw) }); n > mostMemory {
			t.Errorf("record with %s: %d bytes are allocated for %d", name, n, len(b))
		}
	}
}

// A page that lies below itself, which takes somebody with the key to make, ends no search in an endless one.
func TestPageBelowItselfIsLost(t *testing.T) {
	e := Entry{Name: []byte("again"), Mode: 0o040755, Tree: chunkID(1)}
	v := Version{Name: "v"}
	v.SetRoot(&e)
	var lost []string
	err := Affected(t.Context(), one(leaf(appendEntry(nil, &e))), &v, func(store.ID) bool { return false }, func(path string, _, _ uint64) {
		lost = append(lost, path)
	})
	if err != nil || len(lost) != 1 || lost[0] != "/again" {
		t.Errorf("lost %q, %v", lost, err)
	}
}
