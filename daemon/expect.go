package daemon

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
)

// expected sums up how much there is to do, as far as can be known: what the parent versions hold, what is used of a whole partition, or
// what a count of the paths says. Both are zero if one of the targets cannot be told.
func (b *backup) expected(ctx context.Context, targets []target) (files, bytes uint64) {
	for _, t := range targets {
		switch p := t.parent; {
		case t.err != nil:
		case p != nil:
			files, bytes = files+p.Totals.Files+p.Totals.Dirs, bytes+p.Totals.Bytes
		case len(t.includes) == 0:
			bytes += t.partition.Used
		case b.priority.BytesPerSecond > 0:
			return 0, 0 // counting is not gentle
		default:
			c := &counter{never: b.never}
			if !c.count(ctx, t.includes) {
				return 0, 0
			}
			files, bytes = files+c.files, bytes+c.bytes
		}
	}
	return files, bytes
}

// A counter counts entries and the bytes of files, for a bar to have an end; it does not look at what is left out.
type counter struct {
	never []string
	files uint64
	bytes uint64
}

// count adds what lies below the paths, and on their file systems. It is false if ctx ended before.
func (c *counter) count(ctx context.Context, paths []string) bool {
	for _, path := range paths {
		var top syscall.Stat_t
		if syscall.Lstat(path, &top) != nil {
			continue
		}
		_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return nil // capture will have something to say about it
			}
			return c.add(path, e, top.Dev)
		})
	}
	return ctx.Err() == nil
}

// add counts an entry. It asks nothing of the folders that are never entered: our own mount is among them.
func (c *counter) add(path string, e fs.DirEntry, dev uint64) error {
	if slices.Contains(c.never, path) {
		return fs.SkipDir
	}
	info, err := e.Info()
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Dev != dev {
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	c.files++
	if info.Mode().IsRegular() {
		c.bytes += uint64(info.Size())
	}
	return nil
}
