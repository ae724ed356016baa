package alert

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yester/control"
)

// running has an outbox deliver until the test ends or stop is called.
func running(t *testing.T, b *Outbox) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// A post is a server that notes the ids it gets, and answers what it is set to.
type post struct {
	url string

	mu     sync.Mutex
	status int
	picky  map[string]int // by ids, another status
	ids    []string
	tries  int
}

func newPost(t *testing.T, status int) *post {
	p := &post{status: status}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		id := r.Header.Get(IDHeader)
		status, is := p.picky[id]
		if !is {
			status = p.status
		}
		if p.tries++; status == http.StatusOK {
			p.ids = append(p.ids, id)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *post) set(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

func (p *post) got() ([]string, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ids), p.tries
}

// wait waits until something is so.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func hook(name, url string, kinds ...string) control.Channel {
	return control.Channel{Name: name, Webhook: &control.Webhook{URL: url}, Kinds: kinds}
}

func TestWhatComesUpAgainAfterItsEndWasToldIsToldAgain(t *testing.T) {
	d, p := newDesk(), newPost(t, http.StatusOK)
	c := &clock{time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)}
	b := openOutbox(t, d, Options{Now: func() time.Time { return c.t }})
	add(t, b, hook("hook", p.url), "k")
	book, err := Open(d, b, func() time.Time { return c.t }, func() time.Time { return c.t })
	must(t, err)
	for range 2 {
		must(t, book.Raise("backup", "backup/failed", "it failed"))
		must(t, book.Resolve("backup/failed"))
		c.t = c.t.Add(time.Hour)
	}
	running(t, b)
	want := []string{"m-20261125-0001/raised", "m-20261125-0001/recovered", "m-20261125-0002/raised", "m-20261125-0002/recovered"}
	wait(t, "all alerts", func() bool { ids, _ := p.got(); return len(ids) >= len(want) && d.waiting() == 0 })
	if ids, _ := p.got(); !slices.Equal(ids, want) {
		t.Errorf("got %q", ids)
	}
}

func TestEachCauseIsToldOnceADayAndItsEndOnce(t *testing.T) {
	d, p := newDesk(), newPost(t, http.StatusOK)
	c := &clock{time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)}
	b := openOutbox(t, d, Options{Now: func() time.Time { return c.t }})
	add(t, b, hook("hook", p.url), "k")
	book, err := Open(d, b, func() time.Time { return c.t }, func() time.Time { return c.t })
	must(t, err)
	for range 4 { // it comes and goes, for an hour
		must(t, book.Raise("place", "place/a", "a is missing"))
		must(t, book.Raise("place", "place/a", "a is missing"))
		must(t, book.Resolve("place/a"))
		c.t = c.t.Add(15 * time.Minute)
	}
	must(t, book.Note("damage", "healed/p", "healed"))
	must(t, book.Record("drill", "drill/proven", "well"))
	c.t = c.t.Add(day)
	must(t, book.Raise("place", "place/a", "a is missing"))
	c.t = c.t.Add(day)
	must(t, book.Hold("place", "place/a", "a is missing"))
	must(t, book.Resolve("place/a"))
	running(t, b)
	want := []string{
		"m-20261125-0001/raised", "m-20261125-0001/recovered", "m-20261125-0002/raised", "m-20261126-0001/raised", "m-20261127-0001/raised", "m-20261127-0001/recovered",
	}
	wait(t, "all alerts", func() bool { ids, _ := p.got(); return len(ids) >= len(want) && d.waiting() == 0 })
	if ids, _ := p.got(); !slices.Equal(ids, want) {
		t.Errorf("got %q", ids)
	}
}

func TestChannelsGetTheKindsTheyWantAndNothingOfBefore(t *testing.T) {
	d, p, q, r := newDesk(), newPost(t, http.StatusOK), newPost(t, http.StatusOK), newPost(t, http.StatusOK)
	c := &clock{time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)}
	b := openOutbox(t, d, Options{Now: func() time.Time { return c.t }})
	add(t, b, hook("all", p.url), "k")
	add(t, b, hook("damage", q.url, "damage", "space"), "k")
	book, err := Open(d, b, func() time.Time { return c.t }, func() time.Time { return c.t })
	must(t, err)
	must(t, book.Raise("backup", "backup/failed", "failed"))
	must(t, book.Raise("damage", "damage/x", "damaged"))
	c.t = c.t.Add(time.Minute)
	add(t, b, hook("later", r.url), "k")
	must(t, book.Resolve("backup/failed"))
	must(t, book.Resolve("damage/"))
	c.t = c.t.Add(time.Minute)
	must(t, book.Raise("space", "space/x", "nearly full"))
	stop := running(t, b)
	wait(t, "all alerts", func() bool { return d.waiting() == 0 })
	stop()
	all, _ := p.got()
	some, _ := q.got()
	late, _ := r.got()
	if len(all) != 5 || fmt.Sprint(some) != "[m-20261125-0002/raised m-20261125-0002/recovered m-20261125-0003/raised]" || fmt.Sprint(late) != "[m-20261125-0003/raised]" {
		t.Errorf("got %q, %q, %q", all, some, late)
	}
}

func TestChannelThatIsDownIsTriedAgainInOrderAndOverRestarts(t *testing.T) {
	d, p := newDesk(), newPost(t, http.StatusServiceUnavailable)
	secrets := t.TempDir()
	b := openOutbox(t, d, Options{Secrets: secrets, Retry: time.Millisecond})
	add(t, b, hook("hook", p.url), "k")
	book, err := Open(d, b, time.Now, time.Now)
	must(t, err)
	must(t, book.Raise("place", "place/a", "a is missing"))
	must(t, book.Raise("place", "place/b", "b is missing"))
	stop := running(t, b)
	wait(t, "three tries", func() bool { _, tries := p.got(); return tries >= 3 })
	stop()
	before := d.channels["hook"]
	if ids, _ := p.got(); len(ids) != 0 || before.Failures < 2 || !strings.Contains(before.Error, "503") || before.Next.IsZero() || len(d.deliveries) != 2 {
		t.Errorf("%q arrived; kept %+v and %d", ids, before, len(d.deliveries))
	}

	b = openOutbox(t, d, Options{Secrets: secrets, Retry: time.Millisecond})
	if c := b.Channels(); c[0].Failures != before.Failures || !c[0].Next.Equal(before.Next) || c[0].Waiting != 2 {
		t.Errorf("after a restart %+v, before %+v", c, before)
	}
	book, err = Open(d, b, time.Now, time.Now)
	must(t, err)
	must(t, book.Resolve("place/a"))
	p.set(http.StatusOK)
	running(t, b)
	wait(t, "what waited", func() bool { ids, _ := p.got(); return len(ids) == 3 })
	if ids, _ := p.got(); !strings.HasSuffix(ids[0], "0001/raised") || !strings.HasSuffix(ids[1], "0002/raised") || !strings.HasSuffix(ids[2], "0001/recovered") {
		t.Errorf("got %q", ids)
	}
	wait(t, "the channel to be well", func() bool {
		c := b.Channels()[0]
		return c.Failures == 0 && c.Error == "" && c.Waiting == 0 && !c.Sent.IsZero()
	})
}

func TestChannelThatWasAddedByAClockThatWasAheadIsTold(t *testing.T) {
	d := newDesk()
	c := &clock{time.Date(2036, 11, 25, 10, 0, 0, 0, time.UTC)}
	b := openOutbox(t, d, Options{Now: func() time.Time { return c.t }})
	add(t, b, hook("hook", "http://"+closed(t)), "k")
	book, err := Open(d, b, func() time.Time { return c.t }, func() time.Time { return c.t })
	must(t, err)
	c.t = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	must(t, book.Raise("place", "place/a", "a is missing"))
	must(t, book.Resolve("place/a"))
	if n := b.Channels()[0].Waiting; n != 2 {
		t.Errorf("%d wait", n)
	}
}

func TestPauseDoublesUpToAnHour(t *testing.T) {
	var got []string
	for n := range 12 {
		got = append(got, pause(firstRetry, n).String())
	}
	if want := "[10s 20s 40s 1m20s 2m40s 5m20s 10m40s 21m20s 42m40s 1h0m0s 1h0m0s 1h0m0s]"; fmt.Sprint(got) != want || pause(firstRetry, 1<<40) != lastRetry {
		t.Errorf("got %v", got)
	}
}

func TestNothingIsTriedBeforeItsTimeButATestFreesWhatWaits(t *testing.T) {
	d, p := newDesk(), newPost(t, http.StatusServiceUnavailable)
	b := openOutbox(t, d, Options{Retry: 20 * time.Minute})
	add(t, b, hook("hook", p.url), "k")
	book, err := Open(d, b, time.Now, time.Now)
	must(t, err)
	must(t, book.Raise("place", "place/a", "a is missing"))
	running(t, b)
	wait(t, "the first try", func() bool { return b.Channels()[0].Failures == 1 })
	must(t, book.Raise("place", "place/b", "b is missing")) // wakes it
	due, left := b.due()
	if _, tries := p.got(); tries != 1 || len(due) != 0 || left > nap {
		t.Errorf("%d tries, %d due, next look in %v", tries, len(due), left)
	}
	p.set(http.StatusOK)
	if tests, err := b.Test(t.Context(), ""); err != nil || tests[0].Error != "" {
		t.Errorf("%+v, %v", tests, err)
	}
	wait(t, "what waited", func() bool { ids, _ := p.got(); return len(ids) == 3 })
}

func TestChannelThatHangsKeepsNoOtherWaiting(t *testing.T) {
	d, p := newDesk(), newPost(t, http.StatusOK)
	b := openOutbox(t, d, Options{})
	add(t, b, hook("a-hangs", "http://"+silent(t)), "k")
	add(t, b, hook("b", p.url), "k")
	book, err := Open(d, b, time.Now, time.Now)
	must(t, err)
	stop := running(t, b)
	for i := range 3 {
		must(t, book.Raise("place", fmt.Sprint("place/", i), "missing"))
	}
	wait(t, "the other channel", func() bool { ids, _ := p.got(); return len(ids) == 3 })
	stop() // at once, and that it was cut off is no failure
	if c := b.Channels()[0]; c.Failures != 0 || c.Waiting != 3 {
		t.Errorf("got %+v", c)
	}
}

func TestWhatWaitedAWeekOfTriesIsGivenUp(t *testing.T) {
	d := newDesk()
	c := &clock{time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)}
	var mu sync.Mutex
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return c.t }
	o := Options{Now: now, Secrets: t.TempDir()}
	b := openOutbox(t, d, o)
	add(t, b, hook("hook", "http://"+closed(t)), "k")
	book, err := Open(d, b, now, now)
	must(t, err)
	must(t, book.Raise("place", "place/a", "a is missing"))
	mu.Lock()
	c.t = c.t.Add(giveUp + time.Minute)
	mu.Unlock()
	must(t, book.Raise("place", "place/b", "b is missing"))
	for _, tt := range []struct{ failures, left int }{{0, 2}, {giveUpAt - 2, 2}, {giveUpAt - 1, 1}} { // with few, the clock leapt
		ch := d.channels["hook"]
		ch.Failures, ch.Next = tt.failures, time.Time{}
		d.channels["hook"] = ch
		b = openOutbox(t, d, o)
		stop := running(t, b)
		wait(t, "a try", func() bool { return b.Channels()[0].Failures > tt.failures })
		stop()
		if all, err := d.Deliveries(); err != nil || len(all) != tt.left || all[tt.left-1].Alert.Cause != "place/b" {
			t.Errorf("after %d failures wait %+v, %v", tt.failures+1, all, err)
		}
	}
}

// What the webhook can never take lets all others go before it, those that come later too, and is tried again until it is given up.
func TestAlertThatIsRefusedAsItIsHoldsUpNoOther(t *testing.T) {
	d, p := newDesk(), newPost(t, http.StatusOK)
	p.picky = map[string]int{"m-20261125-0001/raised": http.StatusRequestEntityTooLarge}
	c := &clock{time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)}
	var mu sync.Mutex
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return c.t }
	forward := func(by time.Duration) { mu.Lock(); defer mu.Unlock(); c.t = c.t.Add(by) }
	o := Options{Now: now, Secrets: t.TempDir()}
	b := openOutbox(t, d, o)
	add(t, b, hook("hook", p.url), "k")
	book, err := Open(d, b, now, now)
	must(t, err)
	for _, x := range "abc" {
		must(t, book.Raise("place", "place/"+string(x), "missing"))
	}
	stop := running(t, b)
	wantIDs := func(n int) {
		t.Helper()
		wait(t, "all but one", func() bool {
			ids, _ := p.got()
			return len(ids) == n && d.waiting() == 1 && b.Channels()[0].Failures == 1
		})
	}
	wantIDs(2)
	if ch := b.Channels()[0]; ch.Waiting != 1 || !strings.Contains(ch.Error, "413") || !ch.Next.Equal(now().Add(firstRetry)) {
		t.Errorf("got %+v", ch)
	}
	must(t, book.Raise("place", "place/d", "missing")) // long before it is tried again
	wantIDs(3)
	stop()

	b = openOutbox(t, d, o) // a restart does not give it up, nor lose it
	stop = running(t, b)
	forward(firstRetry)
	b.woken()
	wait(t, "another try", func() bool { return b.Channels()[0].Failures == 2 })
	forward(giveUp)
	b.woken()
	wait(t, "the end of it", func() bool { return d.waiting() == 0 })
	stop()
	if ids, _ := p.got(); fmt.Sprint(ids) != "[m-20261125-0002/raised m-20261125-0003/raised m-20261125-0004/raised]" {
		t.Errorf("got %q", ids)
	}
}

// Where all is refused, each is tried once, and then the channel is one that is down.
func TestWebhookThatRefusesAllIsTriedAgainAndLosesNothing(t *testing.T) {
	d, p := newDesk(), newPost(t, http.StatusBadRequest)
	b := openOutbox(t, d, Options{Retry: 20 * time.Minute})
	add(t, b, hook("hook", p.url), "k")
	book, err := Open(d, b, time.Now, time.Now)
	must(t, err)
	must(t, book.Raise("place", "place/a", "missing"))
	must(t, book.Raise("place", "place/b", "missing"))
	stop := running(t, b)
	wait(t, "a try of each", func() bool { _, tries := p.got(); return tries == 2 && b.Channels()[0].Failures == 1 })
	p.set(http.StatusUnauthorized)
	must(t, book.Raise("place", "place/c", "missing")) // which says nothing of the alert
	wait(t, "a try of what is new", func() bool { return b.Channels()[0].Failures == 2 })
	stop()
	must(t, book.Raise("place", "place/d", "missing"))
	if due, _ := b.due(); len(due) != 0 {
		t.Error("the next one does not wait")
	}
	if _, tries := p.got(); tries != 3 || d.waiting() != 4 {
		t.Errorf("%d tries, %d wait", tries, d.waiting())
	}
	running(t, b)
	p.set(http.StatusOK)
	if _, err := b.Test(t.Context(), ""); err != nil {
		t.Error(err)
	}
	wait(t, "what waited", func() bool { return d.waiting() == 0 })
}

// Of those that were refused as they are, one is tried each time, each in its turn; and once one is taken, all are.
func TestOfAlertsThatAreRefusedOneIsTriedAtATime(t *testing.T) {
	d, p := newDesk(), newPost(t, http.StatusMethodNotAllowed)
	const taken = "m-20261125-0004/raised"
	p.picky = map[string]int{taken: http.StatusOK}
	c := &clock{time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)}
	var mu sync.Mutex
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return c.t }
	b := openOutbox(t, d, Options{Now: now})
	add(t, b, hook("hook", p.url), "k")
	book, err := Open(d, b, now, now)
	must(t, err)
	for _, x := range "abcd" {
		must(t, book.Raise("place", "place/"+string(x), "missing"))
	}
	running(t, b)
	want := func(failures, tries, left int) {
		t.Helper()
		wait(t, "a round", func() bool { return b.Channels()[0].Failures == failures && d.waiting() == left })
		if _, got := p.got(); got != tries {
			t.Errorf("%d tries, want %d", got, tries)
		}
		mu.Lock()
		c.t = c.t.Add(lastRetry)
		mu.Unlock()
	}
	want(1, 5, 3) // a, b, c, d; and as d was taken a once more
	b.woken()
	want(2, 6, 3)
	b.woken()
	want(3, 7, 3)
	p.set(http.StatusOK)
	b.woken()
	want(0, 10, 0)
	if ids, _ := p.got(); fmt.Sprint(ids) != "["+taken+" m-20261125-0001/raised m-20261125-0002/raised m-20261125-0003/raised]" {
		t.Errorf("got %q", ids)
	}
}

func TestRemovedChannelTakesItsAlertsAlong(t *testing.T) {
	d := newDesk()
	b := openOutbox(t, d, Options{})
	add(t, b, hook("hook", "http://"+net.JoinHostPort("127.0.0.1", "9")), "k")
	book, err := Open(d, b, time.Now, time.Now)
	must(t, err)
	must(t, book.Raise("place", "place/a", "a is missing"))
	d.channels = map[string]control.Channel{} // as a crash between the two would leave it
	if again := openOutbox(t, d, Options{}); len(again.Channels()) != 0 || len(d.deliveries) != 0 {
		t.Errorf("kept %+v", d.deliveries)
	}
	must(t, book.Raise("place", "place/b", "b is missing"))
	must(t, b.Remove("hook"))
	if len(d.deliveries) != 0 {
		t.Errorf("kept %+v", d.deliveries)
	}
	if _, _, err := b.Add(hook("hook", "http://127.0.0.1:9"), "k"); err != nil {
		t.Error(err)
	}
	if _, _, err := b.Add(hook("hook", "http://127.0.0.1:9"), "k"); err == nil {
		t.Error("added twice")
	}
}
