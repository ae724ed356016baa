package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A choice is what of a version is restored: the words that say it, and what they mean.
type choice struct {
	name string
	args []string
	has  func(path string) bool // whether a path of the version is one of those
}

// choices are those of the matrix, for a partition mounted at a folder.
func choices(point string) []choice {
	any := func(path string, is func(name string) bool) bool {
		for name := range strings.SplitSeq(path, "/") {
			if is(name) {
				return true
			}
		}
		return false
	}
	below := func(path, top string) bool { return path == top || strings.HasPrefix(path, top+"/") }
	return []choice{
		{"all", nil, func(string) bool { return true }},
		{
			"include",
			[]string{"--include", "random-*", "--include", filepath.Join(point, "attributes"), "--include", "folders/**"},
			func(path string) bool {
				return any(path, func(name string) bool { return strings.HasPrefix(name, "random-") }) || below(path, "attributes") || strings.HasPrefix(path, "names/folders/")
			},
		},
		{
			"exclude",
			[]string{"--exclude", "*-4096", "--exclude", filepath.Join(point, "links"), "--exclude", "z-four"},
			func(path string) bool {
				return !any(path, func(name string) bool { return strings.HasSuffix(name, "-4096") || name == "z-four" }) && !below(path, "links")
			},
		},
	}
}

// All, some, and all but some of a version, where it was and elsewhere, skipping and overwriting: each time every name is as it was in the version if it was to be
// restored, and as it was before if not. Each file system has a third of the cells, and all of them in a torture.
func TestRestoreMatrix(t *testing.T) {
	t.Parallel()
	for turn, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			p, q := newPartition(t, fs, 16*gib), newPartition(t, fs, 16*gib)
			hostileTree(t, p, 0.001)
			d := start(t, newHome(t))
			d.activate("max", p)
			d.backup(p)
			want := read(t, p.dir, socket)
			cell := 0
			for _, c := range choices(p.dir) {
				for _, to := range []*partition{p, q} {
					for _, mode := range []string{"skip", "overwrite"} {
						if cell++; cell%len(fileSystems) != turn && tortureTime(t) == 0 {
							continue
						}
						t.Run(c.name+"/"+map[*partition]string{p: "where it was", q: "elsewhere"}[to]+"/"+mode, func(t *testing.T) {
							d.t = t
							m := matrixCell{t: t, daemon: d, from: p, to: to, choice: c, overwrite: mode == "overwrite", want: want}
							m.run()
						})
						d.t = t
					}
				}
			}
		})
	}
}

// A matrixCell is one way to restore.
type matrixCell struct {
	t         *testing.T
	daemon    *daemon
	from, to  *partition
	overwrite bool
	choice    choice
	want      manifest
}

func (m *matrixCell) run() {
	args := []string{"restore", "latest", "--partition", m.from.name, "--wait"}
	if m.to != m.from {
		args = append(args, "--to", m.to.dir)
	}
	over := []string{"--on-conflict", "overwrite", "--yes"}
	m.daemon.run(done, append(args, over...)...) // as it was, whatever the cell before left
	spoil(m.t, m.to)
	before := read(m.t, m.to.dir, socket)
	if args = append(args, m.choice.args...); m.overwrite {
		args = append(args, over...)
	}
	m.daemon.run(done, args...)
	after := read(m.t, m.to.dir, socket)
	same(m.t, "what came of it", m.expected(before, after), m.compared(after))
}

// expected is what must come of a tree.
func (m *matrixCell) expected(before, after manifest) manifest {
	all := manifest{}
	for path, w := range m.want {
		b, was := before[path]
		switch has := m.choice.has(path); {
		case has && (!was || m.overwrite || isFolder(b) && isEmpty(before, path)):
			all[path] = w
		case was:
			all[path] = b
		case isFolder(w) && m.leads(path):
			all[path] = after[path] // made on the way: as the version has it, or the time is that of its making
		}
	}
	for path, b := range before {
		if _, there := m.want[path]; !there {
			all[path] = b
		}
	}
	for path := range all {
		if b, was := before[path]; was && isFolder(b) && !(m.overwrite && m.choice.has(path)) {
			r := all[path]
			r.mtime = after[path].mtime // things were put in it
			all[path] = r
		}
	}
	return m.compared(all)
}

// compared is a manifest without what is not compared: the top, which is nobody's but in whole, and how files hang together by hard links when some of
// their names are left as they are.
func (m *matrixCell) compared(all manifest) manifest {
	out := manifest{}
	for path, r := range all {
		if path == "." || path == "lost+found" {
			continue
		}
		if !m.overwrite || m.choice.name != "all" {
			r.nlink, r.group = 0, ""
		}
		out[path] = r
	}
	return out
}

// leads tells whether something that is restored lies below a folder.
func (m *matrixCell) leads(path string) bool {
	for p := range m.want {
		if strings.HasPrefix(p, path+"/") && m.choice.has(p) {
			return true
		}
	}
	return false
}

func isFolder(r record) bool { return r.mode&unix.S_IFMT == unix.S_IFDIR }

func isEmpty(m manifest, path string) bool {
	for p := range m {
		if strings.HasPrefix(p, path+"/") {
			return false
		}
	}
	return true
}
