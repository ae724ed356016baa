package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"yester/store/pack"
)

// What gc, check and repair do with the files of packs and with places.

// beginMaintenance is for whoever moves or removes packs, enters such as were not known, or changes what the places are: one at a time, ErrBusy for
// others. Nor are places looked after meanwhile: one that came back might bring versions that nobody has marked.
func (v *Vault) beginMaintenance(ctx context.Context) (end func(), err error) {
	if v.o.ReadOnly {
		return nil, ErrReadOnly
	}
	if !v.maintain.TryLock() {
		return nil, ErrBusy
	}
	if err := v.mend.working.take(ctx); err != nil {
		v.maintain.Unlock()
		return nil, err
	}
	return func() {
		v.mend.working.end()
		v.maintain.Unlock()
	}, nil
}

// present tells whether enough places are there at all: one that is not mounted looks like an empty one.
func (v *Vault) present(ctx context.Context) error {
	l := v.place.layout()
	for _, m := range l.members {
		p := m.reader()
		if p == nil {
			continue
		}
		s, err := seePlace(ctx, p)
		if err == nil && (s.desc.Vault != hex.EncodeToString(v.id[:]) || s.desc.Place != m.id) {
			err = fmt.Errorf("another place lies in %s: %w", p, ErrMissing)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && l.alone():
			return err
		case err != nil && !errors.Is(err, ErrCorrupt):
			v.place.note(m, err, true)
		}
	}
	if len(l.sources()) < l.need() {
		return v.place.missing(l)
	}
	return nil
}

// complete tells whether every place is there and has all that it should have.
func (l *layout) complete() bool {
	return !l.inheriting() && !slices.ContainsFunc(l.members, func(m *member) bool { return !m.current() })
}

// tableOf reads the table of a known pack, from whichever of its files has it as the index says. errBadIndex if it is the index that is wrong.
func (v *Vault) tableOf(ctx context.Context, p *packInfo) ([]pack.Frame, error) {
	err := fmt.Errorf("no place has a file of pack %v: %w", p.id, fs.ErrNotExist)
	for _, m := range v.place.layout().sources() {
		info, frames, tableErr := v.readTableIn(ctx, m, p.instance, p.id)
		switch {
		case tableErr == nil && *info == *p:
			return frames, nil
		case tableErr == nil:
			err = fmt.Errorf("%w: the table of pack %v is not what the index says", errBadIndex, p.id)
		case !notThere(tableErr) && !errors.Is(err, errBadIndex):
			err = tableErr
		}
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return nil, err
}

// roomToCollect is room for what gives back more than it takes, so it may use the reserve; n are the bytes of one place.
func (v *Vault) roomToCollect(ctx context.Context, n uint64) error {
	for _, m := range v.place.layout().members {
		p := m.reader()
		if p == nil {
			continue
		}
		free, _, err := p.Space(ctx)
		if err != nil {
			v.place.lost(m, err)
			return fmt.Errorf("ask for free space: %w", err)
		}
		if free < n+collectReserve {
			return fmt.Errorf("%w: %s has %d MB free", ErrNoSpace, p, free/1e6)
		}
	}
	return v.index.room()
}

// collectReserve is what gc leaves free of the reserve, for records and the small files.
const collectReserve = 4 << 20

// removeStored removes a file for good.
func (v *Vault) removeStored(ctx context.Context, name string) error {
	return placeError(v.place.Remove(ctx, name))
}

// placeName names to a person where the vault's files are.
func (v *Vault) placeName() string { return v.place.String() }

// closeGone closes the files of a pack that was taken away after it had been looked up.
func (v *Vault) closeGone(l *location, p *packInfo) {
	if v.packOf(l, nil) == nil {
		v.files.forget(p.id)
	}
}

// A frameReader reads frames of a pack, around damage, and tells nobody.
type frameReader struct {
	file    *packFile
	sources pack.Sources // those files of it that can be used; none if no meta blocks are left
	doubts  bool         // one of them may be forged
	buf     []byte
}

// frameReader returns a reader of a pack of which all there is was gathered. Close it.
func (v *Vault) frameReader(p *packInfo, sources pack.Sources) (*frameReader, error) {
	f, err := v.files.fresh(p)
	if err != nil {
		return nil, err
	}
	return &frameReader{file: f, sources: sources}, nil
}

func (r *frameReader) close() { r.file.close() }

// read returns the payload of a frame, valid until the next call. pack.ErrDamaged, pack.ErrSeal; any other error says nothing about the frame.
func (r *frameReader) read(l *location) ([]byte, error) {
	n := int(l.frame.Stored)
	r.buf = slices.Grow(r.buf[:0], n)[:n]
	err := r.file.readAt(r.buf, int64(l.frame.Offset))
	if err == nil {
		payload, err := r.file.sealer.Open(r.buf[:0], l.num, l.frame, r.buf)
		if err == nil || len(r.sources) == 0 {
			return payload, err
		}
	}
	if len(r.sources) == 0 {
		if !ofFile(err) {
			return nil, err
		}
		return nil, errors.Join(pack.ErrDamaged, err)
	}
	payload, _, err := openFrame(r.sources, r.file.sealer, l)
	if err != nil && r.doubts {
		payload, _, _, err = openWithout(r.sources, r.file.info, r.file.sealer, l, err)
	}
	return payload, err
}

// unreadable returns the frames of a pack that do not open, even with parity.
func (r *frameReader) unreadable(ctx context.Context, number uint32, frames []pack.Frame) (lost []location, err error) {
	for i := range frames {
		l := location{pack: number, num: uint32(i), frame: frames[i]}
		if i == 0 || !frames[i].With(&frames[i-1]) { // else it was read with that one
			_, err = r.read(&l)
		}
		switch {
		case ctx.Err() != nil:
			return lost, ctx.Err()
		case err == nil:
		case isUnreadable(err):
			lost = append(lost, l)
		default:
			return lost, err
		}
	}
	return lost, nil
}

// isUnreadable tells whether an error in reading a frame is about the frame.
func isUnreadable(err error) bool {
	return errors.Is(err, pack.ErrDamaged) || errors.Is(err, pack.ErrSeal)
}
