package restore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// A folder of the target that something is restored in. It is opened, or made, when the first thing in it is, and gets what the version has for
// it when the last is done.
type folder struct {
	up    *folder // nil: it is the target
	name  string
	path  string // below the target
	entry snapshot.Entry
	whole bool // asked for, not only on the way to something that is

	// Set by open.
	opened bool
	held   bool // the folder above waits for this one
	fd     int
	err    error // why nothing can be restored in it; it was told
	absent bool  // it is not there, and is not to be made
	fresh  bool  // nothing is in it but what this restore made
	made   bool  // by this restore
	ours   bool  // fresh, or left unfinished by an earlier restore
	acl    bool  // what is made in it gets an ACL, or may
	flags  uint32
	cased  bool          // it has names that differ in case only, or may have
	met    map[made]bool // if not: folders in it that the version has by a name that was met
	twins  [][]twin      // what else the version has in it by names that differ in case only
	marked bool          // others in it are to be kept, whatever they are
	vault  bool          // for it is a vault, or lies in one
	locked bool          // for its key is not there, or that of one above

	pending atomic.Int64 // things in it that are not done, and one while it is walked
}

// errTold is why a folder cannot be restored in, for those below it: it was told once.
var errTold = errors.New("told")

// open opens the folder, and makes it if it is not there. It is called by the walk only.
func (r *run) open(f *folder) error {
	if f.opened {
		return f.err
	}
	f.opened, f.fd = true, -1
	if f.up == nil {
		f.fd, f.err = openIn(r.o.Target, ".", asFolder)
		if f.err == nil {
			r.inspect(f)
		}
		return f.err
	}
	if err := r.open(f.up); err != nil {
		f.err = errTold
		return f.err
	}
	f.up.pending.Add(1)
	f.held = true
	if f.absent = f.up.absent; f.absent {
		r.count(func(t *Result) { t.Dirs++ })
		return nil
	}
	err := r.openOrMake(f)
	if err != nil {
		f.err = errTold
		r.fail(f.path, err)
	}
	return f.err
}

func (r *run) openOrMake(f *folder) (err error) {
	if !valid(f.entry.Name) {
		return errName
	}
	if !f.up.fresh {
		if f.fd, err = openIn(f.up.fd, f.name, asFolder); err == nil {
			return r.enter(f)
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			err = r.clear(f)
		}
		if !errors.Is(err, unix.ENOENT) {
			return folderError(err)
		}
	}
	if !r.writes() {
		f.absent = true
		if r.o.VerifyOnly {
			r.differs(f.path, "it is missing, with all that is in it")
			return nil
		}
		r.count(func(t *Result) { t.Dirs++ })
		return nil
	}
	return r.make(f)
}

// enter looks at an open folder that was there, and closes it if it is not to be restored in.
func (r *run) enter(f *folder) (err error) {
	switch {
	case r.isOwn(f.fd, "."):
		err = errOwn
	case f.up.hasMet(f.fd, f.name):
		err = errOneName
	default:
		r.inspect(f)
		return nil
	}
	unix.Close(f.fd)
	f.fd = -1
	return err
}

// clear removes what is in the way of a folder, if that was asked for; then the error is ENOENT, as nothing is there.
func (r *run) clear(f *folder) error {
	if !r.removes() || r.o.OnConflict != Overwrite || f.up.marked || r.keepsFlagged(f.up.fd, f.name) {
		return unix.ENOTDIR
	}
	if err := r.remove(f.up.fd, f.name, f.path); err != nil {
		return err
	}
	return unix.ENOENT
}

func (r *run) make(f *folder) error {
	err := unix.Mkdirat(f.up.fd, f.name, 0o700)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	made := err == nil
	if !made && f.up.fresh && !isListed(f.up.fd, f.name) {
		return errOneName
	}
	if f.fd, err = openIn(f.up.fd, f.name, asFolder); err != nil {
		return folderError(err)
	}
	if !made || !r.isMade(f) { // somebody else did
		return r.enter(f)
	}
	if !f.up.fresh {
		f.up.hasMet(f.fd, f.name)
	}
	f.made, f.fresh, f.ours = true, true, true
	r.count(func(t *Result) { t.Dirs++ })
	markUnfinished(f.fd)
	r.early(f.fd, f.up, f.entry.Flags)
	r.learn(f)
	return nil
}

// isMade tells whether an open folder is the one that was just made, for whoever may write in the one above can put something else in its place, of somebody else.
func (r *run) isMade(f *folder) bool {
	st, err := lookFD(f.fd)
	return err == nil && empty(f.fd) && (int(st.Uid) == unix.Geteuid() || r.getsOwner(f.up.fd, st.Uid))
}

// folderError says why a folder cannot be entered.
func folderError(err error) error {
	switch {
	case errors.Is(err, unix.ENOTDIR):
		return errors.New("a file, or a symlink, is in the way of the folder, and of all that is in it")
	case errors.Is(err, unix.ELOOP):
		return errors.New("a symlink is in the way of the folder, and is not followed")
	case errors.Is(err, unix.EXDEV):
		return errors.New("another file system is mounted there; what is in the folder is not restored")
	}
	return err
}

// inspect looks at a folder that was there, at what it passes on last: it may have another owner by then.
func (r *run) inspect(f *folder) {
	defer r.learn(f)
	if f.locked = f.up != nil && f.up.locked; !f.locked && (r.o.Delete || r.o.Others) { // before anything is looked for by its name
		if err := lacksKey(f.fd); err != nil {
			f.locked = true
			r.keepAll(f.path, fmt.Sprintf("what is in this folder is left alone: %v", err))
		}
	}
	if f.vault = f.up != nil && f.up.vault; !f.vault && r.removes() && holdsVault(f.fd) {
		f.vault = true
		r.keepAll(f.path, "a vault lies in this folder, so what the version has not in it is not deleted")
	}
	f.marked = f.vault || f.locked || r.marked(f)
	if r.writes() && (r.resumes || r.unmarked) {
		r.sweep(f.fd)
	}
	if f.ours = r.isUnfinished(f); f.ours {
		return
	}
	f.fresh = empty(f.fd)
	f.ours = f.fresh && (f.whole || f.up != nil) // the target itself is somebody's, unless the whole of the version comes to it
	if f.ours && r.writes() {
		r.narrow(f)
		markUnfinished(f.fd)
	}
}

// narrow takes from a folder that was there and empty what the version lets nobody do in it, before anything is. One of somebody else than in the version, or of another group, or with an ACL
// of its own, is closed like one that is made. It gets the rest when all is there.
func (r *run) narrow(f *folder) {
	const kept = 0o7700 // by itself none of this lets anybody see what is in it
	may := f.entry.Mode & 0o777
	if attributes, err := r.xattrsOf(&f.entry); err != nil {
		may = 0
	} else if _, has := attributes.Get(aclAccess); has { // then the group's bits are what anybody at all may do but others
		may = 0
	}
	st, err := lookFD(f.fd)
	if err != nil {
		return
	}
	if !r.o.NoOwner && (st.Uid != f.entry.UID || st.Gid != f.entry.GID) {
		may = 0
		if own := unix.Geteuid(); int(st.Uid) != own { // first, as an owner may change all the rest
			_ = unix.Fchown(f.fd, own, -1)
		}
	}
	_, err = unix.Fgetxattr(f.fd, aclAccess, nil)
	acl := err == nil && !r.o.NoMetadata
	if acl {
		may = 0
	}
	if st, err = lookFD(f.fd); err != nil {
		return
	}
	if mode := uint32(st.Mode & 0o7777); mode&^(may|kept) != 0 {
		_ = unix.Fchmod(f.fd, mode&(may|kept))
	}
	if acl { // when the mode gives no group what the ACL did
		_ = unix.Fremovexattr(f.fd, aclAccess)
	}
}

// learn looks at what a folder passes on to what is made in it. Somebody else whose it is can give it an ACL for that at any time.
func (r *run) learn(f *folder) {
	st, err := lookFD(f.fd)
	_, aclErr := unix.Fgetxattr(f.fd, aclDefault, nil)
	f.acl = aclErr == nil || err != nil || int(st.Uid) != unix.Geteuid()
	f.flags, _ = unix.IoctlGetUint32(f.fd, unix.FS_IOC_GETFLAGS)
	f.flags &= inherited
}

// empty tells whether nothing is in a folder but what a new file system has.
func empty(fd int) bool {
	d, err := reopen(fd)
	if err != nil {
		return false
	}
	defer d.Close()
	names, err := d.Readdirnames(2)
	return errors.Is(err, io.EOF) || err == nil && len(names) == 1 && names[0] == lostFound
}

// done ends one of the things in f; with the last one the folder gets what the version has for it.
func (r *run) done(f *folder) {
	for f != nil && f.pending.Add(-1) == 0 {
		if f.opened {
			r.settle(f)
		}
		if !f.held {
			return
		}
		f = f.up
	}
}

// settle gives a folder what the version has for it, and closes it.
func (r *run) settle(f *folder) {
	if f.fd < 0 {
		return
	}
	defer unix.Close(f.fd)
	if r.stopped() {
		return
	}
	r.tellTwins(f)
	switch change := f.ours || f.whole && r.o.OnConflict == Overwrite; {
	case r.o.VerifyOnly:
		if f.whole {
			r.verifyFolder(f)
		}
	case !change:
		r.noteClosed(f)
	case r.o.DryRun:
	default:
		switch err := r.giveFolder(f); {
		case err == nil || r.stopped():
		case fatal(err) && !r.onlyThere(&f.entry, err):
			r.mu.Lock()
			r.unsettled = cmp.Or(r.unsettled, fmt.Errorf("put back what the folder %s has: %w", orDot(f.path), err))
			r.mu.Unlock()
		default:
			r.fail(f.path, fmt.Errorf("put back what the folder has: %w", err))
		}
	}
}

func (r *run) giveFolder(f *folder) error {
	h := &holder{fd: f.fd, path: f.path, fresh: f.made && !f.up.acl, flags: inherited, in: f.fd}
	st, err := lookFD(f.fd)
	if err != nil {
		return err
	}
	if !f.ours || isLocked(&st) {
		if lacks, err := r.lacks(h, &st, &f.entry); err != nil || !lacks {
			return explain(err)
		}
	}
	err = r.give(h, &f.entry)
	if f.ours && !fatal(err) && unmark(f.fd) && err == nil { // if it is, the same restore gives it the rest
		err = h.utimes(f.entry.Mtime)
	}
	if err == nil && f.entry.Flags&locks != 0 && !r.o.NoLocks {
		if f.up == nil {
			r.lockTop = f.entry.Flags & locks
		} else {
			r.lock(h, f.entry.Flags&locks)
		}
	}
	return err
}

// holdsItself tells whether a tree is that of one of the folders above, as a forged version may have it.
func (f *folder) holdsItself(tree store.ID) bool {
	for ; f != nil; f = f.up {
		if f.entry.Tree == tree && tree != (store.ID{}) {
			return true
		}
	}
	return false
}
