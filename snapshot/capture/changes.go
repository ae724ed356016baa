package capture

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// Changes are what may have changed in a partition since the parent version was begun, by handles as open_by_handle_at(2) takes them. *track.Set is
// one.
type Changes interface {
	// Folders calls visit for each folder that may have changed itself, or in which the names may have, or any name if all is set. A fresh
	// name came to be there, or to stand for something else.
	Folders(visit func(folder unix.FileHandle, all bool, names []string, fresh []bool) error) error
	// Files calls visit for each file that was touched, whatever its names are now.
	Files(visit func(file unix.FileHandle) error) error
	// Moved calls visit for each folder that was moved, with the folder it was in at first and its name there.
	Moved(visit func(folder, from unix.FileHandle, name string) error) error
	// Removed tells whether a folder was removed, by itself or with its subvolume.
	Removed(folder unix.FileHandle) bool
	// Made tells whether a folder was made.
	Made(folder unix.FileHandle) bool
}

// A Memory is what a capture learned that the next one needs to go by changes. It belongs to a partition; captures of it use it one after the
// other, each leaves in it what its own version taught. The zero value knows nothing.
type Memory struct {
	version   string // the one it is about, "" for none
	why       string // then, why there is none; "" if nobody listened
	root      []byte // of that version
	selection [sha256.Size]byte
	again     []again
	begun     time.Time // the clock of file times; zero if it was not known then which files were mapped
}

// An again is a path of a version that is to be looked at by the next capture though nothing changed: it could not be captured as it should be, or it
// is a nested subvolume.
type again struct {
	path string
	all  bool // with all that lies below
}

// maxAgainPaths and maxAgainBytes are how many paths a memory keeps, and how long they are together; with more, it knows nothing.
const (
	maxAgainPaths = 10_000
	maxAgainBytes = 4 << 20
)

// selectionOf tells captures apart that would take different names of the same partition.
func selectionOf(w *walker) [sha256.Size]byte {
	h := sha256.New()
	root := w.src.mounted
	fmt.Fprintf(h, "%q %v %v %v %q %v ", w.o.Partition.MountPoint, w.o.System, w.o.ExcludeCaches, w.o.ExcludeNodump, w.o.Excludes, []uint64{root.dev, root.ino, root.subvol})
	for _, in := range w.o.Includes {
		real, err := resolveParent(in)
		fmt.Fprintf(h, "%q %q %v ", in, real, err == nil)
	}
	ids := make([]fileID, 0, len(w.never))
	for id := range w.never {
		if w.src.live < 0 || id.dev != w.src.root.dev { // those of the partition itself are there too, and of the snapshot others each time
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b fileID) int {
		return bytes.Compare(fmt.Append(nil, a), fmt.Append(nil, b))
	})
	fmt.Fprint(h, ids)
	return [sha256.Size]byte(h.Sum(nil))
}

// whyWalk tells why the changes cannot be gone by; "" if they can.
func (w *walker) whyWalk() string {
	m, p := w.o.Memory, w.o.Parent
	switch {
	case p == nil:
		return FirstVersion
	case !SameFileSystem(p, &w.o.Partition):
		return "another file system was backed up there before"
	case w.o.Because != "":
		return w.o.Because
	case w.o.Changes == nil || m == nil:
		return "nobody listens to changes here"
	case m.Unfit(p.Name) != "":
		return m.Unfit(p.Name)
	case !bytes.Equal(m.root, p.Root):
		return otherVersion
	case m.selection != w.selection:
		return OtherFolders
	}
	return ""
}

// Reasons for a walk that can be told before a capture begins.
const (
	FirstVersion = "it is the first version"
	OtherFolders = "other folders are backed up than before"
	ForAudit     = "everything is looked at every so often, to see whether the journal told it all"

	otherVersion = "the version before is not the one since which changes were listened to"
)

// Unfit tells why a capture whose parent has a name cannot go by changes with what is remembered; "" if it can, as far as that is known before it begins.
func (m *Memory) Unfit(parent string) string {
	switch {
	case m.version == "" && m.why != "":
		return m.why
	case m.version == "":
		return "nobody listened to changes since the version before"
	case m.version != parent:
		return otherVersion
	}
	return ""
}

// upToTheMoment has the changes tell of all that is in the snapshot, if there is one, and of what was held after they were cut off and is no more: where
// it was held last is told by then, and what is held now was looked for before. What they tell beyond that is found unchanged.
func (w *walker) upToTheMoment() error {
	w.told = w.now(volume{})
	if w.o.Until == nil {
		return nil
	}
	if w.o.Changes = w.o.Until(); w.o.Changes == nil {
		return unsure("it is not known what changed while the capture began")
	}
	return nil
}

// remember leaves in the memory what the version taught.
func (w *walker) remember(v *snapshot.Version) {
	if w.o.Memory == nil {
		return
	}
	*w.o.Memory = Memory{}
	switch {
	case w.caseless.Load():
		w.o.Memory.why = "there is a folder in which names have no case (chattr +F), and of which it cannot be told what changed"
	case w.tooDeep.Load():
		w.o.Memory.why = "there is a folder that lies too deep to be entered, and may lie less deep next time"
	case w.unnumbered.Load() == 0 && len(w.again) <= maxAgainPaths && w.againBytes.Load() <= maxAgainBytes:
		*w.o.Memory = Memory{version: v.Name, root: v.Root, selection: w.selection, again: w.again, begun: w.begun}
	}
}

// doubted tells whether an entry of the parent version may have changed and yet look the same: of a file that changed during that capture nobody can tell
// whether it was read before the last store to a mapping that was writable already.
func (w *walker) doubted(old *snapshot.Entry) bool {
	m, p := w.o.Memory, w.o.Parent
	switch {
	case p == nil:
		return false
	case m == nil || m.version != p.Name || w.changes == nil && m.begun.IsZero(): // all that is known of that capture is its record
		return !old.Ctime.Time().Before(p.Start.Add(-grain(old.Ctime)))
	}
	return !old.Ctime.Time().Before(m.begun.Add(-coarseGrain))
}

// lookAgain has the next capture look at what is being captured, though nothing should have changed.
func (w *walker) lookAgain(all bool) {
	n, a := len(w.again), again{string(w.path), all}
	if n > 0 && w.again[n-1] == a {
		return
	}
	if n <= maxAgainPaths && w.againBytes.Add(int64(len(a.path))) <= maxAgainBytes {
		w.again = append(w.again, a)
	}
}

// noXattrs says that the extended attributes of what is being captured cannot be read. The next capture tries again, unless they are too many or too long, which no capture changes.
// If there may be an ACL that is not known, whom the mode seems to let in is not let in but for the owner.
func (w *walker) noXattrs(e *snapshot.Entry, err error) {
	_, unknown := errors.AsType[*aclError](err)
	if unknown {
		e.Mode &= ^uint32(permissions) | ownerPermissions
	}
	if unknown || !errors.Is(err, errXattrsTooMany) && !errors.Is(err, unix.E2BIG) && !errors.Is(err, unix.ERANGE) {
		e.Racy = true
		w.lookAgain(false)
	}
	w.warn("its extended attributes cannot be read: %v", err)
}

// lookAgainAt is lookAgain for a name in the folder that is being captured.
func (w *walker) lookAgainAt(name string) {
	keep := len(w.path)
	if keep > 0 {
		w.path = append(w.path, '/')
	}
	w.path = append(w.path, name...)
	w.lookAgain(false)
	w.path = w.path[:keep]
}
