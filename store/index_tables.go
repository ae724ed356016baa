package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// tables tells whether every block of badger's tables has its checksum. It reads one table after the other, of some megabytes each, before
// badger opens them: of one that it cannot read it dies, or says no more than that it does not have what is looked for.
func (g *guard) tables() error {
	files, err := filepath.Glob(g.path("*.sst"))
	if err != nil {
		return err
	}
	for i, f := range files {
		info, err := os.Lstat(f)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(f)
		if err == nil {
			err = verifyTable(b, uint64(i))
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", filepath.Base(f), err)
		}
		g.know(info, crc32.Checksum(b, castagnoli))
	}
	return nil
}

// verifyTable checks the checksums of a table: data blocks, index, its length (u32), checksum, its length (u32), big-endian. The library
// ends the process when these lengths are wrong, and panics when others are.
func verifyTable(b []byte, id uint64) (err error) {
	be, n := binary.BigEndian, uint64(len(b))
	if n < 8 {
		return errBadIndex
	}
	sum := uint64(be.Uint32(b[n-4:]))
	if sum+8 > n {
		return errBadIndex
	}
	if index := uint64(be.Uint32(b[n-8-sum:])); index+sum+8 > n {
		return errBadIndex
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %.200v", errBadIndex, p)
		}
	}()
	t, err := table.OpenInMemoryTable(b, id, &table.Options{Compression: options.None, ChkMode: options.OnBlockRead})
	if err != nil {
		return err
	}
	return t.VerifyChecksum()
}
