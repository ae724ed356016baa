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
	for i := 0; i < len(m.frames); {
		var nums []uint32 // one, or those of a group
		n := 1
		for ; i+n < len(m.frames) && m.frames[i+n].With(&m.frames[i]); n++ {
		}
		for k := i; k < i+n; k++ {
			if wanted.has(uint32(k)) {
				nums = append(nums, uint32(k))
			}
		}
		i += n
		if len(nums) == 0 {
			continue
		}
		if err := r.moveFrame(ctx, m, nums, read); err != nil {
			return err
		}
	}
	r.done = append(r.done, m)
	return nil
}

// moveFrame copies a chunk, or those of a group that have the numbers.
func (r *repacker) moveFrame(ctx context.Context, m *moving, nums []uint32, read func(num uint32) ([]byte, error)) error {
	first := m.frames[nums[0]]
	if err := waitN(ctx, r.limiter, int(first.Stored)); err != nil {
		return err
	}
	payload, err := read(nums[0])
	if err != nil {
		return err
	}
	to := frameTo{ctx, r}
	if first.Group == 0 {
		err = to.append(first, payload)
	} else {
		err = r.moveGroup(to, m, nums, payload)
	}
	if err != nil {
		return err
	}
	for _, num := range nums {
		m.moved.set(num)
	}
	return nil
}

// moveGroup copies a group as it is, or makes a smaller one of what is wanted of it.
func (r *repacker) moveGroup(to frameTo, m *moving, nums []uint32, payload []byte) error {
	frames := make([]pack.Frame, len(nums))
	for i, num := range nums {
		frames[i] = m.frames[num]
	}
	enc := frames[0].Encoding.Single()
	group, err := pack.Decode(nil, enc, payload, frames[0].Length())
	var members int
	if err == nil {
		members, err = pack.Members(group)
	}
	var g pack.Group
	for i := 0; i < len(frames) && err == nil; i++ {
		var chunk []byte
		if chunk, err = pack.Member(group, &frames[i]); err == nil {
			g.Add(frames[i], chunk)
		}
	}
	switch {
	case err != nil:
		return r.v.corrupt(m.pack.id, int64(frames[0].Offset), err)
	case len(frames) == members:
		return to.appendGroup(frames, enc, payload)
	}
	e := encoders.Get().(*pack.Encoder)
	defer encoders.Put(e)
	return appendGroup(&g, e, enc, to)
}

// A frameTo appends frames to the packs of a repacker.
type frameTo struct {
	ctx context.Context
	r   *repacker
}

func (t frameTo) append(f pack.Frame, payload []byte) error {
	if err := t.r.ready(t.ctx, 1, len(payload)); err != nil {
		return err
	}
	t.r.builder.Append(f, payload)
	return nil
}

func (t frameTo) appendGroup(frames []pack.Frame, enc Encoding, payload []byte) error {
	if err := t.r.ready(t.ctx, len(frames), len(payload)); err != nil {
		return err
	}
	t.r.builder.AppendGroup(frames, enc, payload)
	return nil
}

// ready has a pack begun into which a payload of so many chunks fits.
func (r *repacker) ready(ctx context.Context, chunks, payload int) error {
	if r.begun && (!r.builder.Fits(payload) || len(r.builder.Frames())+chunks > maxPackFrames) {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	if !r.begun {
		return r.begin()
	}
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
		r.v.allRelyOn(number) // what a writer found in a pack that does not go after all, be it that the rest of it cannot be read, is found here now
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
