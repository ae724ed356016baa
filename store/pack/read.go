package pack

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
)

// A blockReader reads blocks of one file that may be damaged. What is not there and what the medium cannot read
// becomes zeros, which fail their checksum or are right. Any other error (a closed file, a dead connection, a
// cancelled context) says nothing about the bytes: it ends all reading from this file, and is what the caller gets if
// he needed it.
type blockReader struct {
	r      io.ReaderAt
	size   int64 // of the file
	medium error // the last error that is damage
	lost   error // the error that ended reading
}

// gather reads the wanted blocks, ascending numbers, and returns those that are still wanting. Block b stands at
// offset at(b) of the file, if it says so, and goes to place b-first of dst; good tells whether what arrived there is
// right. Neighbours are read together.
func (f *blockReader) gather(dst []byte, first int, wanted []int,
	at func(b int) (int64, bool), good func(b int, block []byte) bool,
) []int {
	var bad []int
	for len(wanted) > 0 {
		n, off, ok := run(wanted, at)
		if !ok {
			bad, wanted = append(bad, wanted[0]), wanted[1:]
			continue
		}
		p := dst[(wanted[0]-first)*BlockSize:][:n*BlockSize]
		f.read(p, off)
		if f.lost != nil {
			return append(bad, wanted...)
		}
		for i, b := range wanted[:n] {
			if !good(b, p[i*BlockSize:][:BlockSize]) {
				bad = append(bad, b)
			}
		}
		wanted = wanted[n:]
	}
	return bad
}

// run returns how many of the blocks, from the first one on, have numbers and places in the file that follow each
// other, and where the first stands.
func run(blocks []int, at func(int) (int64, bool)) (n int, off int64, ok bool) {
	if off, ok = at(blocks[0]); !ok {
		return 0, 0, false
	}
	for n = 1; n < len(blocks) && blocks[n] == blocks[0]+n; n++ {
		if next, ok := at(blocks[n]); !ok || next != off+int64(n)*BlockSize {
			break
		}
	}
	return n, off, true
}

// read fills p, whole blocks, from offset off. After an error of the medium it goes block by block, since one bad
// sector fails the whole read.
func (f *blockReader) read(p []byte, off int64) {
	if f.readAt(p, off) {
		return
	}
	for block := range slices.Chunk(p, BlockSize) {
		f.readAt(block, off)
		off += BlockSize
	}
}

// readAt is ReadAt with zeros for what it does not get. False says that smaller pieces may get more.
func (f *blockReader) readAt(p []byte, off int64) bool {
	n, in := 0, min(int64(len(p)), f.size-off)
	var err error
	if off >= 0 && in > 0 && f.lost == nil {
		n, err = f.r.ReadAt(p[:in], off)
	}
	clear(p[n:])
	switch {
	case off < 0:
		return false
	case int64(n) == in || err == nil || errors.Is(err, io.EOF):
		return true
	case OfMedium(err):
		f.medium = err
		return false
	}
	f.lost = err
	return true
}

// mediumErrors are what Linux answers for bytes that cannot be read, by disk, driver or file system.
var mediumErrors = []syscall.Errno{
	syscall.EIO, syscall.EBADMSG, syscall.EUCLEAN, syscall.EILSEQ, syscall.EREMOTEIO, syscall.ENODATA,
}

// OfMedium tells whether an error in reading means that the medium does not let bytes be read from where they are, and may one day.
func OfMedium(err error) bool {
	return slices.ContainsFunc(mediumErrors, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// failed is the error for what could not be had from the files: what ended reading if something did, else ErrDamaged.
func failed(what string, files ...*blockReader) error {
	err := fmt.Errorf("%s: %w", what, ErrDamaged)
	for _, f := range files {
		if f.lost != nil {
			return fmt.Errorf("%s: %w", what, f.lost)
		}
		if f.medium != nil {
			err = fmt.Errorf("%s: %w: %w", what, ErrDamaged, f.medium)
		}
	}
	return err
}
