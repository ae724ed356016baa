package fs

import (
	"sort"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A child is one name in a folder above the versions. Its place in the listing is its ordinal, so a listing that is under way
// neither skips nor repeats anything when others come and go.
type child struct {
	name string
	node nodeID
	next uint64 // offset after it
}

const (
	firstOffset = 2 // after "." and ".."
	linkOffset  = firstOffset + 1
)

// lookup finds a name in a folder above the versions; false if there is none.
func (f *folders) lookup(dir nodeID, name string) (id nodeID, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if p := f.partitionAt(dir); p != nil {
		ver := p.byName[name]
		switch {
		case ver != nil:
			return ver.node(), true
		case name == latest && p.newest != nil:
			return p.link(), true
		}
		return 0, false
	}
	f.each(dir, firstOffset, func(c child) bool {
		if c.name == name {
			id, ok = c.node, true
		}
		return !ok
	})
	return id, ok
}

// list calls do for what lies in a folder above the versions, from an offset on, until it returns false.
func (f *folders) list(dir nodeID, offset uint64, do func(child) bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	f.each(dir, offset, do)
}

func (f *folders) each(dir nodeID, offset uint64, do func(child) bool) {
	switch dir.kind() {
	case partitionKind:
		if p := f.partitionAt(dir); p != nil {
			p.each(offset, do)
		}
	case instanceKind:
		if in := at(f.instances, dir.ord()); in != nil {
			in.each(offset, do)
		}
	default:
		f.eachInstance(offset, do)
	}
}

func (f *folders) partitionAt(id nodeID) *partition {
	if k := id.kind(); k != partitionKind && k != latestKind {
		return nil
	}
	return at(f.partitions, id.ord())
}

func (p *partition) each(offset uint64, do func(child) bool) {
	if p.newest != nil && offset < linkOffset && !do(child{latest, p.link(), linkOffset}) {
		return
	}
	from := sort.Search(len(p.versions), func(i int) bool { return p.versions[i].ord+linkOffset > offset })
	for _, ver := range p.versions[from:] {
		if !do(child{ver.key.Version, ver.node(), ver.ord + linkOffset}) {
			return
		}
	}
}

func (in *instance) each(offset uint64, do func(child) bool) {
	for _, p := range in.partitions {
		next := p.ord + linkOffset
		if p.newest != nil && next > offset && !do(child{p.name, p.node(), next}) {
			return
		}
	}
}

func (f *folders) eachInstance(offset uint64, do func(child) bool) {
	for _, in := range f.instances {
		next := in.ord + linkOffset
		if in.shown != "" && next > offset && !do(child{in.shown, in.node(), next}) {
			return
		}
	}
}

// parent returns the folder that a folder above the versions, or the root of a version, lies in; the top lies in itself.
func (f *folders) parent(id nodeID) nodeID {
	f.mu.RLock()
	defer f.mu.RUnlock()
	switch id.kind() {
	case versionKind:
		if ver := at(f.versions, id.ord()); ver != nil {
			return ver.parent
		}
	case partitionKind, latestKind:
		if p := f.partitionAt(id); p != nil {
			return p.in.node()
		}
	}
	return rootNode
}

// attr fills in what stat tells of a folder above the versions, or of a link there; false if there is no such node.
func (f *folders) attr(id nodeID, a *fuse.Attr) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	*a = fuse.Attr{Ino: folderIno(id), Mode: fuse.S_IFDIR | 0o755, Nlink: 2, Blksize: smallBlock}
	switch id.kind() {
	case latestKind:
		p := f.partitionAt(id)
		if p == nil || p.newest == nil {
			return false
		}
		a.Mode, a.Nlink, a.Size = fuse.S_IFLNK|0o777, 1, uint64(len(p.newest.key.Version))
		setTimes(a, p.newest.time)
		return true
	case partitionKind:
		p := f.partitionAt(id)
		if p == nil {
			return false
		}
		setTimes(a, p.mtime)
	case instanceKind:
		in := at(f.instances, id.ord())
		if in == nil {
			return false
		}
		if in.id != f.own {
			a.Mode = fuse.S_IFDIR | rootOnly.mode
		}
		setTimes(a, in.mtime)
	default:
		setTimes(a, f.mtime)
	}
	f.each(id, linkOffset, func(child) bool { a.Nlink++; return true })
	return id.kind() != entryKind || id == rootNode
}

func setTimes(a *fuse.Attr, t time.Time) {
	if !t.IsZero() {
		a.SetTimes(&t, &t, &t)
	}
}

// newestName returns where a partition's link leads; false if there is no version.
func (f *folders) newestName(link nodeID) (string, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p := f.partitionAt(link)
	if p == nil || p.newest == nil {
		return "", false
	}
	return p.newest.key.Version, true
}
