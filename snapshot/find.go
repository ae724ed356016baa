package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"strings"
	"unsafe"

	"github.com/bmatcuk/doublestar/v4"
)

// ErrPattern says that a glob is malformed.
var ErrPattern = errors.New("malformed pattern")

// A Glob is a doublestar pattern for paths. As in excludes, one that begins with a slash is for whole paths, one with a slash elsewhere for their last
// parts, and one without for the name alone.
type Glob struct {
	pattern string // for whole paths without their first slash; for the name if it has no slash
	name    bool   // for the name alone
	base    string // what whole paths begin with
	deepest int    // slashes in the longest path that can match; -1: any
}

// ParseGlob checks and takes apart a pattern. ErrPattern.
func ParseGlob(pattern string) (Glob, error) {
	p := strings.TrimRight(pattern, "/")
	if p == "" || !doublestar.ValidatePattern(p) {
		return Glob{}, fmt.Errorf("%q: %w", pattern, ErrPattern)
	}
	g := Glob{base: "/", deepest: -1}
	switch {
	case p[0] == '/':
		g.pattern = p[1:]
		g.base, _ = doublestar.SplitPattern(p)
		if !strings.Contains(p, "**") && !strings.Contains(p, "{") {
			g.deepest = strings.Count(p, "/")
		}
	case strings.Contains(p, "/"):
		g.pattern = "**/" + p
	default:
		g.pattern, g.name = p, true
	}
	g.pattern = Runes(g.pattern)
	return g, nil
}

// Match tells whether an absolute path matches.
func (g *Glob) Match(at string) bool {
	if g.name {
		return doublestar.MatchUnvalidated(g.pattern, Runes(path.Base(at)))
	}
	return doublestar.MatchUnvalidated(g.pattern, Runes(at[1:]))
}

// under is where below a mount point all paths lie that can match; ok is false if there is no such place.
func (g *Glob) under(point string) (at string, ok bool) {
	prefix := strings.TrimSuffix(point, "/") + "/"
	base := strings.TrimSuffix(g.base, "/") + "/"
	switch {
	case strings.HasPrefix(base, prefix):
		return base[len(prefix)-1:], true
	case strings.HasPrefix(prefix, base):
		return "/", true
	}
	return "", false
}

// maxTold is how many deleted paths a Finder remembers.
const maxTold = 1 << 16

// A Finder finds the paths that match a glob in the versions of a partition, newest first. What a version has in common with the one looked at
// before it is skipped page by page, so it costs what changed between the two.
//
// It remembers the hashes of the deleted paths it told, up to maxTold, some 2 MB. One of more than these that was deleted more than once may be
// told more than once.
type Finder struct {
	get   Getter
	glob  Glob
	point string // mount point

	newest, newer *Entry // roots of the first version and of the one before; nil: there was none
	told          map[[16]byte]struct{}
}

// NewFinder returns a Finder for a partition that is mounted at point. A glob sees the mount point in front of each path.
func NewFinder(g Getter, glob Glob, point string) *Finder {
	return &Finder{get: g, glob: glob, point: path.Join("/", point), told: map[[16]byte]struct{}{}}
}

// Next looks through a version: of the first one, which is the newest, it calls visit for each path that matches, of each later one for those that
// the versions before have not. The path is the whole one, with the mount point; the entry is the visitor's until it returns. A nil entry
// comes with what is lost: the path of the folder, and why.
func (f *Finder) Next(ctx context.Context, root *Entry, visit func(path string, e *Entry, lost error) error) error {
	first := f.newest == nil
	d := differ{get: f.get, enter: f.enter, visit: func(c *Change) error {
		switch {
		case c.Err != nil:
			return visit(strings.Clone(f.whole(c.Path)), nil, c.Err)
		case c.New != nil:
			return nil
		}
		at := f.whole(c.Path)
		if !f.glob.Match(at) {
			return nil
		}
		if !first {
			if again, err := f.again(ctx, string(c.Path)); again || err != nil {
				return err
			}
		}
		return visit(strings.Clone(at), c.Old, nil)
	}}
	older := *root
	under, ok := f.glob.under(f.point)
	newer := f.newer
	if f.newer = &older; first {
		f.newest = &older
	}
	if !ok {
		return nil
	}
	err := d.run(ctx, &older, newer, under)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// whole puts the mount point in front of a path. It may alias it.
func (f *Finder) whole(at []byte) string {
	s := unsafe.String(unsafe.SliceData(at), len(at))
	switch {
	case f.point == "/":
		return s
	case s == "/":
		return f.point
	}
	return f.point + s
}

// enter tells whether something in a folder can match.
func (f *Finder) enter(at []byte) bool {
	if f.glob.deepest < 0 {
		return true
	}
	whole := f.whole(at)
	return whole == "/" || strings.Count(whole, "/") < f.glob.deepest
}

// again tells whether a path that was deleted after a version was told for a later one.
func (f *Finder) again(ctx context.Context, at string) (bool, error) {
	_, err := LookupPath(ctx, f.get, *f.newest, at)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, ErrNotExist) && !errors.Is(err, ErrNotDir) && !IsLost(err) {
		return false, err
	}
	sum := sha256.Sum256([]byte(at))
	key := [16]byte(sum[:])
	if _, told := f.told[key]; told {
		return true, nil
	}
	if len(f.told) < maxTold {
		f.told[key] = struct{}{}
	}
	return false, nil
}
