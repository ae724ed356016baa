package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"yester/store"
	"yester/store/pack"
	"yester/store/place"
)

// A history is a real vault with versions of random trees, and what each of them must hold.
type history struct {
	t       *testing.T
	r       *rand.Rand
	place   place.Place
	index   string
	vault   *store.Vault
	tree    tree // the source, which changes a little from version to version
	live    map[store.VersionKey]tree
	version int
	pieces  [][]byte // what files are made of
}

// A tree is the files of a version by their paths: "folder/file".
type tree map[string]file

type file struct {
	pieces []int // of history.pieces; -1 is a hole of holeSize
	xattr  int   // bytes of an extended attribute, 0 for none
}

const (
	holeSize   = 1000
	pieceSize  = 3000
	testVaults = "0123456789abcdef0123456789abcdef"
)

func newHistory(t *testing.T, seed uint64, p place.Place, index string) *history {
	h := &history{t: t, r: rand.New(rand.NewPCG(seed, 5)), place: p, index: index, tree: tree{}, live: map[store.VersionKey]tree{}}
	for range 300 {
		b := make([]byte, 100+h.r.IntN(pieceSize))
		for i := range b {
			b[i] = byte(h.r.Uint32())
		}
		h.pieces = append(h.pieces, b)
	}
	if err := store.Init(t.Context(), h.options()); err != nil {
		t.Fatal(err)
	}
	h.open()
	t.Cleanup(func() {
		if err := h.vault.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *history) options() store.Options {
	return store.Options{Places: []place.Place{h.place}, IndexDir: h.index, Log: slog.New(slog.DiscardHandler), Reserve: 1, Cache: 1}
}

func (h *history) open() {
	h.t.Helper()
	v, err := store.Open(h.t.Context(), h.options())
	if err != nil {
		h.t.Fatal(err)
	}
	h.vault = v
}

func (h *history) reopen() {
	h.t.Helper()
	if err := h.vault.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.open()
}

// change changes some files of the source.
func (h *history) change() {
	for range 1 + h.r.IntN(20) {
		path := fmt.Sprintf("folder%d/file%02d", h.r.IntN(6), h.r.IntN(25))
		if h.r.IntN(4) == 0 {
			delete(h.tree, path)
			continue
		}
		var f file
		n := h.r.IntN(6)
		if h.r.IntN(10) == 0 {
			n = 30 // more than an entry holds itself
		}
		for range n {
			f.pieces = append(f.pieces, h.r.IntN(len(h.pieces)+20)-20)
		}
		if h.r.IntN(8) == 0 {
			f.xattr = 2000 + h.r.IntN(3)
		}
		h.tree[path] = f
	}
}

func (h *history) content(f file) (b []byte) {
	for _, p := range f.pieces {
		if p < 0 {
			b = append(b, make([]byte, holeSize)...)
			continue
		}
		b = append(b, h.pieces[p]...)
	}
	return b
}

func (f file) attrs() Xattrs {
	if f.xattr == 0 {
		return nil
	}
	return EncodeXattrs([]Xattr{{"user.a", bytes.Repeat([]byte{7}, f.xattr)}})
}

// backup stores the source as a version.
func (h *history) backup() {
	h.t.Helper()
	w, err := h.vault.Writer(testVaults, store.WriterOptions{Encoding: pack.LZ4})
	if err != nil {
		h.t.Fatal(err)
	}
	h.version++
	v := &Version{Instance: testVaults, Partition: Partition{Name: "root"}, Name: Name(time.Unix(int64(h.version), 0))}
	root := Entry{Mode: syscall.S_IFDIR}
	root.Tree, root.Totals = h.putTree(w)
	v.SetRoot(&root)
	record, err := v.Encode()
	if err == nil {
		err = w.Commit(h.t.Context(), v.Key(), record)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		h.t.Fatal(err)
	}
	h.live[v.Key()] = maps.Clone(h.tree)
}

func (h *history) putTree(w *store.Writer) (store.ID, Totals) {
	folders := map[string][]string{}
	for _, path := range slices.Sorted(maps.Keys(h.tree)) {
		folder, name, _ := strings.Cut(path, "/")
		folders[folder] = append(folders[folder], name)
	}
	top := NewBuilder(w)
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		b := NewBuilder(w)
		for _, name := range folders[folder] {
			h.must(b.Add(h.t.Context(), h.putFile(w, name, h.tree[folder+"/"+name])))
		}
		e := Entry{Name: []byte(folder), Mode: syscall.S_IFDIR}
		var err error
		e.Tree, e.Totals, err = b.Finish(h.t.Context())
		h.must(err)
		h.must(top.Add(h.t.Context(), &e))
	}
	tree, totals, err := top.Finish(h.t.Context())
	h.must(err)
	return tree, totals
}

func (h *history) putFile(w *store.Writer, name string, f file) *Entry {
	e := &Entry{Name: []byte(name), Mode: syscall.S_IFREG, Size: uint64(len(h.content(f)))}
	h.must(PutXattrs(h.t.Context(), w, e, f.attrs()))
	b := NewFileBuilder(w)
	for _, p := range f.pieces {
		ref := Ref{Len: holeSize}
		if p >= 0 {
			id, _, err := w.Put(h.t.Context(), pack.KindFile, h.pieces[p])
			h.must(err)
			ref = Ref{ID: id, Len: uint64(len(h.pieces[p]))}
		}
		h.must(b.Add(h.t.Context(), ref))
	}
	h.must(b.Finish(h.t.Context(), e))
	return e
}

func (h *history) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) delete() {
	h.t.Helper()
	keys := h.vault.Versions(testVaults)
	if len(keys) == 0 {
		return
	}
	k := keys[h.r.IntN(len(keys))]
	h.must(h.vault.Delete(h.t.Context(), k))
	delete(h.live, k)
}

func (h *history) collect() store.Collected {
	h.t.Helper()
	c, err := h.vault.Collect(h.t.Context(), store.CollectOptions{Mark: Marker(h.vault)})
	h.must(err)
	return c
}

func (h *history) repair() store.Repaired {
	h.t.Helper()
	r, err := h.vault.Repair(h.t.Context(), store.RepairOptions{Mark: Marker(h.vault)})
	h.must(err)
	return r
}

func (h *history) check() store.Checked {
	h.t.Helper()
	c, err := h.vault.Check(h.t.Context(), store.CheckOptions{Mark: Marker(h.vault), ReadData: 1})
	h.must(err)
	return c
}

func (h *history) clean() {
	h.t.Helper()
	if c := h.check(); len(c.Problems)+len(c.Lost) > 0 {
		h.t.Errorf("not clean: %v, %d lost", c.Problems, len(c.Lost))
	}
}

// intact compares all live versions with what they must hold, but for the paths that are affected in each.
func (h *history) intact(affected map[store.VersionKey]map[string]bool) {
	h.t.Helper()
	keys := h.vault.Versions(testVaults)
	if len(keys) != len(h.live) {
		h.t.Errorf("%d versions, want %d", len(keys), len(h.live))
	}
	for _, k := range keys {
		v := h.record(k)
		root, err := v.RootEntry()
		h.must(err)
		for path, f := range h.live[k] {
			folder, _, _ := strings.Cut(path, "/")
			named := affected[k]["/"] || affected[k]["/"+folder] || affected[k]["/"+path]
			if err := h.same(root, path, f); (err != nil) != named {
				h.t.Errorf("version %v: %s: %v; named as affected: %v", k, path, err, named)
			}
		}
	}
}

func (h *history) record(k store.VersionKey) *Version {
	h.t.Helper()
	b, err := h.vault.Record(h.t.Context(), k)
	h.must(err)
	v, err := ParseVersion(b)
	h.must(err)
	return v
}

// same tells how a file differs from what it must be.
func (h *history) same(root Entry, path string, f file) error {
	e, err := LookupPath(h.t.Context(), h.vault, root, path)
	if err != nil {
		return err
	}
	b, err := readAll(h.t.Context(), h.vault, &e)
	if err != nil {
		return err
	}
	x, err := GetXattrs(h.t.Context(), h.vault, &e)
	if err == nil && (!bytes.Equal(b, h.content(f)) || !bytes.Equal(x, f.attrs())) {
		err = errors.New("other bytes")
	}
	return err
}

func readAll(ctx context.Context, g Getter, e *Entry) (b []byte, err error) {
	spansErr := Spans(ctx, g, e, 0, e.Size, func(s Span) bool {
		if s.Hole() {
			b = append(b, make([]byte, s.Len)...)
			return true
		}
		var chunk []byte
		chunk, err = g.Get(ctx, s.ID)
		b = append(b, chunk...)
		return err == nil
	})
	return b, errors.Join(spansErr, err)
}

// newSeed returns the seed of a test that goes by chance, and prints it; YESTER_SEED sets it, to have a failure again.
func newSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("YESTER_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("YESTER_SEED=%d", seed)
	return seed
}

// eachPlace runs a test on a place in memory and on one in a folder.
func eachPlace(t *testing.T, seeds int, f func(t *testing.T, h *history)) {
	first := newSeed(t)
	for i := range seeds {
		seed := first + uint64(i)
		t.Run(fmt.Sprintf("mem, seed %d", seed), func(t *testing.T) { f(t, newHistory(t, seed, place.NewMem(seed), "")) })
		if i > 0 {
			continue
		}
		t.Run(fmt.Sprintf("dir, seed %d", seed), func(t *testing.T) {
			d, err := place.NewDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			f(t, newHistory(t, seed, d, t.TempDir()+"/index"))
		})
	}
}

func TestAnyHistoryKeepsAllVersions(t *testing.T) {
	eachPlace(t, 2, func(t *testing.T, h *history) {
		moved := 0
		for range 40 {
			switch h.r.IntN(8) {
			case 0, 1, 2:
				h.change()
				h.backup()
			case 3, 4:
				if len(h.live) > 4 {
					h.delete()
				}
			case 5:
				c := h.collect()
				moved += c.Dropped + c.Repacked
			case 6:
				if r := h.repair(); len(r.Healed)+len(r.Salvaged)+len(r.Lost) > 0 {
					t.Errorf("nothing is damaged, and repaired %+v", r)
				}
			case 7:
				h.reopen()
			}
			h.intact(nil)
		}
		t.Logf("%d packs dropped or repacked", moved)
		h.clean()
		h.givesBack()
	})
}

// givesBack deletes all versions but one and looks whether the vault is as small as one with that only.
func (h *history) givesBack() {
	h.t.Helper()
	h.backup()
	for len(h.live) > 1 {
		h.delete()
	}
	h.collect()
	h.intact(nil)
	info, err := h.vault.Info(h.t.Context())
	h.must(err)
	if live := info.Data - info.Dead; 100*info.Dead > 31*info.Data || 100*live < 69*info.Data {
		h.t.Errorf("%d of %d bytes are dead", info.Dead, info.Data)
	}
	h.must(h.vault.Delete(h.t.Context(), h.vault.Versions(testVaults)[0]))
	if c := h.collect(); c.Live+c.Dead != 0 {
		h.t.Errorf("an empty vault: %+v", c)
	}
	if info, err := h.vault.Info(h.t.Context()); err != nil || info.Stored != 0 || info.Dead != 0 {
		h.t.Errorf("an empty vault: %+v, %v", info, err)
	}
}

// packNames lists the files of packs.
func (h *history) packNames() (names []string) {
	top := "instances/" + testVaults + "/packs"
	folders, err := h.place.List(h.t.Context(), top)
	h.must(err)
	for _, f := range folders {
		packs, err := h.place.List(h.t.Context(), top+"/"+f.Name)
		h.must(err)
		for _, p := range packs {
			names = append(names, top+"/"+f.Name+"/"+p.Name)
		}
	}
	return names
}

func TestDamageWithinParityIsHealed(t *testing.T) {
	first := newSeed(t)
	for i := range uint64(4) {
		seed := first + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := place.NewMem(seed)
			h := newHistory(t, seed, m, "")
			h.backups(6)
			for _, name := range h.packNames() {
				h.must(m.Damage(name, h.harmWithin))
			}
			h.reopen()
			h.intact(nil)
			if c := h.check(); len(c.Problems) == 0 || len(c.Lost) > 0 {
				t.Errorf("checked: %v, %d lost", c.Problems, len(c.Lost))
			}
			if r := h.repair(); len(r.Healed) == 0 || len(r.Problems)+len(r.Lost) > 0 {
				t.Errorf("repaired: %+v", r)
			}
			t.Logf("tally: %d packs damaged within parity, in memory", len(h.packNames()))
			h.intact(nil)
			h.clean()
			h.reopen()
			h.intact(nil)
		})
	}
}

func (h *history) backups(n int) {
	for range n {
		h.change()
		h.change()
		h.backup()
	}
}

// harmWithin damages a pack in a way that its copies and parity cover: one end and a bit between the ends, or the last bytes missing.
func (h *history) harmWithin(b []byte) []byte {
	meta := int(binary.LittleEndian.Uint16(b[14:])) // blocks at each end, of which one copy must stay
	between := len(b)/pack.BlockSize - 2*meta
	switch h.r.IntN(4) {
	case 0:
		return b[:len(b)-1-h.r.IntN(pack.BlockSize)]
	case 1:
		clear(b[:pack.BlockSize])
	case 2:
		clear(b[len(b)-pack.BlockSize:])
	}
	at := meta + h.r.IntN(between)
	b[at*pack.BlockSize+h.r.IntN(pack.BlockSize)] ^= 1 << h.r.IntN(8)
	return b
}

func TestDamageBeyondParityNamesJustWhatIsLost(t *testing.T) {
	first := newSeed(t)
	for i := range uint64(6) {
		seed := first + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := place.NewMem(seed)
			h := newHistory(t, seed, m, "")
			h.backups(5)
			names := h.packNames()
			h.must(m.Damage(names[h.r.IntN(len(names))], func(b []byte) []byte {
				from := pack.BlockSize + h.r.IntN(len(b)/2)
				clear(b[from : len(b)-pack.BlockSize-1]) // with all parity
				return b
			}))
			h.reopen()
			before := h.check()
			h.intact(h.affected(before.Lost))
			r := h.repair()
			for id := range r.Lost {
				if !before.Lost.Has(id) {
					t.Errorf("check did not know that %v is lost", id)
				}
			}
			h.intact(h.affected(r.Lost))
			h.healedByBackups()
		})
	}
}

// affected asks for the paths that chunks are part of, in each version.
func (h *history) affected(lost store.IDs) map[store.VersionKey]map[string]bool {
	h.t.Helper()
	all := map[store.VersionKey]map[string]bool{}
	s := NewSearch(h.vault, lost.Has)
	for _, k := range h.vault.Versions(testVaults) {
		all[k] = map[string]bool{}
		h.must(s.Affected(h.t.Context(), h.record(k), func(path string, _, _ uint64) { all[k][path] = true }))
	}
	return all
}

// healedByBackups makes all versions whole by backing up what they had.
func (h *history) healedByBackups() {
	h.t.Helper()
	for _, tree := range slices.Collect(maps.Values(h.live)) {
		h.tree = tree
		h.backup()
	}
	h.intact(nil)
	h.clean()
	h.collect()
	h.intact(nil)
}

func TestAffectedTellsTheBytes(t *testing.T) {
	h := newHistory(t, 1, place.NewMem(1), "")
	h.tree["a/b"] = file{pieces: []int{3, -1, 4, 5}}
	for i := range 40 {
		f := h.tree["a/long"]
		f.pieces = append(f.pieces, 10+i)
		h.tree["a/long"] = f
	}
	h.tree["c/d"] = file{pieces: []int{6}, xattr: 3000}
	h.backup()
	v := h.record(h.vault.Versions(testVaults)[0])
	root, err := v.RootEntry()
	h.must(err)
	id := func(path string, f func(e *Entry) store.ID) store.ID {
		e, err := LookupPath(t.Context(), h.vault, root, path)
		h.must(err)
		return f(&e)
	}
	length := func(pieces ...int) (n int) { return len(h.content(file{pieces: pieces})) }
	at := func(path string, off uint64) store.ID {
		return id(path, func(e *Entry) (found store.ID) {
			h.must(Spans(t.Context(), h.vault, e, off, 1, func(s Span) bool { found = s.ID; return false }))
			return found
		})
	}
	long, err := LookupPath(t.Context(), h.vault, root, "a/long")
	h.must(err)
	before := uint64(length(h.tree["a/long"].pieces[:20]...))
	for _, test := range []struct {
		bad  store.ID
		want string
	}{
		{at("a/b", uint64(length(3, -1))), fmt.Sprintf("/a/b %d+%d", length(3, -1), length(4))},
		{at("a/long", before), fmt.Sprintf("/a/long %d+%d", before, length(30))},
		{long.Content[0].ID, fmt.Sprintf("/a/long 0+%d", long.Content[0].Len)},
		{id("c/d", func(e *Entry) store.ID { return e.XattrRefs[0].ID }), "/c/d 0+0"},
		{id("c", func(e *Entry) store.ID { return e.Tree }), "/c 0+0"},
		{root.Tree, "/ 0+0"},
		{store.ID{9}, ""},
	} {
		var got []string
		bad := func(id store.ID) bool { return id == test.bad }
		h.must(Affected(t.Context(), h.vault, v, bad, func(path string, off, n uint64) {
			got = append(got, fmt.Sprintf("%s %d+%d", path, off, n))
		}))
		if strings.Join(got, ", ") != test.want {
			t.Errorf("got %v, want %s", got, test.want)
		}
	}
}
