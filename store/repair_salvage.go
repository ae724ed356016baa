package store

import (
	"context"
	"errors"
	"fmt"

	"yester/store/pack"
)

// A salvage saves what can be read of a pack that is damaged beyond parity.
type salvage struct {
	r       *repair
	number  uint32
	pack    *packInfo
	files   *gathering
	frames  []pack.Frame
	payload *frameReader
	lost    []location
	sure    bool // the places answer
	medium  bool // it is the medium that does not let a part be read
	other   bool // a file of it holds another pack, or says other things of it
	gone    bool // it was retired
}

// keeps tells whether the pack stays in its files, as these may be of use one day.
func (s *salvage) keeps() bool { return s.medium || s.other }

// salvage moves what can be read to a new pack. If that is nothing, because of the medium, it says errSilent unless it is sure that the places answer.
func (r *repair) salvage(ctx context.Context, number uint32, p *packInfo, g *gathering, cause error, sure bool) error {
	if m := g.missing(); m != nil {
		r.problem(Problem{Pack: p.id, Err: fmt.Errorf("it is kept as it is, as %s may have what heals it, which is missing: %w", m, asCorrupt(cause))})
		return nil
	}
	waits := func() error {
		r.problem(Problem{Pack: p.id, Err: fmt.Errorf("it is kept as it is until every place is there and has everything: %w", asCorrupt(cause))})
		return nil
	}
	if !r.v.place.layout().complete() { // it would not go, see flush
		return waits()
	}
	s := &salvage{r: r, number: number, pack: p, files: g, sure: sure, medium: pack.OfMedium(cause)}
	for _, err := range g.errs {
		s.medium, s.other = s.medium || pack.OfMedium(err), s.other || errors.Is(err, errOther) || errors.Is(err, errShape)
	}
	known, err := s.known(ctx)
	if err != nil {
		return err
	}
	if s.payload, err = r.v.frameReader(p, g.sources); err != nil {
		return err
	}
	defer s.payload.close()
	s.payload.doubts = true
	if err := s.move(ctx, known); err != nil {
		return err
	}
	if !s.gone && !s.keeps() { // a place failed since
		return waits()
	}
	if err := s.loseRest(); err != nil {
		return err
	}
	r.v.log.Error("a pack was damaged beyond repair", "instance", p.instance, "pack", p.id, "lost", len(s.lost), "err", cause)
	r.result.Salvaged = append(r.result.Salvaged, p.id)
	switch {
	case s.other:
		r.problem(Problem{Pack: p.id, Err: fmt.Errorf("it is kept, as a file in its place holds another pack, or says other things of it, and may be exchanged or right: %w", cause)})
	case s.medium:
		r.problem(Problem{Pack: p.id, Err: fmt.Errorf("it is kept, as it may be read one day: %w", cause)})
	}
	return nil
}

// missing is a member that may have what is needed of a file and is not there, or is not up to date, or could not be asked; nil if there is none.
func (g *gathering) missing() *member {
	for _, m := range g.all {
		if g.want(m) >= 0 && g.absence(m) {
			return m
		}
	}
	return g.unasked(g.all, g.want)
}

// known finds out which frames there are: from the table, or else from the index.
func (s *salvage) known(ctx context.Context) (known bitmap, err error) {
	v := s.r.v
	known = newBitmap(s.pack.frames)
	if frames, err := v.tableOf(ctx, s.pack); err == nil {
		s.frames = frames
		for i := range frames {
			known.set(uint32(i))
		}
		return known, nil
	}
	all, err := v.index.chunksIn(ctx, func(number uint32) bool { return number == s.number })
	if err != nil {
		return nil, err
	}
	s.frames = make([]pack.Frame, s.pack.frames)
	for _, l := range all {
		if known.set(l.num) {
			s.frames[l.num] = l.frame
		}
	}
	return known, nil
}

// move moves what can be read, and retires the pack unless it is to be kept.
func (s *salvage) move(ctx context.Context, known bitmap) error {
	r := s.r
	readable, err := s.readable(ctx, known)
	if err != nil {
		return err
	}
	if s.medium && !s.sure && readable.within(nil) {
		return errSilent
	}
	if err := s.doubtLost(); err != nil {
		return err
	}
	if s.keeps() {
		if readable, err = s.onlyHere(readable); err != nil {
			return err
		}
	}
	p := &repacker{mover: &r.mover, instance: s.pack.instance, size: filePackSize, retired: func(_ *moving, gone bool) { s.gone = gone }}
	m := &moving{number: s.number, pack: s.pack, frames: s.frames, force: true, keep: s.keeps()}
	err = p.move(ctx, m, readable, func(num uint32) ([]byte, error) {
		return s.payload.read(&location{pack: s.number, num: num, frame: s.frames[num]})
	})
	if err != nil {
		return err
	}
	return p.flush(ctx)
}

// onlyHere returns those of the frames that the index knows nowhere else. Of a pack that goes all are moved, as what lies elsewhere may be damaged
// there.
func (s *salvage) onlyHere(frames bitmap) (bitmap, error) {
	here := newBitmap(s.pack.frames)
	for i := range s.frames {
		if !frames.has(uint32(i)) {
			continue
		}
		l, found, err := s.r.v.index.find(s.frames[i].Chunk)
		if err != nil {
			return nil, err
		}
		if !found || l.pack == s.number {
			here.set(uint32(i))
		}
	}
	return here, nil
}

// readable finds out what can be read, and notes the rest as lost.
func (s *salvage) readable(ctx context.Context, known bitmap) (bitmap, error) {
	readable := newBitmap(s.pack.frames)
	var last *pack.Frame
	var group []byte
	var groupErr error
	for i := range s.frames {
		l := location{pack: s.number, num: uint32(i), frame: s.frames[i]}
		if !known.has(l.num) {
			continue
		}
		if last == nil || !l.frame.With(last) {
			group, groupErr = s.try(&l)
		}
		last = &s.frames[i]
		err := groupErr
		if err == nil && l.frame.Group != 0 {
			_, err = pack.Member(group, &l.frame)
		}
		if err == nil {
			readable.set(l.num)
		} else if !isUnreadable(err) && !notThere(err) {
			return nil, err
		} else {
			s.lost = append(s.lost, l)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return readable, nil
}

// try reads a chunk, or the group that it is in, which it returns.
func (s *salvage) try(l *location) (group []byte, err error) {
	payload, err := s.payload.read(l)
	s.medium = s.medium || pack.OfMedium(err)
	if err == nil && l.frame.Group != 0 {
		group, err = pack.Decode(nil, l.frame.Encoding.Single(), payload, l.frame.Length())
	}
	return group, err
}

// doubtLost has backups under way look, before they commit, whether what is found here and is lost is stored elsewhere by then.
func (s *salvage) doubtLost() error {
	var here []location
	for _, l := range s.lost {
		at, found, err := s.r.v.index.find(l.frame.Chunk)
		if err != nil {
			return err
		}
		if found && at.pack == s.number {
			here = append(here, l)
		}
	}
	s.r.v.doubt(here)
	return nil
}

// loseRest drops what could not be read from the index, where it is not known to lie elsewhere.
func (s *salvage) loseRest() error {
	v := s.r.v
	ids := chunksOf(s.lost)
	if s.keeps() {
		if err := v.index.removeChunks(s.number, ids); err != nil {
			return err
		}
	}
	for _, id := range ids {
		_, p, err := v.lookUp(id)
		if err != nil {
			return err
		}
		if p == nil {
			s.r.lost.add(id)
		}
	}
	return nil
}
