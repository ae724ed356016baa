package integration

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newRand returns randomness of a seed that is printed; YESTER_SEED sets it, to have a failure again.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("YESTER_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		must(t, err)
		seed = n
	}
	t.Logf("YESTER_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A changer changes a tree at random.
type changer struct {
	t    testing.TB
	dir  string
	rand *rand.Rand
	made int
}

// change makes about a part of the tree's names different, in every way there is, and returns how many.
func (c *changer) change(m manifest, part float64) int {
	c.t.Helper()
	paths := slices.Sorted(maps.Keys(m))
	paths = slices.DeleteFunc(paths, func(p string) bool { return p == "." || p == socket || strings.HasPrefix(p, "flags") })
	n := max(1, int(float64(len(paths))*part))
	for _, i := range c.rand.Perm(len(paths))[:n] {
		path := filepath.Join(c.dir, paths[i])
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil {
			continue // gone with its folder
		}
		if err := c.one(path, &st); err != nil {
			c.t.Fatalf("change %q: %v", paths[i], err)
		}
	}
	return n
}

func (c *changer) one(path string, st *unix.Stat_t) error {
	ways := []func(string, *unix.Stat_t) error{c.rename, c.touch, c.attribute, c.beside}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		ways = append(ways, c.overwrite, c.overwrite, c.append, c.truncate, c.remove, c.mode, c.link)
	case unix.S_IFDIR:
		ways = append(ways, c.mode, c.inside, c.inside)
	case unix.S_IFLNK:
		ways = []func(string, *unix.Stat_t) error{c.rename, c.touch, c.remove, c.retarget}
	default:
		ways = []func(string, *unix.Stat_t) error{c.rename, c.touch, c.remove, c.mode}
	}
	return ways[c.rand.IntN(len(ways))](path, st)
}

func (c *changer) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.rand.Uint32())
	}
	return b
}

func (c *changer) name() string {
	c.made++
	return fmt.Sprintf("made-%d-%x", c.made, c.rand.Uint32())
}

func (c *changer) write(path string, off int64, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(b, off)
	return err
}

// overwrite keeps the size, and half of the time puts the modification time back, so that only the change time tells.
func (c *changer) overwrite(path string, st *unix.Stat_t) error {
	if st.Size == 0 {
		return c.append(path, st)
	}
	off := c.rand.Int64N(st.Size)
	if err := c.write(path, off, c.bytes(int(min(st.Size-off, 1+c.rand.Int64N(8*kib))))); err != nil {
		return err
	}
	if c.rand.IntN(2) == 0 {
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, st.Mtim}, 0)
	}
	return nil
}

func (c *changer) append(path string, st *unix.Stat_t) error {
	return c.write(path, st.Size, c.bytes(1+c.rand.IntN(100*kib)))
}

func (c *changer) truncate(path string, st *unix.Stat_t) error {
	return os.Truncate(path, c.rand.Int64N(st.Size+1))
}

func (c *changer) remove(path string, _ *unix.Stat_t) error { return os.Remove(path) }

func (c *changer) rename(path string, _ *unix.Stat_t) error {
	return os.Rename(path, filepath.Join(filepath.Dir(path), c.name()))
}

func (c *changer) mode(path string, st *unix.Stat_t) error {
	return unix.Chmod(path, st.Mode&0o7777^uint32(1<<c.rand.IntN(9)))
}

func (c *changer) touch(path string, st *unix.Stat_t) error {
	mtime := unix.Timespec{Sec: st.Mtim.Sec, Nsec: c.rand.Int64N(1e9)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, mtime}, unix.AT_SYMLINK_NOFOLLOW)
}

func (c *changer) attribute(path string, _ *unix.Stat_t) error {
	return unix.Lsetxattr(path, "trusted.changed", c.bytes(1+c.rand.IntN(40)), 0)
}

func (c *changer) link(path string, _ *unix.Stat_t) error {
	return os.Link(path, filepath.Join(filepath.Dir(path), c.name()))
}

func (c *changer) retarget(path string, _ *unix.Stat_t) error {
	return replace(path, func() error { return os.Symlink(c.name(), path) })
}

// beside and inside make new names.
func (c *changer) beside(path string, _ *unix.Stat_t) error {
	return os.WriteFile(filepath.Join(filepath.Dir(path), c.name()), c.bytes(c.rand.IntN(50*kib)), 0o640)
}

func (c *changer) inside(path string, _ *unix.Stat_t) error {
	sub := filepath.Join(path, c.name())
	if err := os.Mkdir(sub, 0o750); err != nil {
		return err
	}
	return c.beside(filepath.Join(sub, "x"), nil)
}
