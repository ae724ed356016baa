package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"yester/store/pack"
	"yester/store/place"
)

// A member is one of a vault's places, whether it is there or not. What it may be used for follows from the trouble it is in:
//
//	failed   it is not written to, but now and then to see whether it is well again; if it is full, files are removed from it as ever
//	gone     nor is it read from
//	behind   it may lack what the others have, until Mend has gone through it
//
// A vault's only place is never in trouble: there, whoever asks gets the error.
type member struct {
	id    string // 16 hex digits, as in vault.json
	shard int    // the number of the shard that it holds of packs that are spread

	mu     sync.Mutex
	place  place.Place // nil while it is missing
	title  string      // names it to a person
	failed error
	gone   bool
	behind bool
	heir   bool      // it takes over from another place
	stuck  bool      // it lacks nothing but what is to be had only when another place is back
	missed uint64    // counts what it missed, to tell whether that was something while Mend was at work
	busy   int       // calls under way
	tried  time.Time // when it failed, or was last tried again
}

func newMember(in placeInVault, shard int, p place.Place) *member {
	m := &member{id: in.ID, shard: shard, place: p, title: in.Name, heir: in.Replaces != ""}
	if p != nil {
		m.title = p.String()
		return m
	}
	if m.title == "" {
		m.title = "place " + in.ID
	}
	m.failed, m.gone, m.behind = fmt.Errorf("%s: %w", m.title, ErrMissing), true, true
	return m
}

func (m *member) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.title
}

// named tells whether an id or a path is that of the member.
func (m *member) named(name string) bool { return m.id == name || m.String() == name }

// reader returns the place to read from; nil if it is gone.
func (m *member) reader() place.Place {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return nil
	}
	return m.place
}

// well tells whether the member is written to.
func (m *member) well() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed == nil
}

// sheds tells whether files are removed from the member: it is well, or full, which nothing else would end.
func (m *member) sheds() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed == nil || !m.gone && errors.Is(placeError(m.failed), ErrNoSpace)
}

// trouble is why the member is not written to, or nil.
func (m *member) trouble() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// current tells whether the member has all it should.
func (m *member) current() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed == nil && !m.behind
}

// inherits tells whether the member takes over from another place and has not everything yet.
func (m *member) inherits() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heir
}

// inherited ends that.
func (m *member) inherited() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heir = false
}

// enter begins a call that changes something; leave ends it.
func (m *member) enter() place.Place {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy++
	return m.place
}

func (m *member) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy--
}

// miss notes that something was written that the member has not got.
func (m *member) miss() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.behind, m.stuck = true, false
	m.missed++
}

// misses counts what was missed.
func (m *member) misses() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.missed
}

// fail has the member not written to, nor read from if it is gone. It tells whether that is news.
func (m *member) fail(err error, gone bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	news := m.failed == nil || gone && !m.gone
	if m.failed == nil {
		m.failed, m.tried = err, time.Now()
	}
	m.gone = m.gone || gone
	m.behind, m.stuck = true, false
	m.missed++
	return news
}

// recover has the member used again, in the place where it was found; err is what still keeps it from being written to. False if a
// call is still under way that began before. A catch-up under way has passed it over up to now, so that does not end its being behind.
func (m *member) recover(p place.Place, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy > 0 {
		return false
	}
	m.place, m.title, m.failed, m.gone = p, p.String(), err, false
	m.missed++
	return true
}

// due tells whether it is time to try a member that failed again, and takes it that this is done now.
func (m *member) due(every time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed == nil || time.Since(m.tried) < every {
		return false
	}
	m.tried = time.Now()
	return true
}

// caughtUp ends the member's being behind, unless it missed something since it had missed that much. It tells whether it ended it.
func (m *member) caughtUp(missed uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.missed != missed || m.failed != nil || !m.behind {
		return false
	}
	m.behind, m.stuck = false, false
	return true
}

// waitFor notes that the member, which had missed that much, gets no more of it until another place is back. Then everything is looked at again.
func (m *member) waitFor(missed uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stuck = m.behind && m.missed == missed
}

// waits tells whether the member waits for another place to get what it lacks.
func (m *member) waits() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stuck
}

// errSlow is the trouble of a place that takes far longer than the others.
var errSlow = errors.New("it does not answer in time")

// offLine tells whether an error in writing means that reading is of no use either. What else may be wrong, reading finds out.
func offLine(err error) bool {
	for _, e := range []error{errSlow, syscall.ESTALE, syscall.ENOTCONN, syscall.ENODEV, syscall.ENXIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ofPlace tells whether an error in reading means that the whole place is out of reach, not one file or some of its bytes.
func ofPlace(err error) bool {
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrCorrupt),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	}
	for _, e := range []error{
		pack.ErrDamaged, pack.ErrSeal, pack.ErrFormat,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	} {
		if errors.Is(err, e) {
			return false
		}
	}
	return !pack.OfMedium(err)
}

// ofFile tells whether an error in reading says something of the file: that it is damaged, or not there.
func ofFile(err error) bool {
	return isDamage(err) || errors.Is(err, pack.ErrSeal) || pack.OfMedium(err)
}
