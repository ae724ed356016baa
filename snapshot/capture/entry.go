package capture

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

const (
	fineGrain   = 100 * time.Millisecond  // the kernel's coarse clock, with room
	coarseGrain = 2100 * time.Millisecond // file systems of whole seconds, and vfat's of two
)

// isRacy is git's rule: tells whether a file with these times, looked at or read from the moment before on, may change once more without its times
// changing. Times in the future prove nothing either.
func isRacy(before time.Time, st *stat) bool {
	limit := before.Add(-grain(st.ctime))
	return !st.ctime.Time().Before(limit) || !st.mtime.Time().Before(limit)
}

// longWrite is how long a single write(2) may take: it sets the times at its beginning, and on most file systems can be read half-way.
const longWrite = time.Hour

// mayBeWritten tells whether such a write may be under way to a file with this stat, which is read from the moment on. One that began after the capture did is doubted by
// the next one in any case.
func (w *walker) mayBeWritten(st *stat, moment time.Time) bool {
	id := fileID{st.dev, st.ino}
	if w.src.live >= 0 && id.dev == w.src.root.dev {
		id.dev = w.src.mounted.dev
	}
	isHeld := w.held[id] != nil || w.blind > 0
	return isHeld && !st.ctime.Time().Before(moment.Add(-longWrite))
}

// grain is how exact a ctime is.
func grain(ctime snapshot.Time) time.Duration {
	if ctime.Nsec == 0 {
		return coarseGrain
	}
	return fineGrain
}

// setStat fills what stat tells into e, and nothing else.
func setStat(e *snapshot.Entry, st *stat, vol volume, before time.Time) {
	e.Mode, e.UID, e.GID, e.Nlink = st.mode, st.uid, st.gid, st.nlink
	e.Ino, e.Rdev, e.Size = vol.ino(st.ino), 0, st.size
	if k := st.kind(); k == unix.S_IFCHR || k == unix.S_IFBLK {
		e.Rdev = st.rdev
	}
	e.Mtime, e.Ctime, e.Btime = st.mtime, st.ctime, st.btime
	e.Racy = isRacy(before, st)
}

// unchanged tells whether what the parent version has of a name still holds, e being what stat tells now. Any change of content or attributes sets ctime,
// which nobody can set back, but on file systems that do not keep it: to vfat it is mtime, and to exfat once the kernel has forgotten the file.
func (w *walker) unchanged(old, e *snapshot.Entry) bool {
	return old != nil && !old.Racy && old.Type() == e.Type() && old.Size == e.Size && old.Mtime == e.Mtime && old.Ctime == e.Ctime &&
		old.Btime == e.Btime && (old.Ino == e.Ino || renumbered[w.src.fstype]) && old.Rdev == e.Rdev
}

// stays tells whether what the parent version has of a name still holds, and the vault still has it.
func (w *walker) stays(ctx context.Context, e, old *snapshot.Entry) (bool, error) {
	if !w.unchanged(old, e) || !w.o.Damaged {
		return w.unchanged(old, e), nil
	}
	return snapshot.IsWhole(ctx, w.get, old, w.vault.Has)
}

// A careful getter reads only what the vault has: not what is lost and still in its cache.
type careful struct{ vault *store.Vault }

func (c careful) Get(ctx context.Context, id store.ID) ([]byte, error) {
	there, err := c.vault.Has(id)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("chunk %v: %w", id, store.ErrNotFound)
	}
	return c.vault.Get(ctx, id)
}

// reuse takes over what stat does not tell.
func reuse(e, old *snapshot.Entry) {
	e.Flags, e.Target = old.Flags, old.Target
	e.Xattrs, e.XattrRefs = old.Xattrs, old.XattrRefs
	e.Content, e.Depth, e.Data = old.Content, old.Depth, old.Data
}

// alike tells whether two entries differ in nothing of their own: not counting Racy, nor what is below a folder.
func alike(a, b *snapshot.Entry) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Nlink == b.Nlink && a.Ino == b.Ino && a.Rdev == b.Rdev && a.Size == b.Size &&
		a.Mtime == b.Mtime && a.Ctime == b.Ctime && a.Btime == b.Btime && a.Flags == b.Flags &&
		bytes.Equal(a.Target, b.Target) && bytes.Equal(a.Xattrs, b.Xattrs) && slices.Equal(a.XattrRefs, b.XattrRefs) &&
		a.Depth == b.Depth && slices.Equal(a.Content, b.Content)
}

// identical tells whether two entries with one name are the same bytes in a page.
func identical(a, b *snapshot.Entry) bool {
	return alike(a, b) && a.Racy == b.Racy && a.Tree == b.Tree && a.Totals == b.Totals
}
