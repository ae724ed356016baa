package daemon

import (
	"fmt"
	"syscall"
	"time"

	"yester/control"
	"yester/snapshot"
)

var typeNames = map[uint32]string{
	syscall.S_IFREG: "file", syscall.S_IFDIR: "folder", syscall.S_IFLNK: "symlink", syscall.S_IFBLK: "block-device",
	syscall.S_IFCHR: "char-device", syscall.S_IFIFO: "fifo", syscall.S_IFSOCK: "socket",
}

// file describes an entry as the API does; nil for nil.
func file(e *snapshot.Entry) *control.File {
	if e == nil {
		return nil
	}
	f := &control.File{
		Type: typeNames[e.Type()], Mode: fmt.Sprintf("%04o", e.Mode&^syscall.S_IFMT), UID: e.UID, GID: e.GID, Size: e.Size,
		Mtime: jsonTime(e.Mtime), Target: control.PathText(string(e.Target)),
	}
	if e.IsDir() {
		f.Size = e.Totals.Bytes
	}
	return f
}

// jsonTime is a file's time within the years that RFC 3339 can write.
func jsonTime(t snapshot.Time) time.Time {
	const first, last = -62167219200, 253402300799 // of the years 0 and 9999
	switch {
	case t.Sec < first:
		t = snapshot.Time{Sec: first}
	case t.Sec > last:
		t = snapshot.Time{Sec: last}
	}
	return t.Time()
}
