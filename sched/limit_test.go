package sched

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Over any ten seconds the rate is within the limit + 5 %, and when there is work it is at least 90 % of it.
func TestLimiterKeepsItsRate(t *testing.T) {
	for _, p := range []Priority{Low, High} {
		synctest.Test(t, func(t *testing.T) {
			l, begin := NewLimiter(p.BytesPerSecond), time.Now()
			var at []time.Duration // when each step had passed
			const step = 300_000
			for i := 0; time.Since(begin) < time.Minute; i++ {
				if err := l.WaitN(t.Context(), step); err != nil {
					t.Fatal(err)
				}
				at = append(at, time.Since(begin))
				if i%100 == 99 {
					time.Sleep(100 * time.Millisecond) // whoever rests has some in hand
				}
			}
			first := 0
			for last := range at {
				for at[last]-at[first] > 10*time.Second {
					first++
				}
				if passed := float64(last-first) * step; passed > p.BytesPerSecond*10*1.05 {
					t.Errorf("%s: %.0f bytes in the ten seconds before %v", p.Name, passed, at[last])
				}
			}
			if rate := float64(len(at)) * step / at[len(at)-1].Seconds(); rate < p.BytesPerSecond*0.9 {
				t.Errorf("%s: %.0f bytes/s", p.Name, rate)
			}
		})
	}
}

func TestLimiterSplitsWhatIsLargerThanItsBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := NewLimiter(10e6).WaitN(t.Context(), 100e6); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d < 9*time.Second || d > 10*time.Second {
			t.Errorf("100 MB took %v", d)
		}
	})
}

func TestNoLimitDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := NewLimiter(0).WaitN(t.Context(), 1<<40); err != nil || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestLimiterEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := NewLimiter(1e6).WaitN(ctx, 1e9); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := NewLimiter(1e6).WaitN(short, 1e9); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLimiterCountsWhatItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waited, none atomic.Int64
		begin := time.Now()
		if err := NewLimiter(10e6).Count(&waited).WaitN(t.Context(), 100e6); err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(waited.Load()); got != time.Since(begin) || got < 9*time.Second {
			t.Errorf("counted %v of %v", got, time.Since(begin))
		}
		if err := NewLimiter(0).Count(&none).WaitN(t.Context(), 100e6); err != nil || none.Load() != 0 {
			t.Errorf("without a limit it waited %v, %v", none.Load(), err)
		}
	})
}
