package track

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Before Linux 6.5 an overlay file system writes to files below it unheard.
const overlayHeardSince = 6<<8 | 5

// overlaysUnheard tells whether what overlays write is not heard by a kernel, and there may have been some. Those that are mounted do not tell: what writes may have been
// ended before the backup, and its overlay with it, in a mount namespace that nobody sees. But the kernel of most has no overlays before the first is mounted.
func overlaysUnheard(kernel int) bool {
	if kernel >= overlayHeardSince {
		return false
	}
	b, err := os.ReadFile("/proc/filesystems")
	return err != nil || strings.Contains(string(b), "\toverlay\n")
}

// runningKernel is the version of the kernel, as kernelVersion makes it.
func runningKernel() int {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0
	}
	return kernelVersion(unix.ByteSliceToString(u.Release[:]))
}

// kernelVersion makes 0x605 of "6.5.0-14-generic".
func kernelVersion(release string) int {
	var major, minor int
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major<<8 | minor
}
