package fs

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

// readFile answers with pieces of chunks as the vault keeps them; nothing is joined or copied here. An answer is never shorter than asked
// for but at the end of the file, because the kernel would take that for the end.
// If it is one of a whole small file, its inode number is returned too.
func (v *view) readFile(cancel <-chan struct{}, in *fuse.ReadIn) (st fuse.Status, p *pieces, whole uint64) {
	p = piecesPool.Get().(*pieces)
	st = v.entry(cancel, nodeID(in.NodeId), func(ctx context.Context, _ *version, e *snapshot.Entry) error {
		if small(e, in.Offset) {
			whole = e.Ino
		}
		return v.read(ctx, e, in.Offset, uint64(in.Size), p)
	})
	if st != fuse.OK {
		p.done()
		return st, nil, 0
	}
	p.limit()
	return fuse.OK, p, whole
}

// read collects n bytes of a file from off on, or as many as it has.
func (v *view) read(ctx context.Context, e *snapshot.Entry, off, n uint64, p *pieces) error {
	if !e.IsRegular() {
		return syscall.EINVAL
	}
	if off >= e.Size {
		return nil
	}
	n = min(n, e.Size-off)
	read := v.readSpans
	if e.Depth == 0 {
		read = v.readRefs
	}
	err := read(ctx, e, off, off+n, p)
	if err == nil && p.size != int(n) {
		err = fmt.Errorf("a file of %d bytes has %d of %d at %d: %w", e.Size, p.size, n, off, snapshot.ErrFormat)
	}
	return err
}

// readRefs is readSpans of a file whose chunks its entry lists itself, as most do.
func (v *view) readRefs(ctx context.Context, e *snapshot.Entry, off, end uint64, p *pieces) error {
	var at uint64
	for _, r := range e.Content {
		if at >= end {
			return nil
		}
		if at+r.Len > off {
			if err := v.span(ctx, snapshot.Span{Off: at, Ref: r}, max(at, off), min(at+r.Len, end), p); err != nil {
				return err
			}
		}
		at += r.Len
	}
	if at < end {
		p.zeros(end - max(at, off)) // a file ends in a hole
	}
	return nil
}

// readSpans collects the bytes of a file from off to end.
func (v *view) readSpans(ctx context.Context, e *snapshot.Entry, off, end uint64, p *pieces) error {
	var failed error
	err := snapshot.Spans(ctx, v.chunks, e, off, end-off, func(s snapshot.Span) bool {
		failed = v.span(ctx, s, max(s.Off, off), min(s.Off+s.Len, end), p)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return err
}

// span adds the part of a chunk or hole from one offset in the file to another.
func (v *view) span(ctx context.Context, s snapshot.Span, from, to uint64, p *pieces) error {
	if s.Hole() {
		p.zeros(to - from)
		return nil
	}
	b, err := v.chunks.Get(ctx, s.ID)
	if err != nil {
		return err
	}
	if uint64(len(b)) != s.Len {
		return fmt.Errorf("chunk %v has %d bytes, not %d: %w", s.ID, len(b), s.Len, snapshot.ErrFormat)
	}
	p.add(b[from-s.Off : to-s.Off])
	return nil
}

const (
	zeroLen   = 128 << 10
	maxPieces = 1000 // a call of writev takes 1024
)

// zeroBytes stand for holes. They are never written, so they take no memory.
var zeroBytes [zeroLen]byte

// pieces are the bytes of an answer, in order. They go to the kernel with one writev.
type pieces struct {
	list [][]byte
	size int
	iov  [][]byte // for writev
}

var piecesPool = sync.Pool{New: func() any { return new(pieces) }}

func (p *pieces) add(b []byte) {
	if len(b) > 0 {
		p.list = append(p.list, b)
		p.size += len(b)
	}
}

func (p *pieces) zeros(n uint64) {
	for n > 0 {
		m := min(n, zeroLen)
		p.add(zeroBytes[:m])
		n -= m
	}
}

// limit joins the pieces if they are too many.
func (p *pieces) limit() {
	if len(p.list) <= maxPieces {
		return
	}
	joined := slices.Concat(p.list...)
	clear(p.list)
	p.list = append(p.list[:0], joined)
}

// done lets go of the chunks.
func (p *pieces) done() {
	clear(p.list)
	p.list, p.size = p.list[:0], 0
	piecesPool.Put(p)
}
