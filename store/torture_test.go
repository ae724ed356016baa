package store

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// began is when this run did.
var began = time.Now()

// newSeed returns the seed of a test that goes by chance, and prints it; YESTER_SEED sets it, to have a failure again.
func newSeed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("YESTER_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("YESTER_SEED=%d", seed)
	return seed
}

// A moment is one at which the power goes: after cut operations of the work that number of tells.
type moment struct{ of, cut int }

// tryMoments cuts the power at some of the moments, up to stride apart; but under YESTER_TORTURE=SECONDS at all, in random order, or at as many as there
// is time for.
func tryMoments(t *testing.T, r *rand.Rand, all []moment, stride int, try func(moment)) {
	t.Helper()
	cuts, until, torture := 0, time.Time{}, os.Getenv("YESTER_TORTURE")
	if torture != "" {
		seconds, err := strconv.Atoi(torture)
		if err != nil {
			t.Fatal(err)
		}
		until = began.Add(time.Duration(seconds) * time.Second)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		stride = 1
	}
	for i := r.IntN(stride); i < len(all) && (torture == "" || cuts == 0 || time.Now().Before(until)); i += 1 + r.IntN(stride) {
		try(all[i])
		cuts++
		if t.Failed() {
			t.Fatalf("cut after %d operations of work %d", all[i].cut, all[i].of)
		}
	}
	t.Logf("tally: %d power cuts", cuts)
}

// moments are those of work number of, whose operations are from to to.
func moments(of, from, to int) (all []moment) {
	for cut := from; cut <= to; cut++ {
		all = append(all, moment{of, cut})
	}
	return all
}

// oneIn returns n, but under YESTER_TORTURE 1: a test tries one in so many.
func oneIn(n int) int {
	if os.Getenv("YESTER_TORTURE") != "" {
		return 1
	}
	return n
}
