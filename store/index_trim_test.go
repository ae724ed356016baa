package store

import (
	"path/filepath"
	"testing"

	"yester/store/pack"
)

func TestMappedTablesAreGivenBackAndReadAgain(t *testing.T) {
	tv := newVault(t)
	ids, _ := tv.store("v1", WriterOptions{Encoding: pack.LZ4}, someChunks(9, 20_000, 100))
	tv.reopen()
	look := func() {
		t.Helper()
		for _, id := range ids {
			if _, found, err := tv.index.find(id); !found || err != nil {
				t.Fatal(id, found, err)
			}
		}
	}
	look()
	tables, err := filepath.Glob(filepath.Join(tv.indexDir(), "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	if n := tv.index.unmap(); n != len(tables) {
		t.Errorf("%d of %d tables are given back", n, len(tables))
	}
	look()
	if mappedFiles() == 0 {
		t.Error("it is not to be found out how much is mapped")
	}
}
