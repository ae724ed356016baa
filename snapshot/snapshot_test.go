package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"

	"yester/store"
	"yester/store/pack"
)

// memory keeps chunks by the hash of their bytes: what Getter and Putter need, and no more.
type memory struct {
	chunks map[store.ID][]byte
	gets   int
}

func newMemory() *memory { return &memory{chunks: map[store.ID][]byte{}} }

func (m *memory) Put(_ context.Context, kind store.Kind, raw []byte) (store.ID, bool, error) {
	id := store.ID(sha256.Sum256(raw))
	_, there := m.chunks[id]
	m.chunks[id] = bytes.Clone(raw)
	return id, !there, nil
}

func (m *memory) Get(_ context.Context, id store.ID) ([]byte, error) {
	m.gets++
	b, ok := m.chunks[id]
	if !ok {
		return nil, store.ErrNotFound
	}
	return b, nil
}

func chunkID(n int) store.ID { return sha256.Sum256(fmt.Append(nil, "chunk ", n)) }

// oneOfEach is an entry of every type, with every field set in one of them.
func oneOfEach() []Entry {
	times := Entry{
		UID: 1000, GID: 1 << 31, Nlink: 3, Ino: 1 << 60, Mtime: Time{-5, 999999999}, Ctime: Time{1 << 34, 1},
		Btime: Time{1700000000, 5}, Flags: 0x10, Racy: true, Xattrs: EncodeXattrs([]Xattr{{"user.a", []byte("1")}}),
	}
	with := func(name string, mode uint32, f func(e *Entry)) Entry {
		e := times
		e.Name, e.Mode = []byte(name), mode
		f(&e)
		return e
	}
	return []Entry{
		{Name: []byte("bare"), Mode: syscall.S_IFREG},
		with("chunks", syscall.S_IFREG|0o4755, func(e *Entry) {
			e.Size, e.Data, e.Content = 1<<40, 100007, []Ref{{chunkID(1), 100000}, {store.ID{}, 1 << 39}, {chunkID(2), 7}}
		}),
		with("device", syscall.S_IFBLK|0o600, func(e *Entry) { e.Rdev = 0x1234567890 }),
		with("folder", syscall.S_IFDIR|0o1777, func(e *Entry) { e.Tree, e.Totals, e.Size = chunkID(3), Totals{5, 6, 7}, 4096 }),
		with("folder, empty", syscall.S_IFDIR|0o755, func(e *Entry) {}),
		with("link\nto \xff", syscall.S_IFLNK|0o777, func(e *Entry) { e.Target, e.Size = []byte("/no/where\xfe"), 10 }),
		with("list", syscall.S_IFREG|0o644, func(e *Entry) { e.Depth, e.Data, e.Content = 2, 1<<40, []Ref{{chunkID(4), 1 << 41}} }),
		with("many xattrs", syscall.S_IFIFO|0o644, func(e *Entry) { e.Xattrs, e.XattrRefs = nil, []Ref{{chunkID(5), 5000}} }),
	}
}

func build(t *testing.T, m *memory, entries []Entry) (store.ID, Totals) {
	t.Helper()
	b := NewBuilder(m)
	for i := range entries {
		if err := b.Add(t.Context(), &entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	tree, totals, err := b.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tree, totals
}

func read(t *testing.T, m *memory, tree store.ID) (entries []Entry) {
	t.Helper()
	r := NewReader(m, tree)
	for {
		var e Entry
		if !r.Next(t.Context(), &e) {
			break
		}
		entries = append(entries, e)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return entries
}

// same compares entries but for nil against empty slices.
func same(a, b Entry) bool {
	a.Name, b.Name = []byte(string(a.Name)), []byte(string(b.Name))
	return bytes.Equal(appendEntry(nil, &a), appendEntry(nil, &b))
}

func TestEveryFieldOfAnEntryComesBack(t *testing.T) {
	for _, e := range oneOfEach() {
		b := appendEntry(nil, &e)
		var got Entry
		if err := decodeEntry(b, &got); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
		if e.Type() == syscall.S_IFREG && e.Content == nil {
			got.Content = nil
		}
		if len(got.XattrRefs) == 0 {
			got.XattrRefs = nil
		}
		if !reflect.DeepEqual(normal(got), normal(e)) {
			t.Errorf("got  %+v\nwant %+v", got, e)
		}
		for n := range b {
			if decodeEntry(b[:n], &got) == nil {
				t.Errorf("%s: decodes from %d of %d bytes", e.Name, n, len(b))
			}
		}
	}
}

// normal makes nil what is empty.
func normal(e Entry) Entry {
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.Len() == 0 {
			f.SetZero()
		}
	}
	return e
}

// The bytes of an entry, a page and a list page are format: they never change.
func TestBytesArePinned(t *testing.T) {
	e := oneOfEach()[3]
	if got := fmt.Sprintf("%x", appendEntry(nil, &e)); got != pinnedEntry {
		t.Errorf("entry\n%s, want\n%s", got, pinnedEntry)
	}
	m := newMemory()
	tree, _ := build(t, m, []Entry{{Name: []byte("a"), Mode: syscall.S_IFREG}, {Name: []byte("b"), Mode: syscall.S_IFREG}})
	if got := fmt.Sprintf("%x", m.chunks[tree]); got != pinnedPage {
		t.Errorf("page\n%s, want\n%s", got, pinnedPage)
	}
	got := nameHash([]byte("yester"))
	if got != pinnedHash {
		t.Errorf("hash %#x, want %#x", got, uint64(pinnedHash))
	}
}

const (
	pinnedEntry = "06666f6c6465722fff8701e807808080800803808080808080808010802009ff93ebdc038080808080010180c49fd50c05100906757365722e6101310506079e6813f2af150d90d31db8156361cf1a334be969eee1d912c1cadd83214a3886"
	pinnedPage  = "01000200110000002200000001610080800200000000000000000000000162008080020000000000000000000000"
	pinnedHash  = 0xbb702f87821c47a4
)

func someEntries(r *rand.Rand, n int) []Entry {
	names := map[string]bool{}
	for len(names) < n {
		names[fmt.Sprintf("file-%x.txt", r.Uint64()%1e12)] = true
	}
	entries := make([]Entry, 0, n)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		entries = append(entries, Entry{Name: []byte(name), Mode: syscall.S_IFREG | 0o644, Size: 10, Content: []Ref{{chunkID(len(entries)), 10}}})
	}
	return entries
}

func TestDirectoriesOfAnySizeComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 10, 255, 256, 257, 1000, 5000, 100_000} {
		m := newMemory()
		entries := someEntries(r, n)
		tree, totals := build(t, m, entries)
		if (tree == store.ID{}) != (n == 0) {
			t.Errorf("%d entries: tree %v", n, tree)
		}
		if totals != (Totals{Files: uint64(n), Bytes: uint64(10 * n)}) {
			t.Errorf("%d entries: totals %+v", n, totals)
		}
		if got := read(t, m, tree); !slices.EqualFunc(got, entries, same) {
			t.Errorf("%d entries: read %d, or others", n, len(got))
		}
		for range min(n, 50) {
			want := entries[r.IntN(n)]
			var e Entry
			m.gets = 0
			if err := Lookup(t.Context(), m, tree, want.Name, &e); err != nil || !same(e, want) {
				t.Errorf("lookup %s: %v, %+v", want.Name, err, e)
			}
			if m.gets > 4 {
				t.Errorf("lookup in %d entries reads %d pages", n, m.gets)
			}
		}
		for _, name := range []string{"", "a", "file-", "zzz"} {
			if err := Lookup(t.Context(), m, tree, []byte(name), new(Entry)); !errors.Is(err, ErrNotExist) {
				t.Errorf("lookup %q in %d: %v", name, n, err)
			}
		}
	}
}

func TestOneNewNameChangesOnePageOnEachLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	entries := someEntries(r, 50_000)
	for range 20 {
		m := newMemory()
		i := r.IntN(len(entries))
		build(t, m, slices.Delete(slices.Clone(entries), i, i+1))
		before := maps.Clone(m.chunks)
		build(t, m, entries)
		fresh := 0
		for id := range m.chunks {
			if _, ok := before[id]; !ok {
				fresh++
			}
		}
		if fresh > 6 { // leaf and two levels of index pages, and each may fall in two
			t.Errorf("one name made %d new pages", fresh)
		}
	}
}

func TestTreeDoesNotDependOnTheBuildersPast(t *testing.T) {
	m := newMemory()
	entries := someEntries(rand.New(rand.NewPCG(3, 1)), 3000)
	want, _ := build(t, m, entries)
	b := NewBuilder(m)
	for range 3 {
		for i := range entries {
			if err := b.Add(t.Context(), &entries[i]); err != nil {
				t.Fatal(err)
			}
		}
		if got, _, err := b.Finish(t.Context()); err != nil || got != want {
			t.Errorf("tree %v, %v; want %v", got, err, want)
		}
	}
}

func TestNamesOutOfOrderPanic(t *testing.T) {
	b := NewBuilder(newMemory())
	e := Entry{Name: []byte("b"), Mode: syscall.S_IFREG}
	if err := b.Add(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = b.Add(t.Context(), &e)
}

func TestTotalsSumUpSubtrees(t *testing.T) {
	m := newMemory()
	_, got := build(t, m, oneOfEach())
	want := Totals{Files: 6 + 5, Dirs: 2 + 6, Bytes: 1<<40 + 7}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLookupPath(t *testing.T) {
	m := newMemory()
	inner, _ := build(t, m, []Entry{{Name: []byte("file"), Mode: syscall.S_IFREG, Size: 3}})
	tree, _ := build(t, m, []Entry{{Name: []byte("dir"), Mode: syscall.S_IFDIR, Tree: inner}, {Name: []byte("empty"), Mode: syscall.S_IFDIR}})
	root := Entry{Mode: syscall.S_IFDIR, Tree: tree}
	for path, want := range map[string]any{
		"": uint32(syscall.S_IFDIR), "/": uint32(syscall.S_IFDIR), "dir/file": uint32(syscall.S_IFREG), "/dir//file/": uint32(syscall.S_IFREG),
		"nothing": ErrNotExist, "dir/nothing": ErrNotExist, "empty/file": ErrNotExist, "dir/file/x": ErrNotDir,
	} {
		e, err := LookupPath(t.Context(), m, root, path)
		if wantErr, ok := want.(error); ok {
			if !errors.Is(err, wantErr) {
				t.Errorf("%q: %v", path, err)
			}
		} else if err != nil || e.Type() != want {
			t.Errorf("%q: %v, %o", path, err, e.Mode)
		}
	}
}

func TestSpansOfFilesOfAnyLength(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for _, n := range []int{0, 1, 4, 5, 100, 1023, 1024, 1025, 10_000, 1_500_000} {
		if n > 10_000 && testing.Short() {
			continue
		}
		m := newMemory()
		want, size, data := make([]Span, 0, n), uint64(0), uint64(0)
		b := NewFileBuilder(m)
		for i := range n {
			ref := Ref{chunkID(i), 1 + r.Uint64N(100)}
			if i%7 == 3 {
				ref.ID = store.ID{}
			} else {
				data += ref.Len
			}
			if err := b.Add(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			want = append(want, Span{size, ref})
			size += ref.Len
		}
		e := Entry{Mode: syscall.S_IFREG, Size: size + 10}
		if err := b.Finish(t.Context(), &e); err != nil || len(e.Content) > MaxInlineRefs {
			t.Fatalf("%d chunks: %d refs, %v", n, len(e.Content), err)
		}
		if e.Data != data {
			t.Errorf("%d chunks: %d bytes of data, want %d", n, e.Data, data)
		}
		want = append(want, Span{size, Ref{Len: 10}})
		if got := spans(t, m, &e, 0, e.Size+5); !slices.Equal(got, want) {
			t.Errorf("%d chunks: %d spans, or others", n, len(got))
		}
		for range 50 {
			off, length := r.Uint64N(e.Size), 1+r.Uint64N(1000)
			from := sort.Search(len(want), func(i int) bool { return want[i].Off+want[i].Len > off })
			part := want[from:]
			part = part[:sort.Search(len(part), func(i int) bool { return part[i].Off >= off+length })]
			m.gets = 0
			if got := spans(t, m, &e, off, length); !slices.Equal(got, part) {
				t.Errorf("%d chunks at %d+%d: %v, want %v", n, off, length, got, part)
			}
			if m.gets > 3*int(e.Depth+1) {
				t.Errorf("reads %d list pages at depth %d", m.gets, e.Depth)
			}
		}
	}
}

func spans(t *testing.T, g Getter, e *Entry, off, n uint64) (all []Span) {
	t.Helper()
	if err := Spans(t.Context(), g, e, off, n, func(s Span) bool { all = append(all, s); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAdjacentHolesAreOne(t *testing.T) {
	b := NewFileBuilder(newMemory())
	for _, n := range []uint64{10, 0, 20} {
		if err := b.Add(t.Context(), Ref{Len: n}); err != nil {
			t.Fatal(err)
		}
	}
	var e Entry
	if err := b.Finish(t.Context(), &e); err != nil || !slices.Equal(e.Content, []Ref{{Len: 30}}) {
		t.Errorf("got %v, %v", e.Content, err)
	}
}

func TestMovedPartOfAFileKeepsItsListPages(t *testing.T) {
	m := newMemory()
	file := func(first int) map[store.ID][]byte {
		before := maps.Clone(m.chunks)
		b := NewFileBuilder(m)
		for i := first; i < 20_000; i++ {
			if err := b.Add(t.Context(), Ref{chunkID(i), 1000}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Finish(t.Context(), new(Entry)); err != nil {
			t.Fatal(err)
		}
		fresh := maps.Clone(m.chunks)
		maps.DeleteFunc(fresh, func(id store.ID, _ []byte) bool { return before[id] != nil })
		return fresh
	}
	all := file(0)
	if moved := file(3); len(moved) > 4 || len(all) < 20 {
		t.Errorf("%d pages, and %d others when the file starts later", len(all), len(moved))
	}
}

func TestXattrsAreSortedAndFound(t *testing.T) {
	a := EncodeXattrs([]Xattr{{"user.b", []byte("2")}, {"security.x", nil}, {"user.a", []byte("\x00")}})
	b := EncodeXattrs([]Xattr{{"user.a", []byte("\x00")}, {"user.b", []byte("2")}, {"security.x", nil}})
	if !bytes.Equal(a, b) {
		t.Error("order matters")
	}
	if v, ok := a.Get("user.b"); !ok || string(v) != "2" {
		t.Errorf("got %q, %v", v, ok)
	}
	if _, ok := a.Get("user"); ok {
		t.Error("found what is not there")
	}
	if err := a[:len(a)-1].All(func(_, _ []byte) bool { return true }); !errors.Is(err, ErrFormat) {
		t.Errorf("cut short: %v", err)
	}
	if EncodeXattrs(nil) != nil {
		t.Error("empty set is not nil")
	}
}

func TestLargeXattrsGoToChunks(t *testing.T) {
	for _, n := range []int{0, 10, 1000, 5000, 300_000} {
		m := newMemory()
		var e Entry
		x := EncodeXattrs([]Xattr{{"user.large", bytes.Repeat([]byte("x"), n)}})
		if err := PutXattrs(t.Context(), m, &e, x); err != nil {
			t.Fatal(err)
		}
		got, err := GetXattrs(t.Context(), m, &e)
		if err != nil || !bytes.Equal(got, x) || len(e.Xattrs) > MaxInlineXattrs {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestRecordComesBack(t *testing.T) {
	v := Version{Instance: "i", Name: "2026-11-22T031705Z", Warnings: []Warning{{"/x", "vanished"}}, Added: 5}
	root := oneOfEach()[3]
	root.Name = nil
	v.SetRoot(&root)
	b, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseVersion(b)
	if err != nil || !reflect.DeepEqual(*got, v) {
		t.Errorf("got %+v, %v", got, err)
	}
	e, err := got.RootEntry()
	if err != nil || !same(e, root) {
		t.Errorf("root %+v, %v", e, err)
	}
	for _, bad := range []string{"", "{}", `{"format":2}`, `{"format":1}`, strings.Replace(string(b), `"root":"`, `"root":"AAAA`, 1)} {
		if _, err := ParseVersion([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
}

func TestMissingChunkIsTold(t *testing.T) {
	m := newMemory()
	if _, err := GetPage(t.Context(), m, chunkID(1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	r := NewReader(m, chunkID(1))
	if r.Next(t.Context(), new(Entry)) || !errors.Is(r.Err(), store.ErrNotFound) {
		t.Errorf("got %v", r.Err())
	}
}

var (
	_ Putter = (*store.Writer)(nil)
	_ Getter = (*store.Vault)(nil)
	_        = pack.KindTree
)
