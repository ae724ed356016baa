package fs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// A mountPoint is a line of mountinfo.
type mountPoint struct {
	id     int
	device string // "major:minor"
	dir    string
	fsType string
}

// readMounts reads the mounts of our namespace, in the order they were made as far as they cover one another.
func readMounts() ([]mountPoint, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	defer f.Close()
	return parseMounts(f)
}

func parseMounts(r io.Reader) ([]mountPoint, error) {
	var mounts []mountPoint
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if m, ok := parseMount(in.Text()); ok {
			mounts = append(mounts, m)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return mounts, nil
}

// parseMount parses "36 35 98:0 /root /mount/point options [tags…] - type source options".
func parseMount(line string) (m mountPoint, ok bool) {
	head, tail, ok := strings.Cut(line, " - ")
	fields := strings.Fields(head)
	if !ok || len(fields) < 5 {
		return m, false
	}
	m.fsType, _, _ = strings.Cut(tail, " ")
	m.device, m.dir = fields[2], unescapeMount(fields[4])
	id, err := strconv.Atoi(fields[0])
	m.id = id
	return m, err == nil
}

// unescapeMount undoes the \ooo of space, tab, newline and backslash.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// topMount returns the mount that one sees at dir, zero if dir is no mount point. dir must be absolute and free of symlinks.
func topMount(dir string) (top mountPoint, err error) {
	mounts, err := readMounts()
	if err != nil {
		return top, err
	}
	for _, m := range mounts {
		if m.dir == dir {
			top = m
		}
	}
	return top, nil
}

// MountOver is the number of the mount that a path lies in by its name, 0 if that cannot be told. No file system is asked, as it may not answer. The path must be absolute.
func MountOver(path string) int {
	mounts, err := readMounts()
	if err != nil {
		return 0
	}
	var over mountPoint
	for _, m := range mounts {
		if in := strings.TrimSuffix(m.dir, "/"); len(m.dir) >= len(over.dir) && (path == in || strings.HasPrefix(path, in+"/")) {
			over = m
		}
	}
	return over.id
}

// setReadAhead sets how far the kernel reads ahead in this mount's files. Its default of 128 halves what one reader gets,
// and the FUSE protocol can only lower it.
func (at mountPoint) setReadAhead(kb int) error {
	return os.WriteFile("/sys/class/bdi/"+at.device+"/read_ahead_kb", []byte(strconv.Itoa(kb)), 0)
}
