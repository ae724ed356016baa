package capture

import "golang.org/x/sys/unix"

const (
	aheadFiles = 64        // open at once
	aheadSize  = 256 << 10 // larger files keep the disk busy by themselves
)

// ahead opens the small files that come next in a folder and has the kernel begin to read them, so that the disk has many reads to choose from
// though the walk takes one file after the other. It is for folders that the parent version does not have, where each file is going to be read, and not
// for captures with a limit, which want no more of the disk than they read. It looks no further than the next folder: below that nothing is held open here.
type ahead struct {
	files []opened // of the names from next on
	next  int
}

// An opened file is one that is ready to be read.
type opened struct {
	fd   int  // -1: none
	cold bool // nothing of it was cached before it was read ahead
}

var notOpened = opened{fd: -1}

// take returns what was opened of name i, the caller's to close; when there is nothing left it looks ahead from there.
func (a *ahead) take(w *walker, dir int, n *names, i int) opened {
	if a.next == len(a.files) {
		a.files, a.next = a.files[:0], 0
		for more := true; more && i < n.len() && len(a.files) < aheadFiles; i++ {
			var o opened
			o, more = w.openAhead(dir, n.at(i))
			a.files = append(a.files, o)
		}
	}
	a.next++
	return a.files[a.next-1]
}

// close closes what was not taken.
func (a *ahead) close() {
	for _, o := range a.files[a.next:] {
		o.close()
	}
	a.files, a.next = a.files[:0], 0
}

func (o opened) close() {
	if o.fd >= 0 {
		unix.Close(o.fd)
	}
}

// openAhead opens a name if it is a small file; more tells that it is no folder. Whatever is wrong with it will be met again when it is its turn.
func (w *walker) openAhead(dir int, name zname) (o opened, more bool) {
	var st stat
	err := statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &w.statx, &st)
	if err != nil || st.kind() != unix.S_IFREG || st.nlink > 1 || st.size == 0 || st.size > aheadSize {
		return notOpened, st.kind() != unix.S_IFDIR
	}
	fd, err := openAt(dir, name, openFile)
	if err != nil {
		return notOpened, true
	}
	o = opened{fd: fd, cold: !cached(fd, 0, st.size)}
	if o.cold {
		_ = unix.Fadvise(fd, 0, int64(st.size), unix.FADV_WILLNEED)
	}
	return o, true
}
