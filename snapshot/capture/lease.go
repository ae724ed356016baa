package capture

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// A file server may have a lease on a file (F_SETLEASE in fcntl(2)), or have given a delegation of it to a client. Who opens such a file has the kernel ask for it back; that takes
// moments, or if the holder does not answer the time after which the kernel takes it. Opened without waiting, there is an error until then.

// maxLeasePause is the longest time between two attempts to open a leased file.
const maxLeasePause = 250 * time.Millisecond

var errLeased = errors.New("another program has a lease on it, and does not give it up")

// leasePatience is how long a capture waits for leases, all in all: for two that nobody gives up.
func leasePatience() time.Duration {
	seconds := setting("fs/lease-break-time", 45)
	if seconds <= 0 { // it is never taken
		seconds = 45
	}
	return 2 * (time.Duration(seconds)*time.Second + time.Second)
}

// openLeased opens a file for reading, and waits for who may have a lease on it as long as there is patience left.
func (w *walker) openLeased(ctx context.Context, t *target) (fd int, err error) {
	for pause := time.Millisecond; ; pause = min(2*pause, maxLeasePause) {
		fd, err = openAt(t.dir, t.name, openFile)
		switch {
		case err == nil:
			return fd, nil
		case err != unix.EAGAIN:
			return -1, openError(err)
		case w.src.patience.Add(-int64(pause)) < 0:
			return -1, &sourceError{"open", -1, errLeased}
		}
		select {
		case <-ctx.Done():
			return -1, ctx.Err()
		case <-time.After(pause):
		}
	}
}
