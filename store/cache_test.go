package store

import (
	"testing"
	"testing/synctest"
)

func TestCacheTellsWhatItFoundAndHolds(t *testing.T) {
	v := &Vault{cache: newCache(100)}
	load := func(ID) ([]byte, bool, error) { return make([]byte, 40), true, nil }
	for _, n := range []byte{1, 2, 1, 3, 1, 2} { // the third of 40 bytes puts the one out that was not used for longest
		if b, err := v.cache.get(ID{n}, load); err != nil || len(b) != 40 {
			t.Fatalf("got %d bytes, %v", len(b), err)
		}
	}
	for n, want := range []bool{false, true, true, false} { // 1 and 2 are there
		if _, ok := v.Cached(ID{byte(n)}); ok != want {
			t.Errorf("chunk %d: %v", n, ok)
		}
	}
	if got, want := v.CacheStats(), (CacheStats{Hits: 4, Misses: 4, Bytes: 80}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A mount makes a panic the error of one request; no other may wait for good because of it.
func TestNobodyWaitsForALoadThatPanicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100)
		begun, panics := make(chan struct{}), make(chan struct{})
		go func() {
			defer func() { recover() }()
			c.get(ID{1}, func(ID) ([]byte, bool, error) {
				close(begun)
				<-panics
				panic("a bug")
			})
		}()
		<-begun
		waiter := make(chan error)
		go func() {
			_, err := c.get(ID{1}, nil)
			waiter <- err
		}()
		synctest.Wait()
		close(panics)
		if err := <-waiter; err == nil {
			t.Error("who waited got something")
		}
		synctest.Wait()
		if b, err := c.get(ID{1}, func(ID) ([]byte, bool, error) { return []byte{5}, true, nil }); err != nil || len(b) != 1 {
			t.Error("later:", b, err)
		}
	})
}
