package capture

import (
	"context"

	"golang.org/x/sys/unix"
)

const (
	cacheWindow = 8 << 20
	// maxWindows is how many windows are told apart: those of a larger file are larger. A file of holes may be as large as its maker likes.
	maxWindows = 1 << 16
	// sequentialFrom is the size from which the kernel is told that the file is read in order.
	sequentialFrom = 256 << 10
)

// A pageCache leaves the page cache as it was: of a file that is read it drops again what nobody else had there. It goes by windows, so a file
// that is half cached by its users stays so. What was cached is asked of cachestat (kernel 6.5) before anything is read, for the kernel reads ahead;
// where it cannot be asked, all is dropped.
type pageCache struct {
	fd     int
	size   uint64
	window uint64 // bytes
	hot    []bool // windows that had something cached; nil: none had
	next   uint64 // first byte not dropped nor passed over
}

var oneHot = []bool{true}

// newPageCache asks what is cached of a file. The error is the context's.
func newPageCache(ctx context.Context, f opened, size uint64) (pageCache, error) {
	fd := f.fd
	if size >= sequentialFrom {
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL)
	}
	c := pageCache{fd: fd, size: size, window: cacheWindow}
	cold := f.cold
	if !f.looked {
		cold = !cached(fd, 0, size)
	}
	switch {
	case cold:
		return c, nil
	case size <= cacheWindow:
		c.hot = oneHot
		return c, nil
	}
	for size/c.window >= maxWindows {
		c.window *= 2
	}
	c.hot = make([]bool, (size+c.window-1)/c.window)
	for i := range c.hot {
		if err := ctx.Err(); err != nil {
			return pageCache{}, err
		}
		c.hot[i] = cached(fd, uint64(i)*c.window, c.window)
	}
	return c, nil
}

// passed is told that everything before pos was read, and drops the windows that are complete.
func (c *pageCache) passed(pos uint64) { c.leave(pos - pos%c.window) }

// done drops the rest.
func (c *pageCache) done() { c.leave(c.size) }

// leave drops what was not cached from next up to the end of a window, or of the file.
func (c *pageCache) leave(end uint64) {
	for c.next < end {
		to := end // of what is alike
		if c.hot != nil {
			to = min(end, c.next+c.window)
		}
		if c.hot == nil || !c.hot[c.next/c.window] {
			_ = unix.Fadvise(c.fd, int64(c.next), int64(to-c.next), unix.FADV_DONTNEED)
		}
		c.next = to
	}
}

func cached(fd int, off, n uint64) bool {
	if n == 0 {
		return false // to cachestat it means all
	}
	var st unix.Cachestat_t
	err := unix.Cachestat(uint(fd), &unix.CachestatRange{Off: off, Len: n}, &st, 0)
	return err == nil && st.Cache > 0
}
