package alert

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"yester/control"
)

// Run delivers what waits until ctx ends. Each channel has its own pace: one that hangs does not keep others waiting.
func (b *Outbox) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		due, wait := b.due()
		for _, q := range due {
			wg.Go(func() { b.empty(ctx, q) })
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-b.wake:
		}
		timer.Stop()
	}
}

// due takes the queues whose time has come, for the caller to empty, and says when to look again.
func (b *Outbox) due() (due []*queue, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	wait = nap
	for _, q := range b.queues {
		if q.sending || len(q.waiting) == 0 {
			continue
		}
		left := q.c.Next.Sub(now)
		again := left <= 0 || left > lastRetry // the clock was set back
		if again || q.unfit > 0 && q.unfit < len(q.waiting) {
			q.sending = true
			due = append(due, q)
			continue
		}
		wait = min(wait, left)
	}
	return due, wait
}

// empty delivers what waits in a queue, as far as it goes.
func (b *Outbox) empty(ctx context.Context, q *queue) {
	defer b.woken()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		q.sending = false
	}()
	for {
		c, batch := b.next(q)
		if len(batch) == 0 {
			return
		}
		alerts := make([]control.Alert, len(batch))
		for i, d := range batch {
			alerts[i] = d.Alert
		}
		err := b.send(ctx, &c, alerts, q.served)
		_, refused := errors.AsType[*refusal](err)
		_, isUnfit := errors.AsType[*unfit](err)
		switch {
		case err == nil, refused:
			clear(q.served)
			b.delivered(q, batch, err)
		case ctx.Err() != nil:
			return // it was cut off, which says nothing of the channel
		case isUnfit && b.putOff(q):
		default:
			b.failed(q, err)
			return
		}
	}
}

// next are the deliveries that go together as the next ones: several to a mail, or one.
func (b *Outbox) next(q *queue) (control.Channel, []control.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 1
	if q.c.SMTP != nil {
		n = mailful
	}
	if b.queues[q.c.Name] != q { // it was removed
		n = 0
	}
	if q.unfit > 0 && q.unfit == len(q.waiting) {
		q.unfit-- // the first has its turn again, and if it is taken the others have
	}
	return q.c, slices.Clone(q.waiting[:min(n, len(q.waiting))])
}

// putOff has the first of a queue, which was refused as it is, let the others go before it. It returns false if all there are were.
func (b *Outbox) putOff(q *queue) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.waiting = append(q.waiting[1:], q.waiting[0])
	q.unfit++
	return q.unfit < len(q.waiting)
}

// delivered forgets what was delivered: the first ones of the queue. The channel is well, but for some recipients with a refusal.
func (b *Outbox) delivered(q *queue, batch []control.Delivery, refused error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.waiting = q.waiting[len(batch):]
	if q.c.Failures > 0 {
		b.o.Log.Info("a channel of alerts is well again", "channel", q.c.Name, "failures", q.c.Failures)
	}
	q.c.Sent, q.c.Failures, q.c.Failing, q.c.Error, q.c.Next = b.o.Now().UTC(), 0, time.Time{}, "", time.Time{}
	if refused != nil {
		q.c.Error = line(refused.Error())
		b.o.Log.Warn("an alert was not delivered to all", "channel", q.c.Name, "err", q.c.Error)
	}
	b.put(q, batch)
}

// failed has a channel wait, twice as long each time, and gives up what has waited too long: of a channel that has failed as long, or refused as it is.
func (b *Outbox) failed(q *queue, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now().UTC()
	if q.c.Failures == 0 {
		q.c.Failing = now
	}
	q.c.Next = now.Add(pause(b.o.Retry, q.c.Failures))
	q.c.Failures++
	q.c.Error = line(err.Error())
	if _, is := errors.AsType[*unfit](err); !is {
		q.unfit = 0
	}
	fit := len(q.waiting) - q.unfit
	var left, lost []control.Delivery
	for i, d := range q.waiting {
		if now.Sub(d.Queued) <= giveUp || i < fit && q.c.Failures < giveUpAt {
			left = append(left, d)
			continue
		}
		if lost = append(lost, d); i >= fit {
			q.unfit--
		}
	}
	q.waiting = left
	b.o.Log.Warn("an alert was not delivered", "channel", q.c.Name, "waiting", len(q.waiting), "given_up", len(lost), "next", q.c.Next, "err", q.c.Error)
	b.put(q, lost)
}

// pause is how long to wait after so many failures and another one.
func pause(first time.Duration, failures int) time.Duration {
	for ; failures > 0 && first < lastRetry; failures-- {
		first *= 2
	}
	return min(first, lastRetry)
}

// put keeps a channel. What cannot be forgotten now is delivered once more after a restart. b.mu is held.
func (b *Outbox) put(q *queue, done []control.Delivery) {
	if b.queues[q.c.Name] != q {
		return
	}
	if err := b.keep.PutChannel(q.c, done...); err != nil {
		b.o.Log.Error("keep what became of an alert", "channel", q.c.Name, "err", err)
	}
}
