package track

import (
	"fmt"
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A clock tells whether the machine's clock was set: a timer far away is cancelled by that. Slewing it, as ntpd does, is not setting it.
type clock struct{ fd int }

func newClock() (*clock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch the clock: %w", err)
	}
	c := &clock{fd}
	far := unix.ItimerSpec{Value: unix.Timespec{Sec: math.MaxInt32 * 100}}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &far, nil); err != nil {
		c.close()
		return nil, fmt.Errorf("watch the clock: %w", err)
	}
	return c, nil
}

// wasSet tells whether the clock was set since the last call.
func (c *clock) wasSet() bool {
	var ticks uint64
	_, err := unix.Read(c.fd, unsafe.Slice((*byte)(unsafe.Pointer(&ticks)), 8))
	return err != unix.EAGAIN
}

func (c *clock) close() {
	if c != nil {
		unix.Close(c.fd)
	}
}
