package store

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/store/pack"
	"yester/store/place"
)

// A harm does something to the bytes of a file; other is another file of the vault.
type harm func(r *rand.Rand, b, other []byte) []byte

func zeroBlock(r *rand.Rand, b, _ []byte) []byte {
	clear(b[r.IntN(len(b)/pack.BlockSize)*pack.BlockSize:][:pack.BlockSize])
	return b
}

func swapBlocks(r *rand.Rand, b, _ []byte) []byte {
	n := len(b) / pack.BlockSize
	one, two := b[r.IntN(n)*pack.BlockSize:][:pack.BlockSize], b[r.IntN(n)*pack.BlockSize:][:pack.BlockSize]
	kept := bytes.Clone(one)
	copy(one, two)
	copy(two, kept)
	return b
}

func flipBits(r *rand.Rand, b, _ []byte) []byte {
	for range 1 + r.IntN(20) {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return b
}

// harms may befall the file of a shard: any of them is one lost shard at most.
var harms = []harm{
	zeroBlock, swapBlocks, flipBits,
	func(r *rand.Rand, b, _ []byte) []byte { return b[r.IntN(len(b)):] },
	func(r *rand.Rand, b, _ []byte) []byte { return b[:r.IntN(len(b))] },
	func(r *rand.Rand, b, _ []byte) []byte { b = b[r.IntN(len(b)):]; return b[:len(b)-r.IntN(len(b))] },
	func(r *rand.Rand, b, _ []byte) []byte { return append(b, make([]byte, 1+r.IntN(10_000))...) },
	func(_ *rand.Rand, b, _ []byte) []byte { clear(b); return b },
	func(_ *rand.Rand, b, _ []byte) []byte { return b[:0] },
	func(_ *rand.Rand, _, other []byte) []byte { return bytes.Clone(other) },
}

func contentOf(t *testing.T, m *place.Mem, name string) []byte {
	t.Helper()
	b, err := readFile(t.Context(), m, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// files are the names of all packs and records.
func (sv *spreadVault) fileNames() (names []string) {
	for _, p := range sv.packs {
		names = append(names, packName(p.instance, p.id))
	}
	for k := range sv.Vault.versions {
		names = append(names, k.file())
	}
	slices.Sort(names)
	return names
}

// hurt harms a file in one place: its bytes, its being readable, or its being there.
func (sv *spreadVault) hurt(r *rand.Rand, m *place.Mem, name string, other []byte) {
	sv.t.Helper()
	var err error
	switch k := r.IntN(len(harms) + 2); {
	case k < len(harms):
		err = m.Damage(name, func(b []byte) []byte { return harms[k](r, b, other) })
	case k == len(harms):
		size := int64(len(contentOf(sv.t, m, name)))
		err = m.BadRange(name, r.Int64N(size), 1+r.Int64N(size))
	default:
		err = m.Remove(sv.t.Context(), name)
	}
	if err != nil {
		sv.t.Fatal(err)
	}
}

// askAll has every file looked at.
func (sv *spreadVault) askAll() {
	for _, name := range sv.fileNames() {
		sv.mend.ask(name, -1, nil)
	}
	sv.mendAll()
}

func TestDamageInPlacesHeals(t *testing.T) {
	for _, s := range several {
		t.Run(s.String(), func(t *testing.T) {
			seed := newSeed(t)
			r := rand.New(rand.NewPCG(seed, 0))
			for round := range 8 {
				sv := newSpreadVault(t, s)
				sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7)
				sv.backup("v2", 4, 5, 8, 9, 10)
				if round%2 == 0 {
					sv.holds() // now files are open
				}
				names, content := sv.fileNames(), map[string][]byte{}
				for _, name := range names {
					content[name] = contentOf(t, sv.mems[0], name)
				}
				for _, name := range names {
					for _, i := range r.Perm(s.places)[:r.IntN(s.survive+1)] {
						sv.hurt(r, sv.mems[i], name, content[names[r.IntN(len(names))]])
					}
				}
				if round%4 > 1 {
					sv.reopen(sv.mems...)
				}
				sv.holds()
				sv.askAll()
				sv.whole()
				before := sv.healed.Load()
				sv.holds()
				if sv.healed.Load() != before {
					t.Error("damage is still read around")
				}
			}
		})
	}
}

// lightHarms are such that parity within one file heals any of them, and one bad block more but after the last; of what tells of the blocks there are
// just two copies, at the ends, so that block is not there.
var lightHarms = []harm{
	zeroBlock,
	func(r *rand.Rand, b, _ []byte) []byte { b[r.IntN(len(b))] ^= 1; return b },
	func(r *rand.Rand, b, _ []byte) []byte { return b[:len(b)-1-r.IntN(pack.BlockSize)] },
	swapBlocks,
}

func TestDamageInOnePlaceHeals(t *testing.T) {
	seed := newSeed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 15 {
		sv := newSpreadVault(t, shape{1, 0})
		sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7)
		sv.backup("v2", 8, 9, 10)
		m := sv.mems[0]
		for _, name := range sv.fileNames() {
			k := r.IntN(len(lightHarms))
			err := m.Damage(name, func(b []byte) []byte { return lightHarms[k](r, b, nil) })
			if err != nil {
				t.Fatal(err)
			}
			if size := len(contentOf(t, m, name)); k < len(lightHarms)-1 && size > 20*pack.BlockSize {
				if err := m.BadRange(name, int64(size/4+r.IntN(size/2)), 1); err != nil {
					t.Fatal(err)
				}
			}
		}
		sv.holds()
		sv.askAll()
		sv.whole()
		if sv.told(Damaged, true) == 0 || sv.told(Damaged, false) > 0 {
			t.Errorf("told %+v", sv.troubles)
		}
		sv.holds()
	}
}

// Of the only place nobody is told that it is back.
func TestOnlyPlaceThatCannotBeReadForAWhile(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v1", 0, 1, 2, 3)
	sv.reopen(sv.mems...)
	sv.mems[0].FailReads(unix.EIO)
	for _, i := range sv.versions["v1"] {
		if _, err := sv.Get(t.Context(), sv.hash.id(sv.chunks[i])); !errors.Is(err, ErrCorrupt) {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
	sv.mems[0].FailReads(nil)
	sv.holds()
}

// An error of the only place that says nothing of its files is no damage, whether they are open already or not.
func TestPassingErrorOfTheOnlyPlaceIsNoDamage(t *testing.T) {
	for _, passing := range []error{unix.ESTALE, unix.ENOTCONN, unix.EMFILE, unix.ENOMEM} {
		sv := newSpreadVault(t, shape{1, 0})
		sv.backup("v1", 0, 1, 2, 3)
		for _, open := range []bool{false, true} {
			sv.reopen(sv.mems...)
			if open {
				sv.holds()
			}
			sv.mems[0].FailReads(passing)
			for _, i := range sv.versions["v1"] {
				if _, err := sv.Read(t.Context(), sv.hash.id(sv.chunks[i]), nil); !errors.Is(err, passing) || errors.Is(err, ErrCorrupt) {
					t.Errorf("chunk %d: %v", i, err)
				}
			}
			for _, name := range sv.fileNames() {
				if err := sv.mendFile(t.Context(), damagedFile{name: name, offset: -1}, true); !errors.Is(err, passing) {
					t.Errorf("mended, with %v", err)
				}
			}
			sv.mems[0].FailReads(nil)
			sv.holds()
		}
		if len(sv.troubles) > 0 {
			t.Errorf("%v: told %+v", passing, sv.troubles)
		}
	}
}

func TestWhatReadingMeetsIsMended(t *testing.T) {
	for _, s := range shapes {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 2, 3)
		var name string
		for _, n := range sv.fileNames() {
			if isPack(n) {
				name = n
			}
		}
		at := int64(3 * pack.BlockSize)
		if err := sv.mems[0].Damage(name, func(b []byte) []byte { clear(b[at : at+100]); return b }); err != nil {
			t.Fatal(err)
		}
		sv.holds()
		sv.mendAll()
		sv.whole()
		if sv.healed.Load() == 0 || sv.mended.Load() != 1 {
			t.Errorf("%v: %d blocks healed, %d files mended", s, sv.healed.Load(), sv.mended.Load())
		}
		if len(sv.troubles) != 1 || !sv.troubles[0].Healed || sv.troubles[0].Pack == (pack.ID{}) ||
			sv.troubles[0].Place != sv.mems[0].String() || sv.troubles[0].Offset < 0 {
			t.Errorf("%v: told %+v", s, sv.troubles)
		}
		before := sv.healed.Load()
		sv.holds()
		if sv.healed.Load() != before {
			t.Errorf("%v: the file that was replaced is still read", s)
		}
	}
}

// A file that could not be opened for a moment is read again soon, though there is nothing to be written anew.
func TestDetourIsTakenForAWhile(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3)
	name, _, shard, _ := sv.packOfChunk(0)
	whole := contentOf(t, sv.mems[shard], name)
	sv.files.close()
	must(t, sv.mend.working.take(t.Context()))
	must(t, sv.mems[shard].Remove(t.Context(), name))
	sv.holds()
	must(t, sv.mems[shard].Write(t.Context(), name, whole))
	sv.mend.working.end()
	sv.mendAll()
	sv.files.detours = 0
	before := sv.healed.Load()
	sv.holds() // of which the first frame ends it
	after := sv.healed.Load()
	sv.holds()
	if before == 0 || after == before || sv.healed.Load() != after || sv.mended.Load() > 0 {
		t.Errorf("%d blocks were healed, then %d, and %d", before, after, sv.healed.Load())
	}
}

func TestDamageWhileAPlaceIsAway(t *testing.T) {
	sv := newSpreadVault(t, shape{5, 2})
	sv.backup("v1", 0, 1, 2, 3, 4, 5)
	sv.reopen(sv.mems[1:]...)
	for _, name := range sv.fileNames() {
		if err := sv.mems[3].Damage(name, func(b []byte) []byte { clear(b[:len(b)/2]); return b }); err != nil {
			t.Fatal(err)
		}
	}
	sv.holds()
	sv.askAll()
	sv.reopen(sv.mems...)
	sv.holds()
	sv.mendAll()
	sv.whole()
}

// beyond tells whether a frame cannot be read without some of the shards. Blocks after the end of the data are zero, and not needed.
func beyond(p *packInfo, l *location, lost map[int]bool) bool {
	blocks, size := (int(p.data)+pack.BlockSize-1)/pack.BlockSize, int(p.shardBytes())/pack.BlockSize
	for b := int(l.frame.Offset) / pack.BlockSize; b <= int(l.frame.Offset+l.frame.Stored-1)/pack.BlockSize; b++ {
		known := 0
		for shard := range p.shape.Shards() {
			if !lost[shard] || shard < p.shape.Data && shard*size+b%size >= blocks {
				known++
			}
		}
		if lost[b/size] && known < p.shape.Data {
			return true
		}
	}
	return false
}

func TestTooMuchDamageIsTold(t *testing.T) {
	for _, s := range several {
		t.Run(s.String(), func(t *testing.T) {
			sv := newSpreadVault(t, s)
			sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
			sv.backup("v2", 12, 13, 14)
			l, p, err := sv.locate(sv.hash.id(sv.chunks[0]))
			if err != nil {
				t.Fatal(err)
			}
			lost := map[int]bool{}
			for i := range s.survive + 1 {
				lost[i] = true
				if err := sv.mems[i].Remove(t.Context(), packName(p.instance, p.id)); err != nil {
					t.Fatal(err)
				}
			}
			bad := 0
			for i, c := range sv.chunks[:15] {
				at, in, err := sv.locate(sv.hash.id(c))
				if err != nil {
					t.Fatal(err)
				}
				wantBad := in.id == p.id && beyond(p, &at, lost)
				b, err := sv.Get(t.Context(), sv.hash.id(c))
				var ce *CorruptError
				switch {
				case wantBad && (!errors.As(err, &ce) || ce.Pack != p.id || ce.Offset != int64(at.frame.Offset) && s.places > 2 || ce.Place == ""):
					t.Errorf("chunk %d: %v", i, err)
				case !wantBad && (err != nil || !bytes.Equal(b, c)):
					t.Errorf("chunk %d, which is not damaged: %v", i, err)
				}
				if wantBad {
					bad++
				}
			}
			if bad == 0 || l.num != 0 {
				t.Error("nothing was damaged")
			}
			sv.mendAll()
			if sv.told(Damaged, false) == 0 {
				t.Error("nothing told")
			}
			for _, tr := range sv.troubles {
				if tr.File != packName(p.instance, p.id) {
					t.Errorf("told of %q", tr.File)
				}
			}
		})
	}
}

// What could still be healed a short while ago is told when it cannot be any more, once.
func TestDamageThatGrewPastHealingIsTold(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	sv.mend.every = time.Hour
	sv.backup("v1", 0, 1, 2, 3)
	_, p, err := sv.locate(sv.hash.id(sv.chunks[0]))
	if err != nil {
		t.Fatal(err)
	}
	name := packName(p.instance, p.id)
	sv.mend.first(name)
	for _, m := range sv.mems {
		if err := m.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i := range 4 {
			if _, err := sv.Get(t.Context(), sv.hash.id(sv.chunks[i])); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		}
		if n := sv.told(Damaged, false); n != 1 {
			t.Errorf("told %d times", n)
		}
	}
}

func TestReadersWritersAndPlacesAtOnce(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v0", 0, 1, 2, 3)
	var wg sync.WaitGroup
	done := make(chan struct{})
	loop := func(f func(i int)) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					f(i)
				}
			}
		})
	}
	for range 2 {
		loop(func(i int) {
			c := sv.chunks[i%4]
			if b, err := sv.Get(t.Context(), sv.hash.id(c)); err != nil || !bytes.Equal(b, c) {
				t.Errorf("read: %v", err)
			}
		})
	}
	loop(func(int) {
		if err := sv.Mend(t.Context()); err != nil {
			t.Logf("mend: %v", err) // a place that failed again while it caught up
		}
	})
	for i := range 24 {
		m := sv.mems[i%3]
		if i%2 == 0 {
			hurts["unmounted"].begin(m)
		}
		sv.backup(key("v").Version+string(rune('a'+i)), i%20, i%20+1, i%20+2)
		hurts["unmounted"].end(m)
		if i%5 == 4 {
			sv.remove("v" + string(rune('a'+i-1)))
		}
		for sv.someAway() {
			sv.mendQuietly()
		}
	}
	close(done)
	wg.Wait()
	sv.mendAll()
	sv.holds()
	sv.whole()
}

func (sv *spreadVault) someAway() bool {
	for _, p := range sv.Places(sv.t.Context()) {
		if p.Err != nil || p.Behind {
			return true
		}
	}
	return false
}

func (sv *spreadVault) mendQuietly() { _ = sv.Mend(sv.t.Context()) }

// A vault that is closed while it looks at small files has not found them damaged.
func TestBrokenOffMendingIsNoDamage(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v1", 0)
	if err := sv.PutInstance(t.Context(), Instance{ID: machine}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sv.mendSmall(ctx, instanceName(machine)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if len(sv.troubles) > 0 || strings.Contains(sv.log.String(), "level=ERROR") {
		t.Errorf("told %+v\n%s", sv.troubles, sv.log.String())
	}
}

// Nor is it of the small files.
func TestPassingErrorIsNoDamageOfSmallFiles(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v1", 0, 1)
	sv.mems[0].FailReads(unix.ESTALE)
	if err := sv.mendSmall(t.Context(), vaultFile); !errors.Is(err, unix.ESTALE) || len(sv.troubles) > 0 {
		t.Errorf("%v, told %+v", err, sv.troubles)
	}
	sv.mems[0].FailReads(nil)
	if err := sv.mendSmall(t.Context(), vaultFile); err != nil {
		t.Error(err)
	}
}
