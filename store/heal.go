package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"yester/store/pack"
	"yester/store/place"
)

// A detour is what it takes to read a pack around damage: all its files that are there, and what lacks.
type detour struct {
	sources pack.Sources
	of      []*member         // whose they are
	closers []place.File      // those and others
	errs    map[*member]error // of members that have not their own file, or not intact
	absent  map[uint8]error   // shards that are not there because their place is not; that is no damage
	damage  error             // the first of errs that is damage
	where   *member           // whose it is
	unread  error             // why nothing is to be made of what there is: of a place that was replaced, why it could not be read, if that says nothing of what it has; errOutvoted
	others  []*pack.Meta      // of files that say other things of the pack than the index does
	made    time.Time
}

func newDetour() *detour {
	return &detour{errs: map[*member]error{}, absent: map[uint8]error{}, made: time.Now()}
}

// detourLasts is how long a detour is taken before the files are tried again: what was in the way may have been so for a moment, and then nothing is written anew that would end it.
const detourLasts = time.Minute

// note takes in why a member has not the file it should have.
func (d *detour) note(m *member, shard int, err error) {
	if err == nil {
		return
	}
	d.errs[m] = err
	switch {
	case m.reader() == nil, notThere(err) && !m.current():
		d.absent[uint8(shard)] = err
	case d.damage == nil:
		d.damage, d.where = err, m
	}
}

// noteFormer takes in what came of reading from a place that was replaced. One that was there and is gone may be back.
func (d *detour) noteFormer(err error) {
	if err != nil && !ofFile(err) {
		d.unread = err
	}
}

// unasked is a member that may have a file, of which it should have the shard that want says, and could not be asked for it; nil if there is none.
func (d *detour) unasked(members []*member, want func(*member) int) *member {
	for _, m := range members {
		if err := d.errs[m]; want(m) >= 0 && (m.reader() == nil || err != nil && !ofFile(err)) {
			return m
		}
	}
	return nil
}

// failed is why no file could be opened, if that says nothing of one: that the vault's only place is out of reach, of several all are missing then, or that the system had
// no descriptor or no memory to spare.
func (d *detour) failed() error {
	if len(d.sources) == 0 && d.damage != nil && !ofFile(d.damage) {
		return d.damage
	}
	return nil
}

// certain is nil if all places were asked, so that what they do not give is lost. ErrMissing if one is not there.
func (d *detour) certain(members []*member, want func(*member) int) error {
	m := d.unasked(members, want)
	switch {
	case m != nil && m.reader() == nil:
		return fmt.Errorf("%w: %s may have what lacks", ErrMissing, m)
	case m != nil:
		return fmt.Errorf("%s could not be asked: %w", m, placeError(d.errs[m]))
	case errors.Is(d.unread, errBadIndex):
		return d.unread
	case d.unread != nil:
		return fmt.Errorf("a place that is being replaced could not be asked: %w", d.unread)
	}
	return nil
}

func (d *detour) close() {
	for _, c := range d.closers {
		c.Close()
	}
}

// open opens every file of a pack; its own shard, and no other, is what a member's file should hold.
func (s *spread) detour(ctx context.Context, vault [16]byte, p *packInfo) *detour {
	d := newDetour()
	l := s.layout()
	for _, m := range l.members {
		if want := p.shardOf(m); want >= 0 {
			d.note(m, want, s.addSource(ctx, d, m, vault, p))
		}
	}
	for _, m := range l.former {
		err := s.addSource(ctx, d, m, vault, p)
		if err == nil {
			delete(d.absent, uint8(p.shardOf(m)))
		}
		d.noteFormer(err)
	}
	d.agree(p)
	d.vote()
	return d
}

// addSource takes in a member's file, whatever shard it holds. The error says that it does not hold its own.
func (s *spread) addSource(ctx context.Context, d *detour, m *member, vault [16]byte, p *packInfo) error {
	f, err := s.openPack(ctx, m, p)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, f)
	meta, err := pack.ReadMeta(f, f.Size())
	if err != nil {
		s.lost(m, err)
		return err
	}
	if err := p.matches(meta, vault); err != nil {
		if errors.Is(err, errShape) {
			d.others = append(d.others, meta)
		}
		return err
	}
	d.sources, d.of = append(d.sources, pack.Source{R: f, Meta: meta}), append(d.of, m)
	if int(meta.Header.Shard) != p.shardOf(m) {
		return fmt.Errorf("it holds shard %d of its pack: %w", meta.Header.Shard, pack.ErrDamaged)
	}
	return nil
}

// agree keeps of the sources those that most others agree with. It is forged ones that do not.
func (d *detour) agree(p *packInfo) {
	best, most := -1, 0
	for i := range d.sources {
		if n := len(d.like(i)); n > most {
			best, most = i, n
		}
	}
	if most == len(d.sources) {
		return
	}
	var sources pack.Sources
	var of []*member
	for i, s := range d.sources {
		if s.Meta.Agrees(d.sources[best].Meta) {
			sources, of = append(sources, s), append(of, d.of[i])
		} else if m := d.of[i]; d.errs[m] == nil {
			d.note(m, p.shardOf(m), fmt.Errorf("it says other things of its pack than others do: %w", pack.ErrDamaged))
		}
	}
	d.sources, d.of = sources, of
}

// errOutvoted says that it is the index that is wrong.
var errOutvoted = fmt.Errorf("%w: most files of the pack say other things of it", errBadIndex)

// vote leaves a pack alone of which more files agree with each other on something else than do with the index: that was made of a forged one, which must not take the place of all others.
func (d *detour) vote() {
	for _, m := range d.others {
		n := 0
		for _, o := range d.others {
			if m.Agrees(o) {
				n++
			}
		}
		if n > len(d.sources) {
			d.sources, d.of, d.unread = nil, nil, errOutvoted
			return
		}
	}
}

func (d *detour) like(i int) (all []int) {
	for j := range d.sources {
		if d.sources[i].Meta.Agrees(d.sources[j].Meta) {
			all = append(all, j)
		}
	}
	return all
}

// damagedBlocks are those of the computed blocks that lack because of damage, and not because a place does.
func (d *detour) damagedBlocks(blocks []int) (damaged []int) {
	h := d.sources[0].Meta.Header
	for _, b := range blocks {
		if h.Shard == pack.AllShards || d.absent[uint8(b/h.ShardBlocks())] == nil {
			damaged = append(damaged, b)
		}
	}
	return damaged
}

// aroundDamage returns what it takes to read the pack around damage.
func (f *packFile) aroundDamage(vault [16]byte) *detour {
	f.opening.Lock()
	defer f.opening.Unlock()
	if f.around == nil {
		f.around = f.spread.detour(context.Background(), vault, f.info)
	}
	return f.around
}

// readDamaged brings a frame back from the other files of the pack and from parity, and has what was damaged mended. An error of the vault's only place, which says nothing of the file,
// is no damage.
func (v *Vault) readDamaged(f *packFile, l *location, cause error) ([]byte, error) {
	d := f.aroundDamage(v.id)
	if err := d.failed(); err != nil {
		v.files.forget(f.info.id)
		return nil, fmt.Errorf("read pack %v: %w", f.info.id, placeError(err))
	}
	if len(d.sources) == 0 {
		return nil, v.unreadable(f.info, l, d, firstOf(d.damage, cause))
	}
	offset := int64(l.frame.Offset)
	payload, blocks, err := openFrame(d.sources, f.sealer, l)
	if isUnreadable(err) {
		var forged int
		if payload, blocks, forged, err = openWithout(d.sources, f.info, f.sealer, l, err); err == nil {
			v.tooDamaged(&CorruptError{Place: d.of[forged].String(), Pack: f.info.id, Offset: offset, Err: fmt.Errorf("%w: a repair writes it anew", errForged)}, packName(f.info.instance, f.info.id))
		}
	}
	switch {
	case err != nil && v.place.layout().alone() && !ofFile(cause):
		v.files.forget(f.info.id)
		return nil, fmt.Errorf("read pack %v: %w", f.info.id, placeError(cause))
	case err != nil:
		v.probe(d)
		return nil, v.unreadable(f.info, l, d, err)
	}
	damaged := d.damagedBlocks(blocks)
	odd := len(blocks) == 0 && !notThere(cause) && !errors.Is(cause, ErrMissing)
	if odd || time.Since(d.made) >= v.files.detours {
		v.files.forget(f.info.id) // what was in the way may be over
	}
	if (len(damaged) > 0 || d.damage != nil || odd) && !v.probe(d) {
		v.healed.Add(uint64(len(damaged)))
		v.log.Error("read around damage", "place", v.whereIs(d, damaged), "pack", f.info.id, "offset", offset,
			"blocks", damaged, "err", firstOf(cause, d.damage))
		v.mend.ask(packName(f.info.instance, f.info.id), offset, firstOf(cause, d.damage))
	}
	return payload, nil
}

// errForged says of a file that it was changed on purpose: its checksums are right, and its seals do not open.
var errForged = fmt.Errorf("%w: its checksums are right, and its seals do not open", pack.ErrDamaged)

// openFrame reads a frame from the files of a pack, with parity, and opens its seal. The blocks are those that had to be computed.
func openFrame(s pack.Sources, sealer *pack.Sealer, l *location) (payload []byte, blocks []int, err error) {
	sealed, blocks, err := s.ReadData(l.frame.Offset, l.frame.Stored)
	if err != nil {
		return nil, nil, err
	}
	payload, err = sealer.Open(sealed[:0], l.num, l.frame, sealed)
	return payload, blocks, err
}

// openWithout is openFrame after that has failed: it does without each of the files in turn, if there are more than are needed, and says which is forged.
func openWithout(s pack.Sources, p *packInfo, sealer *pack.Sealer, l *location, cause error) (payload []byte, blocks []int, forged int, err error) {
	if p.whole || len(s) <= p.shape.Data {
		return nil, nil, -1, cause
	}
	for i := range s {
		if payload, blocks, err = openFrame(slices.Delete(slices.Clone(s), i, i+1), sealer, l); err == nil {
			return payload, blocks, i, nil
		}
	}
	return nil, nil, -1, cause
}

// whereIs names the place of the first damaged block.
func (v *Vault) whereIs(d *detour, blocks []int) string {
	h := d.sources[0].Meta.Header
	switch l := v.place.layout(); {
	case h.Shard != pack.AllShards && len(blocks) > 0 && blocks[0]/h.ShardBlocks() < len(l.members):
		return l.members[blocks[0]/h.ShardBlocks()].String()
	case d.where != nil:
		return d.where.String()
	}
	return d.of[0].String()
}

// probe tells whether one of the places that a pack was read from is gone. Then what was lacking is no damage, and the next reader opens
// the files that are left.
func (v *Vault) probe(d *detour) (gone bool) {
	var b [1]byte
	for i, s := range d.sources {
		if _, err := s.R.ReadAt(b[:], 0); ofPlace(err) && !errors.Is(err, io.EOF) && !v.place.layout().alone() {
			v.place.lost(d.of[i], err)
			gone = true
		}
	}
	if gone {
		v.files.forget(d.sources[0].Meta.Header.Pack)
	}
	return gone
}

// unreadable is the error of a frame that cannot be read: damage, unless too many places lack. It is told unless a place lacks that may have the rest. The next reader opens
// the files anew: a place that is the only one may be back, which nobody is told of.
func (v *Vault) unreadable(p *packInfo, at *location, d *detour, err error) error {
	v.files.forget(p.id)
	l := v.place.layout()
	if !l.alone() && len(l.sources()) < l.need() {
		return fmt.Errorf("read pack %v: %w", p.id, v.place.missing(l))
	}
	c := &CorruptError{Place: v.place.String(), Pack: p.id, Offset: int64(at.frame.Offset), Err: err}
	if len(d.sources) == 0 {
		c.Offset = -1
	}
	if d.where != nil {
		c.Place = d.where.String()
	}
	if doubt := d.certain(l.members, p.shardOf); doubt != nil {
		c.Err = fmt.Errorf("%v: %w", doubt, err)
	} else if v.packOf(at, nil) == p && v.index.temp == nil { // else it was taken away, or is about to be, or may be, see went
		v.tooDamaged(c, packName(p.instance, p.id))
	}
	return c
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
