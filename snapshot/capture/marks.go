package capture

import (
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A folder may bear a tag that says that it is a cache, and any file or folder an inode flag that says that it is not worth a backup. Such marks
// are heeded if that is asked for, but not on what is included by name.

var cacheTag = zname(snapshot.CacheTag + "\x00")

// named tells whether the folder is included by name.
func (s spot) named() bool { return s.node != nil && s.node.include }

// leads tells whether the folder is included by name, or something below it is.
func (s spot) leads() bool { return s.node != nil && s.node.leads }

// flaggedOut tells whether the name in d that is being captured is left out for its flag. A folder that leads to what is included is not.
func (w *walker) flaggedOut(d *directory, t *target) bool {
	if !w.o.ExcludeNodump || !t.stat.nodump {
		return false
	}
	at, _ := w.filter.enter(d.at, w.path[:max(0, len(w.path)-len(t.name))], t.name.bytes())
	return !at.leads()
}

// heed has nothing taken of what is in the open folder d, if that bears a mark, but its tag and what is included by name.
func (w *walker) heed(d *directory, st *stat) {
	switch {
	case !d.at.inside || d.at.named():
		return
	case w.o.ExcludeNodump && st.nodump: // changed flags make a walk
		d.at.inside = false
	case w.o.ExcludeCaches:
		tagged, sure := w.tagged(d)
		if !sure || d.known.tells(snapshot.CacheTag) {
			d.lookAtAll()
		}
		d.at.inside, d.at.tagged = !tagged, tagged
	}
	if !d.at.inside {
		w.leaveOut()
	}
}

// tagged tells whether the folder d is tagged as a cache; sure, whether that could be told.
func (w *walker) tagged(d *directory) (tagged, sure bool) {
	var st stat
	err := statx(d.fd, cacheTag, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &w.statx, &st)
	if err == nil && st.kind() != unix.S_IFREG {
		return false, true
	}
	if err == nil {
		tagged, err = signed(d.fd)
	}
	if vanished(err) {
		return false, true
	}
	_, in := w.filter.enter(d.at, w.path, cacheTag.bytes())
	if err != nil || !in || w.o.ExcludeNodump && st.nodump {
		// What is done to a file by other names, or through a mapping, is found out only of those that the version has.
		w.lookAgainAt(snapshot.CacheTag)
	}
	return tagged, err == nil
}

// signed tells whether the tag in the open folder dir begins as one must.
func signed(dir int) (bool, error) {
	fd, err := openAt(dir, cacheTag, openFile)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	b := make([]byte, len(snapshot.CacheSignature))
	whole, err := readWhole(fd, b)
	return whole && string(b) == snapshot.CacheSignature, err
}

// readWhole reads the beginning of a file into all of b; false if it is shorter.
func readWhole(fd int, b []byte) (bool, error) {
	for n := 0; n < len(b); {
		m, err := unix.Pread(fd, b[n:], int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil || m == 0 {
			return false, err
		}
		n += m
	}
	return true, nil
}

// lookAtAll has all names of the folder be looked at: whether it is tagged may have changed. What the parent version has of a tagged folder is no folders
// but those that lead to what is included by name; these may have been taken in part only, and all below them is looked at too.
func (d *directory) lookAtAll() {
	switch {
	case d.known == nil:
	case d.at.leads():
		d.known = nil
	default:
		d.known.dirty.all = true
	}
}

// tells tells whether the changes say that a name in the folder may not be what it was.
func (k *known) tells(name string) bool {
	return k != nil && (k.dirty.all || k.dirty.names[name] != nil)
}

// leaveOut takes note that what changed in the folder that is being captured need not be met.
func (w *walker) leaveOut() {
	if w.changes != nil {
		w.changes.left[string(w.path)] = true
	}
}
