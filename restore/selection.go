package restore

import (
	"path"
	"slices"
	"strings"

	"yester/snapshot"
)

// A selection tells which names of a version are restored.
type selection struct {
	point    string // mount point: patterns see absolute paths
	root     *node  // of the paths; nil: all
	includes globs  // none: all
	excludes globs
}

// A node is a name on the way to a path.
type node struct {
	names map[string]*node
	whole bool // asked for
}

// A spot is where in the selection a folder is.
type spot struct {
	node *node // nil: no path is below
	path bool  // below one of the paths
	in   bool  // restored as a whole, but for what is excluded
}

func newSelection(o *Options) (s selection, err error) {
	s.point = o.Version.Partition.MountPoint
	if s.includes, err = newGlobs(o.Includes); err != nil {
		return s, err
	}
	if s.excludes, err = newGlobs(o.Excludes); err != nil {
		return s, err
	}
	for _, p := range o.Paths {
		if p = strings.Trim(path.Clean("/"+p), "/"); p == "" {
			s.root = nil
			return s, nil
		}
		if s.root == nil {
			s.root = &node{}
		}
		n := s.root
		for name := range strings.SplitSeq(p, "/") {
			if n.names == nil {
				n.names = map[string]*node{}
			}
			if n.names[name] == nil {
				n.names[name] = &node{}
			}
			n = n.names[name]
		}
		n.whole = true
	}
	return s, nil
}

// top is the spot of the version's root.
func (s *selection) top() spot {
	return spot{node: s.root, path: s.root == nil, in: s.root == nil && len(s.includes) == 0}
}

// enter tells whether name in the folder at is restored or leads to what may be. rel is the path of name below the root.
func (s *selection) enter(at spot, rel, name string) (next spot, visit bool) {
	if at.node != nil {
		next.node = at.node.names[name]
	}
	next.path = at.path || next.node != nil && next.node.whole
	if !next.path {
		return next, next.node != nil
	}
	whole := path.Join("/", s.point, rel)
	if s.excludes.match(whole) {
		return spot{}, false
	}
	next.in = at.in || len(s.includes) == 0 || s.includes.match(whole)
	return next, true
}

// globs are patterns.
type globs []snapshot.Glob

func newGlobs(patterns []string) (all globs, err error) {
	for _, p := range patterns {
		g, err := snapshot.ParseGlob(p)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// match tells whether an absolute path matches one of them.
func (all globs) match(at string) bool {
	return slices.ContainsFunc(all, func(g snapshot.Glob) bool { return g.Match(at) })
}
