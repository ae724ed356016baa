package fs

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
	"yester/store"
)

// A past is what a path was in the versions of a partition, as of one generation of their list. It never changes.
type past struct {
	generation uint64
	files      []pastFile // each content it had, oldest first
	trees      []pastTree // each state it was in as a folder, oldest first
	access     access     // to its folder below .by-file: what all versions allow in which the path was a folder; if there are none, what its parent's does
	guard      guard      // of that and of what it lies in
	changed    time.Time  // of the version with the last of all these
	lost       error      // an errno if something may be missing
	again      time.Time  // when to look again for what is lost
}

// A pastFile is the first version in which a path had some content.
type pastFile struct {
	version *version
	ino     uint64 // as stat tells it
	mode    uint32
}

// A pastTree is the first version in which a folder had some topmost page; zero for an empty one.
type pastTree struct {
	version *version
	page    store.ID
}

// file returns the version of the entry of that name, nil if there is none.
func (p *past) file(name string) *version {
	i, found := slices.BinarySearchFunc(p.files, name, func(f pastFile, name string) int {
		return strings.Compare(f.version.key.Version, name)
	})
	if !found {
		return nil
	}
	return p.files[i].version
}

// past returns what a path was. snapshot.ErrNotExist if it was never there, and what is lost if that cannot be told.
func (v *view) past(ctx context.Context, k pastKey) (*past, error) {
	p := v.byFiles.cached(k, v.folders.generation(k.partition), v.now())
	if p == nil && ctx == context.Context(calm) {
		return nil, errMustWait // for many pages, even if it has them all
	}
	if p == nil {
		b := pastBuilder{view: v, key: k, made: new(past)}
		if err := b.build(ctx); err != nil {
			return nil, err
		}
		p = b.made
		v.byFiles.keep(k, p)
	}
	switch {
	case len(p.files)+len(p.trees) > 0:
		return p, nil
	case p.lost != nil:
		return nil, p.lost
	}
	return nil, snapshot.ErrNotExist
}

// A pastBuilder makes a past. What a path was in all versions is known from the different states of the folder that it is in: most versions have it in common
// with others.
type pastBuilder struct {
	*view
	made     *past
	key      pastKey
	contents map[[sha256.Size]byte]struct{}
	pages    map[store.ID]struct{}
}

func (b *pastBuilder) build(ctx context.Context) error {
	b.contents, b.pages = make(map[[sha256.Size]byte]struct{}), make(map[store.ID]struct{})
	if b.key.path == "" {
		return b.buildTop(ctx)
	}
	parent, err := b.past(ctx, b.key.parent())
	if err != nil {
		return err
	}
	m := b.made
	defer func() { m.guard = parent.guard.with(m.access) }()
	m.generation, m.lost, m.again, m.access = parent.generation, parent.lost, parent.again, parent.access
	e := b.entries.Get().(*snapshot.Entry)
	defer b.entries.Put(e)
	name := []byte(b.key.path[strings.LastIndexByte(b.key.path, '/')+1:])
	var last leaf
	for _, t := range parent.trees {
		l, err := b.leafOf(ctx, t.page, name)
		if err == nil && (l.page == nil || l.id == last.id) {
			continue
		}
		last = l
		if err := b.addFrom(ctx, t.version, l, name, e, err); err != nil {
			return err
		}
	}
	return nil
}

func (b *pastBuilder) buildTop(ctx context.Context) error {
	e := b.entries.Get().(*snapshot.Entry)
	defer b.entries.Put(e)
	var versions []*version
	b.made.generation, versions = b.folders.history(b.key.partition)
	for _, ver := range versions {
		if err := b.add(ctx, ver, e, ver.rootEntry(ctx, b.vault, e)); err != nil {
			return err
		}
	}
	above, err := b.partitionAccess(ctx, b.key.partition)
	b.made.guard = guard{}.with(above).with(b.made.access)
	return err
}

// addFrom is add with the page that the path's name is in, if it is there. It decodes over e.
func (b *pastBuilder) addFrom(ctx context.Context, ver *version, l leaf, name []byte, e *snapshot.Entry, err error) error {
	if err == nil {
		i, found := l.page.Search(name)
		if !found {
			return nil
		}
		err = l.page.Entry(i, e)
	}
	return b.add(ctx, ver, e, err)
}

// add takes in what the path is in a version, the first of those with the same folder around it, or why that cannot be read. Versions come oldest first.
func (b *pastBuilder) add(ctx context.Context, ver *version, e *snapshot.Entry, err error) error {
	if err != nil {
		return b.miss(ctx, ver, err)
	}
	if !e.IsDir() {
		k := e.ContentKey()
		if _, ok := b.contents[k]; !ok {
			b.contents[k] = struct{}{}
			b.made.files = append(b.made.files, pastFile{ver, ver.ino(e), e.Mode})
			b.made.changed = ver.time
		}
		return nil
	}
	a, err := b.access(ctx, ver, e)
	if err != nil {
		if err := b.miss(ctx, ver, err); err != nil {
			return err
		}
	}
	if len(b.made.trees) > 0 {
		a = a.and(b.made.access)
	}
	b.made.access = a
	if _, ok := b.pages[e.Tree]; !ok {
		b.pages[e.Tree] = struct{}{}
		b.made.trees = append(b.made.trees, pastTree{ver, e.Tree})
		b.made.changed = ver.time
	}
	return nil
}

// miss passes over what is lost of a version. What there is in others can be shown without it.
func (b *pastBuilder) miss(ctx context.Context, ver *version, err error) error {
	b.tellLost(b.key, err, pastTree{version: ver})
	if ctx.Err() != nil || !snapshot.IsLost(err) {
		return err
	}
	if b.made.lost = syscall.EIO; b.gone(ver) {
		b.made.lost = errNoNode
	}
	b.made.again = b.now().Add(complainEvery)
	return nil
}

// tellLost tells the operator of damage, for each path once a minute. It is none if a version is gone that had what is lost.
func (v *view) tellLost(k pastKey, err error, had ...pastTree) {
	st := errno(err)
	if st != fuse.EIO && st != errno(errNoNode) || slices.ContainsFunc(had, func(t pastTree) bool { return v.gone(t.version) }) {
		return
	}
	if key := had[0].version.key; v.complaints.allow(nodeID(k.ino()), v.now()) {
		v.log.Error("a path's past cannot be read", "instance", key.Instance, "partition", key.Partition, "version", key.Version, "path", k.path, "err", err)
	}
}

// maxPast bounds the states in a pastCache: some 6 MB.
const maxPast = 1 << 16

// A pastCache keeps what was asked for of late. When it is full it starts anew.
type pastCache struct {
	at     map[pastKey]*past
	states int
}

func (f *byFiles) cached(k pastKey, generation uint64, now time.Time) *past {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pasts.at[k]
	if p == nil || p.generation != generation || p.lost != nil && now.After(p.again) {
		return nil
	}
	return p
}

func (f *byFiles) keep(k pastKey, p *past) {
	f.mu.Lock()
	defer f.mu.Unlock()
	const least, letters = 4, 96 // a path that was nothing takes room too, and so many bytes of a path as much as a state
	c, n := &f.pasts, least+len(k.path)/letters+len(p.files)+len(p.trees)
	if c.at == nil || c.states+n > maxPast {
		*c = pastCache{at: make(map[pastKey]*past)}
	}
	c.at[k] = p
	c.states += n
}
