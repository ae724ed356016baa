package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"golang.org/x/sync/errgroup"

	"yester/store/pack"
	"yester/store/place"
)

// openIndex opens the index and brings it in line with the packs that are there. One that does not open, or makes no sense, is moved
// aside and made anew.
func (v *Vault) openIndex(ctx context.Context) error {
	dir := v.o.IndexDir
	if dir == "" || v.o.ReadOnly {
		return v.tryIndex(ctx)
	}
	var err error
	if v.guard, err = newGuard(dir); err != nil {
		return err
	}
	if err = v.guard.room(); err == nil {
		err = v.tryIndex(ctx)
	}
	if errors.Is(err, errIndex) {
		v.log.Warn("the index is made anew from the packs", "err", err)
		if err = v.guard.moveAside(); err == nil {
			err = v.tryIndex(ctx)
		}
	}
	if err != nil {
		v.guard.release()
	}
	return err
}

// errIndex marks what a new index mends.
var errIndex = errors.New("index is broken")

func (v *Vault) tryIndex(ctx context.Context) (err error) {
	x, err := openIndex(v.guard, v.desc.Vault, v.o.ReadOnly, v.log)
	if err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	v.index, v.nextPack, v.numbers = x, x.next, map[pack.ID]uint32{}
	if x.temp != nil {
		v.packs, v.uses = map[uint32]*packInfo{}, map[uint32]use{}
		if err = v.reconcile(ctx); err == nil {
			err = x.temp.seal()
		}
	} else if v.packs, v.uses, err = x.known(); err != nil {
		err = fmt.Errorf("%w: %w", errIndex, err)
	} else {
		err = v.reconcile(ctx)
	}
	if err != nil {
		return errors.Join(err, x.close())
	}
	return nil
}

// reconcile enters packs that the index does not know. When one is gone that it knows, some chunks may lie elsewhere too, so everything is
// entered anew.
func (v *Vault) reconcile(ctx context.Context) error {
	s, err := v.survey(ctx)
	if err != nil {
		return err
	}
	if err := v.reconcileWith(ctx, s); err != nil {
		return err
	}
	if v.index.temp != nil {
		v.again.saw = s.packs
	}
	v.noteLacking(s)
	return nil
}

func (v *Vault) reconcileWith(ctx context.Context, s *survey) error {
	unknown := maps.Clone(s.packs)
	for number, p := range v.packs {
		if !v.usable(p, s.packs[p.id].in) {
			v.log.Warn("a pack that the index knows is gone; the index is made anew", "pack", p.id)
			return v.rebuild(ctx, s.packs)
		}
		delete(unknown, p.id)
		v.numbers[p.id] = number
		v.nextPack = max(v.nextPack, number+1) // is never so
	}
	return v.enter(ctx, unknown)
}

// usable tells whether a pack that the index knows counts as there, given the places that have a file of it. With a place missing, what is
// left must be enough to read it; with all there, what is left is all there will be, and part of it may be read.
func (v *Vault) usable(p *packInfo, in placesSeen) bool {
	if p.readable(in.shards()) {
		return true
	}
	l := v.place.layout()
	return in != 0 && len(l.sources()) >= len(l.members) && !v.place.stones.has(packName(p.instance, p.id))
}

func (v *Vault) rebuild(ctx context.Context, there map[pack.ID]packSeen) error {
	v.index.looks.wrote()
	if err := v.index.db.DropAll(); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	if err := v.index.belongTo(v.desc.Vault); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	clear(v.packs)
	clear(v.uses)
	clear(v.numbers)
	v.index.next = 0 // as the index says now; numbers go on from where they were
	return v.enter(ctx, there)
}

// enter reads the tables of packs into the index. One that cannot be read is left out, and told: its chunks count as missing, so that the next
// backup stores them again. So is one of which too few shards are there, since it may never have been finished. Chunks that are found already stay where they are: one of
// the packs may be about to go, and have lost files. But of two copies one that can be read is found.
func (v *Vault) enter(ctx context.Context, there map[pack.ID]packSeen) error {
	group, all := errgroup.WithContext(ctx)
	keep := v.keepReadable(all)
	if len(v.known()) == 0 {
		keep = unlessNew(keep)
	}
	group.SetLimit(readsAtOnce) // they are entered one by one
	for id, seen := range there {
		if all.Err() != nil {
			break
		}
		group.Go(func() error { return v.enterSeen(all, id, seen, keep) })
	}
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return err
	}
	if len(there) > 0 {
		v.log.Info("packs entered in the index", "packs", len(there))
	}
	return nil
}

// enterSeen enters a pack that was seen in places. Of its chunks those that keep tells stay where they are found already.
func (v *Vault) enterSeen(ctx context.Context, id pack.ID, seen packSeen, keep keeper) error {
	info, frames, err := v.readTable(ctx, seen.instance, id)
	if err == nil && !info.readable(seen.in.shards()) {
		if l := v.place.layout(); len(l.sources()) >= len(l.members) { // what lacks is nowhere; a version that needs it is found by a check
			v.log.Info("a pack was not written to its end, or is lost", "instance", seen.instance, "pack", id)
			return ctx.Err()
		}
		err = fmt.Errorf("%d of its %d shards are there, %d must be: %w", seen.in.shards(), info.shape.Shards(), info.shape.Data, ErrMissing)
	}
	if err != nil {
		if !v.place.stones.has(packName(seen.instance, id)) && seen.in != 0 {
			v.log.Error("a pack cannot be used", "instance", seen.instance, "pack", id, "err", err)
		}
		return ctx.Err()
	}
	u := newUse(frames)
	v.mu.Lock()
	number := v.number(info, u)
	v.mu.Unlock()
	err = v.index.add(number, info, frames, u, keep)
	if errors.Is(err, ErrNoSpace) || err != nil && ctx.Err() != nil { // it is not known to the index
		v.mu.Lock()
		defer v.mu.Unlock()
		v.drop(number)
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return nil
}

// readTable reads the table of a pack that the index does not know, from whichever of its files has it intact. What the head of a file says beside it, above all the shape, has no seal, and
// whoever can write in a place can change it: so that counts which most files say, and of what as many say, what new packs are like. Of the files after the one whose table opens
// one block is read, and of those after more than half of the places agree nothing.
func (v *Vault) readTable(ctx context.Context, instance string, id pack.ID) (info *packInfo, frames []pack.Frame, err error) {
	err = fmt.Errorf("no place has a file of it: %w", fs.ErrNotExist)
	sources := v.place.layout().sources()
	votes := map[packInfo]int{}
	for _, m := range sources {
		var said *packInfo
		var sayErr error
		if info != nil {
			said, sayErr = v.readHeadIn(ctx, m, instance, id)
		} else if said, frames, sayErr = v.readTableIn(ctx, m, instance, id); sayErr == nil {
			info = said
		}
		if sayErr != nil {
			if !notThere(sayErr) {
				err = sayErr
			}
			continue
		}
		if votes[*said]++; 2*votes[*said] > len(sources) {
			break
		}
	}
	if info == nil {
		return nil, nil, err
	}
	best, shape := *info, v.place.shape()
	for said, n := range votes {
		if n > votes[best] || n == votes[best] && said.shape == shape && best.shape != shape {
			best = said
		}
	}
	if best == *info {
		return info, frames, nil
	}
	v.log.Error("the files of a pack do not say the same of it", "pack", id, "shape", info.shape, "believed", best.shape)
	for _, m := range sources {
		if said, table, err := v.readTableIn(ctx, m, instance, id); err == nil && *said == best {
			return said, table, nil
		}
	}
	if votes[best] > votes[*info] {
		return nil, nil, v.corrupt(id, -1, errors.New("no file that says of it what most do has its table"))
	}
	return info, frames, nil
}

// readHeadIn reads what a member's file says of a pack, but for its table.
func (v *Vault) readHeadIn(ctx context.Context, m *member, instance string, id pack.ID) (*packInfo, error) {
	f, err := v.place.open(ctx, m, packName(instance, id))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	f.Random()
	var block [pack.BlockSize]byte
	if n, _ := f.ReadAt(block[:], 0); n == len(block) {
		if h, _, err := pack.ParseBlock(block[:]); err == nil && h.Pack == id && h.Vault == v.id {
			return newPackInfo(instance, h), nil
		}
	}
	info, _, err := v.readTableOf(f, m, instance, id)
	return info, err
}

func (v *Vault) readTableIn(ctx context.Context, m *member, instance string, id pack.ID) (*packInfo, []pack.Frame, error) {
	f, err := v.place.open(ctx, m, packName(instance, id))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return v.readTableOf(f, m, instance, id)
}

func (v *Vault) readTableOf(f place.File, m *member, instance string, id pack.ID) (*packInfo, []pack.Frame, error) {
	damaged := func(err error) error { return &CorruptError{Place: m.String(), Pack: id, Offset: -1, Err: err} }
	f.Random()
	meta, err := pack.ReadMeta(f, f.Size())
	if err != nil {
		v.place.lost(m, err)
		return nil, nil, damaged(err)
	}
	if meta.Header.Pack != id || meta.Header.Vault != v.id {
		return nil, nil, damaged(errors.New("it holds another pack"))
	}
	sealer, err := pack.NewSealer(v.master, id)
	if err != nil {
		return nil, nil, err
	}
	frames, err := meta.Table(sealer)
	if err != nil {
		return nil, nil, damaged(err)
	}
	return newPackInfo(instance, meta.Header), frames, nil
}

func newPackInfo(instance string, h pack.Header) *packInfo {
	p := &packInfo{
		id: h.Pack, meta: h.Count, data: h.DataLen, frames: h.Frames, size: uint64(h.FileSize()), instance: instance,
		shape: h.Shape, whole: h.Shard == pack.AllShards,
	}
	if !p.whole {
		p.size *= uint64(h.Shape.Shards())
	}
	return p
}

func (v *Vault) corrupt(id pack.ID, offset int64, err error) error {
	return &CorruptError{Place: v.place.String(), Pack: id, Offset: offset, Err: err}
}

func (v *Vault) eachInstance(ctx context.Context, f func(id string) error) error {
	return v.each(ctx, "instances", true, f)
}

// each calls f for the names of the folders, or of the files, in a folder.
func (v *Vault) each(ctx context.Context, dir string, folders bool, f func(name string) error) error {
	list, err := v.place.List(ctx, dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, i := range list {
		if i.Dir != folders {
			continue
		}
		if err := f(i.Name); err != nil {
			return err
		}
	}
	return nil
}
