package docs

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// bytesOf takes values off the front of an entry's bytes.
type bytesOf struct {
	t *testing.T
	b []byte
}

func (d *bytesOf) take(n int) []byte {
	d.t.Helper()
	if n > len(d.b) {
		d.t.Fatalf("%d bytes wanted, there are %d", n, len(d.b))
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *bytesOf) varint() uint64 {
	x, n := binary.Uvarint(d.b)
	d.take(n)
	return x
}

func (d *bytesOf) signed() int64 {
	x := d.varint()
	return int64(x>>1) ^ -int64(x&1)
}

func (d *bytesOf) counted() []byte { return d.take(int(d.varint())) }

// A ref is a piece of a file; id is nil for a hole.
type ref struct {
	id []byte
	n  uint64
}

func (d *bytesOf) refs() (list []ref) {
	for n := d.varint(); n > 0; n-- {
		x := d.varint()
		r := ref{n: x >> 1}
		if x&1 == 0 {
			r.id = d.take(32)
		}
		list = append(list, r)
	}
	return list
}

// An entry, by section 6 of the page.
type entry struct {
	name                              string
	mode, uid, gid, nlink, ino, size  uint64
	mtime, ctime, btime               int64
	mtimeNsec, ctimeNsec, btimeNsec   uint64
	flags                             uint64
	xattrs                            []byte
	xattrRefs, content                []ref
	depth                             byte
	tree                              []byte
	target                            string
	rdev                              uint64
	files, dirs, bytes, dataOfContent uint64
}

func parseEntry(t *testing.T, b []byte) (e entry) {
	t.Helper()
	d := bytesOf{t, b}
	e.name = string(d.counted())
	marks := d.take(1)[0]
	for _, x := range []*uint64{&e.mode, &e.uid, &e.gid, &e.nlink, &e.ino, &e.size} {
		*x = d.varint()
	}
	e.mtime, e.mtimeNsec = d.signed(), d.varint()
	e.ctime, e.ctimeNsec = d.signed(), d.varint()
	if marks&2 != 0 {
		e.btime, e.btimeNsec = d.signed(), d.varint()
	}
	if marks&4 != 0 {
		e.flags = d.varint()
	}
	if marks&8 != 0 {
		e.xattrs = d.counted()
	}
	if marks&16 != 0 {
		e.xattrRefs = d.refs()
	}
	switch e.mode & 0o170000 {
	case 0o100000:
		e.depth = d.take(1)[0]
		e.content = d.refs()
		if e.depth != 0 {
			e.dataOfContent = d.varint()
		}
	case 0o040000:
		e.files, e.dirs, e.bytes = d.varint(), d.varint(), d.varint()
		if marks&32 != 0 {
			e.tree = d.take(32)
		}
	case 0o120000:
		e.target = string(d.counted())
	case 0o020000, 0o060000:
		e.rdev = d.varint()
	}
	if len(d.b) != 0 || marks >= 64 {
		t.Fatalf("entry %q with the marks %x has %d bytes too many", e.name, marks, len(d.b))
	}
	return e
}

// items are those of a page, by section 5.
func items(t *testing.T, page []byte) (list [][]byte) {
	t.Helper()
	n := int(le.Uint16(page[2:]))
	all := page[4+4*n:]
	start := 0
	for i := range n {
		end := int(le.Uint32(page[4+4*i:]))
		list = append(list, all[start:end])
		start = end
	}
	if start != len(all) || page[1] != 0 {
		t.Fatalf("a page of kind %d, %d with %d bytes too many", page[0], page[1], len(all)-start)
	}
	return list
}

// A pageRef is an item of an index page.
type pageRef struct {
	first string
	id    []byte
	count uint64
}

func parseRef(t *testing.T, item []byte) (r pageRef) {
	t.Helper()
	d := bytesOf{t, item}
	r = pageRef{string(d.counted()), d.take(32), d.varint()}
	if len(d.b) != 0 {
		t.Fatalf("a reference with %d bytes too many", len(d.b))
	}
	return r
}

// folder returns the entries below a page.
func (v *vault) folder(t *testing.T, id []byte) (list []entry) {
	t.Helper()
	if id == nil {
		return nil
	}
	page := v.chunk(t, id, 2)
	for _, item := range items(t, page) {
		switch page[0] {
		case 1:
			list = append(list, parseEntry(t, item))
		case 2:
			r := parseRef(t, item)
			below := v.folder(t, r.id)
			if below[0].name != r.first || uint64(len(below)) != r.count {
				t.Fatalf("a reference to %d entries from %q on leads to %d from %q on", r.count, r.first, len(below), below[0].name)
			}
			list = append(list, below...)
		default:
			t.Fatalf("a page of kind %d", page[0])
		}
	}
	return list
}

// listed are the pieces that a list page of a depth lists, by section 7.
func listed(t *testing.T, page []byte, depth byte) (list []ref) {
	t.Helper()
	n := int(le.Uint16(page[2:]))
	if page[0] != 3 || page[1] != depth || len(page) != 4+40*n {
		t.Fatalf("a list page of %d items, % x", n, page[:4])
	}
	last := uint64(0)
	for item := page[4:]; len(item) > 0; item = item[40:] {
		r := ref{n: le.Uint64(item[32:]) - last}
		if string(item[:32]) != string(make([]byte, 32)) {
			r.id = item[:32]
		}
		last += r.n
		list = append(list, r)
	}
	return list
}

// pieces returns the chunks and holes of refs of a depth.
func (v *vault) pieces(t *testing.T, refs []ref, depth byte) (list []ref) {
	t.Helper()
	for _, r := range refs {
		if depth == 0 {
			list = append(list, r)
			continue
		}
		below := listed(t, v.chunk(t, r.id, 3), depth-1)
		last := uint64(0)
		for _, b := range below {
			last += b.n
		}
		if last != r.n {
			t.Fatalf("a list page of %d bytes, want %d", last, r.n)
		}
		list = append(list, v.pieces(t, below, depth-1)...)
	}
	return list
}

// describe gives the lines of a version from its root entry on, sorted as a manifest is.
func (v *vault) describe(t *testing.T, root []byte) []string {
	t.Helper()
	first := map[uint64]string{} // path of an inode
	lines := map[string]string{}
	var visit func(path string, e entry) (files, dirs, bytes uint64)
	visit = func(path string, e entry) (files, dirs, bytes uint64) {
		for _, c := range v.folder(t, e.tree) {
			f, d, b := visit(strings.TrimPrefix(path+"/"+c.name, "./"), c)
			files, dirs, bytes = files+f, dirs+d, bytes+b
		}
		if dir := e.mode&0o170000 == 0o040000; dir && (files != e.files || dirs != e.dirs || bytes != e.bytes) {
			t.Errorf("%q has %d, %d, %d below it, and says %d, %d, %d", path, files, dirs, bytes, e.files, e.dirs, e.bytes)
		}
		lines[path] = v.line(t, path, e, first)
		switch e.mode & 0o170000 {
		case 0o040000:
			return files, dirs + 1, bytes
		case 0o100000:
			return 1, 0, e.size
		}
		return 1, 0, 0
	}
	visit(".", parseEntry(t, root))
	var list []string
	for path, line := range lines {
		list = append(list, fmt.Sprintf("%q %s", path, line))
	}
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(unquoted(a), unquoted(b)) })
	return list
}

// unquoted is the path of a line.
func unquoted(line string) (path string) {
	_, err := fmt.Sscanf(line, "%q", &path)
	if err != nil {
		panic(err)
	}
	return path
}

func (v *vault) line(t *testing.T, path string, e entry, first map[uint64]string) string {
	t.Helper()
	s := fmt.Sprintf("%06o %d:%d %d.%09d", e.mode, e.uid, e.gid, e.mtime, e.mtimeNsec)
	if e.nlink > 1 && e.mode&0o170000 != 0o040000 {
		if first[e.ino] == "" {
			first[e.ino] = path
		}
		s += fmt.Sprintf(" links=%d of %q", e.nlink, first[e.ino])
	}
	if e.target != "" {
		s += fmt.Sprintf(" -> %q", e.target)
	}
	if e.rdev != 0 { // as glibc has it
		s += fmt.Sprintf(" device=%d:%d", e.rdev>>8&0xfff|e.rdev>>32&^0xfff, e.rdev&0xff|e.rdev>>12&^0xff)
	}
	xattrs := e.xattrs
	for _, r := range e.xattrRefs {
		xattrs = append(xattrs, v.chunk(t, r.id, 4)...)
	}
	for d := (bytesOf{t, xattrs}); len(d.b) > 0; {
		s += " " + short(string(d.counted()), fmt.Sprintf("%x", d.counted()))
	}
	if e.mode&0o170000 == 0o100000 {
		s += v.content(t, e)
	}
	return s
}

// short is an attribute as a manifest shows it.
func short(name, value string) string {
	if s := name + "=" + value; len(s) < 200 {
		return s
	}
	return fmt.Sprintf("%s=(%d bytes, sha256 of the digits %x)", name, len(value)/2, sha256.Sum256([]byte(value)))
}

// content is what a line says of a file's content.
func (v *vault) content(t *testing.T, e entry) string {
	t.Helper()
	b := make([]byte, e.size) // a file longer than its refs ends in a hole
	var at, data uint64
	var runs [][2]uint64
	for _, r := range v.pieces(t, e.content, e.depth) {
		if r.id != nil {
			chunk := v.chunk(t, r.id, 1)
			if uint64(len(chunk)) != r.n {
				t.Fatalf("%q has a piece of %d bytes, want %d", e.name, len(chunk), r.n)
			}
			copy(b[at:], chunk)
			data += r.n
			if n := len(runs); n > 0 && runs[n-1][1] == at {
				runs[n-1][1] += r.n
			} else {
				runs = append(runs, [2]uint64{at, at + r.n})
			}
		}
		at += r.n
	}
	if e.depth != 0 && data != e.dataOfContent {
		t.Errorf("%q has %d bytes in no hole, and says %d", e.name, data, e.dataOfContent)
	}
	s := fmt.Sprintf(" size=%d sha256=%x", e.size, sha256.Sum256(b))
	for _, r := range runs {
		if r[1]-r[0] < e.size {
			s += fmt.Sprintf(" data=%d-%d", r[0], r[1])
		}
	}
	return s
}
