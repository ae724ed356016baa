package snapshot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"yester/store/pack"
)

// Xattrs is the encoding of a file's extended attributes: for each, in the order of their names, the name and the value, both as a varint length and
// bytes. Equal sets are equal bytes.
type Xattrs []byte

// An Xattr is one extended attribute; Name is the full one, "user.x", "system.posix_acl_access", the value as the kernel gives it.
type Xattr struct {
	Name  string
	Value []byte
}

const (
	// MaxInlineXattrs is how many encoded bytes an entry holds itself; more goes to chunks.
	MaxInlineXattrs = 1024

	xattrChunk = 128 << 10
)

// EncodeXattrs encodes a set, sorting it in place; nil for an empty one.
func EncodeXattrs(set []Xattr) Xattrs {
	slices.SortFunc(set, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	var x Xattrs
	for _, a := range set {
		x = appendBytes(x, []byte(a.Name))
		x = appendBytes(x, a.Value)
	}
	return x
}

// All calls f for each attribute, in the order of names, until it returns false. The slices alias x. ErrFormat.
func (x Xattrs) All(f func(name, value []byte) bool) error {
	d := decoder{b: x}
	for len(d.b) > 0 {
		name, value := d.bytes(), d.bytes()
		if d.bad {
			return fmt.Errorf("decode extended attributes: %w", ErrFormat)
		}
		if !f(name, value) {
			return nil
		}
	}
	return nil
}

// Get finds one attribute's value.
func (x Xattrs) Get(name string) (value []byte, ok bool) {
	_ = x.All(func(n, v []byte) bool {
		if ok = string(n) == name; ok {
			value = v
		}
		return !ok
	})
	return value, ok
}

// PutXattrs stores a set in e: in the entry itself, or in chunks when it is large.
func PutXattrs(ctx context.Context, p Putter, e *Entry, x Xattrs) error {
	e.Xattrs, e.XattrRefs = nil, nil
	if len(x) <= MaxInlineXattrs {
		e.Xattrs = x
		return nil
	}
	for piece := range slices.Chunk(x, xattrChunk) {
		id, _, err := p.Put(ctx, pack.KindXattr, piece)
		if err != nil {
			return fmt.Errorf("store extended attributes: %w", err)
		}
		e.XattrRefs = append(e.XattrRefs, Ref{ID: id, Len: uint64(len(piece))})
	}
	return nil
}

// GetXattrs returns e's set from wherever it is.
func GetXattrs(ctx context.Context, g Getter, e *Entry) (Xattrs, error) {
	if len(e.XattrRefs) == 0 {
		return e.Xattrs, nil
	}
	var x Xattrs
	for _, r := range e.XattrRefs {
		b, err := g.Get(ctx, r.ID)
		if err != nil {
			return nil, fmt.Errorf("read extended attributes: %w", err)
		}
		x = append(x, b...)
	}
	return x, nil
}
