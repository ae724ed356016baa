package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yester/store/place"
)

// A mender is what a vault does for itself beside its work: it writes anew what reading found damaged, tries places that failed again, and
// makes up what they missed. One goroutine does it, from Open to Close, one thing after the other.
type mender struct {
	v     *Vault
	retry time.Duration // how often places that failed are tried again
	every time.Duration // how often the same file is looked at

	working turn        // taken while anything is done
	looked  time.Time   // when meanwhile did something; for who has the turn
	later   atomic.Bool // something is to be made up for that could not be just now

	mu    sync.Mutex
	queue []damagedFile
	seen  map[string]time.Time // when files were last asked for

	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// A turn is had by one at a time.
type turn chan struct{}

// take waits for the turn, at most as long as the context lasts.
func (t turn) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) end() { <-t }

// A damagedFile is one that was read around damage.
type damagedFile struct {
	name   string
	offset int64 // where, -1 if that is not known
	err    error // what was met
	quiet  bool  // who has it mended tells what became of it
}

const (
	maxDamaged  = 1024 // files that wait to be mended; more will be met again
	maxSeen     = 16 << 10
	retryPlaces = time.Minute
	mendAgain   = time.Hour
)

func newMender(v *Vault) *mender {
	m := &mender{v: v, retry: retryPlaces, every: mendAgain, seen: map[string]time.Time{}, wake: make(chan struct{}, 1), working: make(turn, 1)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

func (m *mender) start() { m.ended.Go(m.run) }

func (m *mender) stop() {
	m.cancel()
	m.ended.Wait()
}

// poke has the mender look whether there is something to do.
func (m *mender) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// ask has a file mended, unless that was tried a short while ago.
func (m *mender) ask(name string, offset int64, err error) {
	if !m.first(name) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) >= maxDamaged {
		delete(m.seen, name)
		return
	}
	m.queue = append(m.queue, damagedFile{name: name, offset: offset, err: err})
	m.poke()
}

// first tells whether a file is asked for the first time in a while.
func (m *mender) first(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.seen[name]; ok && time.Since(at) < m.every {
		return false
	}
	if len(m.seen) >= maxSeen {
		clear(m.seen)
	}
	m.seen[name] = time.Now()
	return true
}

// next takes a file from the queue.
func (m *mender) next() (damagedFile, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		return damagedFile{}, false
	}
	f := m.queue[0]
	m.queue = m.queue[1:]
	return f, true
}

func (m *mender) run() {
	if err := m.v.mendSmallFiles(m.ctx); err != nil && m.ctx.Err() == nil {
		m.v.log.Warn("small files of the vault are not all whole", "err", err)
	}
	for m.ctx.Err() == nil {
		if err := m.round(m.ctx, m.retry); err != nil && m.ctx.Err() == nil {
			m.v.log.Warn("the vault is not all mended", "err", err)
		}
		m.sleep()
	}
}

// sleep waits for something to do.
func (m *mender) sleep() {
	var again <-chan time.Time
	for _, p := range m.v.place.layout().members {
		if (!p.current() || m.later.Load()) && !m.v.place.layout().alone() {
			t := time.NewTimer(m.retry)
			defer t.Stop()
			again = t.C
			break
		}
	}
	select {
	case <-m.wake:
	case <-again:
	case <-m.ctx.Done():
	}
}

// round does what there is to do. Places that failed are tried if they were not for as long as retry.
func (m *mender) round(ctx context.Context, retry time.Duration) error {
	if err := m.working.take(ctx); err != nil {
		return err
	}
	defer m.working.end()
	return m.tend(ctx, retry)
}

// tend is round for who has the turn.
func (m *mender) tend(ctx context.Context, retry time.Duration) error {
	l := m.v.place.layout()
	m.v.retryFailed(ctx, retry, slices.Concat(l.members, l.former))
	var errs []error
	for f, ok := m.next(); ok && ctx.Err() == nil; f, ok = m.next() {
		err := m.v.mendFile(ctx, f, true)
		if errors.Is(err, ErrMissing) {
			m.v.log.Warn("a file cannot be mended while a place is missing", "file", f.name, "err", err)
			continue
		}
		errs = append(errs, err)
	}
	if m.v.someBehind() || m.later.Load() {
		errs = append(errs, m.v.catchUp(ctx, nil))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// retryFailed tries those of some places that failed and were not tried for as long as retry. They are used again, and behind.
func (v *Vault) retryFailed(ctx context.Context, retry time.Duration, places []*member) {
	for _, m := range places {
		if m.due(retry) {
			v.rejoin(ctx, m)
		}
	}
}

// meanwhile is tend now and then, for who has the turn for days: a place that failed for half a minute is not left alone for as long. What goes wrong is left to the next round.
func (m *mender) meanwhile(ctx context.Context) error {
	if m.v.place.layout().complete() || time.Since(m.looked) < m.retry {
		return ctx.Err()
	}
	m.looked = time.Now()
	if err := m.tend(ctx, m.retry); err != nil && ctx.Err() == nil {
		m.v.log.Warn("the vault is not all mended", "err", err)
	}
	return ctx.Err()
}

// someBehind tells whether a place can be brought up to date.
func (v *Vault) someBehind() bool {
	l := v.place.layout()
	for _, m := range l.members {
		if m.well() && !m.current() && !m.waits() && !l.alone() {
			return true
		}
	}
	return false
}

// Mend does at once, and waits for, what the vault does for itself in the background: it tries places that failed again, writes anew what was
// found damaged in reading, and makes up what places missed. What cannot be healed is told to OnTrouble and is no error here, nor
// is a place that is still missing.
func (v *Vault) Mend(ctx context.Context) error {
	if err := v.mend.round(ctx, 0); err != nil {
		return fmt.Errorf("mend vault: %w", err)
	}
	return nil
}

// rejoin looks whether a place that failed is well again. To one that was replaced nothing is written.
func (v *Vault) rejoin(ctx context.Context, m *member) {
	p, err := v.find(ctx, m)
	if err != nil {
		v.log.Debug("a place still fails", "place", m, "err", err)
		return
	}
	gone := m.reader() == nil
	if !slices.Contains(v.place.layout().former, m) {
		err = v.tryOut(ctx, m, p)
	}
	if !m.recover(p, err) {
		return
	}
	if gone {
		v.files.close()          // what they know of missing files is no longer so
		v.mend.later.Store(true) // others may wait for what it has, and what was removed while it was away may give it room
	}
	if m.well() {
		v.log.Info("a place is back", "place", m)
	}
}

// find looks for the member where it was, and where else places are to be seen.
func (v *Vault) find(ctx context.Context, m *member) (place.Place, error) {
	var candidates []place.Place
	if v.o.Look != nil {
		candidates = v.o.Look()
	}
	m.mu.Lock()
	if m.place != nil {
		candidates = append(candidates, m.place)
	}
	m.mu.Unlock()
	err := ErrMissing
	for _, p := range append(candidates, v.o.Places...) {
		s, seeErr := seePlace(ctx, p)
		if seeErr == nil && s.desc.Vault == v.desc.Vault && s.desc.Place == m.id {
			return p, nil
		}
		err = firstOf(seeErr, err)
	}
	return nil, err
}

// tryOut tells what keeps a place from being written to.
func (v *Vault) tryOut(ctx context.Context, m *member, p place.Place) error {
	if err := sweepSoon(ctx, p); err != nil {
		return err
	}
	if err := v.o.roomIn(ctx, p, 0); err != nil {
		return err
	}
	v.describe.Lock()
	defer v.describe.Unlock()
	return writeDescription(ctx, p, v.desc, m.id, v.renewed)
}
