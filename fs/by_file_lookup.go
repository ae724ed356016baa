package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

// onPast runs f with the path of a folder below .by-file and what it was, and answers with what its error means. syscall.ESTALE for a folder that the kernel was not
// told of, and if others may come there by now: the kernel then asks about the whole path anew.
func (v *view) onPast(cancel <-chan struct{}, id nodeID, f func(context.Context, pastKey, *past) error) fuse.Status {
	k, g, ok := v.byFiles.get(id)
	if !ok {
		return errno(errNoNode)
	}
	return v.withPast(cancel, func(ctx context.Context) error {
		p, err := v.past(ctx, k)
		switch {
		case errors.Is(err, snapshot.ErrNotExist):
			return errNoNode // it went with the versions that had it
		case err != nil:
			return err
		case p.guard != g:
			return errNoNode
		}
		return f(ctx, k, p)
	})
}

// withPast runs f with the context of a request that may look into the past.
func (v *view) withPast(cancel <-chan struct{}, f func(context.Context) error) fuse.Status {
	ctx := newInterrupt(cancel, v.dead)
	defer ctx.end()
	err := f(ctx)
	if ctx == calm && err != nil {
		return v.answerInline(err)
	}
	return errno(err)
}

// lookupPast finds .by-file in the folder of a partition, or a name in a folder below it. The kernel may not keep what a name leads
// to, but asks each time: that may change with the versions.
func (v *view) lookupPast(cancel <-chan struct{}, dir nodeID, name string, out *fuse.EntryOut) fuse.Status {
	if dir.kind() == partitionKind {
		return v.withPast(cancel, func(ctx context.Context) error { return v.foundPast(ctx, dir, pastKey{dir.ord(), ""}, out) })
	}
	return v.onPast(cancel, dir, func(ctx context.Context, k pastKey, p *past) error {
		switch {
		case name == ".":
			return v.foundPast(ctx, 0, k, out)
		case name == ".." && k.path != "":
			return v.foundPast(ctx, 0, k.parent(), out)
		case name == "..":
			partition := kindNode(partitionKind, k.partition)
			v.fillNode(out, partition)
			return v.partitionAttr(ctx, partition, &out.Attr, out.SetAttrTimeout)
		}
		if ver := p.file(name); ver != nil {
			return v.foundIn(ctx, ver, k.path, out)
		}
		if len(k.path)+1+len(name) > maxPastPath {
			return syscall.ENAMETOOLONG
		}
		return v.foundPast(ctx, dir, k.child(name), out)
	})
}

// foundPast answers a lookup with the folder of a path, in dir unless that is 0. snapshot.ErrNotExist if it was never there.
func (v *view) foundPast(ctx context.Context, dir nodeID, k pastKey, out *fuse.EntryOut) error {
	p, err := v.past(ctx, k)
	if err != nil {
		return err
	}
	v.fillNode(out, v.byFiles.tell(dir, k, p))
	out.SetEntryTimeout(0)
	p.fillAttr(&out.Attr, k)
	return nil
}

// foundIn answers a lookup with the file at a path in a version.
func (v *view) foundIn(ctx context.Context, ver *version, path string, out *fuse.EntryOut) error {
	e := v.entries.Get().(*snapshot.Entry)
	defer v.entries.Put(e)
	if err := ver.rootEntry(ctx, v.vault, e); err != nil {
		return err
	}
	dir := ver.node()
	for name := range strings.SplitSeq(path[1:], "/") {
		out.NodeId = 0
		if err := v.lookup(ctx, dir, ver, e, name, out); err != nil {
			return err
		}
		if dir = nodeID(out.NodeId); dir == 0 {
			return errNoNode
		}
	}
	out.SetEntryTimeout(0)
	return nil
}

// pastAttr fills in what stat tells of a folder below .by-file.
func (v *view) pastAttr(cancel <-chan struct{}, id nodeID, a *fuse.Attr) fuse.Status {
	return v.onPast(cancel, id, func(_ context.Context, k pastKey, p *past) error {
		p.fillAttr(a, k)
		return nil
	})
}

// fillAttr fills in what stat tells. How many folders are in it is not counted, which one link means.
func (p *past) fillAttr(a *fuse.Attr, k pastKey) {
	*a = fuse.Attr{
		Ino: k.ino(), Mode: fuse.S_IFDIR | p.access.mode, Nlink: 1, Owner: fuse.Owner{Uid: p.access.uid, Gid: p.access.gid},
		Blksize: smallBlock,
	}
	setTimes(a, p.changed)
}

// pastXattr answers with the ACL of a folder below .by-file; it has no other attribute.
func (v *view) pastXattr(cancel <-chan struct{}, id nodeID, name string, dest []byte) (size uint32, st fuse.Status) {
	if name != accessACL {
		return 0, fuse.ENODATA
	}
	st = v.onPast(cancel, id, func(_ context.Context, _ pastKey, p *past) (err error) {
		if p.access.acl == "" {
			return syscall.ENODATA
		}
		size, err = answerXattr(dest, []byte(p.access.acl))
		return err
	})
	return size, st
}
