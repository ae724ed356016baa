package capture

import (
	"math"
	"testing"
	"time"
)

func TestPagesAreYoungAsLongAsTheKernelIsToldTo(t *testing.T) {
	for _, c := range []struct {
		age, every int
		want       time.Duration
	}{
		{3000, 500, time.Minute},
		{100, 100, time.Minute},
		{60000, 60000, 30 * time.Minute},
		{3000, 0, math.MaxInt64},
	} {
		if got := putOff(c.age, c.every); got != c.want {
			t.Errorf("%d and %d: %v, want %v", c.age, c.every, got, c.want)
		}
	}
}
