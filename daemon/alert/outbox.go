package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"yester/control"
)

// How often a channel that is down is tried: after the first span, then after twice as long each time, at most the second; and for how long an
// alert waits before it is given up, if its channel failed as many times in a row as it is tried in that time: the clock may have leapt. The message itself
// stays in the book.
const (
	firstRetry = 10 * time.Second
	lastRetry  = time.Hour
	giveUp     = 7 * day
	giveUpAt   = int(giveUp / lastRetry)
)

// nap is the longest sleep: a clock that was set is noticed after it.
const nap = time.Minute

// A Mailroom keeps channels and what waits for them over restarts.
type Mailroom interface {
	Channels() ([]control.Channel, error)                  // by name
	Deliveries() ([]control.Delivery, error)               // by channel and id
	PutChannel(control.Channel, ...control.Delivery) error // forgets the deliveries: all or nothing
	ForgetChannel(name string, waiting ...control.Delivery) error
}

// Options of an Outbox. Zero fields get working defaults, but Secrets has none.
type Options struct {
	Secrets  string // folder of the channels' secrets, one file each, which it is made for
	Instance control.Instance
	Version  string // of the program

	Log   *slog.Logger
	Now   func() time.Time
	Zone  func() *time.Location // of the times in mails
	Retry time.Duration         // after the first failure
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Zone == nil {
		o.Zone = func() *time.Location { return time.Local }
	}
	if o.Retry == 0 {
		o.Retry = firstRetry
	}
	return o
}

// An Outbox delivers alerts by its channels, to each of them in the order in which they came, and at least once: after a crash in the wrong moment one
// comes again, with the same id. Its methods may be called from many goroutines.
type Outbox struct {
	o    Options
	keep Mailroom
	wake chan struct{} // has a value when something else may be due than before

	mu     sync.Mutex
	queues map[string]*queue // by name of the channel
	last   int64             // of the ids that were given
}

// A queue is a channel and what waits for it.
type queue struct {
	c       control.Channel
	waiting []control.Delivery // as they came, but for
	unfit   int                // so many at the end that were refused as they are, and let all others go before them
	sending bool               // somebody is at it
	served  served             // who got which of the first ones, while others did not; only for who is at it
}

func newQueue(c control.Channel) *queue { return &queue{c: c, served: served{}} }

// OpenOutbox returns the outbox of what m has kept. Nothing is delivered before Run.
func OpenOutbox(m Mailroom, o Options) (*Outbox, error) {
	b := &Outbox{o: o.withDefaults(), keep: m, wake: make(chan struct{}, 1), queues: map[string]*queue{}}
	channels, err := m.Channels()
	if err != nil {
		return nil, fmt.Errorf("read the channels of alerts: %w", err)
	}
	waiting, err := m.Deliveries()
	if err != nil {
		return nil, fmt.Errorf("read the alerts that wait: %w", err)
	}
	for _, c := range channels {
		b.queues[c.Name] = newQueue(c)
	}
	b.take(waiting)
	return b, nil
}

// Channels lists the channels by name, with how they do.
func (b *Outbox) Channels() []control.Channel {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []control.Channel{}
	for _, q := range b.queues {
		c := q.c
		c.Waiting = len(q.waiting)
		list = append(list, c)
	}
	slices.SortFunc(list, func(x, y control.Channel) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// Add adds a channel with its secret, and returns the key that was made for a webhook that came without. BadRequest; Exists.
func (b *Outbox) Add(c control.Channel, secret string) (control.Channel, string, error) {
	made, err := prepare(&c, &secret)
	if err != nil {
		return c, "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queues[c.Name] != nil {
		return c, "", control.Errorf(control.Exists, "there is a channel %s", c.Name).WithHint("remove it first, or give another --name")
	}
	c.Added = b.o.Now().UTC()
	if err := b.putSecret(c.Name, secret); err != nil {
		return c, "", err
	}
	if err := b.keep.PutChannel(c); err != nil {
		return c, "", errors.Join(fmt.Errorf("keep channel %s: %w", c.Name, err), b.removeSecret(c.Name))
	}
	b.queues[c.Name] = newQueue(c)
	b.o.Log.Info("added a channel of alerts", "channel", c.Name)
	if !made {
		secret = ""
	}
	return c, secret, nil
}

// Remove removes a channel with its secret and what waits for it. NotFound.
func (b *Outbox) Remove(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[name]
	if q == nil {
		return noChannel(name)
	}
	if err := b.keep.ForgetChannel(name, q.waiting...); err != nil {
		return fmt.Errorf("forget channel %s: %w", name, err)
	}
	delete(b.queues, name)
	b.o.Log.Info("removed a channel of alerts", "channel", name, "waiting", len(q.waiting))
	return b.removeSecret(name)
}

func noChannel(name string) error {
	return control.Errorf(control.NotFound, "there is no channel %q", name).WithHint("`yester alerts list` lists them")
}

// Test sends a test alert by one channel, or all of them for "", at the same time, whatever kinds they get. A channel that is well again gets at once what waits
// for it. NotFound.
func (b *Outbox) Test(ctx context.Context, name string) ([]control.ChannelTest, error) {
	var tests []control.ChannelTest
	for _, c := range b.Channels() {
		if name == "" || c.Name == name {
			tests = append(tests, control.ChannelTest{Channel: c.Name})
		}
	}
	switch {
	case len(tests) == 0 && name == "":
		return nil, control.Errorf(control.NotFound, "alerts have no channel yet, they are in `yester messages` only").
			WithHint("`yester alerts add` adds one")
	case len(tests) == 0:
		return nil, noChannel(name)
	}
	var wg sync.WaitGroup
	for i := range tests {
		wg.Go(func() {
			if err := b.test(ctx, tests[i].Channel); err != nil {
				tests[i].Error = line(err.Error())
			}
		})
	}
	wg.Wait()
	return tests, ctx.Err()
}

func (b *Outbox) test(ctx context.Context, name string) error {
	now := b.o.Now().UTC()
	a := control.Alert{
		ID: "test-" + now.Format("20060102T150405.000Z"), Event: control.EventTest, Time: now, Instance: b.o.Instance,
		Text: "this is a test: alerts of " + b.o.Instance.Name + " arrive here",
	}
	b.mu.Lock()
	q := b.queues[name]
	var c control.Channel
	if q != nil {
		c = q.c
	}
	b.mu.Unlock()
	if q == nil {
		return noChannel(name)
	}
	err := b.send(ctx, &c, []control.Alert{a}, served{})
	if _, refused := errors.AsType[*refusal](err); err != nil && !refused {
		return err
	}
	b.delivered(q, nil, err)
	b.woken()
	return err
}

// address makes the deliveries of an event: one for each channel that is to be told. Nobody is told the end of what it was not told.
func (b *Outbox) address(event string, m *control.Message) (to []control.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now().UTC()
	for name, q := range b.queues {
		early := m.Time.Before(q.c.Added) && !q.c.Added.After(now) // else the clock was ahead when it was added
		if len(q.c.Kinds) > 0 && !slices.Contains(q.c.Kinds, m.Kind) || early {
			continue
		}
		b.last = max(b.last+1, now.UnixNano())
		to = append(to, control.Delivery{
			ID: fmt.Sprintf("%020d", b.last), Channel: name, Queued: now,
			Alert: control.Alert{
				ID: m.ID + "/" + event, Event: event, Kind: m.Kind, Cause: m.Cause, Text: m.Text, Time: m.Time, Resolved: m.Resolved,
				Instance: b.o.Instance,
			},
		})
	}
	return to
}

// take puts deliveries that are kept into their queues. Those of a channel that was removed meanwhile are forgotten.
func (b *Outbox) take(to []control.Delivery) {
	defer b.woken()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range to {
		q := b.queues[d.Channel]
		if q == nil {
			if err := b.keep.ForgetChannel(d.Channel, d); err != nil {
				b.o.Log.Error("forget an alert of a channel that is gone", "channel", d.Channel, "err", err)
			}
			continue
		}
		q.waiting = slices.Insert(q.waiting, len(q.waiting)-q.unfit, d)
		var n int64
		_, _ = fmt.Sscanf(d.ID, "%d", &n)
		b.last = max(b.last, n)
	}
}

// stillWaiting returns those that were not delivered yet.
func (b *Outbox) stillWaiting(of []control.Delivery) (left []control.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range of {
		if q := b.queues[d.Channel]; q != nil && slices.ContainsFunc(q.waiting, func(w control.Delivery) bool { return w.ID == d.ID }) {
			left = append(left, d)
		}
	}
	return left
}

func (b *Outbox) woken() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// line is a text in one line.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }

// cut is the begin of a text that has more bytes than most, and what says that it is.
func cut(s string, most int, says string) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + says
}
