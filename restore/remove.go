package restore

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// removes tells whether what the version has not is removed.
func (r *run) removes() bool { return r.o.Delete && !r.o.VerifyOnly }

// removeOthers removes from a folder what the version has not in it.
// Sockets are left to who listens on them: they are in no version.
func (r *run) removeOthers(f *folder, at spot) error {
	return r.others(f, at, func(name, path string) {
		if isSocket(f.fd, name) {
			return
		}
		if err := r.remove(f.fd, name, path); err != nil {
			r.fail(path, fmt.Errorf("remove it: %w", err))
		}
	})
}

// tellOthers tells what is in a folder and not in the version. Sockets are in none.
func (r *run) tellOthers(f *folder, at spot) error {
	return r.others(f, at, func(name, path string) {
		if _, there, err := look(f.fd, name); err == nil && there && !isSocket(f.fd, name) {
			r.differs(path, "it is not in the version")
		}
	})
}

// keepAll tells once why what is in a folder is not removed.
func (r *run) keepAll(folder, why string) { r.noteOnce("kept "+folder, folder, why) }

func isSocket(dir int, name string) bool {
	st, there, err := look(dir, name)
	return err == nil && there && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

// lostFound is what a new file system has in its root, and where a check of one puts what it finds.
const lostFound = "lost+found"

// isRoot tells whether a folder is the root of what is mounted there. If that cannot be told, it is.
func isRoot(f *folder) bool {
	if f.up != nil { // it lies on the file system of the one above
		return false
	}
	st, err := lookFD(f.fd)
	return err != nil || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// others calls do for each name in a folder that the version has not, but for those that are to be kept.
func (r *run) others(f *folder, at spot, do func(name, path string)) error {
	if f.marked || !r.hasAllIn(f) {
		return nil
	}
	names, err := list(f.fd)
	if err != nil {
		r.fail(f.path, err)
		return nil
	}
	var also *aliases // looked for when one is about to go
	for _, name := range names {
		path := join(f.path, name)
		_, visit := r.select_.enter(at, path, name)
		if !visit || strings.HasPrefix(name, ours) || name == lostFound && isRoot(f) || r.keeps(f.fd, name, path) {
			continue
		}
		var e snapshot.Entry
		err := snapshot.Lookup(r.ctx, r.o.Vault, f.entry.Tree, []byte(name), &e)
		if err == nil || !errors.Is(err, snapshot.ErrNotExist) {
			continue // what cannot be told stays
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		switch {
		case r.isOwn(f.fd, name), name == store.InstanceFolder && holdsVault(f.fd): // a version has only vault.json and the keys of another vault
			continue
		case !r.removes():
		case leftOutWhole(f):
			r.keepAll(f.path, "this subvolume may have been left out of the version, as one is that is read-only, so nothing is deleted in it")
			return nil
		case r.unsure:
			r.keepAll("", "more could not be read when the version was made than it lists, so nothing is deleted")
			return nil
		case r.unread[f.path]:
			r.keepAll(f.path, "not all names in this folder could be read when the version was made, so what the version has not in it is not deleted")
			return nil
		}
		if also == nil {
			if also, err = r.aliases(f, names); snapshot.IsLost(err) {
				r.fail(f.path, err)
				return nil
			} else if err != nil {
				return err
			}
		}
		if !also.have(f.fd, name) {
			do(name, path)
		}
	}
	return nil
}

// remove removes a name with all below it, but for what is mounted there. It counts what it removes, or would.
func (r *run) remove(dir int, name, path string) error {
	if strings.HasPrefix(name, temporary) && r.o.DryRun {
		return nil
	}
	if r.isOwn(dir, name) {
		return errOwn
	}
	fd, err := openIn(dir, name, asFolder)
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		if r.o.DryRun {
			r.count(func(t *Result) { t.Deleted++ })
			return nil
		}
		if err := unix.Unlinkat(dir, name, 0); errors.Is(err, unix.ENOENT) {
			return nil
		} else if err != nil {
			return err
		}
		r.count(func(t *Result) { t.Deleted++ })
		return nil
	case errors.Is(err, unix.EXDEV):
		return errors.New("another file system is mounted there")
	case errors.Is(err, unix.ENOENT): // somebody else did
		return nil
	case err != nil:
		return err
	}
	defer unix.Close(fd)
	if err := r.removeIn(fd, path); err != nil {
		return err
	}
	if !r.o.DryRun {
		if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err != nil {
			return err
		}
	}
	r.count(func(t *Result) { t.Deleted++ })
	return nil
}

func (r *run) removeIn(fd int, path string) error {
	if err := lacksKey(fd); err != nil { // first: without it nothing is known by its name
		return fmt.Errorf("%s: %w", path, err)
	}
	if r.keepsAllIn(fd) {
		return fmt.Errorf("what is in %s is to be kept", path)
	}
	if holdsVault(fd) {
		return fmt.Errorf("%s: %w", path, errVault)
	}
	names, err := list(fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		below := join(path, name)
		if r.keeps(fd, name, below) {
			return fmt.Errorf("%s is to be kept", below)
		}
		if isSocket(fd, name) {
			return fmt.Errorf("%s is a socket, and somebody may listen on it", below)
		}
		if err := r.remove(fd, name, below); err != nil {
			return err
		}
	}
	return nil
}
