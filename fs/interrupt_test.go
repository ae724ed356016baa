package fs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSignalEndsRequestAfterPatienceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancel := make(chan struct{})
		c := newInterrupt(cancel, nil)
		defer c.end()
		begin := time.Now()
		close(cancel)
		if err := c.Err(); err != nil {
			t.Error("cancelled at once:", err)
		}
		<-c.Done()
		if d := time.Since(begin); d != patience {
			t.Error("cancelled after", d)
		}
		if !errors.Is(c.Err(), context.Canceled) {
			t.Error("Done, but Err is", c.Err())
		}
	})
}

func TestSignalIsSeenWithoutDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancel := make(chan struct{})
		c := newInterrupt(cancel, nil)
		defer c.end()
		time.Sleep(2 * patience)
		if err := c.Err(); err != nil {
			t.Error("cancelled without a signal:", err)
		}
		close(cancel)
		if !errors.Is(c.Err(), context.Canceled) {
			t.Error("not cancelled")
		}
	})
}

func TestAnsweredRequestLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancel := make(chan struct{}) // never closed: a goroutine that stays fails the test
		c := newInterrupt(cancel, nil)
		c.Done()
		c.end()
		synctest.Wait()
		if c.Err() != nil {
			t.Error("cancelled by its end")
		}
		late := newInterrupt(cancel, nil)
		late.end()
		late.Done()
	})
}
