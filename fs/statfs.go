package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

const statfsBlock = 4096

// StatFs tells the size of the partition as it was, for what lies in a version; elsewhere that of the vault's place.
func (v *view) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Bsize: statfsBlock, Frsize: statfsBlock, NameLen: snapshot.MaxName}
	id := nodeID(in.NodeId)
	if !id.inVersion() {
		return v.statVault(cancel, out)
	}
	return v.entry(cancel, id, func(ctx context.Context, ver *version, _ *snapshot.Entry) error {
		o, err := ver.open(ctx, v.vault)
		if err != nil {
			return err
		}
		p, files := o.partition, o.root.Totals.Files+o.root.Totals.Dirs+1
		fillSpace(out, p.Size, p.Size-min(p.Used, p.Size))
		out.Files = max(p.Inodes, files)
		out.Ffree = out.Files - files
		return nil
	})
}

func (v *view) statVault(cancel <-chan struct{}, out *fuse.StatfsOut) fuse.Status {
	ctx := newInterrupt(cancel, v.dead)
	defer ctx.end()
	info, err := v.vault.Info(ctx)
	if err != nil {
		return errno(err)
	}
	for _, p := range info.Places {
		out.Blocks += p.Total / statfsBlock
		out.Bfree += p.Free / statfsBlock
	}
	out.Bavail = out.Bfree
	return fuse.OK
}

func fillSpace(out *fuse.StatfsOut, size, free uint64) {
	out.Blocks, out.Bfree = size/statfsBlock, free/statfsBlock
	out.Bavail = out.Bfree
}
