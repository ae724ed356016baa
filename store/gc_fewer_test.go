package store

import (
	"context"
	"syscall"
	"testing"
)

// A passing is told of each wait.
type passing func()

func (p passing) WaitN(ctx context.Context, _ int) error {
	p()
	return ctx.Err()
}

// A pack that could not go, as its successor lacks in a place, has nothing that is found in it: it stays all the same until every place has the successor.
func TestPackStaysUntilItsSuccessorIsAsSafe(t *testing.T) {
	for _, s := range several {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		sv.backup("v2", 0, 1)
		sv.remove("v1")
		waits := 0
		c, err := sv.Collect(t.Context(), CollectOptions{Mark: sv.mark, Limiter: passing(func() {
			if waits++; waits > 1 {
				sv.mems[0].FailWrites(syscall.ENOSPC)
			}
		})})
		if err != nil || c.Written != 1 || c.Kept != 1 || c.Repacked != 0 {
			t.Fatalf("%v: collected %+v, %v", s, c, err)
		}
		for range 2 {
			if c := sv.collect(); c.Dropped != 0 || c.Kept != 1 {
				t.Errorf("%v: the successor lacks: collected %+v", s, c)
			}
		}
		sv.mems[0].FailWrites(nil)
		sv.mendAll()
		if c := sv.collect(); c.Dropped != 1 || c.Kept != 0 {
			t.Errorf("%v: it lies everywhere: collected %+v", s, c)
		}
		sv.holds()
		sv.clean()
		sv.whole()
	}
}
