package integration

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// lines describes a tree as a person can read and a stranger can check: a line for each path, sorted. What "." has, and of each other path
// what applies:
//
//	"path" 100644 uid gid mtime size, in files sha256 of the content and where the data lies that is in no hole, in groups of hard
//	links how many there are and the first, of symlinks the target, of devices the number, xattrs as name=hex
//
// Paths that cannot be read give their line up to the error, which is at its end.
func lines(t testing.TB, root string) []string {
	t.Helper()
	rd := &reader{groups: map[inode]string{}, names: make([]byte, 64*kib), value: make([]byte, 64*kib), buf: make([]byte, mib)}
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		rel, relErr := filepath.Rel(root, path)
		if relErr != nil {
			return relErr
		}
		if err != nil { // of listing a folder, whose own line is there
			all[rel] += " " + cause(err)
			return nil
		}
		all[rel] = rd.line(path, rel)
		return nil
	}))
	var list []string
	for _, rel := range slices.Sorted(maps.Keys(all)) {
		list = append(list, fmt.Sprintf("%q %s", rel, all[rel]))
	}
	return list
}

// pathOf is the path that a line is about.
func pathOf(line string) string {
	path, _, _ := strings.Cut(line[1:], `" `)
	return path
}

// cause is an error as it stands at the end of a line.
func cause(err error) string { return "(" + errno(err).Error() + ")" }

func errno(err error) unix.Errno {
	for ; err != nil; err = unwrap(err) {
		if e, ok := err.(unix.Errno); ok {
			return e
		}
	}
	return 0
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

func (rd *reader) line(path, rel string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return cause(err)
	}
	s := fmt.Sprintf("%06o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	r, err := rd.record(path, rel)
	if r.nlink > 1 {
		s += fmt.Sprintf(" links=%d of %q", r.nlink, r.group)
	}
	if r.target != "" {
		s += fmt.Sprintf(" -> %q", r.target)
	}
	if r.rdev != 0 {
		s += fmt.Sprintf(" device=%d:%d", unix.Major(r.rdev), unix.Minor(r.rdev))
	}
	for x := range strings.Lines(r.xattrs) {
		s += " " + short(strings.TrimSpace(x))
	}
	if err != nil {
		return s + " " + cause(err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		content, err := contentLine(path, st.Size)
		if err != nil {
			return s + " " + cause(err)
		}
		s += content
	}
	return s
}

// short is an attribute, or what identifies one that is too long for a line.
func short(xattr string) string {
	if len(xattr) < 200 {
		return xattr
	}
	name, value, _ := strings.Cut(xattr, "=")
	return fmt.Sprintf("%s=(%d bytes, sha256 of the digits %x)", name, len(value)/2, sha256.Sum256([]byte(value)))
}

// contentLine is what a line says of a file's content.
func contentLine(path string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && size > 0 {
		return "", err
	}
	s := fmt.Sprintf(" size=%d sha256=%x", size, sha256.Sum256(b))
	for off := int64(0); off < size; {
		start, end, err := nextData(f, off, size)
		if err != nil {
			return "", err
		}
		if start < end && end-start < size {
			s += fmt.Sprintf(" data=%d-%d", start, end)
		}
		off = end
	}
	return s, nil
}

// sameLines fails the test if two lists of lines differ.
func sameLines(t testing.TB, what string, want, got []string) {
	t.Helper()
	var differ []string
	for _, l := range want {
		if !slices.Contains(got, l) {
			differ = append(differ, "lacks "+l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			differ = append(differ, "has   "+l)
		}
	}
	if n := len(differ); n > 0 {
		t.Errorf("%s: %d lines differ:\n  %s", what, n, strings.Join(differ[:min(n, maxDifferences)], "\n  "))
	}
}
