package sched

import (
	"strings"
	"testing"
)

// The table of the service's description.
func TestPriorityTable(t *testing.T) {
	want := []Priority{
		{"low", 1, 10e6, 19, Idle, 0, "zstd", 128e6},
		{"high", 2, 30e6, 10, BestEffort, 7, "zstd", 256e6},
		{"max", 0, 0, 0, BestEffort, 4, "lz4", 400e6},
	}
	for _, w := range want {
		got, err := ParsePriority(w.Name)
		if err != nil || got != w {
			t.Errorf("%s: got %+v, %v", w.Name, got, err)
		}
	}
}

func TestUnknownPriorityNamesThoseThereAre(t *testing.T) {
	_, err := ParsePriority("fast")
	if err == nil || !strings.Contains(err.Error(), "low, high, max") {
		t.Errorf("got %v", err)
	}
}
