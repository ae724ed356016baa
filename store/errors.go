package store

import (
	"errors"
	"fmt"
	"syscall"

	"yester/store/pack"
)

// The kinds of errors; errors.Is tells them apart.
var (
	ErrNotFound = errors.New("not found")          // no such chunk, version or vault
	ErrCorrupt  = errors.New("damaged")            // CorruptError says where
	ErrNoSpace  = errors.New("no space left")      // a place is full, or would fall below its reserve
	ErrKey      = errors.New("wrong key")          // the key does not open this vault, or there is none
	ErrLastKey  = errors.New("last key")           // without it the vault might never be opened again
	ErrFormat   = errors.New("unknown format")     // made by a newer yester
	ErrExists   = errors.New("there already")      // a vault, or a version of that name
	ErrReadOnly = errors.New("vault is read-only") // the place cannot be written
	ErrMissing  = errors.New("place is missing")   // too few of the vault's places are there
	ErrLost     = errors.New("lost")               // something that a version is made of is not to be had any more
	ErrLocked   = errors.New("vault is in use")    // another process has the index
)

// ErrIndexSpace is the ErrNoSpace of the disk on which the index lies.
var ErrIndexSpace = fmt.Errorf("%w", ErrNoSpace)

// ErrNoKey is the ErrKey of a vault whose key files are gone, damaged or another's: no passphrase and no recovery key opens it before they are put back.
var ErrNoKey = fmt.Errorf("%w", ErrKey)

// A CorruptError says where damage was met. It is ErrCorrupt to errors.Is.
type CorruptError struct {
	Place  string
	Pack   pack.ID
	Offset int64 // in the pack's data region, -1 if it concerns the whole file
	Err    error
}

func (e *CorruptError) Error() string {
	at := ""
	if e.Offset >= 0 {
		at = fmt.Sprintf(" at byte %d", e.Offset)
	}
	return fmt.Sprintf("pack %v in %s is damaged%s: %v", e.Pack, e.Place, at, e.Err)
}

// Unwrap makes the error both ErrCorrupt and its cause.
func (e *CorruptError) Unwrap() []error { return []error{ErrCorrupt, e.Err} }

// placeError gives what a place said the kind that callers know.
func placeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}
