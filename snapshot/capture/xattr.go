package capture

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// An xattrReader reads extended attributes through buffers of its own.
type xattrReader struct {
	list, value []byte
	set         []snapshot.Xattr
}

// xattrSize is the most a list or a value can have.
const xattrSize = 64 << 10

// maxXattrs is how many bytes all attributes of a file may have. There are file systems on which anybody can give a file some 480 MB.
const maxXattrs = 4 << 20

var errXattrsTooMany = errors.New("they take more than 4 MiB")

// accessACL is the attribute that says who may do what with a file besides its mode.
const accessACL = "system.posix_acl_access"

func newXattrReader() *xattrReader {
	return &xattrReader{list: make([]byte, xattrSize), value: make([]byte, xattrSize)}
}

// open reads the attributes of an open file or folder. None, and a file system without any, are nil.
func (r *xattrReader) open(fd int) (snapshot.Xattrs, error) {
	n, err := unix.Flistxattr(fd, r.list)
	return r.read(n, err, func(name string) (int, error) { return unix.Fgetxattr(fd, name, r.value) })
}

// at reads the attributes of a name in an open folder without opening or following it. /proc makes a short path of it.
func (r *xattrReader) at(dir int, name []byte) (snapshot.Xattrs, error) {
	path := "/proc/self/fd/" + strconv.Itoa(dir) + "/" + string(name)
	n, err := unix.Llistxattr(path, r.list)
	return r.read(n, err, func(name string) (int, error) { return unix.Lgetxattr(path, name, r.value) })
}

// acl reads the ACL of an open file or folder, nil if it has none.
func (r *xattrReader) acl(fd int) ([]byte, error) {
	n, err := unix.Fgetxattr(fd, accessACL, r.value)
	if isNone(err) {
		return nil, nil
	}
	return r.value[:max(n, 0)], err
}

// isNone tells whether err says that there is no such attribute.
func isNone(err error) bool { return err == unix.ENODATA || err == unix.EOPNOTSUPP }

// An aclError tells that attributes cannot be read, and that there may be an ACL among them.
type aclError struct{ error }

func (e *aclError) Unwrap() error { return e.error }

// read returns the attributes that are listed in n bytes of r.list. After an error it is the ACL alone, for without it others would be let in; aclError if that
// cannot be read either.
func (r *xattrReader) read(n int, err error, get func(name string) (int, error)) (snapshot.Xattrs, error) {
	if err == unix.EOPNOTSUPP || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return r.onlyACL(err, get)
	}
	defer r.forget()
	size := 0
	for name := range strings.SplitSeq(string(r.list[:n]), "\x00") {
		if name == "" || snapshot.IsRestoreMark(name) {
			continue
		}
		n, err := get(name)
		if isNone(err) {
			continue // gone since it was listed, or listed for show
		}
		if err != nil {
			return r.onlyACL(err, get)
		}
		if size += len(name) + n; size > maxXattrs {
			return r.onlyACL(errXattrsTooMany, get)
		}
		r.add(name, n)
	}
	return snapshot.EncodeXattrs(r.set), nil
}

func (r *xattrReader) onlyACL(why error, get func(name string) (int, error)) (snapshot.Xattrs, error) {
	n, err := get(accessACL)
	switch {
	case isNone(err):
		return nil, why
	case err != nil:
		return nil, &aclError{why}
	}
	r.forget()
	defer r.forget()
	r.add(accessACL, n)
	return snapshot.EncodeXattrs(r.set), why
}

// forget lets go of what was read.
func (r *xattrReader) forget() {
	clear(r.set)
	r.set = r.set[:0]
}

// add takes up an attribute with the n bytes in r.value.
func (r *xattrReader) add(name string, n int) {
	r.set = append(r.set, snapshot.Xattr{Name: name, Value: bytes.Clone(r.value[:n])})
}
