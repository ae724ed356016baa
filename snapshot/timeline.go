package snapshot

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"

	"yester/store"
)

// A Stay is what a path was in some versions that follow one another.
type Stay struct {
	First, Last string // versions
	Versions    int    // how many, of those that the Timeline was given
	Kind        StayKind
	Entry       *Entry  // as it was in First; nil if it was not there, or cannot be read
	What        Aspects // Changed: in which ways Entry differs from the one before
	Err         error   // Unread: why
}

// A StayKind tells how what a path is in some versions came about.
type StayKind uint8

// The kinds. What a path is after versions in which it cannot be read is compared with what it was before these.
const (
	Created StayKind = iota // it was not there before
	Changed
	Deleted // it is not there
	Unread  // it cannot be told: pages are lost
)

// A Timeline follows one path through versions. Pages that a version has in common with the one before end the search in it: what lies
// below is known.
type Timeline struct {
	get   Getter
	names []string
	trail []trailStep
	stays []Stay
	known *Entry // what the path was when that could last be told; nil: not there
}

// A trailStep is a page that the search for a name of the path went through.
type trailStep struct {
	name int // of Timeline.names
	page store.ID
}

// NewTimeline returns a Timeline of a path below the root. It holds an entry for each time that the path changed.
func NewTimeline(g Getter, at string) *Timeline {
	t := &Timeline{get: g}
	if at = path.Clean("/" + at); at != "/" {
		t.names = strings.Split(at[1:], "/")
	}
	return t
}

// Stays are what the versions given so far say, oldest first. There is none for versions before the path first was there. Of a folder, other content means that
// something in it or below is not the same.
func (t *Timeline) Stays() []Stay { return t.stays }

// Add looks at the next version, the first one being the oldest. Lost pages make the path Unread in it; any other error is returned.
func (t *Timeline) Add(ctx context.Context, version string, root *Entry) error {
	e, same, err := t.look(ctx, root)
	switch {
	case IsLost(err):
		t.AddUnread(version, err)
	case err != nil:
		return err
	case same:
		t.extend(version)
	default:
		t.add(version, e)
	}
	return nil
}

// AddUnread is Add for a version whose root cannot be read.
func (t *Timeline) AddUnread(version string, err error) {
	t.trail = t.trail[:0]
	if n := len(t.stays); n > 0 && t.stays[n-1].Kind == Unread {
		t.extend(version)
		return
	}
	t.begin(version, Stay{Kind: Unread, Err: err})
}

// extend makes the last stay last to a version, if there is one.
func (t *Timeline) extend(version string) {
	if n := len(t.stays); n > 0 {
		t.stays[n-1].Last = version
		t.stays[n-1].Versions++
	}
}

func (t *Timeline) begin(version string, s Stay) {
	s.First, s.Last, s.Versions = version, version, 1
	t.stays = append(t.stays, s)
}

// add takes in what the path is in a version: nil if it is not there.
func (t *Timeline) add(version string, e *Entry) {
	unread := len(t.stays) > 0 && t.stays[len(t.stays)-1].Kind == Unread
	s := Stay{Kind: Changed, Entry: e}
	switch {
	case e == nil && t.known == nil && !unread:
		t.extend(version)
		return
	case e == nil:
		s.Kind = Deleted
	case t.known == nil:
		s.Kind = Created
	default:
		s.What = compareAll(t.known, e)
		if s.What == 0 && !unread {
			t.extend(version)
			return
		}
	}
	if e != nil {
		s.Entry = e.clone()
	}
	t.known = s.Entry
	t.begin(version, s)
}

// compareAll is Compare, and tells of folders whether anything in them differs.
func compareAll(a, b *Entry) Aspects {
	what := Compare(a, b)
	if a.IsDir() && b.IsDir() && a.Tree != b.Tree {
		what |= ContentDiffers
	}
	return what
}

// clone returns a copy of e that aliases no page, so that it can be kept.
func (e *Entry) clone() *Entry {
	c := *e
	c.Name, c.Target, c.Xattrs = bytes.Clone(e.Name), bytes.Clone(e.Target), bytes.Clone(e.Xattrs)
	c.XattrRefs, c.Content = slices.Clone(e.XattrRefs), slices.Clone(e.Content)
	return &c
}

// look finds the path; nil if it is not there. same tells that the search met a page that the one in the version before went through as well.
func (t *Timeline) look(ctx context.Context, root *Entry) (e *Entry, same bool, err error) {
	old, at := t.trail, *root
	t.trail = make([]trailStep, 0, len(old))
	for i, name := range t.names {
		if !at.IsDir() {
			return nil, false, nil
		}
		found, same, err := t.lookIn(ctx, old, i, at.Tree, []byte(name), &at)
		if same || !found || err != nil {
			return nil, same, err
		}
	}
	return &at, false, nil
}

// lookIn finds a name of the path in its folder.
func (t *Timeline) lookIn(ctx context.Context, old []trailStep, i int, id store.ID, name []byte, e *Entry) (found, same bool, err error) {
	for depth := 0; id != (store.ID{}); depth++ {
		if k := slices.Index(old, trailStep{i, id}); k >= 0 {
			t.trail = append(t.trail, old[k:]...)
			return false, true, nil
		}
		t.trail = append(t.trail, trailStep{i, id})
		p, err := pageAt(ctx, t.get, id, depth)
		if err != nil {
			return false, false, err
		}
		if p.Leaf() {
			n, found := p.Search(name)
			if !found {
				return false, false, nil
			}
			var in Entry
			err := p.Entry(n, &in)
			*e = in
			return err == nil, false, err
		}
		ref, err := p.Ref(p.Find(name))
		if err != nil {
			return false, false, err
		}
		id = ref.ID
	}
	return false, false, nil
}
