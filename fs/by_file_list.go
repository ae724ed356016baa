package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
	"yester/store"
)

// A byFileList is a listing of a folder below .by-file that is under way. It goes on with what the path was when it began, whatever versions come and go.
type byFileList struct {
	dir   nodeID
	past  *past
	names *snapshot.Union // in the path as a folder
	next  uint64          // offset of name
	name  string          // "" at the end
	lost  bool            // names may be missing
}

// byFileLists are those under way, newest last. One that is not among them any more is begun anew up to where it was.
type byFileLists [8]*byFileList

// take returns the listing of a folder that is at an offset, nil if there is none, and takes it out. When a new one begins, those that began with other versions
// are none any more.
func (f *byFiles) take(dir nodeID, p *past, offset uint64) *byFileList {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, l := range f.lists {
		switch {
		case l == nil || l.dir != dir:
		case offset == 0 && l.past.generation != p.generation:
			f.lists[i] = nil
		case l.next == offset:
			f.lists[i] = nil
			return l
		}
	}
	return nil
}

// put keeps a listing to go on with.
func (f *byFiles) put(l *byFileList) {
	f.mu.Lock()
	defer f.mu.Unlock()
	copy(f.lists[:], f.lists[1:])
	f.lists[len(f.lists)-1] = l
}

// byFile lists the folder of a path's past: first the contents that it had, then the names that were in it. More than the names is not told: it takes pages of
// all versions to know that.
func (l *lister) byFile(ctx context.Context, dir nodeID, k pastKey, p *past, offset uint64) error {
	if ctx == context.Context(calm) {
		return errMustWait
	}
	list := l.byFiles.take(dir, p, offset)
	if list == nil {
		var err error
		if list, err = l.begin(ctx, dir, k, p, offset); err != nil {
			return err
		}
	}
	if !l.byFileDots(k, offset) || !l.pastFiles(list.past, offset) {
		l.byFiles.put(list)
		return nil
	}
	for list.name != "" && l.bare(list.name, k.child(list.name).ino(), fuse.S_IFDIR, list.next+1) {
		if err := list.step(ctx); err != nil {
			return err
		}
	}
	if list.name == "" && list.lost {
		l.notifier.lacks(dir)
	}
	l.byFiles.put(list)
	return nil
}

func (l *lister) byFileDots(k pastKey, offset uint64) bool {
	parent := folderIno(kindNode(partitionKind, k.partition))
	if k.path != "" {
		parent = k.parent().ino()
	}
	return l.dots(k.ino(), parent, offset)
}

// pastFiles lists the contents of a path.
func (l *lister) pastFiles(p *past, offset uint64) bool {
	for i := max(offset, firstOffset) - firstOffset; i < uint64(len(p.files)); i++ {
		f := p.files[i]
		if !l.bare(f.version.key.Version, f.ino, f.mode, firstOffset+i+1) {
			return false
		}
	}
	return true
}

// begin begins a listing, at an offset.
func (v *view) begin(ctx context.Context, dir nodeID, k pastKey, p *past, offset uint64) (*byFileList, error) {
	trees := make([]store.ID, len(p.trees))
	for i, t := range p.trees {
		trees[i] = t.page
	}
	l := &byFileList{dir: dir, past: p, next: firstOffset + uint64(len(p.files)) - 1, lost: p.lost != nil}
	l.names = snapshot.NewUnion(v.chunks, trees, func(err error) {
		l.lost = true
		v.tellLost(k, err, p.trees...)
	})
	for begun := false; !begun || l.next < offset && l.name != ""; begun = true {
		if err := l.step(ctx); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// step goes to the next name that is to be seen.
func (l *byFileList) step(ctx context.Context) error {
	for {
		name, ok, err := l.names.Next(ctx)
		if err != nil {
			return err
		}
		if ok && l.past.file(name) != nil {
			continue
		}
		l.name = name
		l.next++
		return nil
	}
}
