package store

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A guard stands between us and an index folder that badger must not be let loose on: badger dies of some damage, and passes over other
// damage in silence. It keeps beside the index a lock, and in it
//
//	CLEAN    after a clean close: size and CRC-32C of every file, so that damage at rest is found before badger meets it
//	DOUBT    while the index is being opened, and after an error in it: who finds it makes the index anew
//
// After a kill there is neither: then the tables are checked, see tables.
type guard struct {
	dir  string
	lock *os.File
}

const (
	cleanFile = "CLEAN"
	doubtFile = "DOUBT"
)

// newGuard locks the index in dir against other processes. ErrLocked.
func newGuard(dir string) (*guard, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of index: %w", placeError(err))
	}
	f, err := os.OpenFile(dir+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock index: %w", placeError(err))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock index %s: %w", dir, ErrLocked)
	}
	return &guard{dir, f}, nil
}

func (g *guard) release() { g.lock.Close() }

func (g *guard) path(name string) string { return filepath.Join(g.dir, name) }

// inspect tells what is wrong with the index, if it can be told, and whether it was clean, which it ends.
func (g *guard) inspect() (clean bool, err error) {
	if _, err := os.Lstat(g.path(doubtFile)); err == nil {
		return false, errors.New("it could not be opened, or had an error, last time")
	}
	want, err := os.ReadFile(g.path(cleanFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	got, err := g.sums()
	if err != nil {
		return false, err
	}
	if got != string(want) {
		return false, errors.New("its files are not what they were when it was closed")
	}
	return true, os.Remove(g.path(cleanFile))
}

// doubt has the index made anew the next time, unless trust is called.
func (g *guard) doubt() error { return os.WriteFile(g.path(doubtFile), nil, 0o600) }

func (g *guard) trust() error { return os.Remove(g.path(doubtFile)) }

// clean notes what the files are after a clean close.
func (g *guard) clean() error {
	sums, err := g.sums()
	if err != nil {
		return err
	}
	return os.WriteFile(g.path(cleanFile), []byte(sums), 0o600)
}

// sums lists all files with size and checksum, but for those of the guard.
func (g *guard) sums() (string, error) {
	files, err := os.ReadDir(g.dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, f := range files {
		if f.Name() == cleanFile || f.Name() == doubtFile {
			continue
		}
		n, sum, err := fileSum(g.path(f.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%08x %d %s\n", sum, n, f.Name())
	}
	return b.String(), nil
}

func fileSum(name string) (n int64, sum uint32, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err = io.Copy(h, bufio.NewReaderSize(f, 1<<20))
	return n, h.Sum32(), err
}

// moveAside renames the folder of a broken index, for whoever wants to know why it broke; the one before is removed.
func (g *guard) moveAside() error {
	if err := errors.Join(os.RemoveAll(g.aside()), os.Rename(g.dir, g.aside()), os.Mkdir(g.dir, 0o700)); err != nil {
		return fmt.Errorf("move broken index aside: %w", err)
	}
	return nil
}

func (g *guard) aside() string { return g.dir + ".broken" }

// room refuses a full disk: the index is mapped, and writing it there would kill us. A broken one gives way first. ErrIndexSpace.
func (g *guard) room() error {
	free, err := freeIn(g.dir)
	if err == nil && free < indexFull {
		if err = os.RemoveAll(g.aside()); err == nil {
			free, err = freeIn(g.dir)
		}
	}
	if err == nil && free < indexFull {
		err = fmt.Errorf("%w: the index in %s needs %d MB free, there are %d MB", ErrIndexSpace, g.dir, indexFull>>20, free>>20)
	}
	return err
}

func freeIn(dir string) (uint64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	return st.Bavail * uint64(st.Bsize), err
}

// room tells whether the index can be written; it is asked before each time. ErrIndexSpace.
func (x *index) room() error {
	if x.guard == nil {
		return nil
	}
	return x.guard.room()
}
