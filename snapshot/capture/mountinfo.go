package capture

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A mountLine is one line of /proc/self/mountinfo. Names are bytes, unescaped.
type mountLine struct {
	id, parent   int // parent: of the mount that it lies on
	major, minor uint32
	root         string // of the mount within its file system
	point        string // where it is mounted
	fstype       string
	source       string // what it was mounted from: "/dev/vda1", "server:/export", "none"
	options      string // of the file system, as they stand there
}

// keptToOne tells whether the file system lets in nobody but the user who mounted it, whatever the modes in it say, as the kernel has it for FUSE drivers that do not
// ask for others to be let in.
func (m *mountLine) keptToOne() bool {
	return m.fstype == "fuseblk" && !slices.Contains(strings.Split(m.options, ","), "allow_other")
}

// readMounts returns the mounts of this process's namespace in the order they were made.
func readMounts() ([]mountLine, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return parseMounts(b)
}

func parseMounts(b []byte) ([]mountLine, error) {
	var mounts []mountLine
	for line := range bytes.Lines(b) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) == 0 {
			continue
		}
		m, err := parseMount(string(line))
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// findMount finds the mount of a number among the lines of a mountinfo.
func findMount(b []byte, id uint64) (m mountLine, ok bool) {
	start := append(strconv.AppendUint(nil, id, 10), ' ')
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, start) {
			continue
		}
		m, err := parseMount(strings.TrimSuffix(string(line), "\n"))
		return m, err == nil
	}
	return m, false
}

// parseMount reads one line:
//
//	36 35 98:0 /root\040dir /mnt rw,noatime shared:1 master:2 - ext3 /dev/sda1 rw,errors=continue
//
// Between the options and the dash there may be any number of fields; fields are separated by exactly one space, and the source may be
// empty.
func parseMount(line string) (mountLine, error) {
	left, right, ok := strings.Cut(line, " - ")
	f, g := strings.Split(left, " "), strings.Split(right, " ")
	if !ok || len(f) < 6 || len(g) < 2 {
		return mountLine{}, fmt.Errorf("list mounts: malformed line %q", line)
	}
	m := mountLine{root: unescape(f[3]), point: unescape(f[4]), fstype: unescape(g[0]), source: unescape(g[1]), options: g[len(g)-1]}
	var err error
	if m.id, err = strconv.Atoi(f[0]); err != nil {
		return mountLine{}, fmt.Errorf("list mounts: malformed line %q", line)
	}
	if m.parent, err = strconv.Atoi(f[1]); err != nil {
		return mountLine{}, fmt.Errorf("list mounts: malformed line %q", line)
	}
	if _, err = fmt.Sscanf(f[2], "%d:%d", &m.major, &m.minor); err != nil {
		return mountLine{}, fmt.Errorf("list mounts: malformed line %q", line)
	}
	return m, nil
}

// unescape undoes the kernel's \ooo for space, tab, newline, backslash and hash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
