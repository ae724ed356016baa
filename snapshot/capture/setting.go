package capture

import (
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// setting is a number in /proc/sys, or what it usually is if it cannot be read.
func setting(name string, usual int) int {
	b, err := os.ReadFile("/proc/sys/" + name)
	n, e := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || e != nil {
		return usual
	}
	return n
}

// dirtyFor is how long the kernel puts off writing a page back, with room.
func dirtyFor() time.Duration {
	return putOff(setting("vm/dirty_expire_centisecs", 3000), setting("vm/dirty_writeback_centisecs", 500))
}

// putOff is dirtyFor by the age that a page must have, and how often such pages are looked for, in hundredths of a second; 0 is never.
func putOff(age, every int) time.Duration {
	if every == 0 {
		return math.MaxInt64
	}
	return max(time.Minute, time.Duration(age+every)*15*time.Millisecond)
}
