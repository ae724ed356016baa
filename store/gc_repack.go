package store

import (
	"context"
	"fmt"

	"yester/store/pack"
)

// A repacker copies frames out of packs into new ones, sealed again under the key of those, and retires what it emptied.
type repacker struct {
	*mover
	instance string
	builder  *pack.Builder // nil: none has been begun, or a slow place still reads its memory
	shape    pack.Shape    // of the builder
	size     int           // of its packs
	begun    bool

	current *moving   // being copied
	done    []*moving // copied, but not all of it written yet

	retired func(*moving, bool) // is told what became of one
}

// A moving is a pack whose frames are copied.
type moving struct {
	number uint32
	pack   *packInfo
	frames []pack.Frame
	moved  bitmap
	into   []uint32
	force  bool // it goes whoever relies on what is not moved
	keep   bool // it does not go
}

// move copies the wanted frames of a pack. An error of read ends it, and the pack stays.
func (r *repacker) move(ctx context.Context, m *moving, wanted bitmap, read func(num uint32) ([]byte, error)) error {
	m.moved = newBitmap(uint32(len(m.frames)))
	r.current = m
	defer func() { r.current = nil }()
	for i, f := range m.frames {
		num := uint32(i)
		if !wanted.has(num) {
			continue
		}
		if err := waitN(ctx, r.limiter, int(f.Stored)); err != nil {
			return err
		}
		payload, err := read(num)
		if err != nil {
			return err
		}
		if err := r.append(ctx, f, payload); err != nil {
			return err
		}
		m.moved.set(num)
	}
	r.done = append(r.done, m)
	return nil
}

func (r *repacker) append(ctx context.Context, f pack.Frame, payload []byte) error {
	if r.begun && (!r.builder.Fits(len(payload)) || len(r.builder.Frames()) >= maxPackFrames) {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	if !r.begun {
		if err := r.begin(); err != nil {
			return err
		}
	}
	r.builder.Append(f, payload)
	return nil
}

func (r *repacker) begin() error {
	id, sealer, err := r.v.newPack()
	if err != nil {
		return err
	}
	if shape := r.v.place.shape(); r.builder == nil || r.shape != shape {
		r.shape = shape
		r.builder, err = pack.NewBuilder(r.v.id, id, sealer, shape, r.size)
	} else {
		r.builder.Reset(id, sealer)
	}
	r.begun = err == nil
	return err
}

// flush writes the pack that is being filled, and retires those that are empty then. While a place lacks the new pack, the old ones stay: they may be
// what it has.
func (r *repacker) flush(ctx context.Context) error {
	if r.begun {
		number, err := r.write(ctx)
		if err != nil {
			return err
		}
		r.begun = false
		if r.current != nil {
			r.current.into = append(r.current.into, number)
		}
		for _, m := range r.done {
			m.into = append(m.into, number)
		}
	}
	done := r.done
	r.done = nil
	for _, m := range done {
		gone := !m.keep && r.v.place.layout().complete() && r.takeOut(m.number, m.moved, m.into, m.force)
		r.retired(m, gone)
		if !gone {
			for _, n := range m.into {
				r.v.allRelyOn(n)
			}
			continue
		}
		if err := r.retire(ctx, retired{m.number, m.pack, idsOf(m.frames)}); err != nil {
			return err
		}
	}
	return nil
}

// write makes the pack durable and moves the entries of its chunks to it.
func (r *repacker) write(ctx context.Context) (number uint32, err error) {
	built, err := r.builder.Finish()
	if err != nil {
		return 0, err
	}
	h := built.Header()
	if err := r.v.roomToCollect(ctx, r.v.place.share(h.FileSize())); err != nil {
		return 0, fmt.Errorf("write pack: %w", err)
	}
	if err := waitN(ctx, r.limiter, int(h.FileSize())); err != nil {
		return 0, err
	}
	s, err := r.v.savePack(ctx, r.instance, built, r.builder.Frames(), nil, nil)
	if s.busy {
		r.builder = nil
	}
	if s.pack != nil {
		r.freed -= int64(s.pack.size)
		r.written++
	}
	if err != nil {
		return 0, fmt.Errorf("write pack: %w", err)
	}
	return s.number, nil
}
