// Package alert keeps messages: what a person should know without having asked. There is one message for a cause and day, however often
// it comes up, and it says when it was over; what comes up again after that is another one, an hour later at the earliest. It knows nothing of where messages are kept or shown.
//
// What is entered in the Book is also told to those who are not looking, through the channels of an Outbox: a mail server, a webhook, a command.
// That a message came up and that it must be told are kept as one, so that neither a crash nor a channel that is down loses an alert. Each message
// is told once when it came up and once when it was over.
package alert

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"yester/control"
)

const (
	day     = 24 * time.Hour
	history = 90 * day // how long messages are kept that are over

	daily  = 20 * time.Hour // what comes up again within it is not told: less than a day, for what fails every night may fail some minutes earlier than the night before
	hourly = time.Hour      // and only for so long once its end was told: then nobody knows that it goes on
)

// A Keeper keeps messages over restarts.
type Keeper interface {
	Messages() ([]control.Message, error)                  // by id
	PutMessage(control.Message, ...control.Delivery) error // also in the place of one with the same id; all or nothing
	ForgetMessage(id string) error
}

// A Book is where messages are entered. Its methods may be called from many goroutines.
type Book struct {
	keep     Keeper
	out      *Outbox
	now      func() time.Time
	believed func() time.Time

	mu     sync.Mutex
	all    []control.Message             // oldest first
	unkept map[string][]control.Delivery // by ids, of messages that could not be kept as they are, what was to be told of them
}

// Open returns the book of what k has kept. What is entered goes to out; nil: to nobody. What is old is forgotten by a time that is believed, which may be another than now.
func Open(k Keeper, out *Outbox, now, believed func() time.Time) (*Book, error) {
	all, err := k.Messages()
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return &Book{keep: k, out: out, now: now, believed: believed, all: all, unkept: map[string][]control.Delivery{}}, nil
}

// Raise enters that something came up. If its cause did within a day, that message counts one more, and is open again; else, or if it was told that this was over
// and it began more than an hour ago, there is a new one, and an older one of the cause is over.
func (b *Book) Raise(kind, cause, text string) error {
	return b.enter(kind, cause, text, false, control.EventRaised)
}

// Hold enters that something goes on, which may be said again and again: only the first time of those that have a message in common counts.
func (b *Book) Hold(kind, cause, text string) error {
	if b.holds(cause) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.keepRest()
	}
	return b.Raise(kind, cause, text)
}

func (b *Book) holds(cause string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	return slices.ContainsFunc(b.all, func(m control.Message) bool {
		return m.Cause == cause && m.Resolved == nil && lasts(&m, now, day)
	})
}

// lasts tells whether what comes up now is entered in a message of the same cause, which goes on for most if its end was not told.
func lasts(m *control.Message, now time.Time, most time.Duration) bool {
	if m.Recovered {
		most = hourly
	}
	age := now.Sub(m.Time)
	return age >= 0 && age < most
}

// Remind enters anew what came up again within an hour, after it had been told that it was over, and is not. It is to be called often.
func (b *Book) Remind() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	var failed error
	for _, m := range slices.Clone(b.all) {
		if m.Resolved == nil && m.Recovered && !lasts(&m, now, day) {
			failed = errors.Join(failed, b.add(m.Kind, m.Cause, m.Text, false, control.EventRaised))
		}
	}
	return failed
}

// Note enters something that is over already. Its cause too has one message a day.
func (b *Book) Note(kind, cause, text string) error {
	return b.enter(kind, cause, text, true, control.EventRaised)
}

// Record is Note for what went well: it is to be found in the book, and nobody is told.
func (b *Book) Record(kind, cause, text string) error { return b.enter(kind, cause, text, true, "") }

// enter enters something, and event is what a new message of it is told as.
func (b *Book) enter(kind, cause, text string, over bool, event string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.add(kind, cause, text, over, event)
}

// add is enter for who holds b.mu.
func (b *Book) add(kind, cause, text string, over bool, event string) error {
	now := b.now().UTC()
	var failed error
	for i := len(b.all) - 1; i >= 0; i-- {
		m := &b.all[i]
		if m.Cause != cause {
			continue
		}
		if lasts(m, now, daily) {
			m.Count, m.Last, m.Text, m.Resolved = m.Count+1, now, text, nil
			if over {
				m.Resolved = &now
			}
			return b.put(*m, "")
		}
		if m.Resolved == nil {
			m.Resolved = &now // it goes on in the new one
			failed = b.put(*m, "")
		}
		break
	}
	m := control.Message{ID: b.newID(now), Time: now, Kind: kind, Cause: cause, Text: text, Count: 1, Last: now}
	if over {
		m.Resolved = &now
	}
	failed = errors.Join(failed, b.forget(b.believed()))
	b.all = append(b.all, m)
	return errors.Join(failed, b.put(m, event))
}

// Resolve enters that what has this cause is over; or, if it ends in a slash, what has one that begins so.
func (b *Book) Resolve(cause string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.all {
		if m := &b.all[i]; m.Resolved == nil && (m.Cause == cause || strings.HasSuffix(cause, "/") && strings.HasPrefix(m.Cause, cause)) {
			if err := b.end(m, b.now().UTC()); err != nil {
				return err
			}
		}
	}
	return nil
}

// List returns the messages, oldest first; open are those that are not over.
func (b *Book) List(open bool) []control.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []control.Message{}
	for _, m := range b.all {
		if !open || m.Resolved == nil {
			list = append(list, m)
		}
	}
	return list
}

// end ends a message, which is told once.
func (b *Book) end(m *control.Message, now time.Time) error {
	event := control.EventRecovered
	if m.Recovered {
		event = ""
	}
	m.Resolved, m.Recovered = &now, true
	return b.put(*m, event)
}

// put keeps a message, and what is to be told of it if there is an event. It is told also if it cannot be kept, on a full disk say; then it is kept with the next one that can be.
func (b *Book) put(m control.Message, event string) error {
	var to []control.Delivery
	if b.out != nil && event != "" {
		to = b.out.address(event, &m)
	}
	err := b.keep.PutMessage(m, to...)
	if len(to) > 0 {
		b.out.take(to)
	}
	if err != nil {
		b.unkept[m.ID] = append(b.unkept[m.ID], to...)
		return fmt.Errorf("keep message %s: %w", m.ID, err)
	}
	return b.keepRest()
}

// keepRest keeps what could not be kept before.
func (b *Book) keepRest() error {
	for i := range b.all {
		m := &b.all[i]
		to, is := b.unkept[m.ID]
		if !is {
			continue
		}
		if b.out != nil {
			to = b.out.stillWaiting(to)
		}
		if err := b.keep.PutMessage(*m, to...); err != nil {
			return fmt.Errorf("keep message %s: %w", m.ID, err)
		}
		delete(b.unkept, m.ID)
	}
	return nil
}

// newID makes an id: "m-20261125-0001". Ids sort as the messages came.
func (b *Book) newID(now time.Time) string {
	prefix, n := "m-"+now.Format("20060102")+"-", 0
	for _, m := range b.all {
		if number, ok := strings.CutPrefix(m.ID, prefix); ok {
			var last int
			_, _ = fmt.Sscanf(number, "%d", &last)
			n = max(n, last)
		}
	}
	return fmt.Sprintf("%s%04d", prefix, n+1)
}

// forget drops messages that have long been over.
func (b *Book) forget(now time.Time) error {
	var failed error
	b.all = slices.DeleteFunc(b.all, func(m control.Message) bool {
		if failed != nil || m.Resolved == nil || now.Sub(*m.Resolved) < history {
			return false
		}
		failed = b.keep.ForgetMessage(m.ID)
		return failed == nil
	})
	return failed
}
