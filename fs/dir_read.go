package fs

import (
	"context"
	"errors"
	"syscall"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

// readDir lists a folder, with plus with what stat tells of each file. An offset is the position after an entry, counting "." and "..", so
// it holds for good: telldir and seekdir work, and nothing is kept between calls.
func (v *view) readDir(cancel <-chan struct{}, in *fuse.ReadIn, out *dirList) fuse.Status {
	l := lister{view: v, out: out}
	dir := nodeID(in.NodeId)
	switch {
	case dir.kind() == byFileKind:
		return v.onPast(cancel, dir, func(ctx context.Context, k pastKey, p *past) error {
			return l.byFile(ctx, dir, k, p, in.Offset)
		})
	case !dir.inVersion():
		l.folder(dir, in.Offset)
		return fuse.OK
	}
	return v.entry(cancel, dir, func(ctx context.Context, ver *version, e *snapshot.Entry) error {
		if !e.IsDir() {
			return syscall.ENOTDIR
		}
		return l.directory(ctx, dir, ver, e, in.Offset)
	})
}

// fullNames is how many names of a directory are listed with what stat tells. It takes the kernel most of the time of listing to keep that, and in a
// directory that is wider than any that people look through it is seldom asked for. Once someone does ask for a later name, it comes with all of that directory.
const fullNames = 1 << 18

// A lister fills the answer to one request. Its methods return false when the answer is full.
type lister struct {
	*view
	out       *dirList
	bareNames bool
}

// dots lists "." and "..". The kernel knows both, so they come without more.
func (l *lister) dots(ino, parent, offset uint64) bool {
	return (offset > 0 || l.bare(".", ino, fuse.S_IFDIR, 1)) && (offset > 1 || l.bare("..", parent, fuse.S_IFDIR, firstOffset))
}

// bare lists a name without attributes.
func (l *lister) bare(name string, ino uint64, mode uint32, next uint64) bool {
	_, ok := l.out.add(unsafe.Slice(unsafe.StringData(name), len(name)), ino, mode, next)
	return ok
}

// folder lists a folder above the versions. Of a version not more than the name is told: more is in its record, and listing ten
// thousand versions must not read as many records.
func (l *lister) folder(dir nodeID, offset uint64) {
	if !l.dots(folderIno(dir), folderIno(l.folders.parent(dir)), offset) {
		return
	}
	l.folders.list(dir, max(offset, firstOffset), func(c child) bool {
		mode := uint32(fuse.S_IFDIR)
		if c.node.kind() == latestKind {
			mode = fuse.S_IFLNK
		}
		ino := folderIno(c.node)
		if c.node.kind() == versionKind {
			ino = inodeNumber(c.node.ord(), rootIno)
		}
		return l.bare(c.name, ino, mode, c.next)
	})
}

// directory lists the directory e of a version, page by page, and decodes over e.
func (l *lister) directory(ctx context.Context, dir nodeID, ver *version, e *snapshot.Entry, offset uint64) error {
	tree := e.Tree
	if offset < firstOffset {
		own := ver.ino(e)
		parent, err := l.parentIno(ctx, dir, own, e)
		if err != nil || !l.dots(own, parent, offset) {
			return err
		}
	}
	for pos := max(offset, firstOffset) - firstOffset; ; {
		page, err := l.leafAt(ctx, tree, pos)
		if err != nil || page.page == nil {
			return err
		}
		full, err := l.page(dir, ver, page, int(pos-page.first), e)
		if full || err != nil {
			return err
		}
		pos = page.first + uint64(page.page.Len())
	}
}

// page lists the entries of a leaf page from position i on.
func (l *lister) page(dir nodeID, ver *version, page leaf, i int, e *snapshot.Entry) (full bool, err error) {
	slot := l.slot(dir, ver, page)
	l.out.slot = slot
	l.bareNames = page.first >= l.fullNames && !l.wide.has(dir)
	for ; i < page.page.Len(); i++ {
		if err := page.page.Entry(i, e); err != nil {
			return false, err
		}
		if len(e.Name) == 0 {
			continue // as old versions may have: the kernel takes no such list
		}
		if !l.entry(entryNode(slot, i), ver, e, page.first+uint64(i)+1+firstOffset) {
			return true, nil
		}
	}
	return false, nil
}

func (l *lister) entry(id nodeID, ver *version, e *snapshot.Entry, next uint64) bool {
	out, ok := l.out.add(e.Name, ver.ino(e), e.Mode, next)
	if out != nil && !l.bareNames {
		l.fillEntry(out, id, ver, e)
		l.out.told++
	}
	return ok
}

// parentIno returns the inode number for "..", that of the directory itself if its parent cannot be read. It decodes over e.
func (l *lister) parentIno(ctx context.Context, dir nodeID, own uint64, e *snapshot.Entry) (uint64, error) {
	parent := l.parent(dir)
	if !parent.inVersion() {
		return folderIno(parent), nil
	}
	ver, err := l.load(ctx, parent, e)
	switch {
	case errors.Is(err, errMustWait):
		return 0, err
	case err != nil:
		return own, nil
	}
	return ver.ino(e), nil
}
