// Package snapshot is the model of a version: its record, its tree of entries in pages, and how files refer to chunks.
//
// A version's record (Version) holds the entry of its root directory. A directory's entry names the topmost page of its
// tree; leaf pages hold the entries of the directory sorted by name, index pages above them say which names lie where. A
// regular file's entry names its chunks, or list pages that do. Pages are chunks like any others: the same directory is the
// same bytes, has the same id, and is stored once.
//
// The package reads and writes through two one-method interfaces, Getter and Putter, which *store.Vault and *store.Writer satisfy. What it
// reads was sealed by us, but is checked all the same: bytes that make no sense give ErrFormat, never a panic.
//
// The bytes are documented where they are encoded: pages in page.go, entries in entry_codec.go, list pages in list.go,
// extended attributes in xattr.go, records in version.go.
package snapshot

import (
	"context"
	"errors"

	"yester/store"
)

// Errors of this package; errors.Is tells them apart.
var (
	ErrNotExist = errors.New("no such file or folder") // a name that a directory does not have
	ErrNotDir   = errors.New("not a folder")
	ErrFormat   = errors.New("malformed") // a page or record that unseals, but makes no sense
)

// A Getter returns a chunk's raw bytes, shared and immutable.
type Getter interface {
	Get(ctx context.Context, id store.ID) ([]byte, error)
}

// A Putter stores a chunk; raw is the caller's again when Put returns.
type Putter interface {
	Put(ctx context.Context, kind store.Kind, raw []byte) (id store.ID, isNew bool, err error)
}
