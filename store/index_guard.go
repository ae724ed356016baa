package store

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A guard stands between us and an index folder that badger must not be let loose on: badger dies of some damage, and passes over other
// damage in silence. It keeps beside the index a lock, and in it
//
//	CLEAN    after a clean close: size and CRC-32C of every file, so that damage at rest is found before badger meets it; left out
//	         where too much would have to be read for it
//	DOUBT    while the index is being opened, and after an error in it: who finds it makes the index anew
//
// With neither, as after a kill, the tables are checked, see tables.
type guard struct {
	dir     string
	lock    *os.File
	sumOf   map[string]tableSum // by name; badger's tables never change
	atClose int64               // bytes of files that are read for CLEAN
}

const (
	cleanFile = "CLEAN"
	doubtFile = "DOUBT"

	newCleanFile = "CLEAN.new" // CLEAN while it is written

	// readAtClose is some two seconds of reading from a disk, of the ten in which a daemon ends.
	readAtClose = 256 << 20
)

// A tableSum is what a table was when it was read.
type tableSum struct {
	info os.FileInfo
	sum  uint32
}

// is tells whether the table is still the same file, which was not written to since.
func (t *tableSum) is(f os.FileInfo) bool {
	return t.info != nil && os.SameFile(t.info, f) && t.info.Size() == f.Size() && t.info.ModTime().Equal(f.ModTime())
}

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
	return &guard{dir: dir, lock: f, sumOf: map[string]tableSum{}, atClose: readAtClose}, nil
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
	got, err := g.sums(math.MaxInt64)
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

// clean notes what the files are after a clean close, unless there is much that was not read before.
func (g *guard) clean() error {
	sums, err := g.sums(g.atClose)
	if errors.Is(err, errMuch) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(g.path(newCleanFile), []byte(sums), 0o600); err != nil {
		return err
	}
	return os.Rename(g.path(newCleanFile), g.path(cleanFile))
}

var errMuch = errors.New("much of it is new")

// sums lists all files with size and checksum, but for those of the guard. It reads only those that it does not know, no more than so many bytes of them; else
// errMuch.
func (g *guard) sums(most int64) (string, error) {
	files, err := os.ReadDir(g.dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, f := range files {
		if f.Name() == cleanFile || f.Name() == doubtFile || f.Name() == newCleanFile {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return "", err
		}
		known := g.sumOf[f.Name()]
		if !known.is(info) {
			if most -= info.Size(); most < 0 {
				return "", errMuch
			}
			if known.sum, err = fileSum(g.path(f.Name())); err != nil {
				return "", err
			}
			g.know(info, known.sum)
		}
		fmt.Fprintf(&b, "%08x %d %s\n", known.sum, info.Size(), f.Name())
	}
	return b.String(), nil
}

// know keeps the sum of a table.
func (g *guard) know(info os.FileInfo, sum uint32) {
	if filepath.Ext(info.Name()) == ".sst" {
		g.sumOf[info.Name()] = tableSum{info, sum}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func fileSum(name string) (sum uint32, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	_, err = io.Copy(h, bufio.NewReaderSize(f, 1<<20))
	return h.Sum32(), err
}

// moveAside renames the folder of a broken index, for whoever wants to know why it broke; the one before is removed.
func (g *guard) moveAside() error {
	if err := errors.Join(os.RemoveAll(g.aside()), os.Rename(g.dir, g.aside()), os.Mkdir(g.dir, 0o700)); err != nil {
		return fmt.Errorf("move broken index aside: %w", err)
	}
	return nil
}

func (g *guard) aside() string { return g.dir + ".broken" }

// room refuses a full disk: the index is mapped, and writing it there would kill us, and so does badger when it can make no file. A broken one gives way first. ErrIndexSpace.
func (g *guard) room() error {
	err := writable(g.dir)
	if errors.Is(err, ErrIndexSpace) {
		if err = os.RemoveAll(g.aside()); err == nil {
			err = writable(g.dir)
		}
	}
	return err
}

// writable tells whether an index in dir can be written. ErrIndexSpace.
func writable(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	if free := st.Bavail * uint64(st.Bsize); free < indexFull {
		return fmt.Errorf("%w: the index in %s needs %d MB free, there are %d MB", ErrIndexSpace, dir, indexFull>>20, free>>20)
	}
	if st.Files > 0 && st.Ffree < indexFiles { // some file systems have no such bound
		return fmt.Errorf("%w: the index in %s needs %d inodes free, there are %d", ErrIndexSpace, dir, indexFiles, st.Ffree)
	}
	return takesFile(dir)
}

// takesFile makes a file without a name: there may be a quota or no descriptors, or the disk is read-only since an error.
func takesFile(dir string) error {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR): // it cannot be told here
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: make a file of the index: %w", ErrIndexSpace, err)
	}
	return fmt.Errorf("make a file of the index: %w", err)
}

// room tells whether the index can be written; it is asked before each time. ErrIndexSpace.
func (x *index) room() error {
	if x.guard == nil {
		return nil
	}
	return x.guard.room()
}
