package capture

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestCancelStopsWithinASecond(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", strings.Repeat("x", 8<<20))
	ctx, cancel := context.WithCancel(t.Context())
	var stopped time.Time
	r.o.trace = func(op, path string) {
		if op == "read" {
			cancel()
			stopped = time.Now()
		}
	}
	_, err := r.try(ctx)
	if err != context.Canceled || stopped.IsZero() || time.Since(stopped) > time.Second {
		t.Errorf("%v after %v", err, time.Since(stopped))
	}
	if got := r.vault.Versions(r.o.Instance.ID); len(got) != 0 {
		t.Errorf("committed %v", got)
	}
	r.o.trace = nil
	r.run()
}

func TestCancelledWaitForTheLimiter(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", "x")
	ctx, cancel := context.WithCancel(t.Context())
	r.o.Limiter = waiter(func(ctx context.Context, n int) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if _, err := r.try(ctx); err != context.Canceled {
		t.Error(err)
	}
}

type waiter func(ctx context.Context, n int) error

func (w waiter) WaitN(ctx context.Context, n int) error { return w(ctx, n) }

var noLimit = waiter(func(context.Context, int) error { return nil })

func TestAllReadsPassTheLimiter(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/large", strings.Repeat("x", 3<<20))
	write(t, dir+"/small", "x")
	sum := 0
	r.o.Limiter = waiter(func(_ context.Context, n int) error {
		if sum += n; n > maxRead {
			t.Errorf("asked for %d at once", n)
		}
		return nil
	})
	if v := r.run(); uint64(sum) != v.ReadBytes || sum != 3<<20+1 {
		t.Errorf("asked for %d, read %d", sum, v.ReadBytes)
	}
}

type counts struct{ files, bytes atomic.Uint64 }

func (c *counts) Add(files, bytes uint64) { c.files.Add(files); c.bytes.Add(bytes) }

func TestProgressAddsUpToTotals(t *testing.T) {
	point := partition(t, "ext4")
	hostile(t, point)
	r := newRig(t, point)
	for range 2 {
		c := &counts{}
		r.o.Progress = c
		v := r.run()
		if c.files.Load() != v.Totals.Files+v.Totals.Dirs+1 || c.bytes.Load() != v.Totals.Bytes {
			t.Errorf("told %d files, %d bytes; want %+v", c.files.Load(), c.bytes.Load(), v.Totals)
		}
	}
}

func TestNothingIsLeftOpen(t *testing.T) {
	r, dir := emptyRig(t)
	for i := range 300 {
		write(t, fmt.Sprintf("%s/%d/%03d", dir, i/100, i), "x")
	}
	open := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(fds)
	}
	before := open()
	r.run()
	r.last = nil
	ctx, cancel := context.WithCancel(t.Context())
	r.o.trace = func(op, path string) {
		if path == "1/150" {
			cancel()
		}
	}
	if _, err := r.try(ctx); err != context.Canceled {
		t.Error(err)
	}
	if after := open(); after != before {
		t.Errorf("%d descriptors open, before %d", after, before)
	}
}
