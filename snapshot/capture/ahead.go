package capture

import (
	"time"

	"golang.org/x/sys/unix"
)

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
	fd     int       // -1: none
	stat   stat      // if looked
	moment time.Time // just before stat was taken
	looked bool      // it was opened ahead, and stat and cold are known
	cold   bool      // nothing of it was cached before it was read ahead
}

var notOpened = opened{fd: -1}

// take returns what was opened of name i, the caller's to close; when there is nothing left it looks ahead from there.
func (a *ahead) take(w *walker, d directory, n *names, i int) opened {
	if a.next == len(a.files) {
		a.files, a.next = a.files[:0], 0
		for more := true; more && i < n.len() && len(a.files) < aheadFiles; i++ {
			var o opened
			o, more = w.openAhead(d, n, i)
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

// openAhead opens name i if it is a small file; more tells that it is no folder. Whatever is wrong with it will be met again when it is its turn.
func (w *walker) openAhead(d directory, n *names, i int) (o opened, more bool) {
	kind, name := n.kind(i), n.at(i)
	if kind == unix.DT_UNKNOWN {
		var st stat
		if err := statx(d.fd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &w.statx, &st); err != nil {
			return notOpened, true
		}
		kind = byte(st.kind() >> 12) // DT_REG is S_IFREG so shifted, and so on
	}
	if kind != unix.DT_REG {
		return notOpened, kind != unix.DT_DIR
	}
	fd, err := openAt(d.fd, name, openFile)
	if err != nil {
		return notOpened, true
	}
	o = opened{fd: fd, looked: true, moment: w.now(d.vol)}
	err = statx(fd, empty, unix.AT_EMPTY_PATH, statMask, &w.statx, &o.stat)
	if err != nil || o.stat.kind() != unix.S_IFREG || o.stat.size > aheadSize {
		unix.Close(fd)
		return notOpened, true
	}
	if o.cold = !cached(fd, 0, o.stat.size); o.cold && o.stat.size > 0 {
		_ = unix.Fadvise(fd, 0, int64(o.stat.size), unix.FADV_WILLNEED)
	}
	return o, true
}
