package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A manifest is everything that must come back of a tree: a record for each path, "." being the top.
type manifest map[string]record

// A record is what one name has. The sizes of folders and the link counts of folders are each file system's own affair and not in it;
// neither are access and change times, which no copy can have.
type record struct {
	mode     uint32 // type and permissions
	uid, gid uint32
	rdev     uint64
	size     int64
	mtime    unix.Timespec
	nlink    uint64
	group    string // the first path of a group of hard links
	target   string // of a symlink
	xattrs   string // all of them, ACLs and capabilities included
	content  [sha256.Size]byte
	data     int64 // bytes that are not in holes, as the file system tells; not compared
}

type inode struct{ dev, ino uint64 }

// A reader makes records; it remembers hard links and keeps its buffers.
type reader struct {
	groups            map[inode]string
	names, value, buf []byte
}

// read takes the manifest of the tree at root. Paths at which skip returns true are left out, with what is below.
func read(t testing.TB, root string, skip ...string) manifest {
	t.Helper()
	m, err := readTree(root, skip...)
	must(t, err)
	return m
}

// readTree is read for who may not end the test.
func readTree(root string, skip ...string) (manifest, error) {
	m := manifest{}
	rd := &reader{groups: map[inode]string{}, names: make([]byte, 64*kib), value: make([]byte, 64*kib), buf: make([]byte, mib)}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if slices.Contains(skip, rel) {
			return nil
		}
		r, err := rd.record(path, rel)
		if err != nil {
			return fmt.Errorf("%q: %w", rel, err)
		}
		m[rel] = r
		return nil
	})
	return m, err
}

func (rd *reader) record(path, rel string) (r record, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return r, err
	}
	r = record{mode: st.Mode, uid: st.Uid, gid: st.Gid, rdev: st.Rdev, mtime: st.Mtim}
	if r.xattrs, err = rd.xattrs(path); err != nil {
		return r, err
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR {
		r.nlink = st.Nlink
		r.size = st.Size
		if st.Nlink > 1 {
			key := inode{st.Dev, st.Ino}
			if _, ok := rd.groups[key]; !ok {
				rd.groups[key] = rel
			}
			r.group = rd.groups[key]
		}
	}
	switch kind {
	case unix.S_IFLNK:
		r.target, err = os.Readlink(path)
	case unix.S_IFREG:
		r.content, r.data, err = rd.content(path, st.Size)
	}
	return r, err
}

// xattrs returns the attributes of path as one line each, sorted.
func (rd *reader) xattrs(path string) (string, error) {
	n, err := unix.Llistxattr(path, rd.names)
	if err != nil {
		return "", fmt.Errorf("list attributes: %w", err)
	}
	var lines []string
	for _, name := range strings.Split(string(rd.names[:n]), "\x00") {
		if name == "" {
			continue
		}
		n, err := unix.Lgetxattr(path, name, rd.value)
		if err != nil {
			return "", fmt.Errorf("attribute %s: %w", name, err)
		}
		lines = append(lines, fmt.Sprintf("%s=%x", name, rd.value[:n]))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}

var zeroBlock [4096]byte

// content hashes the blocks of a file that are not all zero, each with its place: holes, and zeros in their stead, are the same
// content. Holes are not read.
func (rd *reader) content(path string, size int64) (sum [sha256.Size]byte, data int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, 0, err
	}
	defer f.Close()
	h := sha256.New()
	for off := int64(0); off < size; {
		start, end, err := nextData(f, off, size)
		if err != nil {
			return sum, 0, err
		}
		data += end - start
		// Whole blocks, however fine the holes are told.
		end = min(size, (end+4095)&^4095)
		for at := max(off, start&^4095); at < end; {
			n, err := f.ReadAt(rd.buf[:min(int64(len(rd.buf)), end-at)], at)
			if err != nil && !errors.Is(err, io.EOF) || n == 0 {
				return sum, 0, fmt.Errorf("read at %d: %w", at, err)
			}
			for b := 0; b < n; b += len(zeroBlock) {
				block := rd.buf[b:min(b+len(zeroBlock), n)]
				if !bytes.Equal(block, zeroBlock[:len(block)]) {
					h.Write(binary.LittleEndian.AppendUint64(nil, uint64(at)+uint64(b)))
					h.Write(block)
				}
			}
			at += int64(n)
		}
		off = end
	}
	return [sha256.Size]byte(h.Sum(nil)), data, nil
}

// nextData finds the first data at or after off; at size there is none.
func nextData(f *os.File, off, size int64) (start, end int64, err error) {
	start, err = unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("seek data from %d: %w", off, err)
	}
	end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, fmt.Errorf("seek hole from %d: %w", start, err)
	}
	return start, end, nil
}
