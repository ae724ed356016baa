package track

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Before Linux 6.5 an overlay file system writes to files below it unheard.
const overlayHeardSince = 6<<8 | 5

// overlaysUnheard tells whether there are overlays, in whatever mount namespace, and what they write is not heard.
func overlaysUnheard() bool {
	var u unix.Utsname
	return unix.Uname(&u) == nil && kernelVersion(unix.ByteSliceToString(u.Release[:])) < overlayHeardSince && overlayMounted()
}

// kernelVersion makes 0x605 of "6.5.0-14-generic".
func kernelVersion(release string) int {
	var major, minor int
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major<<8 | minor
}

func overlayMounted() bool {
	lists, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, list := range lists {
		if b, err := os.ReadFile(list); err == nil && bytes.Contains(b, []byte(" - overlay ")) {
			return true
		}
	}
	return false
}
