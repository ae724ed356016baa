package restore

import (
	"errors"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// keeps tells whether a name that the version has not is to be kept all the same.
func (r *run) keeps(dir int, name, path string) bool {
	return r.keep.match(strings.TrimPrefix(r.o.Version.Partition.MountPoint+"/"+path, "/"), name) || r.keepsFlagged(dir, name)
}

// keepsFlagged tells whether a name is to be kept for its flag. If that cannot be told, it is.
func (r *run) keepsFlagged(dir int, name string) bool {
	if !r.o.KeepNodump {
		return false
	}
	st, there, err := look(dir, name)
	return err != nil || there && nodump(&st)
}

// keepsAllIn tells whether the open folder bears a mark for which all in it is to be kept. If that cannot be told, it is.
func (r *run) keepsAllIn(fd int) bool {
	if r.o.KeepNodump {
		if st, err := lookFD(fd); err != nil || nodump(&st) {
			return true
		}
	}
	if !r.o.KeepCaches {
		return false
	}
	st, there, err := look(fd, snapshot.CacheTag)
	if err != nil || !there || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return err != nil
	}
	tag, err := openIn(fd, snapshot.CacheTag, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return true
	}
	defer unix.Close(tag)
	b := make([]byte, len(snapshot.CacheSignature))
	n, err := pread(tag, b, 0)
	return err != nil || string(b[:n]) == snapshot.CacheSignature
}

func nodump(st *unix.Statx_t) bool { return st.Attributes&unix.STATX_ATTR_NODUMP != 0 }

// marked tells whether what is in a folder, and not in the version, may have been left out of it for a mark that the folder bears, or one above. It is
// asked before anything is done in the folder.
func (r *run) marked(f *folder) bool {
	switch {
	case !r.o.KeepCaches && !r.o.KeepNodump, !r.o.Delete && !r.o.Others:
		return false
	case slices.Contains(r.o.Named, path.Join(r.o.Version.Partition.MountPoint, f.path)):
		return false
	case f.up != nil && f.up.marked:
		return true
	}
	return r.keepsAllIn(f.fd) || r.o.KeepCaches && r.taggedInVersion(f)
}

// taggedInVersion tells whether the version has the folder tagged as a cache. If that cannot be told, it has.
func (r *run) taggedInVersion(f *folder) bool {
	var e snapshot.Entry
	err := snapshot.Lookup(r.ctx, r.o.Vault, f.entry.Tree, []byte(snapshot.CacheTag), &e)
	if err != nil || !e.IsRegular() || e.Size < uint64(len(snapshot.CacheSignature)) {
		return err != nil && !errors.Is(err, snapshot.ErrNotExist)
	}
	var raw []byte
	lost := snapshot.Spans(r.ctx, r.o.Vault, &e, 0, 1, func(s snapshot.Span) bool {
		if !s.Hole() {
			raw, err = r.o.Vault.Get(r.ctx, s.ID)
		}
		return false
	})
	return lost != nil || err != nil || strings.HasPrefix(string(raw), snapshot.CacheSignature)
}
