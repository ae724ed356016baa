package fs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestRequestEndsWhenItIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancel := make(chan struct{})
		asked, unasked := newInterrupt(cancel, nil), newInterrupt(cancel, nil)
		defer asked.end()
		defer unasked.end()
		done := asked.Done()
		if err := errors.Join(asked.Err(), unasked.Err()); err != nil {
			t.Error("cancelled at once:", err)
		}
		close(cancel)
		<-done
		if !errors.Is(asked.Err(), context.Canceled) || !errors.Is(unasked.Err(), context.Canceled) {
			t.Error("Err is", asked.Err(), "and", unasked.Err())
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
