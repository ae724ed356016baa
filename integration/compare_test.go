package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// maxDifferences is how many differences are shown of two trees.
const maxDifferences = 20

// same fails the test if two manifests differ.
func same(t testing.TB, what string, want, got manifest) {
	t.Helper()
	if lines := differences(want, got); len(lines) > 0 {
		more := ""
		if len(lines) > maxDifferences {
			more = fmt.Sprintf("\n  and %d more", len(lines)-maxDifferences)
			lines = lines[:maxDifferences]
		}
		t.Errorf("%s differs:\n  %s%s", what, strings.Join(lines, "\n  "), more)
	}
}

// differences says in words what differs, sorted by path.
func differences(want, got manifest) []string {
	var lines []string
	paths := maps.Clone(want)
	maps.Copy(paths, got)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		w, inWant := want[path]
		g, inGot := got[path]
		switch {
		case !inGot:
			lines = append(lines, fmt.Sprintf("%q is missing", path))
		case !inWant:
			lines = append(lines, fmt.Sprintf("%q should not be there", path))
		default:
			for _, what := range w.differences(g) {
				lines = append(lines, fmt.Sprintf("%q: %s", path, what))
			}
		}
	}
	return lines
}

func (w record) differences(g record) []string {
	var lines []string
	field := func(name string, want, got any) {
		if want != got {
			lines = append(lines, fmt.Sprintf("%s is %v, want %v", name, got, want))
		}
	}
	field("mode", fmt.Sprintf("%o", w.mode), fmt.Sprintf("%o", g.mode))
	field("owner", w.uid, g.uid)
	field("group", w.gid, g.gid)
	field("device", w.rdev, g.rdev)
	field("size", w.size, g.size)
	field("mtime", fmt.Sprintf("%d.%09d", w.mtime.Sec, w.mtime.Nsec), fmt.Sprintf("%d.%09d", g.mtime.Sec, g.mtime.Nsec))
	field("link count", w.nlink, g.nlink)
	field("first hard link", fmt.Sprintf("%q", w.group), fmt.Sprintf("%q", g.group))
	if w.target != g.target {
		lines = append(lines, fmt.Sprintf("target is %.80q (%d bytes), want %.80q (%d)", g.target, len(g.target), w.target, len(w.target)))
	}
	if w.xattrs != g.xattrs {
		lines = append(lines, fmt.Sprintf("attributes are %.300q, want %.300q", g.xattrs, w.xattrs))
	}
	if w.content != g.content {
		lines = append(lines, "content differs")
	}
	return lines
}

// rsyncDifferences asks rsync what it would have to do to make the tree at to equal to the tree at from: a line for each thing. Times are
// compared to the nanosecond. Paths in skip (with a slash at the front: from the top) are left out.
func rsyncDifferences(t testing.TB, from, to string, skip ...string) string {
	t.Helper()
	args := []string{"rsync", "-aHAXS", "--checksum", "-n", "-i", "--delete", "--modify-window=-1"}
	for _, s := range skip {
		args = append(args, "--exclude="+s)
	}
	return command(t, append(args, from+"/", to+"/")...)
}
