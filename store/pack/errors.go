package pack

import "errors"

// What can be wrong with a pack. Compare with errors.Is; the text around them says what and where.
var (
	// ErrDamaged: the bytes are not those that were written, and what is left cannot bring them back. Where the
	// storage answered with an error of its own, that error is wrapped beside it.
	ErrDamaged = errors.New("pack is damaged")

	// ErrSeal: the bytes do not open. They were sealed with another master key, for another pack, frame number or
	// table line, or they were changed by somebody who also set the checksums right.
	ErrSeal = errors.New("seal does not open: wrong key or forged")

	// ErrFormat: the pack is intact and of a format this code does not know, so a newer version wrote it.
	ErrFormat = errors.New("pack was written by a newer version")
)
