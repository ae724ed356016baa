package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// tables tells whether every block of badger's tables has its checksum. It reads one table after the other, of some megabytes each, before
// badger opens them: of one that it cannot read it dies, or says no more than that it does not have what is looked for. One that is not in its manifest was being written, or removed,
// when it was killed: badger removes it unread.
func (g *guard) tables() error {
	files, err := filepath.Glob(g.path("*.sst"))
	if err != nil {
		return err
	}
	listed, err := g.listed()
	if err != nil {
		return err
	}
	for i, f := range files {
		if id, ok := table.ParseFileID(filepath.Base(f)); ok && listed != nil {
			if _, ok := listed[id]; !ok {
				continue
			}
		}
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

// listed are the tables in badger's manifest, nil if there is none.
func (g *guard) listed() (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(g.path(badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(g.dir))
	return m.Tables, err
}

// removeEmpty removes logs without a byte, with which badger does not open: it was killed before it gave one its length, or as it removed one. A log of large values (vlog) never has
// anything of ours. The newest of the others (mem) was not written to yet, or what it had is in a table that the manifest has. Of an older one that is not as certain.
func (g *guard) removeEmpty() error {
	var newest int
	files, err := os.ReadDir(g.dir)
	for _, f := range files {
		newest = max(newest, memNumber(f.Name()))
	}
	for _, f := range files {
		info, infoErr := f.Info()
		if err = errors.Join(err, infoErr); err != nil {
			return err
		}
		n := memNumber(f.Name())
		if info.Size() == 0 && (n > 0 && n == newest || filepath.Ext(f.Name()) == ".vlog") {
			err = os.Remove(g.path(f.Name()))
		}
	}
	return err
}

// memNumber is the number of a log of what is to go into a table, 0 if the file is none.
func memNumber(name string) int {
	number, ok := strings.CutSuffix(name, ".mem")
	n, err := strconv.Atoi(number)
	if !ok || err != nil {
		return 0
	}
	return n
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
