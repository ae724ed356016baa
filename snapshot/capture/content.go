package capture

import (
	"context"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
	"yester/store/cut"
	"yester/store/pack"
)

// maxRead is the most that is read, and asked of the limiter, at once.
const maxRead = 1 << 20

// A reader reads files, cuts them and stores the chunks, through one buffer.
type reader struct {
	put    *store.Writer
	cut    *cut.Cutter
	file   *snapshot.FileBuilder
	buf    []byte
	limit  Limiter
	onRead func(n uint64) // tells what was read

	// Of a large file, chunks whose ids others may be finding out: owed of them, from the first on.
	promised    [maxPromised]promise
	first, owed int
	large       bool
}

// A promise is a chunk that was put and will be added to its file.
type promise struct {
	ticket *store.Ticket
	n      uint64 // bytes
}

const (
	maxPromised = 64
	largeFrom   = 4 << 20 // bytes of a file; to wait for the ids of a smaller one takes as long as they do
)

func newReader(p cut.Params, put *store.Writer, limit Limiter) (*reader, error) {
	c, err := cut.New(p)
	if err != nil {
		return nil, err
	}
	return &reader{put: put, cut: c, file: snapshot.NewFileBuilder(put), buf: make([]byte, 2*p.Max), limit: limit}, nil
}

// content reads the open file and sets e's Content, Depth, Data and Size: what was there, at most st.size.
func (r *reader) content(ctx context.Context, f opened, st *stat, e *snapshot.Entry) (err error) {
	cache, err := newPageCache(ctx, f, st.size)
	if err != nil {
		return err
	}
	defer cache.done()
	r.file.Reset()
	r.large = st.size >= largeFrom
	e.Size, err = r.extents(ctx, &cache, st)
	if kept := r.keep(ctx, 0); err == nil {
		err = kept
	}
	if err != nil {
		return err
	}
	return r.file.Finish(ctx, e)
}

func (r *reader) extents(ctx context.Context, cache *pageCache, st *stat) (size uint64, err error) {
	holes := mayHaveHoles(st.size, st.blocks)
	for pos := uint64(0); pos < st.size; {
		from, to := pos, st.size
		if holes {
			if from, to, err = nextExtent(cache.fd, pos, st.size); err != nil {
				return 0, &sourceError{"read", int64(pos), err}
			}
		}
		if err := r.hole(ctx, from-pos); err != nil {
			return 0, err
		}
		end, err := r.extent(ctx, cache, from, to)
		if err != nil || end < to {
			return end, err
		}
		pos = to
	}
	return st.size, nil
}

// extent reads and stores [from, to), and returns where it ended: before to if the file did.
func (r *reader) extent(ctx context.Context, cache *pageCache, from, to uint64) (end uint64, err error) {
	have := 0
	for end = from; have > 0 || end < to; {
		for have < len(r.buf) && end < to {
			n, err := r.read(ctx, cache, r.buf[have:min(len(r.buf), have+int(min(maxRead, to-end)))], end)
			if err != nil {
				return end, err
			}
			if n == 0 {
				to = end
			}
			have, end = have+n, end+uint64(n)
		}
		used, err := r.store(ctx, r.buf[:have], end >= to)
		if err != nil {
			return end, err
		}
		have = copy(r.buf, r.buf[used:have])
	}
	return end, nil
}

// store cuts b and stores the chunks; final tells that the extent ends with b. It returns how much of b was used.
func (r *reader) store(ctx context.Context, b []byte, final bool) (used int, err error) {
	for used < len(b) {
		n := r.cut.Next(b[used:], final)
		if n == 0 {
			break
		}
		if err := r.chunk(ctx, b[used:used+n]); err != nil {
			return used, err
		}
		used += n
	}
	return used, nil
}

// chunk stores a chunk and adds it to the file, of a large file some time later.
func (r *reader) chunk(ctx context.Context, b []byte) error {
	if !r.large {
		id, _, err := r.put.Put(ctx, pack.KindFile, b)
		if err != nil {
			return err
		}
		return r.file.Add(ctx, snapshot.Ref{ID: id, Len: uint64(len(b))})
	}
	if err := r.keep(ctx, maxPromised-1); err != nil {
		return err
	}
	p := &r.promised[(r.first+r.owed)%maxPromised]
	if p.ticket == nil {
		p.ticket = store.NewTicket()
	}
	p.n = uint64(len(b))
	r.owed++
	r.put.PutLater(ctx, pack.KindFile, b, p.ticket)
	return nil
}

// hole adds a hole to the file.
func (r *reader) hole(ctx context.Context, n uint64) error {
	if err := r.keep(ctx, 0); err != nil {
		return err
	}
	return r.file.Add(ctx, snapshot.Ref{Len: n})
}

// keep adds the chunks that were promised first to the file, until no more than n are owed. After an error it only waits for them.
func (r *reader) keep(ctx context.Context, n int) (err error) {
	for r.owed > n {
		p := &r.promised[r.first]
		r.first, r.owed = (r.first+1)%maxPromised, r.owed-1
		id, failed := p.ticket.ID()
		if err == nil {
			err = failed
		}
		if err == nil {
			err = r.file.Add(ctx, snapshot.Ref{ID: id, Len: p.n})
		}
	}
	return err
}

// read reads once, having waited its turn; 0 is the file's end.
func (r *reader) read(ctx context.Context, cache *pageCache, b []byte, pos uint64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if r.limit != nil {
		if err := r.limit.WaitN(ctx, len(b)); err != nil {
			return 0, err
		}
	}
	cache.passed(pos)
	for {
		n, err := unix.Pread(cache.fd, b, int64(pos))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, &sourceError{"read", int64(pos), err}
		}
		r.onRead(uint64(n))
		return n, nil
	}
}
