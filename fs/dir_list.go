package fs

import (
	"encoding/binary"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A dirList is the answer to a request for entries of a directory, up to the capacity of buf:
//
//	with plus: struct fuse_entry_out (linux/fuse.h), zero if nothing is told but the name
//	u64 inode number   u64 offset after it   u32 length of name   u32 type   name   up to 7 zeros
type dirList struct {
	buf  []byte
	plus bool
	slot uint64 // of the page listed last, 0 if none
	told uint64 // how many nodes it tells of
}

const (
	direntSize = 24
	entrySize  = int(unsafe.Sizeof(fuse.EntryOut{}))
)

// add adds a name, and returns room for what else is told of it if the list is one with plus; false if it is full.
func (l *dirList) add(name []byte, ino uint64, mode uint32, next uint64) (out *fuse.EntryOut, ok bool) {
	head := direntSize
	if l.plus {
		head += entrySize
	}
	n, size := len(l.buf), (head+len(name)+7)&^7
	if n+size > cap(l.buf) {
		return nil, false
	}
	l.buf = l.buf[:n+size]
	b := l.buf[n:]
	if l.plus {
		out = (*fuse.EntryOut)(unsafe.Pointer(unsafe.SliceData(b)))
		*out = fuse.EntryOut{}
		b = b[entrySize:]
	}
	ne := binary.NativeEndian
	ne.PutUint64(b, ino)
	ne.PutUint64(b[8:], next)
	ne.PutUint32(b[16:], uint32(len(name)))
	ne.PutUint32(b[20:], mode>>12&0xf)
	clear(b[direntSize+copy(b[direntSize:], name):])
	return out, true
}
