package capture

import "golang.org/x/sys/unix"

const (
	cacheWindow = 8 << 20
	// sequentialFrom is the size from which the kernel is told that the file is read in order.
	sequentialFrom = 256 << 10
)

// A pageCache leaves the page cache as it was: of a file that is read it drops again what nobody else had there. It goes by windows, so a file
// that is half cached by its users stays so. What was cached is asked of cachestat (kernel 6.5) before anything is read, for the kernel reads ahead;
// where it cannot be asked, all is dropped.
type pageCache struct {
	fd   int
	size uint64
	hot  []bool // windows that had something cached; nil: none had
	next uint64 // first byte not dropped nor passed over
}

var oneHot = []bool{true}

func newPageCache(f opened, size uint64) pageCache {
	fd := f.fd
	if size >= sequentialFrom {
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL)
	}
	c := pageCache{fd: fd, size: size}
	cold := f.cold
	if !f.looked {
		cold = !cached(fd, 0, size)
	}
	switch {
	case cold:
		return c
	case size <= cacheWindow:
		c.hot = oneHot
		return c
	}
	c.hot = make([]bool, (size+cacheWindow-1)/cacheWindow)
	for i := range c.hot {
		c.hot[i] = cached(fd, uint64(i)*cacheWindow, cacheWindow)
	}
	return c
}

// passed is told that everything before pos was read, and drops the windows that are complete.
func (c *pageCache) passed(pos uint64) { c.leave(pos - pos%cacheWindow) }

// done drops the rest.
func (c *pageCache) done() { c.leave(c.size) }

// leave drops what was not cached from next up to the end of a window, or of the file.
func (c *pageCache) leave(end uint64) {
	for c.next < end {
		to := end // of what is alike
		if c.hot != nil {
			to = min(end, c.next+cacheWindow)
		}
		if c.hot == nil || !c.hot[c.next/cacheWindow] {
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
