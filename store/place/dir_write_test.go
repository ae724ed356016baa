package place

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// However long the pieces are and wherever they stand in memory and in the file, the file is what was written; and what is long is not in the page cache.
func TestPiecesOfAnyLengthAreWritten(t *testing.T) {
	all := make([]byte, 24<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(all)
	for name, lengths := range map[string][]int{
		"as in a pack":          {8192, 5 << 20, 1 << 20, 8192},
		"one long piece":        {16 << 20},
		"not aligned in memory": {100, 3 << 20, 2<<20 + 1, 4096},
		"short after long":      {2 << 20, 1, 2 << 20},
		"nothing":               {},
	} {
		dir := t.TempDir()
		p, err := NewDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var parts [][]byte
		rest, n := all, 0
		for _, l := range lengths {
			parts, rest, n = append(parts, rest[:l]), rest[l:], n+l
		}
		if err := p.Write(t.Context(), "file", parts...); err != nil {
			t.Fatal(name, err)
		}
		long := name == "one long piece"
		if long && directWorks(t, dir) {
			if pages := cachedPages(t, filepath.Join(dir, "file")); pages > 0 {
				t.Errorf("%s: %d pages are in the page cache", name, pages)
			}
		}
		got, err := os.ReadFile(filepath.Join(dir, "file"))
		if err != nil || !bytes.Equal(got, all[:n]) {
			t.Errorf("%s: %d bytes are not those that were written, %v", name, len(got), err)
		}
	}
}

// directWorks tells whether the file system in dir can be written past the page cache, and the kernel tells what is in that.
func directWorks(t *testing.T, dir string) bool {
	fd, err := unix.Open(filepath.Join(dir, "direct"), unix.O_CREAT|unix.O_WRONLY|unix.O_DIRECT, 0o600)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Cachestat(uint(fd), &unix.CachestatRange{}, &unix.Cachestat_t{}, 0) == nil
}

func cachedPages(t *testing.T, path string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &st, 0); err != nil {
		t.Fatal(err)
	}
	return st.Cache
}
