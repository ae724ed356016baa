package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"yester/store/pack"
	"yester/store/place"
)

func (sv *spreadVault) fresh() *place.Mem {
	return place.NewMem(rand.Uint64())
}

func (sv *spreadVault) replace(i int, by *place.Mem) {
	sv.t.Helper()
	if err := sv.ReplacePlace(sv.t.Context(), sv.mems[i].String(), by, PlaceOptions{}); err != nil {
		sv.t.Fatalf("%v\n%s", err, sv.log.String())
	}
	sv.mems[i] = by
}

func TestReplacedPlaceIsNotNeeded(t *testing.T) {
	for _, s := range several {
		t.Run(s.String(), func(t *testing.T) {
			sv := newSpreadVault(t, s)
			sv.backup("v1", 0, 1, 2, 3)
			sv.backup("v2", 3, 4, 5)
			old := sv.mems[0]
			sv.replace(0, sv.fresh())
			sv.holds()
			sv.whole()
			if _, err := seePlace(t.Context(), old); !errors.Is(err, ErrNotFound) {
				t.Errorf("the old place is still one of the vault's: %v", err)
			}
			sv.reopen(sv.mems...)
			sv.holds()
			sv.whole()
			sv.reopen(sv.mems[:s.places-s.survive]...)
			sv.holds()
		})
	}
}

func TestMissingPlaceIsReplaced(t *testing.T) {
	for _, s := range several {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 2, 3)
		sv.backup("v2", 3, 4, 5)
		sv.reopen(sv.mems[1:]...)
		sv.remove("v1")
		old := sv.mems[0]
		sv.replace(0, sv.fresh())
		sv.holds()
		sv.whole()
		sv.reopen(append(sv.mems, old)...)
		sv.holds()
		sv.whole()
	}
}

// A place that was missing when it was replaced brings nothing back that was removed meanwhile, if it is there again before its successor has everything.
func TestReplacedPlaceBringsNothingBack(t *testing.T) {
	for _, s := range []shape{{2, 1}, {3, 1}} {
		sv := newSpreadVault(t, s)
		sv.o.work = testWork
		sv.backup("v1", 0, 1)
		sv.backup("v2", 2, 3)
		sv.backup("v3", 4, 5)
		before, _ := add(t, sv.Vault, KeyPassphrase, "removed before")
		meanwhile, _ := add(t, sv.Vault, KeyPassphrase, "removed meanwhile")
		sv.reopen(sv.mems[1:]...)
		sv.remove("v1")
		must(t, sv.RemoveKey(t.Context(), before.ID))
		old, by := sv.mems[0], sv.fresh()
		ctx, progress := interrupted(t, 0)
		if err := sv.ReplacePlace(ctx, old.String(), by, PlaceOptions{Progress: progress}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		sv.mems[0] = by
		sv.remove("v2")
		must(t, sv.RemoveKey(t.Context(), meanwhile.ID))
		sv.reopen(append(sv.mems, old)...)
		sv.holds()
		if keys := keysOf(t, sv.Vault); len(keys) != 1 {
			t.Errorf("%v: keys %+v", s, keys)
		}
		sv.mendAll()
		sv.mendAll() // the notes of removals go once the old place is none
		sv.holds()
		sv.whole()
		for i, m := range sv.mems {
			if list, err := m.List(t.Context(), keyFolder); err != nil || len(list) != 2 {
				t.Errorf("%v: place %d: keys %v, %v", s, i, list, err)
			}
		}
	}
}

func TestOnlyEmptyPlacesAreTaken(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	other := place.NewMem(1)
	if err := other.Write(t.Context(), "precious", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := sv.ReplacePlace(t.Context(), sv.mems[0].String(), other, PlaceOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("not empty: %v", err)
	}
	if err := sv.AddPlace(t.Context(), other, PlaceOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("not empty: %v", err)
	}
	if err := sv.ReplacePlace(t.Context(), sv.mems[0].String(), sv.mems[1], PlaceOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("one of its own: %v", err)
	}
	if err := sv.ReplacePlace(t.Context(), "nowhere", place.NewMem(2), PlaceOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
	sv.whole()
}

// A try that was cut off before the new folder was a place leaves no more than a temporary file, which is no reason to refuse it, and goes.
func TestTemporaryFilesInANewPlaceGo(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1)
	dir := t.TempDir()
	left := filepath.Join(dir, ".tmp", "left")
	if err := errors.Join(os.Mkdir(filepath.Dir(left), 0o700), os.WriteFile(left, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	d, err := place.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := sv.ReplacePlace(t.Context(), sv.mems[0].String(), d, PlaceOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file stays: %v", err)
	}
	sv.holds()
}

// interrupted returns a context that ends, and a progress that ends it after some files.
func interrupted(t *testing.T, after int) (context.Context, Progress) {
	ctx, cancel := context.WithCancel(t.Context())
	return ctx, func(string, int, int) {
		if after--; after < 0 {
			cancel()
		}
	}
}

func TestReplacingGoesOnWhenInterrupted(t *testing.T) {
	for _, reopened := range []bool{false, true} {
		for after := range 5 {
			sv := newSpreadVault(t, shape{3, 1})
			sv.backup("v1", 0, 1, 2, 3)
			sv.backup("v2", 3, 4, 5)
			sv.backup("v3", 5, 6)
			old, by := sv.mems[1], sv.fresh()
			ctx, progress := interrupted(t, after)
			if err := sv.ReplacePlace(ctx, old.String(), by, PlaceOptions{Progress: progress}); !errors.Is(err, context.Canceled) {
				t.Fatalf("after %d files: %v", after, err)
			}
			sv.holds()
			sv.mems[1] = by
			if reopened {
				sv.reopen(append(sv.mems, old)...)
				sv.holds()
				sv.backup("v4", 6, 7)
				sv.mendAll()
				if err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}); err != nil {
					t.Errorf("asked again when it is done: %v", err)
				}
			} else if err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}); err != nil {
				t.Fatal(err)
			}
			sv.holds()
			sv.whole()
			sv.reopen(sv.mems...)
			sv.holds()
			sv.whole()
			if _, err := seePlace(t.Context(), old); !errors.Is(err, ErrNotFound) {
				t.Errorf("the old place is still one of the vault's: %v", err)
			}
		}
	}
}

func TestReplacedPlaceHelpsUntilTheEnd(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3)
	for _, name := range sv.fileNames() { // of every file one other place has lost its own
		if err := sv.mems[2].Damage(name, func(b []byte) []byte { clear(b); return b }); err != nil {
			t.Fatal(err)
		}
	}
	sv.replace(0, sv.fresh())
	sv.askAll()
	sv.holds()
	sv.whole()
}

// Of a pack that is damaged past healing only what lies in the bad sectors is lost with the place that it is read from.
func TestRestOfADamagedPackIsTakenOver(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7)
	for _, p := range sv.packs {
		name := packName(p.instance, p.id)
		must(t, sv.mems[1].Remove(t.Context(), name))
		must(t, sv.mems[0].BadRange(name, 8*pack.BlockSize, pack.BlockSize))
	}
	readable := func() (all []int) {
		for _, i := range sv.versions["v1"] {
			if b, err := sv.Get(t.Context(), sv.hash.id(sv.chunks[i])); err == nil && bytes.Equal(b, sv.chunks[i]) {
				all = append(all, i)
			}
		}
		return all
	}
	before := readable()
	if len(before) == 0 || len(before) == len(sv.versions["v1"]) {
		t.Fatalf("%v can be read", before)
	}
	sv.replace(0, sv.fresh())
	sv.reopen(sv.mems...)
	if after := readable(); !slices.Equal(after, before) {
		t.Errorf("%v can be read, before %v", after, before)
	}
}

// A tired is a place that for a while reads nothing but the heads of files, for want of memory.
type tired struct {
	*place.Mem
	head atomic.Int64 // bytes; 0 for all there is
}

func (p *tired) Open(ctx context.Context, name string) (place.File, error) {
	f, err := p.Mem.Open(ctx, name)
	return tiredFile{f, p}, err
}

type tiredFile struct {
	place.File
	of *tired
}

func (f tiredFile) ReadAt(b []byte, off int64) (int, error) {
	if head := f.of.head.Load(); head > 0 && off+int64(len(b)) > head {
		return 0, syscall.ENOMEM
	}
	return f.File.ReadAt(b, off)
}

// A place from which something could not be read that its medium may well have stays until it was.
func TestPlaceIsNotLetGoForAPassingError(t *testing.T) {
	for _, head := range []int64{pack.BlockSize, 16 * pack.BlockSize} { // less than it takes to read what a file is, and just that
		sv := newSpreadVault(t, shape{2, 1})
		sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7)
		for _, p := range sv.packs {
			must(t, sv.mems[1].Remove(t.Context(), packName(p.instance, p.id)))
		}
		old := &tired{Mem: sv.mems[0]}
		sv.reopenWith(old, sv.mems[1])
		by := sv.fresh()
		old.head.Store(head)
		if err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}); !errors.Is(err, syscall.ENOMEM) {
			t.Errorf("%d bytes at the head can be read: replaced, with %v", head, err)
		}
		old.head.Store(0)
		must(t, sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}))
		sv.mems[0] = by
		sv.holds()
		sv.whole()
	}
}

// A listing is a place whose folders may not be listed any more, by the medium.
type listing struct {
	*place.Mem
	bad   atomic.Bool  // packs cannot be listed; an opened vault lists the small files in the background
	roots atomic.Int64 // how often the folder of all instances was listed
}

func (p *listing) List(ctx context.Context, dir string) ([]place.Info, error) {
	if dir == "instances" {
		p.roots.Add(1)
	}
	if p.bad.Load() && strings.Contains(dir, "packs") {
		return nil, syscall.EIO
	}
	return p.Mem.List(ctx, dir)
}

// A dying disk, which still says whose it is and cannot be listed, keeps its replacement from ending until it is asked for again, and then only if it alone may have what lacks.
func TestReplacingEndsWithoutADyingPlaceWhenAskedAgain(t *testing.T) {
	for name, lacks := range map[string]func(sv *spreadVault, name string){
		"a pack that was not written to its end": func(sv *spreadVault, _ string) {
			must(t, sv.mems[0].Write(t.Context(), packName(machine, pack.ID{1}), []byte("the beginning")))
		},
		"a pack past healing": func(sv *spreadVault, name string) { must(t, sv.mems[0].Remove(t.Context(), name)) },
	} {
		t.Run(name, func(t *testing.T) {
			sv := newSpreadVault(t, shape{3, 1})
			sv.backup("v1", 0, 1, 2, 3)
			damaged := sv.packNames()[0]
			sv.backup("v2", 4, 5)
			old, by := &listing{Mem: sv.mems[1]}, sv.fresh()
			sv.reopenWith(old, sv.mems[0], sv.mems[2])
			lacks(sv, damaged)
			replace := func() error { return sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}) }
			old.bad.Store(true)
			if err := replace(); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "ask again") {
				t.Errorf("replaced, with %v", err)
			}
			sv.mendAll()
			hurts["gone"].begin(sv.mems[2])
			if err := replace(); !errors.Is(err, ErrMissing) || strings.Contains(err.Error(), "ask again") || len(sv.place.layout().former) != 1 {
				t.Errorf("replaced beside a place that is missing, with %v", err)
			}
			hurts["gone"].end(sv.mems[2])
			sv.mendAll()
			if sv.letGo() || sv.told(Damaged, false) > 0 {
				t.Errorf("it is let go, told %+v", sv.troubles)
			}
			must(t, replace())
			if !sv.letGo() || sv.place.layout().inheriting() {
				t.Error("it is still one of the vault's")
			}
			for _, p := range sv.Places(t.Context()) {
				if p.Err != nil || p.Behind {
					t.Errorf("place %+v", p)
				}
			}
		})
	}
}

// What an old place has that can be read again is taken over, when its replacement is asked for again.
func TestReplacedPlaceThatIsBackIsNotDoneWithout(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3)
	old, by := &listing{Mem: sv.mems[1]}, sv.fresh()
	sv.reopenWith(old, sv.mems[0], sv.mems[2])
	for _, name := range sv.packNames() {
		must(t, sv.mems[0].Remove(t.Context(), name))
	}
	old.bad.Store(true)
	if err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}); !errors.Is(err, ErrMissing) {
		t.Errorf("replaced, with %v", err)
	}
	old.bad.Store(false)
	sv.mend.stop()
	sv.rejoin(t.Context(), sv.place.layout().former[0])
	drop := func(string, int, int) {
		for _, m := range sv.place.layout().former {
			sv.place.lost(m, syscall.ESTALE)
		}
	}
	if err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{Progress: drop}); !errors.Is(err, ErrMissing) || sv.letGo() {
		t.Errorf("it dropped out for a moment, and is let go of, with %v", err)
	}
	must(t, sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}))
	sv.mems[1] = by
	sv.holds()
	sv.whole()
}

// An old place that could not be listed, and is back before its successor has the rest, is listed before it is let go of.
func TestReplacedPlaceThatIsBackMeanwhileIsAskedFirst(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3)
	old, by := &listing{Mem: sv.mems[1]}, sv.fresh()
	sv.reopenWith(old, sv.mems[0], sv.mems[2])
	sv.mend.stop() // it is done here what it would do
	sv.mend.retry = 0
	must(t, sv.mems[0].Write(t.Context(), packName(machine, pack.ID{1}), []byte("the old place may have the rest")))
	old.bad.Store(true)
	back := func(string, int, int) { old.bad.Store(false) }
	if err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{Progress: back}); !errors.Is(err, ErrMissing) || sv.letGo() {
		t.Errorf("it is let go of unasked, with %v", err)
	}
	must(t, sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}))
	sv.mems[1] = by
	sv.holds()
	if !sv.letGo() {
		t.Error("it is still one of the vault's")
	}
}

func TestAddedPlaceIsUsed(t *testing.T) {
	tests := []struct {
		from    shape
		survive int
		to      pack.Shape
	}{
		{shape{1, 0}, 0, pack.Shape{Data: 1, Parity: 1}},
		{shape{2, 1}, 0, pack.Shape{Data: 2, Parity: 1}},
		{shape{3, 1}, 2, pack.Shape{Data: 2, Parity: 2}},
	}
	for _, test := range tests {
		for after := range 6 {
			sv := newSpreadVault(t, test.from)
			sv.backup("v1", 0, 1, 2, 3)
			sv.backup("v2", 3, 4, 5)
			sv.remove("v1")
			w, err := sv.Writer(machine, WriterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := w.Put(t.Context(), pack.KindFile, sv.chunks[9]); err != nil {
				t.Fatal(err)
			}
			by := sv.fresh()
			ctx, progress := interrupted(t, after)
			err = sv.AddPlace(ctx, by, PlaceOptions{Survive: test.survive, Progress: progress})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			sv.mems = append(sv.mems, by)
			sv.holds()
			if err := errors.Join(w.Commit(t.Context(), key("v3"), []byte("record of v3")), w.Close()); err != nil {
				t.Fatal(err)
			}
			sv.versions["v3"] = []int{9}
			sv.backup("v4", 5, 6)
			if after%2 == 0 {
				sv.reopen(sv.mems...)
				sv.holds()
			}
			if err := sv.AddPlace(t.Context(), by, PlaceOptions{Survive: test.survive}); err != nil {
				t.Fatal(err)
			}
			sv.holds()
			sv.whole()
			sv.reopen(sv.mems...)
			for _, p := range sv.packs {
				if p.whole || p.shape != test.to {
					t.Errorf("pack %v is %+v", p.id, p)
				}
			}
			sv.reopen(sv.mems[test.to.Parity:]...)
			sv.holds()
		}
	}
}

func TestPlacesChangeWhileInUse(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v0", 0, 1, 2, 3)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := sv.Get(t.Context(), sv.hash.id(sv.chunks[i%4])); err != nil {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	written := make(chan map[string][]int)
	go func() {
		versions := map[string][]int{}
		for i := 0; ; i++ {
			select {
			case <-done:
				written <- versions
				return
			default:
			}
			version := fmt.Sprintf("w%d", i)
			if err := sv.writeOnly(version, i%20); err != nil {
				t.Errorf("backup: %v", err)
			}
			versions[version] = []int{i % 20}
		}
	}()
	for range 2 {
		m := sv.fresh()
		if err := sv.AddPlace(t.Context(), m, PlaceOptions{}); err != nil {
			t.Fatal(err)
		}
		sv.mems = append(sv.mems, m)
	}
	sv.replace(0, sv.fresh())
	close(done)
	wg.Wait()
	for version, of := range <-written {
		sv.versions[version] = of
	}
	if err := sv.Rebalance(t.Context(), PlaceOptions{}); err != nil {
		t.Fatal(err)
	}
	sv.mendAll()
	sv.holds()
	sv.whole()
}

func (sv *spreadVault) writeOnly(version string, i int) error {
	w, err := sv.Writer(machine, WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Close()
	if _, _, err := w.Put(sv.t.Context(), pack.KindFile, sv.chunks[i]); err != nil {
		return err
	}
	return w.Commit(sv.t.Context(), key(version), []byte("record of "+version))
}

// What is written after a place was added has the new shape, whatever memory it is made in.
func TestPacksAreOfTheShapeOfNow(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	w, err := sv.Writer(machine, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p := &packer{w: w, size: 64 << 10}
	for _, old := range []pack.Shape{{Data: 2, Parity: 1}, sv.place.shape()} {
		id, sealer, err := sv.newPack()
		if err != nil {
			t.Fatal(err)
		}
		b, err := pack.NewBuilder(sv.id, id, sealer, old, p.size)
		if err != nil {
			t.Fatal(err)
		}
		p.keep(b, false)
		if err := p.begin(); err != nil {
			t.Fatal(err)
		}
		if got := p.filling.Shape(); got != sv.place.shape() {
			t.Errorf("in memory of %v: %v", old, got)
		}
		if (p.filling == b) != (old == sv.place.shape()) {
			t.Errorf("in memory of %v: used again %v", old, p.filling == b)
		}
	}
}

// A pack that was begun before places were added needs as many as its own shape says, also where the new one needs fewer.
func TestPackOfTheShapeOfBeforeIsReadable(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	w, err := sv.Writer(machine, WriterOptions{})
	must(t, err)
	_, _, err = w.Put(t.Context(), pack.KindFile, sv.chunks[0])
	must(t, err)
	by := sv.fresh()
	must(t, sv.AddPlace(t.Context(), by, PlaceOptions{Survive: 3}))
	sv.mems = append(sv.mems, by)
	for _, m := range sv.mems[:2] {
		m.FailWrites(syscall.EIO)
	}
	if err := w.Commit(t.Context(), key("v1"), []byte("record of v1")); !errors.Is(err, syscall.EIO) {
		t.Errorf("one of two shards is enough: %v", err)
	}
	must(t, w.Close())
	for _, m := range sv.mems[:2] {
		m.FailWrites(nil)
	}
	sv.backup("v2", 0, 1)
	sv.mendAll()
	sv.holds()
	sv.whole()
}

// A pack that failed leaves none behind that is still being written, to the places of a vault that may be closed next.
func TestFlushWaitsForAllPacksBeingWritten(t *testing.T) {
	tv := newVault(t)
	p := &packer{w: tv.writer(WriterOptions{}), size: 64 << 10, beside: 2}
	must(t, p.begin())
	failed, going := make(chan written, 1), make(chan written, 1)
	for _, done := range []chan written{failed, going} {
		id, sealer, err := tv.newPack()
		must(t, err)
		b, err := pack.NewBuilder(tv.id, id, sealer, tv.place.shape(), p.size)
		must(t, err)
		p.flying = append(p.flying, flight{b, done})
	}
	failed <- written{err: syscall.EIO}
	ended := make(chan error, 1)
	go func() { ended <- p.flush() }()
	select {
	case err := <-ended:
		t.Errorf("it ended beside a pack that is being written: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	going <- written{}
	if err := <-ended; !errors.Is(err, syscall.EIO) || len(p.flying) > 0 {
		t.Errorf("got %v, %d packs are left", err, len(p.flying))
	}
}

// Where parity makes packs long, or a place is slow, fewer are in memory.
func TestFewerPacksAreWrittenAtOnceWhereTheyTakeMuchMemory(t *testing.T) {
	for _, tt := range []struct {
		shape shape
		busy  bool
		most  int
	}{{shape{1, 0}, false, 2}, {shape{2, 1}, false, 1}, {shape{5, 1}, false, 2}, {shape{5, 1}, true, 1}} {
		sv := newSpreadVault(t, tt.shape)
		w, err := sv.Writer(machine, WriterOptions{})
		must(t, err)
		defer w.Close()
		p := &packer{w: w, size: 64 << 10, beside: 2}
		must(t, p.begin())
		p.keep(p.filling, tt.busy)
		if got := p.most(); got != tt.most {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}
