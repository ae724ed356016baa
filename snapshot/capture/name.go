package capture

import (
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
	"strings"

	"yester/snapshot"
)

// maxName is the longest partition name: it is a file name, and needs room for what is put behind it.
const maxName = 120

// partitionName makes a name from a mount point: "/" is "root", "/var/lib" is "var-lib". What is not a letter, digit, dot, dash or underscore,
// and a dot at the front, becomes %xx. Different mount points may get the same name: see partitionNames.
func partitionName(point string) string {
	if point == "/" {
		return "root"
	}
	var b strings.Builder
	for i, c := range []byte(strings.Trim(point, "/")) {
		switch {
		case c == '/':
			b.WriteByte('-')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// partitionNames gives each mount point a name of its own. Among those that would get the same, "/" comes first ("/root" never
// is "root", whether "/" is backed up or not), then the one with the most slashes; the others get a suffix made of their mount point, which so does not
// depend on how many they are.
func partitionNames(points []string) map[string]string {
	sorted := append([]string(nil), points...)
	sort.Slice(sorted, func(i, j int) bool {
		a, b := strings.Count(sorted[i], "/"), strings.Count(sorted[j], "/")
		return a > b || a == b && sorted[i] < sorted[j]
	})
	names, taken := map[string]string{}, map[string]bool{"root": true}
	for _, p := range sorted {
		n := partitionName(p)
		if p != "/" && (taken[n] || len(n) > maxName) {
			n = suffixedName(p)
		}
		names[p], taken[n] = n, true
	}
	return names
}

// suffixedName is the name that a mount point gets if another one has its own.
func suffixedName(point string) string {
	n, h := partitionName(point), fnv.New32a()
	h.Write([]byte(point))
	return fmt.Sprintf("%s-%08x", n[:min(len(n), maxName)], h.Sum32())
}

// KeepPoints has a partition stay at a mount point that it is known by, while it is mounted there, whatever it comes to be mounted at beside: else it would be taken for another one, and the
// one that is known for gone. newest are the mount points that have versions, the one with the newest first. It comes before KeepNames.
func KeepPoints(mounts []Mount, newest []string) {
	rank := func(m *Mount) int {
		if i := slices.Index(newest, m.MountPoint); i >= 0 {
			return i
		}
		return len(newest)
	}
	for i := range mounts {
		m := &mounts[i]
		kept := slices.IndexFunc(mounts, func(k Mount) bool { return m.same != "" && k.MountPoint == m.same && (k.Excluded == "" || k.Broken) })
		if kept >= 0 && rank(m) < rank(&mounts[kept]) {
			exchange(mounts, m, &mounts[kept])
		}
	}
}

// exchange has a mount be backed up instead of the one that it was left out for. Where and from what each is mounted stays with it.
func exchange(mounts []Mount, m, kept *Mount) {
	was := kept.MountPoint
	m.Partition, kept.Partition = at(kept.Partition, &m.Partition), at(m.Partition, &kept.Partition)
	m.Excluded, m.Broken, m.same = kept.Excluded, kept.Broken, ""
	kept.Excluded, kept.Broken, kept.same = backedUpAs+m.MountPoint, false, m.MountPoint
	for i := range mounts {
		if o := &mounts[i]; o.Excluded == backedUpAs+was {
			if o.Excluded = backedUpAs + m.MountPoint; o.same != "" {
				o.same = m.MountPoint
			}
		}
	}
}

// at is a partition as it is mounted where another one is.
func at(p snapshot.Partition, other *snapshot.Partition) snapshot.Partition {
	p.MountPoint, p.Device, p.Name = other.MountPoint, other.Device, partitionName(other.MountPoint)
	return p
}

// KeepNames has names stay with the mount points that they belong to, whatever else is mounted just now: of two that would get the same, the one that has it is not the one that happens
// to be there. of has the mount points by names.
func KeepNames(mounts []Mount, of map[string]string) {
	for i := range mounts {
		m := &mounts[i]
		plain, suffixed := partitionName(m.MountPoint), suffixedName(m.MountPoint)
		owner, owned := of[m.Name]
		switch {
		case of[plain] == m.MountPoint:
			m.Name = plain
		case of[suffixed] == m.MountPoint, owned && owner != m.MountPoint:
			m.Name = suffixed
		}
	}
}
