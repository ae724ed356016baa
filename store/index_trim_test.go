package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
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
	var all uint64
	for _, name := range tables {
		b, err := os.ReadFile(name)
		must(t, err)
		data, end := entriesOf(name), len(b)-4
		sum := b[end-int(binary.BigEndian.Uint32(b[end:])) : end] // of the index and the filter in it, in a few bytes more
		if crc := crc32.Checksum(b[data:end-len(sum)-4], castagnoli); !bytes.Contains(sum, binary.AppendUvarint(nil, uint64(crc))) {
			t.Errorf("of a table of %d bytes %d are entries", len(b), data)
		}
		all += uint64(data)
	}
	m := mappedTables{dir: tv.indexDir()}
	for range 2 {
		n, size := m.unmap()
		if n != len(tables) || size > all || size+uint64(n*os.Getpagesize()) <= all {
			t.Errorf("%d of %d tables are given back, %d bytes of %d", n, len(tables), size, all)
		}
		if m.kept == 0 || m.kept > all/10 {
			t.Errorf("%d bytes are kept, beside %d", m.kept, all)
		}
		look()
	}
	if mappedFiles() == 0 {
		t.Error("it is not to be found out how much is mapped")
	}
}
