package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

// Lookup finds a name in a folder. That there is none is told as an answer that the kernel keeps too; but of one that is longer than most file systems have them it
// is said what they say, as what is made by such a name is refused for that first.
func (v *view) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	out.SetEntryTimeout(forever)
	st := v.lookUp(cancel, nodeID(in.NodeId), name, out)
	if st == fuse.OK && out.NodeId == 0 && len(name) > maxName {
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	return st
}

func (v *view) lookUp(cancel <-chan struct{}, dir nodeID, name string, out *fuse.EntryOut) fuse.Status {
	switch {
	case dir.kind() == byFileKind || dir.kind() == partitionKind && name == byFileName:
		return v.lookupPast(cancel, dir, name, out)
	case name == ".": // file handles ask so for a node that the kernel forgot
		return v.found(cancel, dir, out)
	case name == "..":
		return v.found(cancel, v.parent(dir), out)
	case !dir.inVersion():
		id, ok := v.folders.lookup(dir, name)
		if !ok {
			return fuse.OK
		}
		return v.found(cancel, id, out)
	}
	return v.entry(cancel, dir, func(ctx context.Context, ver *version, e *snapshot.Entry) error {
		return v.lookup(ctx, dir, ver, e, name, out)
	})
}

// lookup finds name in the directory e, which it decodes over.
func (v *view) lookup(ctx context.Context, dir nodeID, ver *version, e *snapshot.Entry, name string, out *fuse.EntryOut) error {
	if !e.IsDir() {
		return syscall.ENOTDIR
	}
	l, err := v.leafOf(ctx, e.Tree, []byte(name))
	if err != nil || l.page == nil {
		return err
	}
	i, found := l.page.Search([]byte(name))
	if !found {
		return nil
	}
	if err := l.page.Entry(i, e); err != nil {
		return err
	}
	v.fillEntry(out, entryNode(v.slot(dir, ver, l), i), ver, e)
	if l.first >= v.fullNames {
		v.wide.add(dir)
	}
	return nil
}

// found answers a lookup with a node that is known to be there.
func (v *view) found(cancel <-chan struct{}, id nodeID, out *fuse.EntryOut) fuse.Status {
	if !id.inVersion() {
		v.fillNode(out, id)
		return v.folderAttr(cancel, id, &out.Attr, out.SetAttrTimeout)
	}
	return v.entry(cancel, id, func(_ context.Context, ver *version, e *snapshot.Entry) error {
		v.fillEntry(out, id, ver, e)
		return nil
	})
}

func (v *view) fillEntry(out *fuse.EntryOut, id nodeID, ver *version, e *snapshot.Entry) {
	v.fillNode(out, id)
	fillAttr(&out.Attr, ver, e)
}

func (v *view) fillNode(out *fuse.EntryOut, id nodeID) {
	out.NodeId, out.Generation = uint64(id), v.generation
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
}

// parent returns the directory that a directory lies in.
func (v *view) parent(id nodeID) nodeID {
	if id.kind() != entryKind || id == rootNode {
		return v.folders.parent(id)
	}
	s, ok := v.slots.get(id.slot())
	if !ok {
		return rootNode
	}
	return s.dir
}

// slot returns the number of a leaf page of a directory.
func (v *view) slot(dir nodeID, ver *version, l leaf) uint64 {
	return v.slots.number(ver, slot{page: l.id, dir: dir})
}
