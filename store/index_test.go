package store

import (
	"fmt"
	"testing"
	"unsafe"
)

// Of what packs have in common, as who wrote them, the vault holds one.
func TestPacksOfAnIndexShareTheirInstance(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 20, 1000)
	for i := range 2 {
		tv.version(fmt.Sprint("v", i), chunks[10*i:10*i+10])
	}
	tv.reopen()
	seen := map[*byte]bool{}
	for _, p := range tv.known() {
		seen[unsafe.StringData(p.instance)] = true
		if p.instance != machine {
			t.Errorf("a pack of %q", p.instance)
		}
	}
	if len(tv.known()) != 2 || len(seen) != 1 {
		t.Errorf("%d packs have %d names", len(tv.known()), len(seen))
	}
}
