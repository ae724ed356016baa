package sched

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// burst is how many bytes may pass at once after a rest. It is little beside what passes in ten seconds at the lowest rate, the span over
// which a rate is judged.
const burst = 1 << 20

// A Limiter makes bytes wait their turn. It may be used from many goroutines.
type Limiter struct {
	r      *rate.Limiter
	waited *atomic.Int64 // nil: nobody counts
}

// NewLimiter returns a limiter that lets bytesPerSecond pass; 0 or less: no limit.
func NewLimiter(bytesPerSecond float64) *Limiter {
	if bytesPerSecond <= 0 {
		return &Limiter{r: rate.NewLimiter(rate.Inf, burst)}
	}
	return &Limiter{r: rate.NewLimiter(rate.Limit(bytesPerSecond), burst)}
}

// Count has the time that is spent waiting added to n, in nanoseconds, and returns l.
func (l *Limiter) Count(n *atomic.Int64) *Limiter {
	l.waited = n
	return l
}

// WaitN returns when n bytes may pass, however many they are, or with the context's error.
func (l *Limiter) WaitN(ctx context.Context, n int) error {
	if l.waited != nil && l.r.Limit() != rate.Inf {
		begin := time.Now()
		defer func() { l.waited.Add(int64(time.Since(begin))) }()
	}
	for n > 0 {
		step := min(n, burst)
		if err := l.r.WaitN(ctx, step); err != nil {
			return wait(ctx, err)
		}
		n -= step
	}
	return ctx.Err()
}

// wait prefers the context's error to the limiter's words about a deadline that it would miss.
func wait(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := ctx.Deadline(); ok {
		return context.DeadlineExceeded
	}
	return err
}
