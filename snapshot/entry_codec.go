package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"syscall"

	"yester/store"
)

// An entry's bytes. Integers are varints as encoding/binary writes them, signed ones zigzag.
//
//	name        length, bytes
//	marks       1 byte: the bits below
//	mode, uid, gid, nlink, ino, size
//	mtime       signed seconds, nanoseconds
//	ctime       likewise
//	btime       likewise, if hasBtime
//	flags       if hasFlags
//	xattrs      length, bytes, if hasXattrs; or a list of refs, if hasXattrRefs
//
// and then by type:
//
//	regular     depth (1 byte), list of refs, and if depth is not 0, bytes that are no holes
//	directory   files, dirs, bytes of its totals, and the tree's id (32 bytes) if hasTree
//	symlink     length, target
//	device      rdev
//
// A list of refs is their count, at most maxRefs, then for each its length twice (plus one for a hole), and for a chunk its id (32 bytes).
const (
	isRacy       = 1 << 0
	hasBtime     = 1 << 1
	hasFlags     = 1 << 2
	hasXattrs    = 1 << 3
	hasXattrRefs = 1 << 4
	hasTree      = 1 << 5

	knownMarks = 1<<6 - 1

	maxRefs = 1 << 16
)

// Type returns the type bits of the mode, to be compared with syscall.S_IFREG and so on.
func (e *Entry) Type() uint32 { return e.Mode & syscall.S_IFMT }

// IsDir tells whether e is a directory.
func (e *Entry) IsDir() bool { return e.Type() == syscall.S_IFDIR }

// IsRegular tells whether e is a regular file.
func (e *Entry) IsRegular() bool { return e.Type() == syscall.S_IFREG }

func (e *Entry) marks() (m byte) {
	set := func(on bool, bit byte) {
		if on {
			m |= bit
		}
	}
	set(e.Racy, isRacy)
	set(!e.Btime.IsZero(), hasBtime)
	set(e.Flags != 0, hasFlags)
	set(len(e.Xattrs) > 0, hasXattrs)
	set(len(e.XattrRefs) > 0, hasXattrRefs)
	set(e.IsDir() && e.Tree != store.ID{}, hasTree)
	return m
}

// appendEntry appends e's bytes to b.
func appendEntry(b []byte, e *Entry) []byte {
	b = appendBytes(b, e.Name)
	m := e.marks()
	b = append(b, m)
	for _, x := range [...]uint64{uint64(e.Mode), uint64(e.UID), uint64(e.GID), uint64(e.Nlink), e.Ino, e.Size} {
		b = binary.AppendUvarint(b, x)
	}
	b = appendTime(b, e.Mtime)
	b = appendTime(b, e.Ctime)
	if m&hasBtime != 0 {
		b = appendTime(b, e.Btime)
	}
	if m&hasFlags != 0 {
		b = binary.AppendUvarint(b, uint64(e.Flags))
	}
	if m&hasXattrs != 0 {
		b = appendBytes(b, e.Xattrs)
	}
	if m&hasXattrRefs != 0 {
		b = appendRefs(b, e.XattrRefs)
	}
	return appendByType(b, e)
}

func appendByType(b []byte, e *Entry) []byte {
	switch e.Type() {
	case syscall.S_IFREG:
		b = append(b, e.Depth)
		b = appendRefs(b, e.Content)
		if e.Depth > 0 {
			b = binary.AppendUvarint(b, e.Data)
		}
	case syscall.S_IFDIR:
		b = binary.AppendUvarint(b, e.Totals.Files)
		b = binary.AppendUvarint(b, e.Totals.Dirs)
		b = binary.AppendUvarint(b, e.Totals.Bytes)
		if e.Tree != (store.ID{}) {
			b = append(b, e.Tree[:]...)
		}
	case syscall.S_IFLNK:
		b = appendBytes(b, e.Target)
	case syscall.S_IFBLK, syscall.S_IFCHR:
		b = binary.AppendUvarint(b, e.Rdev)
	}
	return b
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Sec), uint64(t.Nsec))
}

func appendRefs(b []byte, refs []Ref) []byte {
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for _, r := range refs {
		if r.Hole() {
			b = binary.AppendUvarint(b, r.Len<<1|1)
			continue
		}
		b = append(binary.AppendUvarint(b, r.Len<<1), r.ID[:]...)
	}
	return b
}

// AppendBinary appends e as it stands in a tree page. It never fails.
func (e *Entry) AppendBinary(b []byte) ([]byte, error) { return appendEntry(b, e), nil }

// UnmarshalBinary decodes what AppendBinary appended. ErrFormat if that is something else.
func (e *Entry) UnmarshalBinary(b []byte) error { return decodeEntry(bytes.Clone(b), e) }

// decodeEntry decodes the whole of b into e, reusing the capacity of e's ref slices; byte slices alias b.
func decodeEntry(b []byte, e *Entry) error {
	content, xrefs := e.Content[:0], e.XattrRefs[:0]
	*e = Entry{Content: content, XattrRefs: xrefs}
	d := decoder{b: b}
	e.Name = d.bytes()
	m := d.byte()
	e.Mode, e.UID, e.GID, e.Nlink = d.uint32(), d.uint32(), d.uint32(), d.uint32()
	e.Ino, e.Size = d.uint(), d.uint()
	e.Mtime, e.Ctime = d.time(), d.time()
	e.Racy = m&isRacy != 0
	if m&hasBtime != 0 {
		e.Btime = d.time()
	}
	if m&hasFlags != 0 {
		e.Flags = d.uint32()
	}
	if m&hasXattrs != 0 {
		e.Xattrs = d.bytes()
	}
	if m&hasXattrRefs != 0 {
		e.XattrRefs = d.refs(e.XattrRefs)
	}
	d.byType(e, m)
	if d.bad || len(d.b) != 0 || m&^byte(knownMarks) != 0 {
		return fmt.Errorf("decode entry: %w", ErrFormat)
	}
	return nil
}

func (d *decoder) byType(e *Entry, m byte) {
	switch e.Type() {
	case syscall.S_IFREG:
		e.Depth = d.byte()
		e.Content = d.refs(e.Content)
		e.Data = dataIn(e.Content)
		if e.Depth > 0 {
			e.Data = d.uint()
		}
		d.bad = d.bad || e.Depth > maxDepth
	case syscall.S_IFDIR:
		e.Totals = Totals{Files: d.uint(), Dirs: d.uint(), Bytes: d.uint()}
		if m&hasTree != 0 {
			copy(e.Tree[:], d.take(len(e.Tree)))
		}
	case syscall.S_IFLNK:
		e.Target = d.bytes()
	case syscall.S_IFBLK, syscall.S_IFCHR:
		e.Rdev = d.uint()
	case syscall.S_IFIFO, syscall.S_IFSOCK:
	default:
		d.bad = true
	}
}

func dataIn(refs []Ref) (n uint64) {
	for _, r := range refs {
		if !r.Hole() {
			n += r.Len
		}
	}
	return n
}

// A decoder takes values off the front of b. After the first that is not there, bad is set and everything is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) byte() byte {
	if s := d.take(1); s != nil {
		return s[0]
	}
	return 0
}

func (d *decoder) uint() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) uint32() uint32 {
	x := d.uint()
	d.bad = d.bad || x > 1<<32-1
	return uint32(x)
}

func (d *decoder) int() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) time() Time {
	t := Time{Sec: d.int(), Nsec: d.uint32()}
	d.bad = d.bad || t.Nsec >= 1e9
	return t
}

func (d *decoder) refs(out []Ref) []Ref {
	n := d.uint()
	if n > maxRefs || n > uint64(len(d.b)) { // each takes a byte at least, and many times that in memory
		d.bad = true
	}
	for ; n > 0 && !d.bad; n-- {
		x := d.uint()
		r := Ref{Len: x >> 1}
		if x&1 == 0 {
			copy(r.ID[:], d.take(len(r.ID)))
			d.bad = d.bad || r.Hole()
		}
		out = append(out, r)
	}
	return out
}
