package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
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

// A spreadVault is a vault in several places in memory, and what was stored in it.
type spreadVault struct {
	*Vault
	t        *testing.T
	mems     []*place.Mem
	survive  int
	versions map[string][]int // the chunks that each is made of
	chunks   [][]byte
	secret   func(context.Context, []KeyInfo) (Secret, error)
	needed   atomic.Bool // versions whose deletion failed stay
	unsure   atomic.Bool // nobody can tell just now
	marker   func(*Vault) Mark
	left     atomic.Int32 // how often leave to delete one was given back

	mu       sync.Mutex
	troubles []Trouble
	log      logBuffer
}

type shape struct{ places, survive int }

func (s shape) String() string {
	if s.places == 1 {
		return "32+2 in one"
	}
	return fmt.Sprintf("%d+%d", s.places-s.survive, s.survive)
}

var (
	several = []shape{{2, 1}, {3, 1}, {5, 2}}
	shapes  = append([]shape{{1, 0}}, several...)
)

func newSpreadVault(t *testing.T, s shape) *spreadVault {
	t.Helper()
	seed := newSeed(t)
	sv := &spreadVault{t: t, survive: s.survive, versions: map[string][]int{}, chunks: someChunks(seed, 24, 60_000)}
	for i := range s.places {
		sv.mems = append(sv.mems, place.NewMem(seed+uint64(i)))
	}
	if err := Init(t.Context(), sv.options(sv.mems...)); err != nil {
		t.Fatal(err)
	}
	sv.open(sv.mems...)
	t.Cleanup(func() {
		if err := sv.Close(); err != nil {
			t.Error(err)
		}
	})
	return sv
}

func (sv *spreadVault) options(mems ...*place.Mem) Options {
	o := Options{Log: slog.New(slog.NewTextHandler(&sv.log, nil)), Reserve: 1, Survive: sv.survive, OnTrouble: sv.trouble, Leave: sv.leave, Cache: 1, Secret: sv.secret, Marker: sv.marker}
	for _, m := range mems {
		o.Places = append(o.Places, m)
	}
	return o
}

func (sv *spreadVault) leave(VersionKey) (end func(), wanted bool) {
	if sv.needed.Load() || sv.unsure.Load() {
		return nil, sv.needed.Load()
	}
	return func() { sv.left.Add(1) }, false
}

func (sv *spreadVault) trouble(t Trouble) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	sv.troubles = append(sv.troubles, t)
}

// told counts the troubles of a kind.
func (sv *spreadVault) told(kind TroubleKind, healed bool) (n int) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	for _, t := range sv.troubles {
		if t.Kind == kind && t.Healed == healed {
			n++
		}
	}
	return n
}

// open opens the vault in some of its places, in any order.
func (sv *spreadVault) open(mems ...*place.Mem) {
	sv.t.Helper()
	mems = slices.Clone(mems)
	rand.Shuffle(len(mems), func(i, j int) { mems[i], mems[j] = mems[j], mems[i] })
	v, err := Open(sv.t.Context(), sv.options(mems...))
	if err != nil {
		sv.t.Fatalf("%v\n%s", err, sv.log.String())
	}
	v.mend.every = 0
	sv.Vault = v
}

func (sv *spreadVault) reopen(mems ...*place.Mem) {
	sv.t.Helper()
	if err := sv.Close(); err != nil {
		sv.t.Fatal(err)
	}
	sv.open(mems...)
}

func (sv *spreadVault) backup(version string, of ...int) {
	sv.t.Helper()
	if err := sv.tryBackup(version, of...); err != nil {
		sv.t.Fatalf("backup %s: %v\n%s", version, err, sv.log.String())
	}
}

func (sv *spreadVault) tryBackup(version string, of ...int) error {
	w, err := sv.Writer(machine, WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Close()
	for _, i := range of {
		if _, _, err := w.Put(sv.t.Context(), pack.KindFile, sv.chunks[i]); err != nil {
			return err
		}
	}
	if err := w.Commit(sv.t.Context(), key(version), []byte("record of "+version)); err != nil {
		return err
	}
	sv.versions[version] = of
	return nil
}

func (sv *spreadVault) remove(version string) {
	sv.t.Helper()
	if err := sv.Delete(sv.t.Context(), key(version)); err != nil {
		sv.t.Fatal(err)
	}
	delete(sv.versions, version)
}

// holds tells whether the vault has just the versions it should, and every byte of them.
func (sv *spreadVault) holds() {
	sv.t.Helper()
	for _, k := range sv.Versions(machine) {
		if sv.versions[k.Version] == nil {
			sv.t.Fatalf("version %s is there", k.Version)
		}
	}
	for version, of := range sv.versions {
		record, err := sv.Record(sv.t.Context(), key(version))
		if err != nil || string(record) != "record of "+version {
			sv.t.Fatalf("record of %s: %q, %v\n%s", version, record, err, sv.log.String())
		}
		for _, i := range of {
			b, err := sv.Get(sv.t.Context(), sv.hash.id(sv.chunks[i]))
			if err != nil || !bytes.Equal(b, sv.chunks[i]) {
				sv.t.Fatalf("version %s, chunk %d: %d bytes, %v\n%s", version, i, len(b), err, sv.log.String())
			}
		}
	}
}

func (sv *spreadVault) mendAll() {
	sv.t.Helper()
	if err := sv.Mend(sv.t.Context()); err != nil {
		sv.t.Fatalf("%v\n%s", err, sv.log.String())
	}
}

// whole tells whether every place has every file it should have, intact, and nothing else.
func (sv *spreadVault) whole() {
	sv.t.Helper()
	s, err := sv.survey(sv.t.Context())
	if err != nil {
		sv.t.Fatal(err)
	}
	l := sv.place.layout()
	for _, p := range sv.packs {
		if s.lacking(l, p) != 0 {
			sv.t.Errorf("pack %v lacks in places %b", p.id, s.lacking(l, p))
		}
		sv.intact(packName(p.instance, p.id))
	}
	if len(s.packs) != len(sv.packs) {
		sv.t.Errorf("%d packs lie in the places, %d are known", len(s.packs), len(sv.packs))
	}
	for name, in := range s.files {
		if uint64(in) != s.listed || strings.HasPrefix(name, deletedFolder) {
			sv.t.Errorf("%s lies in places %b of %b", name, in, s.listed)
		}
		if _, ok := parseVersionName(name); ok {
			sv.intact(name)
		}
	}
	for _, p := range sv.Places(sv.t.Context()) {
		if p.Err != nil || p.Behind && !l.alone() {
			sv.t.Errorf("place %+v", p)
		}
	}
	if sv.t.Failed() {
		sv.t.Fatal(sv.log.String())
	}
}

func (sv *spreadVault) intact(name string) {
	sv.t.Helper()
	g, err := sv.gather(sv.t.Context(), name)
	if err != nil || g == nil {
		sv.t.Errorf("%s: %v", name, err)
		return
	}
	defer g.close()
	if err := sv.checkSources(sv.t.Context(), g); err != nil {
		sv.t.Error(err)
	}
	for m, err := range g.errs {
		sv.t.Errorf("%s in %v: %v", name, m, err)
	}
}

// eachLoss calls f with choices of at least one and at most L of the places: of many such, with some.
func eachLoss(t *testing.T, s shape, f func(t *testing.T, lost []int)) {
	for set := 1; set < 1<<s.places; set++ {
		if bits.OnesCount(uint(set)) > s.survive || s.places > 3 && rand.IntN(oneIn(4)) > 0 {
			continue
		}
		var lost []int
		for i := range s.places {
			if set&(1<<i) != 0 {
				lost = append(lost, i)
			}
		}
		t.Run(fmt.Sprintf("%v without %v", s, lost), func(t *testing.T) { f(t, lost) })
	}
}

func (sv *spreadVault) without(lost []int) (mems []*place.Mem) {
	for i, m := range sv.mems {
		if !slices.Contains(lost, i) {
			mems = append(mems, m)
		}
	}
	return mems
}

func TestSpreadVaultKeepsWhatWasStored(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.String(), func(t *testing.T) {
			sv := newSpreadVault(t, s)
			sv.backup("v1", 0, 1, 2, 3, 4, 5)
			sv.backup("v2", 4, 5, 6, 7)
			sv.remove("v1")
			sv.holds()
			sv.reopen(sv.mems...)
			sv.holds()
			sv.whole()
			if n := len(sv.troubles); n > 0 {
				t.Errorf("told %+v", sv.troubles)
			}
		})
	}
}

func TestPlacesMissingWhenOpened(t *testing.T) {
	for _, s := range several {
		eachLoss(t, s, func(t *testing.T, lost []int) {
			sv := newSpreadVault(t, s)
			sv.backup("v1", 0, 1, 2, 3)
			sv.backup("v2", 2, 3, 4)
			sv.reopen(sv.without(lost)...)
			sv.holds()
			sv.backup("v3", 0, 4, 5, 6)
			sv.remove("v1")
			sv.holds()
			if sv.told(PlaceFailed, false) != len(lost) {
				t.Errorf("told %+v", sv.troubles)
			}
			sv.reopen(sv.mems...)
			sv.holds()
			sv.mendAll()
			sv.holds()
			sv.whole()
		})
	}
}

// A hurt puts a place in trouble, and out of it.
var hurts = map[string]struct{ begin, end func(m *place.Mem) }{
	"unmounted": {
		func(m *place.Mem) { m.FailReads(syscall.ESTALE); m.FailWrites(syscall.ESTALE) },
		func(m *place.Mem) { m.FailReads(nil); m.FailWrites(nil) },
	},
	"gone":        {func(m *place.Mem) { m.FailReads(errors.New("gone")) }, func(m *place.Mem) { m.FailReads(nil) }},
	"not written": {func(m *place.Mem) { m.FailWrites(syscall.EIO) }, func(m *place.Mem) { m.FailWrites(nil) }},
	"read-only":   {func(m *place.Mem) { m.SetReadOnly(true) }, func(m *place.Mem) { m.SetReadOnly(false) }},
	"full":        {func(m *place.Mem) { m.SetCapacity(1) }, func(m *place.Mem) { m.SetCapacity(0) }},
}

func TestPlacesFailingMeanwhile(t *testing.T) {
	for name, hurt := range hurts {
		for _, s := range several {
			t.Run(name, func(t *testing.T) {
				eachLoss(t, s, func(t *testing.T, lost []int) {
					sv := newSpreadVault(t, s)
					sv.backup("v1", 0, 1, 2, 3)
					sv.backup("v2", 2, 3, 4)
					for _, i := range lost {
						hurt.begin(sv.mems[i])
					}
					sv.holds()
					sv.backup("v3", 0, 4, 5, 6)
					sv.remove("v1")
					sv.holds()
					if sv.told(PlaceFailed, false) != len(lost) {
						t.Errorf("told %+v", sv.troubles)
					}
					for _, i := range lost {
						hurt.end(sv.mems[i])
					}
					sv.mendAll()
					sv.holds()
					sv.whole()
					if sv.told(PlaceBack, false) != len(lost) || sv.told(Damaged, true)+sv.told(Damaged, false) > 0 {
						t.Errorf("told %+v", sv.troubles)
					}
				})
			})
		}
	}
}

// A place that takes nothing keeps no other from making up what it missed.
func TestPlaceCatchesUpBesideOneThatTakesNothing(t *testing.T) {
	for _, name := range []string{"not written", "read-only", "full"} {
		t.Run(name, func(t *testing.T) {
			sv := newSpreadVault(t, shape{5, 2})
			sv.backup("v1", 0, 1, 2)
			hurts[name].begin(sv.mems[0])
			sv.backup("v2", 3, 4, 5)
			hurts["gone"].begin(sv.mems[1])
			sv.backup("v3", 6, 7, 8)
			hurts["gone"].end(sv.mems[1])
			sv.mendAll()
			for i, p := range sv.Places(t.Context()) {
				if behind := p.Err != nil || p.Behind; behind != (i == 0) {
					t.Errorf("place %d: %+v", i, p)
				}
			}
			sv.holds()
			hurts[name].end(sv.mems[0])
			sv.mendAll()
			sv.holds()
			sv.whole()
		})
	}
}

func TestTooManyPlacesMissing(t *testing.T) {
	for _, s := range several {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 4, 5, 6, 7, 8, 9) // in a pack of few blocks some shards are all zero and not needed
		if err := sv.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), sv.options(sv.mems[s.survive+1:]...))
		if s.places > s.survive+1 && (!errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), sv.mems[0].String())) {
			t.Errorf("%v: %v", s, err)
		}
		sv.open(sv.mems...)
		for _, m := range sv.mems[:s.survive+1] {
			m.FailWrites(syscall.ENOSPC)
		}
		if err := sv.tryBackup("v2", 2, 3); !errors.Is(err, ErrNoSpace) {
			t.Errorf("%v: backup in too few places: %v", s, err)
		}
		sv.holds()
		for _, m := range sv.mems {
			m.FailWrites(nil)
		}
		sv.backup("v3", 2, 3)
		for _, m := range sv.mems[:s.survive+1] {
			m.FailReads(syscall.ESTALE)
		}
		if _, err := sv.Get(t.Context(), sv.hash.id(sv.chunks[0])); !errors.Is(err, ErrMissing) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%v: read from too few places: %v", s, err)
		}
		for _, m := range sv.mems {
			m.FailReads(nil)
		}
		sv.mendAll()
		sv.reopen(sv.mems...)
		sv.holds()
		sv.mendAll()
		sv.whole()
	}
}

func TestForeignPlacesAreNotUsed(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1)
	other := place.NewMem(1)
	empty := place.NewMem(2)
	if err := Init(t.Context(), sv.options(other)); err == nil {
		t.Fatal("survives the loss of its only place")
	}
	o := sv.options(other)
	o.Survive = 0
	if err := Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	before := [2]int{other.Ops(), empty.Ops()}
	sv.reopen(sv.mems[0], other, sv.mems[2], empty)
	sv.holds()
	sv.backup("v2", 2)
	sv.mendAll()
	if after := [2]int{other.Ops(), empty.Ops()}; before != after {
		t.Errorf("written to: %v, %v", before, after)
	}
	if list, err := empty.List(t.Context(), ""); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestNewestSmallFileHolds(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	put := func(name string) {
		t.Helper()
		if err := sv.PutInstance(t.Context(), Instance{ID: machine, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	put("old")
	sv.reopen(sv.mems[1:]...)
	put("new")
	sv.reopen(sv.mems...)
	in, err := sv.Instances(t.Context())
	if err != nil || len(in) != 1 || in[0].Name != "new" {
		t.Errorf("%+v, %v", in, err)
	}
	sv.mendAll()
	sv.whole()
	sv.reopen(sv.mems[:2]...)
	if in, err := sv.Instances(t.Context()); err != nil || in[0].Name != "new" {
		t.Errorf("%+v, %v", in, err)
	}
}

// A stalling place does not end a write while it is stalled.
type stalling struct {
	*place.Mem
	mu   sync.Mutex
	gate chan struct{}
	met  chan struct{} // is sent to when a write is stalled, if it has room
}

func (p *stalling) stall() (free func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		close(p.gate)
		p.gate = nil
	})
}

func (p *stalling) wait() {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		select {
		case p.met <- struct{}{}:
		default:
		}
		<-gate
	}
}

func (p *stalling) Write(ctx context.Context, name string, parts ...[]byte) error {
	p.wait()
	return p.Mem.Write(ctx, name, parts...)
}

// reopenWith reopens the vault with another place beside its own.
func (sv *spreadVault) reopenWith(p place.Place, mems ...*place.Mem) {
	sv.t.Helper()
	if err := sv.Close(); err != nil {
		sv.t.Fatal(err)
	}
	o := sv.options(mems...)
	o.Places = append(o.Places, p)
	v, err := Open(sv.t.Context(), o)
	if err != nil {
		sv.t.Fatal(err)
	}
	sv.Vault = v
}

func TestSlowPlaceIsNotWaitedFor(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	slow := &stalling{Mem: sv.mems[1]}
	sv.reopenWith(slow, sv.mems[0], sv.mems[2])
	sv.place.grace = 1
	free := slow.stall()
	sv.backup("v1", 0, 1, 2)
	sv.holds()
	if sv.told(PlaceFailed, false) != 1 {
		t.Errorf("told %+v", sv.troubles)
	}
	free()
	sv.place.grace = graceTime
	for sv.told(PlaceBack, false) == 0 {
		sv.mendAll()
	}
	sv.holds()
	sv.whole()
}

// A deaf is a place that does not end a write of so many bytes while it stalls.
type deaf struct {
	stalling
	least int
}

func (p *deaf) Write(ctx context.Context, name string, parts ...[]byte) error {
	if len(slices.Concat(parts...)) >= p.least {
		p.wait()
	}
	return p.Mem.Write(ctx, name, parts...)
}

// A disk that can be read and takes nothing any more, or nothing long, keeps the vault from looking after none of its other places.
func TestPlaceThatTakesNothingIsNotWaitedFor(t *testing.T) {
	for _, least := range []int{0, 20_000} {
		sv := newSpreadVault(t, shape{3, 1})
		d := &deaf{stalling{Mem: sv.mems[1]}, least}
		sv.reopenWith(d, sv.mems[0], sv.mems[2])
		sv.setPatience(d, 20*time.Millisecond)
		sv.backup("v0", 3, 4, 5)
		for _, name := range sv.fileNames() {
			if !isPack(name) {
				continue
			}
			must(t, d.Damage(name, func(b []byte) []byte { clear(b[pack.BlockSize:]); return b }))
		}
		free := d.stall()
		if least == 0 {
			sv.backup("v1", 0, 1, 2)
		}
		for range 3 {
			sv.holds()
			sv.mendQuietly()
		}
		sv.holds()
		if sv.told(PlaceFailed, false) == 0 {
			t.Errorf("told %+v", sv.troubles)
		}
		free()
		sv.setPatience(d, answerTime)
		for sv.told(PlaceBack, false) == 0 {
			sv.mendQuietly()
		}
		sv.askAll()
		sv.mendAll()
		sv.holds()
		sv.whole()
	}
}

// A pack that too few places took is given up when another does not answer, so that the backup ends, and the vault can be changed.
func TestPackIsNotWaitedForWithoutEnd(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	d := &deaf{stalling{Mem: sv.mems[1]}, 20_000}
	sv.reopenWith(d, sv.mems[0], sv.mems[2])
	sv.backup("v0", 3, 4, 5)
	sv.setPatience(d, 20*time.Millisecond)
	free := d.stall()
	defer free()
	sv.mems[2].FailWrites(syscall.EIO)
	ended := make(chan error, 1)
	go func() { ended <- sv.tryBackup("v1", 0, 1, 2) }()
	select {
	case err := <-ended:
		if !errors.Is(err, errSlow) || !errors.Is(err, syscall.EIO) {
			t.Errorf("backed up, with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits")
	}
	free()
	sv.mems[2].FailWrites(nil)
	sv.setPatience(d, answerTime)
	for sv.told(PlaceBack, false) < 2 {
		sv.mendQuietly()
	}
	sv.backup("v2", 0, 1, 2)
	sv.holds()
	sv.collect() // what came late
	sv.whole()
}

// setPatience says how long the vault waits for one of its places.
func (sv *spreadVault) setPatience(p place.Place, grace time.Duration) {
	sv.place.grace = min(grace, graceTime)
	for _, m := range sv.place.layout().members {
		if bounded, ok := m.place.(*patient); ok && bounded.Place == p {
			bounded.grace.Store(int64(grace))
		}
	}
}

// A silent is a place that answers no call while it stalls.
type silent struct {
	stalling
	asked atomic.Int32 // how often, for space
}

func (p *silent) Open(ctx context.Context, name string) (place.File, error) {
	p.wait()
	f, err := p.Mem.Open(ctx, name)
	return silentFile{f, p}, err
}

func (p *silent) List(ctx context.Context, dir string) ([]place.Info, error) {
	p.wait()
	return p.Mem.List(ctx, dir)
}

func (p *silent) Space(ctx context.Context) (free, total uint64, err error) {
	p.asked.Add(1)
	p.wait()
	return p.Mem.Space(ctx)
}

type silentFile struct {
	place.File
	of *silent
}

func (f silentFile) ReadAt(b []byte, off int64) (int, error) {
	f.of.wait()
	return f.File.ReadAt(b, off)
}

func (f silentFile) Close() error {
	f.of.wait()
	return f.File.Close()
}

// A disk or server that died answers nothing, for ever; what the others have is read, and backups go on.
func TestDeadPlaceIsNotWaitedFor(t *testing.T) {
	for _, first := range []string{"read", "backup", "look", "close"} {
		sv := newSpreadVault(t, shape{3, 1})
		sv.backup("v0", 0, 1, 2, 3, 4, 5)
		d := &silent{stalling: stalling{Mem: sv.mems[1]}}
		sv.reopenWith(d, sv.mems[0], sv.mems[2])
		for _, i := range []int{0, 1, 2} { // packs of which files are open
			if _, err := sv.Get(t.Context(), sv.hash.id(sv.chunks[i])); err != nil {
				t.Fatal(err)
			}
		}
		sv.setPatience(d, 20*time.Millisecond)
		sv.files.most = 2
		free := d.stall()
		switch first {
		case "close":
			sv.files.close()
		case "backup":
			sv.backup("v1", 6, 7)
		case "look":
			if info, err := sv.Info(t.Context()); err != nil || len(info.Places) != 3 {
				t.Errorf("%+v, %v", info, err)
			}
		}
		sv.holds()
		sv.backup("v2", 8)
		sv.mendAll()
		sv.holds()
		if sv.told(PlaceFailed, false) == 0 {
			t.Errorf("%s: told %+v", first, sv.troubles)
		}
		free()
		sv.setPatience(d, answerTime)
		for sv.told(PlaceBack, false) == 0 {
			sv.mendAll()
		}
		sv.holds()
		sv.whole()
	}
}

// How the vault's only place does is told also while it answers nothing, and it is asked once in that time.
func TestOnlyPlaceThatDoesNotAnswerIsTold(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v0", 0)
	d := &silent{stalling: stalling{Mem: sv.mems[0]}}
	sv.reopenWith(d)
	sv.setPatience(d, 20*time.Millisecond)
	free, before := d.stall(), d.asked.Load()
	defer free()
	for range 3 {
		info, err := sv.Info(t.Context())
		if err != nil || info.Versions != 1 || info.Instances != 1 || len(info.Places) != 1 || !errors.Is(info.Places[0].Err, errSlow) {
			t.Errorf("%+v, %v", info, err)
		}
	}
	if n := d.asked.Load() - before; n != 1 {
		t.Errorf("it was asked %d times", n)
	}
	free()
	for sv.Places(t.Context())[0].Err != nil {
		time.Sleep(time.Millisecond)
	}
}

// Who waits until a file is closed keeps nobody from reading others.
func TestClosingKeepsNobodyWaiting(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	sv.backup("v0", 0)
	d := &silent{stalling: stalling{Mem: sv.mems[0], met: make(chan struct{}, 1)}}
	sv.reopenWith(d)
	sv.mend.stop() // nobody else asks the place
	sv.holds()
	_, p, err := sv.locate(sv.hash.id(sv.chunks[0]))
	must(t, err)
	free, closed := d.stall(), make(chan struct{})
	go func() {
		defer close(closed)
		sv.files.forget(p.id)
	}()
	<-d.met
	if !sv.files.mu.TryLock() {
		t.Error("nobody can read meanwhile")
	} else {
		sv.files.mu.Unlock()
	}
	free()
	<-closed
}

func TestSwappedRecordIsNoFailingPlace(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1)
	sv.backup("v2", 2, 3)
	other := contentOf(t, sv.mems[0], key("v1").file())
	if err := sv.mems[0].Damage(key("v2").file(), func([]byte) []byte { return other }); err != nil {
		t.Fatal(err)
	}
	sv.holds()
	sv.mendAll()
	sv.whole()
	if sv.told(PlaceFailed, false) > 0 || sv.told(Damaged, true) != 1 {
		t.Errorf("told %+v", sv.troubles)
	}
}
