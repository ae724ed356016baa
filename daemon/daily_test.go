package daemon

import (
	"context"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"yester/sched"
)

// turns runs a daily loop on a fake clock while body runs, and returns when it had its turns.
func turns(t *testing.T, start *atomic.Value, body func(changed chan<- struct{})) []string {
	t.Helper()
	var got []string
	changed := make(chan struct{}, 1)
	l := &daily{
		now: time.Now,
		next: func(after time.Time) (time.Time, bool) {
			s := start.Load().(string)
			if s == "" {
				return time.Time{}, false
			}
			d, err := sched.ParseDaily(s)
			if err != nil {
				t.Error(err)
			}
			return d.Next(after, time.UTC), true
		},
		turn: func(due, now time.Time) {
			if !due.Equal(now) {
				t.Errorf("due at %v, turn at %v", due, now)
			}
			got = append(got, now.UTC().Format("02 15:04"))
		},
		changed: changed,
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { l.run(ctx); close(done) }()
	body(changed)
	cancel()
	<-done
	return got
}

func TestBackupRunsOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var start atomic.Value
		start.Store("03:17")
		got := turns(t, &start, func(chan<- struct{}) { time.Sleep(72 * time.Hour) }) // the fake clock begins 2000-01-01 00:00 UTC
		if want := []string{"01 03:17", "02 03:17", "03 03:17"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestNewStartTimeCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var start atomic.Value
		start.Store("")
		got := turns(t, &start, func(changed chan<- struct{}) {
			set := func(s string, after time.Duration) {
				time.Sleep(after)
				synctest.Wait()
				start.Store(s)
				changed <- struct{}{}
			}
			set("01:00", time.Hour) // which is now, and so tomorrow
			set("02:00", 2*time.Hour)
			set("", 24*time.Hour)
			time.Sleep(48 * time.Hour)
		})
		if want := []string{"02 02:00"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A clock that was set forward past the start time: the turn comes, and says how late it is.
func TestClockSetForwardIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jump atomic.Int64 // time.Duration
		var late []time.Duration
		now := func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		l := &daily{
			now:     now,
			next:    func(after time.Time) (time.Time, bool) { return sched.Daily{Hour: 3}.Next(after, time.UTC), true },
			turn:    func(due, now time.Time) { late = append(late, now.Sub(due)) },
			changed: make(chan struct{}),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.run(ctx); close(done) }()
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		jump.Store(int64(5 * time.Hour)) // 06:00
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		jump.Store(-int64(time.Hour)) // and back to the time before
		time.Sleep(3 * time.Hour)
		cancel()
		<-done
		if len(late) != 2 || late[0] < 3*time.Hour || late[0] > 3*time.Hour+2*time.Minute || late[1] != 0 {
			t.Errorf("turns were late by %v", late)
		}
	})
}
