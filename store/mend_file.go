package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"yester/store/pack"
)

// mendFile brings all files of a pack, or all copies of a record, to what they should be. Deep reads all of them; else only those
// that are not there or have lost their ends are looked after. Damage past healing is told and is no error; ErrMissing while a place is missing that may have what heals it.
func (v *Vault) mendFile(ctx context.Context, f damagedFile, deep bool) error {
	defer v.place.locks.lock(f.name)()
	if v.place.stones.has(f.name) {
		return nil
	}
	g, err := v.gather(ctx, f.name)
	if g == nil || err != nil {
		return err
	}
	defer g.close()
	_, past, err := v.mendGathered(ctx, f, g, deep)
	if past == nil {
		return err
	}
	if err := g.certain(g.all, g.want); err != nil {
		return fmt.Errorf("mend %s: %w: %w", f.name, err, past)
	}
	return v.pastHealing(ctx, f, g, past)
}

// A mended tells what was done to a file.
type mended struct {
	files  int // in places, that were written anew
	blocks int // computed from parity for that, because of damage
}

// mendGathered is mendFile for who has gathered the file and holds the lock of its name. Past is why it cannot be healed.
func (v *Vault) mendGathered(ctx context.Context, f damagedFile, g *gathering, deep bool) (done mended, past, err error) {
	if len(g.sources) == 0 && g.unread != nil {
		return done, nil, g.unread
	}
	if len(g.sources) == 0 {
		return done, firstOf(g.damage, pack.ErrDamaged), nil
	}
	if deep {
		if err := v.checkSources(ctx, g); err != nil {
			return done, nil, err
		}
	}
	targets := g.targets()
	if len(targets) == 0 {
		return done, nil, nil
	}
	built, blocks, err := g.sources.Repair()
	switch {
	case err != nil && (g.unread != nil || v.probe(g.detour)):
		return done, nil, firstOf(g.unread, err)
	case err != nil:
		return done, err, nil
	}
	if done.files, err = v.rewrite(ctx, f, g, targets, built); done.files > 0 {
		done.blocks = len(g.damagedBlocks(blocks))
	}
	return done, nil, err
}

// A gathering is a file in all its places.
type gathering struct {
	*detour
	id   pack.ID
	want func(*member) int // the shard whose file a member should have; -1 for none
	all  []*member
}

// targets are the members whose file is to be written anew. What one that fails lacks it missed, and that is made up for when it is well.
func (g *gathering) targets() (t []*member) {
	for _, m := range g.all {
		missed := notThere(g.errs[m]) && !m.well()
		if g.errs[m] != nil && !missed && g.want(m) >= 0 && m.reader() != nil && !ofPlace(g.errs[m]) {
			t = append(t, m)
		}
	}
	return t
}

// gather opens all that there is of a file; nil if there is nothing, as it was removed.
func (v *Vault) gather(ctx context.Context, name string) (*gathering, error) {
	g := &gathering{all: v.place.layout().members}
	if k, ok := parseVersionName(name); ok {
		g.want = func(*member) int { return pack.AllShards }
		g.detour = v.gatherRecord(ctx, k)
	} else {
		_, id, ok := parsePackName(name)
		if !ok {
			return nil, fmt.Errorf("mend %s: neither a pack nor a record", name)
		}
		p := v.packByID(id)
		if p == nil {
			return nil, nil
		}
		g = v.gatherPack(ctx, p)
	}
	if len(g.sources) == 0 && g.nowhere() {
		g.close()
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// gatherPack opens all that there is of a pack.
func (v *Vault) gatherPack(ctx context.Context, p *packInfo) *gathering {
	return &gathering{all: v.place.layout().members, id: p.id, want: p.shardOf, detour: v.place.detour(ctx, v.id, p)}
}

// nowhere tells that no place has anything of the file.
func (d *detour) nowhere() bool {
	if d.unread != nil {
		return false
	}
	for _, err := range d.errs {
		if !notThere(err) {
			return false
		}
	}
	return true
}

// gatherRecord opens all copies of a record and keeps those from which it can be read, each alone or together.
func (v *Vault) gatherRecord(ctx context.Context, k VersionKey) *detour {
	d := newDetour()
	l := v.place.layout()
	for _, list := range [][]*member{l.members, l.former} {
		for _, m := range list {
			err := v.addCopy(ctx, d, m, k.file())
			if list := l.members; m.shard < len(list) && list[m.shard] == m {
				d.note(m, pack.AllShards, err)
			} else {
				d.noteFormer(err)
			}
		}
	}
	all, of := d.sources, d.of
	d.sources, d.of = nil, nil
	for i := range all {
		group, members := alike(all, of, i)
		raw, _, err := v.readRecord(group)
		if err == nil && bytes.HasPrefix(raw, []byte(k.String()+"\n")) {
			d.sources, d.of = group, members
			break
		}
	}
	for _, m := range of {
		if !d.has(m) {
			d.note(m, pack.AllShards, fmt.Errorf("it holds another record: %w", pack.ErrDamaged))
		}
	}
	return d
}

func alike(all pack.Sources, of []*member, i int) (group pack.Sources, members []*member) {
	for j := range all {
		if all[i].Meta.Agrees(all[j].Meta) {
			group, members = append(group, all[j]), append(members, of[j])
		}
	}
	return group, members
}

func (d *detour) has(m *member) bool {
	for _, o := range d.of {
		if o == m {
			return true
		}
	}
	return false
}

// addCopy takes in a member's copy of a file that lies whole in each place.
func (v *Vault) addCopy(ctx context.Context, d *detour, m *member, name string) error {
	f, err := v.place.open(ctx, m, name)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, f)
	meta, err := pack.ReadMeta(f, f.Size())
	if err != nil {
		v.place.lost(m, err)
		return err
	}
	if meta.Header.Vault != v.id || meta.Header.Shard != pack.AllShards {
		return fmt.Errorf("it holds something else: %w", pack.ErrDamaged)
	}
	d.sources, d.of = append(d.sources, pack.Source{R: f, Meta: meta}), append(d.of, m)
	return nil
}

// checkSources reads all of every file and notes what is damaged. The error is that of the vault's only place.
func (v *Vault) checkSources(ctx context.Context, g *gathering) error {
	for i, s := range g.sources {
		m := g.of[i]
		damage, err := pack.Check(s.R, s.Meta)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && v.place.layout().alone():
			return err
		case err != nil:
			v.place.lost(m, err)
		case !damage.None() && g.errs[m] == nil:
			g.note(m, g.want(m), damageError(damage))
		}
	}
	return nil
}

// damageError says what a damage is.
func damageError(d pack.Damage) error {
	if d.Shift != 0 {
		return fmt.Errorf("%w: the file is %+d bytes too long, %d blocks and %d meta blocks are not intact", pack.ErrDamaged, d.Shift, len(d.Blocks), len(d.Meta))
	}
	return fmt.Errorf("%w: %d blocks and %d meta blocks are not intact", pack.ErrDamaged, len(d.Blocks), len(d.Meta))
}

// rewrite writes what was brought back to the members that need it, and tells how many took it.
func (v *Vault) rewrite(ctx context.Context, f damagedFile, g *gathering, targets []*member, built *pack.Built) (files int, err error) {
	defer v.files.forget(g.id)
	var errs []error
	for _, m := range targets {
		p := m.enter()
		var err error
		if notThere(g.errs[m]) { // it takes more room than before, and the reserve is for what gives some back
			err = v.o.roomIn(ctx, p, 0)
		}
		if err == nil {
			err = p.Write(ctx, f.name, built.File(g.want(m))...)
		}
		m.leave()
		if err != nil {
			v.failUnless(ctx, m, err)
			errs = append(errs, fmt.Errorf("mend %s: %w", f.name, placeError(err)))
		}
		v.tellMended(f, g, m, err)
	}
	return len(targets) - len(errs), errors.Join(errs...)
}

// tellMended tells of a file that was written anew; that it was only missing in a place that was behind is nothing to tell.
func (v *Vault) tellMended(f damagedFile, g *gathering, m *member, err error) {
	if notThere(g.errs[m]) && !m.current() {
		return
	}
	t := Trouble{Kind: Damaged, Place: m.String(), File: f.name, Pack: g.id, Offset: f.offset, Err: firstOf(f.err, g.errs[m]), Healed: err == nil}
	if err = placeError(err); errors.Is(err, ErrNoSpace) || errors.Is(err, ErrReadOnly) {
		t.Err = err
	}
	if err != nil {
		v.log.Error("a damaged file could not be written anew", "place", m, "file", f.name, "err", err)
	} else {
		v.mended.Add(1)
		v.log.Warn("a damaged file was written anew", "place", m, "pack", g.id, "file", f.name, "offset", f.offset, "err", t.Err)
	}
	if !f.quiet {
		v.place.tell(t)
	}
}

// pastHealing tells of a file that cannot be brought back.
func (v *Vault) pastHealing(ctx context.Context, f damagedFile, g *gathering, err error) error {
	c := &CorruptError{Place: v.place.String(), Pack: g.id, Offset: f.offset, Err: firstOf(g.damage, err)}
	if g.where != nil {
		c.Place = g.where.String()
	}
	v.tooDamaged(c, f.name)
	return v.saveRest(ctx, f, g)
}

// saveRest copies what a place that is being replaced has of a file that cannot be brought back: it may be what some of it is read from.
func (v *Vault) saveRest(ctx context.Context, f damagedFile, g *gathering) error {
	var errs []error
	for i, m := range g.of {
		heir := g.all[m.shard]
		if heir == m || !notThere(g.errs[heir]) || !heir.well() {
			continue
		}
		b, err := g.sources[i].Salvage()
		if err != nil { // the heir has not all it can get, so the old place stays
			errs = append(errs, fmt.Errorf("save what %s has of %s: %w", m, f.name, err))
			continue
		}
		p := heir.enter()
		err = p.Write(ctx, f.name, b)
		heir.leave()
		if err != nil {
			v.failUnless(ctx, heir, err)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
