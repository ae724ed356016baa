package capture

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unsafe"

	"github.com/bmatcuk/doublestar/v4"

	"yester/snapshot"
)

// systemFolders are never taken from the root partition unless asked for.
var systemFolders = []string{
	"/bin", "/usr/bin", "/sbin", "/usr/sbin", "/boot", "/proc", "/sys", "/srv", "/lib", "/lib32", "/lib64", "/selinux", "/run", "/lost+found",
}

// SystemFolders lists the folders that are never taken from the root partition unless asked for.
func SystemFolders() []string { return slices.Clone(systemFolders) }

// A filter tells which names of a partition are captured. Included paths and system folders are a tree of names beside the tree of
// folders, so a name costs one map lookup near them and none elsewhere.
type filter struct {
	point    string // mount point: patterns see absolute paths
	root     spot
	patterns []string // for the whole path, without its first slash
	bases    []string // for the name alone
	scope    snapshot.Scope
}

// A spot is where in the filter a folder is.
type spot struct {
	node   *node // nil: nothing below is named
	inside bool  // what is not named is in
	tagged bool  // the tag is in, though it is not inside
}

type node struct {
	names   map[string]*node
	include bool // asked for by name
	leads   bool // include, or one is below
	system  bool
}

// newFilter checks and compiles. Includes are absolute paths, links on the way to them are followed; those on other partitions mean nothing
// here.
func newFilter(point string, o *Options) (*filter, error) {
	f := &filter{point: point, root: spot{node: &node{}, inside: len(o.Includes) == 0}}
	for _, in := range o.Includes {
		if !path.IsAbs(in) {
			return nil, fmt.Errorf("include %q: not an absolute path", in)
		}
		real, err := resolveParent(in)
		if err != nil {
			real = path.Clean(in) // not there now, and perhaps later
		}
		f.include(real)
		f.scope.Paths = append(f.scope.Paths, real)
	}
	f.scope.Never = neverIn(point, o.Never)
	if point == "/" && !o.System {
		for _, s := range systemFolders {
			f.root.node.make(s[1:], false).system = true
		}
		f.scope.Never = append(f.scope.Never, systemFolders...)
	}
	f.scope.Excludes, f.scope.Caches, f.scope.Nodump = o.Excludes, o.ExcludeCaches, o.ExcludeNodump
	for _, p := range o.Excludes {
		if err := f.exclude(p); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *filter) include(abs string) {
	if rel, ok := below(abs, f.point); ok {
		f.root.node.make(rel, true).include = true
	} else if isBelow(f.point, abs) {
		f.root.node.include = true
	}
	f.root.inside = f.root.inside || f.root.node.include
}

// make returns the node of a relative path, making those on the way.
func (n *node) make(rel string, leads bool) *node {
	n.leads = n.leads || leads
	for name := range strings.SplitSeq(rel, "/") {
		if name == "" {
			continue
		}
		if n.names == nil {
			n.names = map[string]*node{}
		}
		if n.names[name] == nil {
			n.names[name] = &node{}
		}
		n = n.names[name]
		n.leads = n.leads || leads
	}
	return n
}

func (f *filter) exclude(pattern string) error {
	p := snapshot.Runes(strings.TrimRight(pattern, "/"))
	if p == "" || !doublestar.ValidatePattern(p) {
		return fmt.Errorf("exclude %q: malformed pattern", pattern)
	}
	switch {
	case p[0] == '/':
		f.patterns = append(f.patterns, p[1:])
	case strings.Contains(p, "/"):
		f.patterns = append(f.patterns, "**/"+p)
	default:
		f.bases = append(f.bases, p)
	}
	return nil
}

// enter tells whether name in the folder at is captured, and where it is in the filter. rel is the folder's path below the mount point.
func (f *filter) enter(at spot, rel, name []byte) (next spot, in bool) {
	var n *node
	if at.node != nil && at.node.names != nil {
		n = at.node.names[string(name)]
	}
	next = spot{node: n, inside: at.inside || at.tagged && string(name) == snapshot.CacheTag || n != nil && n.include}
	if next.inside && !(n != nil && n.include) && (n != nil && n.system || f.excluded(rel, name)) {
		next.inside = false
	}
	return next, next.inside || n != nil && n.leads
}

func (f *filter) excluded(rel, name []byte) bool {
	if len(f.bases) == 0 && len(f.patterns) == 0 {
		return false
	}
	s := snapshot.Runes(unsafe.String(unsafe.SliceData(name), len(name))) // patterns only look
	for _, p := range f.bases {
		if doublestar.MatchUnvalidated(p, s) {
			return true
		}
	}
	if len(f.patterns) == 0 {
		return false
	}
	whole := snapshot.Runes(path.Join(f.point, string(rel), s)[1:])
	for _, p := range f.patterns {
		if doublestar.MatchUnvalidated(p, whole) {
			return true
		}
	}
	return false
}
