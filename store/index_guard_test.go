package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yester/store/pack"
)

// isClean tells whether the index that is closed has the sums of its files.
func (tv *testVault) isClean() bool {
	tv.t.Helper()
	_, err := os.Lstat(filepath.Join(tv.indexDir(), cleanFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		tv.t.Fatal(err)
	}
	return err == nil
}

// A table is read once, and not again at a close: what became of it since is found at the next start, even if that shows in no time of the file.
func TestTablesAreNotReadAgainAtAClose(t *testing.T) {
	for _, killed := range []bool{false, true} {
		tv := newVault(t)
		chunks := someChunks(5, 100, 10_000)
		ids, _ := tv.store("v1", WriterOptions{Encoding: pack.LZ4}, chunks)
		must(t, tv.Close())
		if killed {
			must(t, os.Remove(filepath.Join(tv.indexDir(), cleanFile)))
		}
		tv.open()
		tv.guard.atClose = 4 << 20 // for what are no tables
		for _, f := range matching(t, tv.indexDir(), "*.sst") {
			harmUnseen(t, f)
		}
		must(t, tv.Close())
		if !tv.isClean() {
			t.Error("it has no sums")
		}
		tv.open()
		tv.holds(ids, chunks)
		if !strings.Contains(tv.log.String(), "made anew") {
			t.Errorf("killed %v: the damage is not found: %s", killed, tv.log)
		}
	}
}

// harmUnseen flips a bit of a file and leaves its time as it was, as a failing disk does.
func harmUnseen(t *testing.T, name string) {
	t.Helper()
	info, err := os.Lstat(name)
	must(t, err)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], 100)
	must(t, err)
	b[0] ^= 4
	_, err = f.WriteAt(b[:], 100)
	must(t, err)
	must(t, os.Chtimes(name, info.ModTime(), info.ModTime()))
}

// Where much of an index is new, a close does not read it: its tables are checked at the next start, and known to the close after it.
func TestCloseReadsNoMoreThanItMay(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		tv := newVault(t)
		tv.guard.atClose = 0
		chunks := someChunks(5, 100, 10_000)
		ids, _ := tv.store("v1", WriterOptions{Encoding: pack.LZ4}, chunks)
		must(t, tv.Close())
		if tv.isClean() {
			t.Error("all of it was read")
		}
		if damaged {
			for _, f := range matching(t, tv.indexDir(), "*.sst") {
				harmUnseen(t, f)
			}
		}
		tv.open()
		tv.holds(ids, chunks)
		if anew := strings.Contains(tv.log.String(), "made anew"); anew != damaged {
			t.Errorf("damaged %v: %s", damaged, tv.log)
		}
		must(t, tv.Close())
		if !tv.isClean() {
			t.Error("a close after which little is new leaves no sums")
		}
		tv.open()
		tv.holds(ids, chunks)
	}
}

// badger makes a file empty first and gives it its length then, and removes one by way of that, so a kill in between leaves an empty one, or a table that its manifest has not.
func TestIndexWithFilesThatWereNeverMadeIsNotMadeAnew(t *testing.T) {
	for name, content := range map[string]string{
		"00999.mem": "", "000999.vlog": "", "000999.sst": "", "000998.sst": "the beginning of a table",
	} {
		tv := newVault(t)
		chunks := someChunks(5, 100, 10_000)
		ids, _ := tv.store("v1", WriterOptions{Encoding: pack.LZ4}, chunks)
		must(t, tv.Close())
		must(t, os.Remove(filepath.Join(tv.indexDir(), cleanFile)))
		must(t, os.WriteFile(filepath.Join(tv.indexDir(), name), []byte(content), 0o600))
		tv.open()
		tv.holds(ids, chunks)
		if strings.Contains(tv.log.String(), "made anew") {
			t.Errorf("%s: %s", name, tv.log)
		}
		more := someChunks(6, 100, 10_000)
		moreIDs, _ := tv.store("v2", WriterOptions{Encoding: pack.LZ4}, more)
		must(t, tv.Close())
		tv.open()
		tv.holds(append(ids, moreIDs...), append(chunks, more...))
		if strings.Contains(tv.log.String(), "made anew") {
			t.Errorf("%s, later: %s", name, tv.log)
		}
	}
}

// What an empty file had is not known if it had something once.
func TestIndexThatLostWhatWasInAFileIsMadeAnew(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(5, 100, 10_000)
	ids, _ := tv.store("v1", WriterOptions{Encoding: pack.LZ4}, chunks)
	must(t, tv.Close())
	must(t, os.Remove(filepath.Join(tv.indexDir(), cleanFile)))
	must(t, os.WriteFile(filepath.Join(tv.indexDir(), "00998.mem"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(tv.indexDir(), "00999.mem"), []byte("the beginning of another"), 0o600))
	tv.open()
	tv.holds(ids, chunks)
	if !strings.Contains(tv.log.String(), "made anew") {
		t.Error("it was opened")
	}
}
