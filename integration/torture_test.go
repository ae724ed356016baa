package integration

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// began is when this run did.
var began = time.Now()

// tortureTime is how long tests are to go on under YESTER_TORTURE=SECONDS, all of this run together; 0 without it.
func tortureTime(t testing.TB) time.Duration {
	t.Helper()
	seconds := os.Getenv("YESTER_TORTURE")
	if seconds == "" {
		return 0
	}
	s, err := strconv.Atoi(seconds)
	must(t, err)
	return time.Duration(s) * time.Second
}

// more tells whether a test that goes in rounds is to begin another one: there are n of them, but in a torture as many as begin in time.
func more(t testing.TB, round, n int) bool {
	t.Helper()
	if long := tortureTime(t); long > 0 {
		return round == 0 || time.Since(began) < long
	}
	return round < n
}

// tally prints a count that torture.sh adds up.
func tally(t testing.TB, n int, what string) {
	t.Helper()
	t.Logf("tally: %d %s", n, what)
}
