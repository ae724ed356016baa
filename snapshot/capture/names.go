package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// names are the names in a directory in the order of their bytes. They lie in one arena, so a name costs its bytes and eight more.
type names struct {
	arena []byte   // of each name: its type (DT_DIR …), its length in two bytes, the name, NUL
	order []uint32 // where in the arena
}

// maxNames is how large the arena may become: it is counted in 32 bits.
const maxNames = 1<<32 - 1<<16

var errTooManyNames = errors.New("its names take more than 4 GiB")

// keepNames is the arena's size up to which it is kept for the next directory.
const keepNames = 1 << 20

func (n *names) len() int { return len(n.order) }

func (n *names) at(i int) zname {
	name := n.name(n.order[i])
	return name[:len(name)+1]
}

// name is the one that lies at a place in the arena. There are file systems whose names have more than 255 bytes: vfat, exfat and ntfs count characters.
func (n *names) name(at uint32) []byte {
	return n.arena[at+3:][:binary.NativeEndian.Uint16(n.arena[at+1:])]
}

// folder tells whether name i was said to be a folder's. Not every file system says so, and it may be something else by now.
func (n *names) folder(i int) bool { return n.kind(i) == unix.DT_DIR }

// kind is what name i was said to be: DT_REG …, or DT_UNKNOWN.
func (n *names) kind(i int) byte { return n.arena[n.order[i]] }

func (n *names) reset() {
	if cap(n.arena) > keepNames {
		*n = names{}
	}
	n.arena, n.order = n.arena[:0], n.order[:0]
}

// add takes up a name, if there is room.
func (n *names) add(name []byte, kind byte) bool {
	if len(n.arena) > maxNames {
		return false
	}
	n.order = append(n.order, uint32(len(n.arena)))
	n.arena = binary.NativeEndian.AppendUint16(append(n.arena, kind), uint16(len(name)))
	n.arena = append(n.arena, name...)
	n.arena = append(n.arena, 0)
	return true
}

// sort orders the names and drops what a directory that changes while it is listed may give twice.
func (n *names) sort() {
	slices.SortFunc(n.order, func(a, b uint32) int { return bytes.Compare(n.name(a), n.name(b)) })
	n.order = slices.CompactFunc(n.order, func(a, b uint32) bool { return bytes.Equal(n.name(a), n.name(b)) })
}

// list reads the open directory fd with buf, keeping the names that want says yes to. What was read before an error is there, if that is not the context's.
func (n *names) list(ctx context.Context, fd int, buf []byte, want func(name []byte) bool) error {
	n.reset()
	for {
		if err := ctx.Err(); err != nil {
			n.reset()
			return err
		}
		got, err := unix.Getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || got <= 0 {
			n.sort()
			return err
		}
		for b := buf[:got]; len(b) > 0; {
			// struct linux_dirent64: ino, off, then the record's length at 16, type at 18, name from 19 on.
			size := binary.NativeEndian.Uint16(b[16:])
			name := b[19:size]
			if end := bytes.IndexByte(name, 0); end >= 0 {
				name = name[:end]
			}
			if s := string(name); s != "." && s != ".." && want(name) && !n.add(name, b[18]) {
				n.sort()
				return errTooManyNames
			}
			b = b[size:]
		}
	}
}
