package store

import "testing"

func TestCacheTellsWhatItFoundAndHolds(t *testing.T) {
	v := &Vault{cache: newCache(100)}
	load := func(id ID) ([]byte, error) { return make([]byte, 40), nil }
	for _, n := range []byte{1, 2, 1, 3, 1, 2} { // the third of 40 bytes puts the one out that was not used for longest
		if b, err := v.cache.get(ID{n}, load); err != nil || len(b) != 40 {
			t.Fatalf("got %d bytes, %v", len(b), err)
		}
	}
	if got, want := v.CacheStats(), (CacheStats{Hits: 2, Misses: 4, Bytes: 80}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
