package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yester/store/place"
)

// A patient is a place of several, which is not waited for without end: a disk that died, or a file system over a network whose server is gone, may answer no call ever. While
// a call is overdue no other is begun to the same place, so that one goroutine is lost to it at a time, and nothing that was asked before comes after it.
//
// A vault's only place has no such bound, for there is no other to go on with; but how it does is told in any case.
type patient struct {
	place.Place
	*manner
	several *atomic.Bool // there are other places
}

// A manner is how a place is waited for, whichever time it was looked for.
type manner struct {
	grace   atomic.Int64 // time.Duration
	overdue atomic.Int32 // calls
	closing atomic.Int32 // files whose closing was not waited for to its end

	mu    sync.Mutex
	asked *question // how much space there is; nil: nobody waits for the answer
}

// A question is asked once, and answered to all who ask the same meanwhile.
type question struct {
	asked       time.Time
	answered    chan struct{}
	free, total uint64
	err         error
	late        bool // somebody waited in vain; guarded by manner.mu
}

// answerTime is more than it takes a disk to be reset, to give up a bad sector after trying for long, or a server to be started again: a place that the others cannot do without is
// not given up for that.
const answerTime = 5 * time.Minute

// closeTime is how long it is waited for that a file is closed, so that who lets go of a vault has let go of its disks too.
const closeTime = time.Second

// spaceTime is how long somebody who is to be told how a place does waits for it, also for the only one.
const spaceTime = 15 * time.Second

// longTimes is how many times as long a place may take for what is long: a file of more than longFile bytes, over a slow line, and to sweep, which writes back all that its file
// system has in memory, whoever wrote it.
const (
	longTimes = 12
	longFile  = 1 << 20
)

// patience gives all places of a vault their bounds.
type patience struct {
	several atomic.Bool

	mu    sync.Mutex
	known map[string]*manner // by what places are called, or are if that can be told
}

// with returns the place with a bound.
func (t *patience) with(p place.Place) place.Place {
	if p == nil {
		return nil
	}
	if bounded, ok := p.(*patient); ok {
		return bounded
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	name := p.String()
	if sure, ok := p.(interface{ Identity() string }); ok {
		name = sure.Identity() // another disk that is mounted there answers
	}
	m := t.known[name]
	if m == nil {
		m = new(manner)
		m.grace.Store(int64(answerTime))
		if t.known == nil {
			t.known = map[string]*manner{}
		}
		t.known[name] = m
	}
	return &patient{p, m, &t.several}
}

// An outcome is what a call answered.
type outcome[T any] struct {
	v   T
	err error
}

// within makes a call and waits for it as long as the place is waited for. What comes later is given to late.
func within[T any](p *patient, call func() (T, error), late func(T)) (v T, err error) {
	return withinTimes(p, 1, call, late)
}

func withinTimes[T any](p *patient, times int64, call func() (T, error), late func(T)) (v T, err error) {
	if !p.several.Load() {
		return call()
	}
	if p.overdue.Load() > 0 {
		return v, fmt.Errorf("%s: %w", p, errSlow)
	}
	done := make(chan outcome[T], 1)
	go func() {
		var o outcome[T]
		o.v, o.err = call()
		done <- o
	}()
	limit := time.NewTimer(time.Duration(times * p.grace.Load()))
	defer limit.Stop()
	select {
	case o := <-done:
		return o.v, o.err
	case <-limit.C:
	}
	p.overdue.Add(1)
	go func() {
		if o := <-done; o.err == nil && late != nil {
			late(o.v)
		}
		p.overdue.Add(-1)
	}()
	return v, fmt.Errorf("%s: %w", p, errSlow)
}

// Open implements place.Place.
func (p *patient) Open(ctx context.Context, name string) (place.File, error) {
	f, err := within(p, func() (place.File, error) { return p.Place.Open(ctx, name) }, func(f place.File) { f.Close() })
	if err != nil {
		return nil, err
	}
	return &patientFile{f, p}, nil
}

// List implements place.Place.
func (p *patient) List(ctx context.Context, dir string) ([]place.Info, error) {
	return within(p, func() ([]place.Info, error) { return p.Place.List(ctx, dir) }, nil)
}

// Space implements place.Place.
func (p *patient) Space(ctx context.Context) (free, total uint64, err error) {
	s, err := within(p, func() (s [2]uint64, err error) {
		s[0], s[1], err = p.Place.Space(ctx)
		return s, err
	}, nil)
	return s[0], s[1], err
}

// spaceSoon is Space for who cannot wait, and never asks a place that has not answered yet once more: errSlow. One of several has the time for that which it has for any call, as
// a disk that was asleep or is busy is no lost one; until then the answer is 0.
func (p *patient) spaceSoon(ctx context.Context) (free, total uint64, err error) {
	slow := fmt.Errorf("%s: %w", p, errSlow)
	if p.several.Load() && p.overdue.Load() > 0 {
		return 0, 0, slow
	}
	q, limit := p.ask(context.WithoutCancel(ctx))
	select {
	case <-q.answered:
		return q.free, q.total, q.err
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(limit):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q.late = true
	if p.several.Load() && time.Since(q.asked) < time.Duration(p.grace.Load()) {
		return 0, 0, nil
	}
	return 0, 0, slow
}

// spaceSoon is Space of a place for who cannot wait.
func spaceSoon(ctx context.Context, p place.Place) (free, total uint64, err error) {
	if bounded, ok := p.(*patient); ok {
		return bounded.spaceSoon(ctx)
	}
	return p.Space(ctx)
}

// ask asks for the space, unless that is under way, and tells how long to wait for the answer.
func (p *patient) ask(ctx context.Context) (q *question, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q = p.asked; q != nil && q.late {
		return q, 0
	}
	limit = min(spaceTime, time.Duration(p.grace.Load()))
	if q == nil {
		q = &question{asked: time.Now(), answered: make(chan struct{})}
		p.asked = q
		go func() {
			q.free, q.total, q.err = p.Place.Space(ctx)
			p.mu.Lock()
			p.asked = nil
			p.mu.Unlock()
			close(q.answered)
		}()
	}
	return q, limit
}

// Write implements place.Place. Of several places it writes from memory of its own, which a call that is overdue may read whenever it likes.
func (p *patient) Write(ctx context.Context, name string, parts ...[]byte) error {
	if !p.several.Load() {
		return p.Place.Write(ctx, name, parts...)
	}
	own, times := slices.Concat(parts...), int64(1)
	if len(own) > longFile {
		times = longTimes
	}
	return p.end(times, func() error { return p.Place.Write(ctx, name, own) })
}

// writeShared writes from the caller's memory, by way of run. After errSlow the memory may still be read.
func writeShared(ctx context.Context, p place.Place, name string, parts [][]byte, run func(func())) error {
	write := func(p place.Place) (err error) {
		run(func() { err = p.Write(ctx, name, parts...) })
		return err
	}
	if bounded, ok := p.(*patient); ok {
		return bounded.end(longTimes, func() error { return write(bounded.Place) })
	}
	return write(p)
}

// Remove implements place.Place.
func (p *patient) Remove(ctx context.Context, name string) error {
	return p.end(1, func() error { return p.Place.Remove(ctx, name) })
}

// Sweep implements place.Place.
func (p *patient) Sweep(ctx context.Context) error {
	return p.end(longTimes, func() error { return p.Place.Sweep(ctx) })
}

// sweepSoon sweeps a place that failed, while others may wait for that: no longer than for anything else. What it has not ended by then goes on, and the next try is soon done.
func sweepSoon(ctx context.Context, p place.Place) error {
	if bounded, ok := p.(*patient); ok {
		return bounded.end(1, func() error { return bounded.Place.Sweep(ctx) })
	}
	return p.Sweep(ctx)
}

// end is within for a call that answers nothing but its end.
func (p *patient) end(times int64, call func() error) error {
	_, err := withinTimes(p, times, func() (struct{}, error) { return struct{}{}, call() }, nil)
	return err
}

// A patientFile is a file of a patient.
type patientFile struct {
	place.File
	of *patient
}

var lateBuffers = sync.Pool{New: func() any { return new([]byte) }}

// ReadAt implements io.ReaderAt. Of several places it reads into memory of its own, which a call that is overdue may write to whenever it likes.
func (f *patientFile) ReadAt(b []byte, off int64) (int, error) {
	if !f.of.several.Load() {
		return f.File.ReadAt(b, off)
	}
	type read struct {
		buf *[]byte
		n   int
		err error
	}
	r, err := within(f.of, func() (r read, _ error) {
		r.buf = lateBuffers.Get().(*[]byte)
		if cap(*r.buf) < len(b) {
			*r.buf = make([]byte, len(b))
		}
		r.n, r.err = f.File.ReadAt((*r.buf)[:len(b)], off)
		return r, nil
	}, nil)
	if err != nil {
		return 0, err
	}
	defer lateBuffers.Put(r.buf)
	return copy(b, (*r.buf)[:r.n]), r.err
}

// Close implements io.Closer. Of several places it is not waited for: a file whose read is overdue is closed when that has ended, and closing too may wait for a server that is gone.
func (f *patientFile) Close() error {
	if !f.of.several.Load() {
		return f.File.Close()
	}
	m, closed := f.of.manner, make(chan error, 1)
	go func() { closed <- f.File.Close() }()
	if m.overdue.Load() > 0 || m.closing.Load() > 0 {
		return nil
	}
	grace := time.Duration(m.grace.Load())
	select {
	case err := <-closed:
		return err
	case <-time.After(min(grace, closeTime)):
	}
	m.closing.Add(1)
	go func() {
		defer m.closing.Add(-1)
		select {
		case <-closed:
		case <-time.After(grace):
			m.overdue.Add(1)
			<-closed
			m.overdue.Add(-1)
		}
	}()
	return nil
}
