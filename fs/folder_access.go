package fs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

// A version shows who may do what from its root on. Who could come to that at all is up to the folders above it: that of a partition is root's alone if not
// everybody could come to its mount point, and that of an instance if its users are not this machine's, for numbers are other people there.

// maxAsked is how many versions are asked whether their partition is closed: those of before that was recorded may be many.
const maxAsked = 8

// closed tells whether not everybody could come to a partition's mount point, as the newest version says whose record can be read and that knows; if none does,
// as one said that the mount knew. Else nobody may if there is a record that cannot be read; versions of before that was recorded are open.
func (v *view) closed(ctx context.Context, partition uint64) (bool, error) {
	_, versions := v.folders.history(partition)
	if len(versions) == 0 {
		return false, nil
	}
	said, lost := v.folders.said(partition), false
	for _, ver := range slices.Backward(versions[max(0, len(versions)-maxAsked):]) {
		o, err := ver.open(ctx, v.vault)
		switch {
		case err == nil && o.partition.Closed != nil:
			said.Store(o.partition.Closed)
			return *o.partition.Closed, nil
		case err == nil:
		case ctx.Err() != nil || !snapshot.IsLost(err):
			return true, err
		default:
			lost = true
		}
	}
	if known := said.Load(); known != nil {
		return *known, nil
	}
	return lost, nil
}

// partitionAccess returns who may do what in the folder of a partition.
func (v *view) partitionAccess(ctx context.Context, partition uint64) (access, error) {
	closed, err := v.closed(ctx, partition)
	if err != nil || closed {
		return rootOnly, err
	}
	return access{mode: 0o755}, nil
}

// partitionAttr is folderAttr of the folder of a partition. While the vault cannot tell who may do what, root may, and the kernel keeps that for no time.
func (v *view) partitionAttr(ctx context.Context, id nodeID, a *fuse.Attr, keep func(time.Duration)) error {
	if !v.folders.attr(id, a) {
		return errNoNode
	}
	who, err := v.partitionAccess(ctx, id.ord())
	a.Mode = fuse.S_IFDIR | who.mode
	if err == nil || errors.Is(err, errMustWait) || ctx.Err() != nil {
		return err
	}
	keep(0)
	return nil
}
