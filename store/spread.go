package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"yester/store/pack"
	"yester/store/place"
)

// A spread is all places of a vault, taken as one: with P places of which any L may be lost, everything is written to at least P-L
// of them. Small files and records lie whole in each, and for those a spread is a place.Place:
//
//   - Write and Remove succeed when P-L places have done it. The others are behind then, and Mend makes up for it.
//   - Open opens the file wherever it is found first; List lists what is in any of the places.
//   - A name that was removed while a place was away does not come back with it, see tombstone.go.
//
// A pack has one file for each of its shards, in the place of that number. A vault in one place is the simple case: there a pack is one file with
// all shards, and nothing is done but what is asked.
type spread struct {
	log       *slog.Logger
	onTrouble func(Trouble)
	poke      func()        // has the vault look after its places soon
	grace     time.Duration // how much longer than the others a place may take to write

	patience *patience

	now    atomic.Pointer[layout]
	using  sync.RWMutex // held for reading while something is written in the places that now says
	locks  nameLocks
	stones stones
}

var _ place.Place = (*spread)(nil)

// graceTime is enough for a disk that has to wake up.
const graceTime = 30 * time.Second

// maxPlaces is the most places a vault may have.
const maxPlaces = 32

// A layout is what a vault's places are at one time. It is never changed.
type layout struct {
	members []*member
	former  []*member // places that were replaced and may still be read from
	shape   pack.Shape
}

// alone tells that there is one place, with whole packs.
func (l *layout) alone() bool { return len(l.members) == 1 }

// need is in how many places everything must be written.
func (l *layout) need() int {
	if l.alone() {
		return 1
	}
	return len(l.members) - l.shape.Parity
}

// sources are all members that can be read from, those that were replaced last.
func (l *layout) sources() []*member {
	var all []*member
	for _, list := range [][]*member{l.members, l.former} {
		for _, m := range list {
			if m.reader() != nil {
				all = append(all, m)
			}
		}
	}
	return all
}

// gone are the members that cannot be read from, and places that were replaced and could be.
func (l *layout) gone() []*member {
	return slices.DeleteFunc(slices.Concat(l.members, l.former), func(m *member) bool { return m.reader() != nil })
}

// inheriting tells whether a place that was replaced may still be read from, if only when it is back: its successor has not everything yet.
func (l *layout) inheriting() bool { return slices.ContainsFunc(l.members, (*member).inherits) }

func newSpread(o Options, l *layout, t *patience) *spread {
	s := &spread{log: o.Log, onTrouble: o.OnTrouble, grace: graceTime, patience: t}
	s.use(l)
	return s
}

// use goes on with a layout.
func (s *spread) use(l *layout) {
	s.patience.several.Store(!l.alone())
	s.now.Store(l)
}

func (s *spread) layout() *layout { return s.now.Load() }

// shape is that of new packs.
func (s *spread) shape() pack.Shape { return s.layout().shape }

// recordShape is that of records, which lie whole in each place.
func (s *spread) recordShape() pack.Shape {
	if l := s.layout(); l.alone() {
		return l.shape
	}
	return DefaultShape
}

// holders are the places that may each have a copy of a file: those of a spread, or p alone.
func holders(p place.Place) []place.Place {
	s, ok := p.(*spread)
	if !ok {
		return []place.Place{p}
	}
	var all []place.Place
	for _, m := range s.layout().sources() {
		if p := m.reader(); p != nil {
			all = append(all, p)
		}
	}
	return all
}

// missesSome tells whether one of the places that may each have a copy of a file cannot be read from.
func missesSome(p place.Place) bool {
	s, ok := p.(*spread)
	return ok && slices.ContainsFunc(s.layout().members, func(m *member) bool { return m.reader() == nil })
}

// Write writes a file to every place. ErrExists for a name that was removed and is still remembered as such.
func (s *spread) Write(ctx context.Context, name string, parts ...[]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.locks.lock(name)()
	s.using.RLock()
	defer s.using.RUnlock()
	if s.stones.has(name) {
		return fmt.Errorf("%s was removed before: %w", name, ErrExists)
	}
	l := s.layout()
	if l.alone() {
		return l.members[0].place.Write(ctx, name, parts...)
	}
	return s.writeAll(ctx, l, name, parts...)
}

// writeAll is Write without the lock.
func (s *spread) writeAll(ctx context.Context, l *layout, name string, parts ...[]byte) error {
	ctx = context.WithoutCancel(ctx) // what is begun is ended: a file in too few places is of no use
	e := s.try(l, l.members, func(_ *member, p place.Place) error { return p.Write(ctx, name, parts...) })
	return e.err()
}

// writePack writes a pack: to each place the file of its shard, or the file of all to the only one. The header is that of one of these files. Busy tells that a slow
// place still reads the pack's memory, which then must not be used again. Writing to several places goes on beside the caller, by way of run if that is not nil.
// The caller holds the lock of the name.
func (s *spread) writePack(ctx context.Context, instance string, b *pack.Built, run func(func())) (h pack.Header, busy bool, err error) {
	h = b.Header()
	name := packName(instance, h.Pack)
	s.using.RLock()
	defer s.using.RUnlock()
	l := s.layout()
	if l.alone() || h.Shape.Shards() > len(l.members) { // the latter was begun before places were added
		p := l.members[0].reader()
		if p == nil {
			return h, false, s.missing(l)
		}
		h.Shard = pack.AllShards
		return h, false, p.Write(ctx, name, b.File(pack.AllShards)...)
	}
	h.Shard = 0
	files := make([][][]byte, h.Shape.Shards())
	for i := range files {
		files[i] = b.File(i)
	}
	if run == nil {
		run = func(f func()) { f() }
	}
	var slow atomic.Bool
	e := s.tryLeast(l, h.Shape.Data, l.members[:len(files)], func(m *member, p place.Place) error {
		err := writeShared(ctx, p, name, files[m.shard], run)
		if errors.Is(err, errSlow) {
			slow.Store(true)
		}
		return err
	})
	if err = e.err(); err != nil {
		s.try(l, e.done, func(_ *member, p place.Place) error { return p.Remove(ctx, name) })
	}
	return h, e.late || slow.Load(), err
}

// Open opens a file that lies whole in each place, where it is found first.
func (s *spread) Open(ctx context.Context, name string) (place.File, error) {
	l := s.layout()
	if l.alone() {
		return l.members[0].place.Open(ctx, name)
	}
	err := fmt.Errorf("open %s: %w", name, ErrMissing)
	for _, m := range l.sources() {
		f, openErr := s.open(ctx, m, name)
		if openErr == nil {
			return f, nil
		}
		err = openErr
	}
	return nil, err
}

// open opens a file of one member. ErrMissing if that is gone.
func (s *spread) open(ctx context.Context, m *member, name string) (place.File, error) {
	p := m.reader()
	if p == nil {
		return nil, fmt.Errorf("%s: %w", m, ErrMissing)
	}
	f, err := p.Open(ctx, name)
	if err != nil {
		s.lost(m, err)
	}
	return f, err
}

// List lists what is in a folder in any of the places, but for what was removed.
func (s *spread) List(ctx context.Context, dir string) ([]place.Info, error) {
	l := s.layout()
	if l.alone() {
		return l.members[0].place.List(ctx, dir)
	}
	all, answered := map[string]place.Info{}, 0
	for _, m := range l.members {
		list, err := s.list(ctx, m, dir)
		if err != nil {
			continue
		}
		answered++
		for _, i := range list {
			if i.Dir || !s.stones.has(join(dir, i.Name)) {
				all[i.Name] = i
			}
		}
	}
	if answered < l.need() {
		return nil, fmt.Errorf("list %s: %w", dir, s.missing(l))
	}
	for _, m := range l.former { // it serves as long as it does
		list, _ := s.list(ctx, m, dir)
		for _, i := range list {
			if _, listed := all[i.Name]; !listed && (i.Dir || !s.stones.has(join(dir, i.Name))) {
				all[i.Name] = i
			}
		}
	}
	list := make([]place.Info, 0, len(all))
	for _, i := range all {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b place.Info) int { return strings.Compare(a.Name, b.Name) })
	return list, ctx.Err()
}

func (s *spread) list(ctx context.Context, m *member, dir string) ([]place.Info, error) {
	p := m.reader()
	if p == nil {
		return nil, ErrMissing
	}
	list, err := p.List(ctx, dir)
	if err != nil && ctx.Err() == nil {
		s.note(m, err, true) // a place that cannot be listed is no place
	}
	return list, err
}

// Sweep removes temporary files everywhere. A place that takes far longer than the others for it is left alone for a while.
func (s *spread) Sweep(ctx context.Context) error {
	l := s.layout()
	if l.alone() {
		return l.members[0].place.Sweep(ctx)
	}
	s.try(l, l.members, func(_ *member, p place.Place) error {
		if err := p.Sweep(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	return ctx.Err()
}

// share is how many bytes of a pack of n each place gets.
func (s *spread) share(n int64) uint64 { return uint64(n) / uint64(s.layout().need()) }

// Space is that of the place with the least free.
func (s *spread) Space(ctx context.Context) (free, total uint64, err error) {
	err = ErrMissing
	for _, m := range s.layout().members {
		p := m.reader()
		if p == nil {
			continue
		}
		f, t, spaceErr := p.Space(ctx)
		switch {
		case spaceErr != nil:
			s.lost(m, spaceErr)
			if total == 0 {
				err = spaceErr
			}
		case total == 0 || f < free:
			free, total, err = f, t, nil
		}
	}
	return free, total, err
}

// String names the places.
func (s *spread) String() string { return titles(s.layout().members) }

func titles(members []*member) string {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.String()
	}
	return strings.Join(names, ", ")
}

// missing is the error of too few places, which names those that lack.
func (s *spread) missing(l *layout) error {
	return fmt.Errorf("%w: of the vault's %d places %d must be there; not there: %s", ErrMissing, len(l.members), l.need(), titles(l.gone()))
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// nameLocks lets one at a time change a file, so that what is healed is not what was just removed.
type nameLocks struct {
	mu    sync.Mutex
	names map[string]*nameLock
}

type nameLock struct {
	mu    sync.Mutex
	users int
}

// lock waits for its turn; unlock ends it.
func (n *nameLocks) lock(name string) (unlock func()) {
	n.mu.Lock()
	if n.names == nil {
		n.names = map[string]*nameLock{}
	}
	k := n.names[name]
	if k == nil {
		k = new(nameLock)
		n.names[name] = k
	}
	k.users++
	n.mu.Unlock()
	k.mu.Lock()
	return func() {
		k.mu.Unlock()
		n.mu.Lock()
		defer n.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(n.names, name)
		}
	}
}

// notThere tells an error that says no more than that there is no such file.
func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
