package capture

import (
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pages tells how many pages of [off, off+n) are cached.
func pages(t testing.TB, path string, off, n uint64, drop bool) uint64 {
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	if drop {
		must(t, unix.Fadvise(int(f.Fd()), int64(off), int64(n), unix.FADV_DONTNEED))
	}
	var st unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: off, Len: n}, &st, 0); err != nil {
		t.Skipf("needs cachestat: %v", err)
	}
	return st.Cache
}

func TestPageCacheIsLeftAsItWas(t *testing.T) {
	r, dir := emptyRig(t)
	const window = cacheWindow
	names := []string{"cold", "half", "hot", "small"}
	for _, n := range names[:3] {
		write(t, dir+"/"+n, strings.Repeat(n[:3]+"-", 3*window/4))
	}
	write(t, dir+"/small", "x")
	unix.Sync()
	want := map[string][3]uint64{"hot": {2048, 2048, 2048}, "half": {0, 2048, 0}}
	var got map[string][3]uint64
	// Whoever else is on the machine may drop what is to stay, so it is tried some times.
	for range 20 {
		got = map[string][3]uint64{}
		for _, n := range names {
			_, err := os.ReadFile(dir + "/" + n)
			must(t, err)
			for i, keep := range want[n] {
				pages(t, dir+"/"+n, uint64(i)*window, window, keep == 0)
			}
		}
		r.last = nil
		r.run()
		for _, n := range names {
			var p [3]uint64
			for i := range p {
				p[i] = pages(t, dir+"/"+n, uint64(i)*window, window, false)
			}
			got[n] = p
		}
		if got["cold"] == want["cold"] && got["small"] == want["small"] && got["hot"] == want["hot"] && got["half"] == want["half"] {
			return
		}
	}
	t.Errorf("pages cached in each window: %v, want %v", got, want)
}

// Anybody can make a file of holes as large as its file system lets it be.
func TestFileOfHolesTakesNoTimeForItsSize(t *testing.T) {
	point := partition(t, "xfs")
	const size = 1 << 62
	write(t, point+"/file", "")
	f, err := os.OpenFile(point+"/file", os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), size-1)
	must(t, err)
	r := newRig(t, point)
	_, e := only(t, r, r.run())
	data, holes := r.holesOf(&e)
	if e.Size != size || data == 0 || data > 1<<20 || len(holes) != 1 {
		t.Errorf("%d bytes, %d of data, holes %v", e.Size, data, holes)
	}

	ctx, cancel := context.WithCancel(t.Context())
	c, err := newPageCache(ctx, opened{fd: int(f.Fd())}, math.MaxInt64)
	if err != nil || len(c.hot) > maxWindows || len(c.hot) < maxWindows/2 || !slices.Contains(c.hot, true) {
		t.Errorf("%d windows, %v", len(c.hot), err)
	}
	cancel()
	if _, err := newPageCache(ctx, opened{fd: int(f.Fd())}, math.MaxInt64); err != context.Canceled {
		t.Error(err)
	}
}
