package restore

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// verify tells what differs between a name and the version.
func (r *run) verify(it *item, st *unix.Statx_t, there bool) error {
	var what []string
	defer r.progress(1, it.entry.Size)
	switch {
	case !there:
		r.differs(it.path(), "it is missing")
		return nil
	case uint32(st.Mode)&unix.S_IFMT != it.entry.Type():
		r.differs(it.path(), "it is of another kind")
		return nil
	}
	h := &holder{node: !it.entry.IsRegular(), path: it.path()}
	var err error
	if h.node {
		h.fd, err = openIn(it.in.fd, it.name, unix.O_PATH)
	} else {
		h.fd, err = r.openFile(it.in.fd, it.name)
	}
	if err != nil {
		return r.failed(it, err)
	}
	defer unix.Close(h.fd)
	if !h.node {
		now, err := lookFD(h.fd)
		if err != nil {
			return r.failed(it, err)
		}
		d, err := r.compare(h.fd, now.Size, &it.entry)
		if err != nil {
			return r.failed(it, err)
		}
		if d.size {
			what = append(what, fmt.Sprintf("size (%d, in the version %d)", now.Size, it.entry.Size))
		}
		if len(d.spans) > 0 {
			what = append(what, "content")
		}
		st = &now
	} else if !r.sameNode(it, st) && it.entry.Nlink > 1 || it.entry.Nlink == 1 && it.entry.Type() != unix.S_IFIFO && !r.sameTarget(it, st) {
		what = append(what, "target or device number")
	}
	if other := it.link.seenAs(it, madeOf(st)); other != "" {
		what = append(what, "no hard link of "+other)
	}
	rest, err := r.otherwise(h, st, &it.entry)
	if err != nil {
		return r.failed(it, err)
	}
	if !r.o.ContentOnly {
		what = append(what, rest...)
	}
	if !h.node && !r.o.ContentOnly && it.entry.Nlink == 1 && st.Nlink > 1 {
		what = append(what, "hard link of another file")
	}
	if !h.node && !r.o.ContentOnly && r.flagsDiffer(h.fd, it.entry.Flags) {
		what = append(what, "inode flags")
	}
	if len(what) > 0 {
		r.differs(it.path(), strings.Join(what, ", "))
		return nil
	}
	r.count(func(t *Result) { t.Equal++ })
	return nil
}

func (r *run) sameTarget(it *item, st *unix.Statx_t) bool {
	one := *st
	one.Nlink = 1
	return r.sameNode(it, &one)
}

// verifyFolder tells what of a folder itself differs.
func (r *run) verifyFolder(f *folder) {
	st, err := lookFD(f.fd)
	if err != nil {
		r.fail(f.path, err)
		return
	}
	what, err := r.otherwise(&holder{fd: f.fd, path: f.path}, &st, &f.entry)
	if err != nil {
		r.fail(f.path, err)
		return
	}
	if r.flagsDiffer(f.fd, f.entry.Flags) {
		what = append(what, "inode flags")
	}
	if len(what) > 0 && !r.o.ContentOnly {
		r.differs(f.path, strings.Join(what, ", "))
	}
}

// otherwise lists what differs but for the content from what a restore would give.
func (r *run) otherwise(h *holder, st *unix.Statx_t, e *snapshot.Entry) (what []string, err error) {
	if !r.o.NoOwner && (st.Uid != e.UID || st.Gid != e.GID) {
		what = append(what, fmt.Sprintf("owner (%d:%d, in the version %d:%d)", st.Uid, st.Gid, e.UID, e.GID))
	}
	wantMode, err := r.modeOf(e)
	if err != nil {
		return nil, err
	}
	if mode := uint32(st.Mode) & 0o7777; e.Type() != unix.S_IFLNK && mode != wantMode {
		what = append(what, fmt.Sprintf("mode (%o, in the version %o)", mode, e.Mode&0o7777))
	}
	if fileTime(st.Mtime) != e.Mtime {
		what = append(what, "time")
	}
	if r.o.NoMetadata {
		return what, nil
	}
	want, err := r.xattrsOf(e)
	if err != nil {
		return nil, err
	}
	if _, can := want.Get(capability); can && r.o.NoOwner {
		want = with(want, capability, nil)
	}
	have, err := h.xattrs()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(want, have) {
		what = append(what, "attributes or ACL")
	}
	return what, nil
}
