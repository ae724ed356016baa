package daemon

import (
	"runtime"
	"testing"

	"yester/sched"
)

func TestRoomToWaitIsLeftWhereSeveralStore(t *testing.T) {
	processors := runtime.GOMAXPROCS(0)
	if processors == 1 {
		t.Skip("needs two processors")
	}
	for priority, want := range map[sched.Priority]int{sched.Low: processors, sched.High: processors, sched.Max: processors + waiting} {
		end := leaveRoomToWait(priority)
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("%s: %d goroutines at once, want %d", priority.Name, got, want)
		}
		end()
		if got := runtime.GOMAXPROCS(0); got != processors {
			t.Errorf("after %s: %d", priority.Name, got)
		}
	}
}
