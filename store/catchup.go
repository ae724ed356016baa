package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"yester/store/pack"
)

// noteLacking notes which members lack something that others have.
func (v *Vault) noteLacking(s *survey) {
	l := v.place.layout()
	if l.alone() {
		return
	}
	var lacking uint64
	for name, in := range s.files {
		if in != 0 && !v.place.stones.has(name) {
			lacking |= s.listed &^ uint64(in)
		}
		if strings.HasPrefix(name, deletedFolder+"/") || v.place.stones.has(name) {
			lacking |= s.listed // there is something to tidy
		}
	}
	v.noteUndeleted(s)
	v.noteStrays(s)
	for _, p := range v.packs {
		lacking |= s.lacking(l, p)
	}
	for i, m := range l.members {
		if lacking&(1<<m.shard) != 0 || v.desc.Places[i].Replaces != "" { // the latter has yet to be told that it has everything
			m.miss()
		}
	}
}

// lacking are the members that should have a file of a pack and have not.
func (s *survey) lacking(l *layout, p *packInfo) uint64 {
	var want uint64
	for _, m := range l.members {
		if p.shardOf(m) >= 0 {
			want |= 1 << m.shard
		}
	}
	return want & s.listed &^ uint64(s.packs[p.id].in)
}

// catchUp makes up what places missed: packs, records and small files that others have, removals, and what a place has that was written while the
// others were away. What it takes a missing place for is left, and who lacks that goes on being behind, until the place is back, see member.waitFor. Progress, if not nil, is told
// how many files are done.
func (v *Vault) catchUp(ctx context.Context, progress func(done, total int)) error {
	v.mend.later.Store(false)
	missed := map[*member]uint64{}
	for _, m := range v.place.layout().members {
		missed[m] = m.misses()
	}
	s, err := v.survey(ctx)
	if err != nil {
		return err
	}
	small, err := v.mendSmallFiles(ctx), v.enterNew(ctx, s)
	if err == nil { // else a pack that came back, and that versions need which came with it, may look like one that is removed
		err = v.tidyStones(ctx, s)
	}
	if err := errors.Join(small, err); err != nil {
		return err
	}
	left, err := v.fillIn(ctx, s, progress)
	if err != nil {
		return fmt.Errorf("make up what places missed: %w", err)
	}
	left |= v.withoutUnknown(s)
	for m, n := range missed {
		switch bit := uint64(1) << m.shard; {
		case s.listed&bit == 0:
		case left&bit != 0 || left != 0 && m.inherits():
			m.waitFor(n)
		case m.caughtUp(n):
			v.log.Info("a place has all that it missed", "place", m)
			v.place.tell(Trouble{Kind: PlaceBack, Place: m.String(), Offset: -1})
		}
	}
	if left != 0 || !s.all(v.place.layout()) {
		return nil
	}
	return v.endReplacing(ctx)
}

// fillIn writes the packs and then the records that lack somewhere. Left are the members that still lack something, as another is missing that may have what it takes,
// or the index says wrong things of it.
func (v *Vault) fillIn(ctx context.Context, s *survey, progress func(done, total int)) (left uint64, err error) {
	todo := v.lackingFiles(s)
	var why []error
	for i, f := range todo {
		if progress != nil {
			progress(i, len(todo))
		}
		v.retryFailed(ctx, v.mend.retry, v.place.layout().members) // it may go on for days; one that was replaced and was not listed would count as asked
		err := v.fillInFile(ctx, s, f.name)
		if errors.Is(err, ErrMissing) {
			why, left = append(why, err), left|f.by
			continue
		}
		if errors.Is(err, errBadIndex) {
			v.log.Error("a file lacks in places until the index is rebuilt", "file", f.name, "err", err)
			left |= f.by
			continue
		}
		if err != nil {
			return left, err
		}
	}
	if len(why) > 0 {
		v.log.Warn("files lack in places, and cannot be had while another is missing", "files", len(why), "first", why[0])
	}
	if progress != nil {
		progress(len(todo), len(todo))
	}
	return left, nil
}

// withoutUnknown are the members that have no file of some pack which the index does not know, while a place is missing that may have what makes it one to be read.
func (v *Vault) withoutUnknown(s *survey) (left uint64) {
	if l := v.place.layout(); s.all(l) && len(l.gone()) == 0 {
		return 0
	}
	for id, seen := range s.packs {
		if seen.in != 0 && v.packByID(id) == nil && !v.place.stones.has(packName(seen.instance, id)) {
			left |= s.listed &^ uint64(seen.in)
		}
	}
	return left
}

func (v *Vault) fillInFile(ctx context.Context, s *survey, name string) error {
	k, ok := parseVersionName(name)
	found := ok && (!v.hasVersion(k) || v.IsStray(k))
	for again := false; found && v.o.Marker != nil && s.few(v.place.layout(), name); again = true {
		whole, none, err := v.vouch(ctx, s, k)
		if err != nil {
			return err
		}
		if whole {
			break
		}
		if !none || !v.isLost(k) || !s.complete(v.place.layout()) {
			return nil
		}
		if again {
			return v.dropStray(ctx, k)
		}
		if s, err = v.survey(ctx); err == nil { // another daemon may just have been writing it
			err = v.enterNew(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	if err := v.mendFile(ctx, damagedFile{name: name, offset: -1}, false); err != nil || !found {
		return err
	}
	defer v.place.locks.lock(name)()
	if f, err := v.place.Open(ctx, name); err == nil && !v.place.stones.has(name) {
		f.Close()
		v.announce(k, true)
	}
	return ctx.Err()
}

// A lackingFile is one that some members lack.
type lackingFile struct {
	name string
	by   uint64
}

// lackingFiles are the packs and, after them, the records that lack somewhere, or that only the places know of. Some may have been written since the survey.
func (v *Vault) lackingFiles(s *survey) (files []lackingFile) {
	l := v.place.layout()
	for _, p := range v.known() {
		if by := s.lacking(l, p); by != 0 {
			files = append(files, lackingFile{packName(p.instance, p.id), by})
		}
	}
	for _, k := range v.allVersions() {
		if s.files[k.file()] == 0 {
			files = append(files, lackingFile{k.file(), s.listed})
		}
	}
	for name, in := range s.files {
		k, ok := parseVersionName(name)
		if by := s.listed &^ uint64(in); ok && in != 0 && !v.place.stones.has(name) && (by != 0 || !v.hasVersion(k)) {
			files = append(files, lackingFile{name, by})
		}
	}
	return files
}

// enterNew enters packs in the index that came with a place.
func (v *Vault) enterNew(ctx context.Context, s *survey) error {
	for id, seen := range s.packs {
		if seen.in == 0 || v.packByID(id) != nil {
			continue
		}
		if err := v.enterFound(ctx, id, seen); err != nil {
			return err
		}
	}
	return nil
}

// enterFound enters a pack unless it was written, or removed, since it was listed. Chunks that are known stay where they are found: open writers rely on
// them there.
func (v *Vault) enterFound(ctx context.Context, id pack.ID, seen packSeen) error {
	defer v.place.locks.lock(packName(seen.instance, id))()
	if v.packByID(id) != nil {
		return nil
	}
	return v.enterSeen(ctx, id, seen, v.keepFound)
}

// tidyStones makes up for removals: what was removed is removed where it still is, and the notes of that go to where they lack, and go for good
// when every place is there and has nothing left that they are about.
func (v *Vault) tidyStones(ctx context.Context, s *survey) error {
	var errs []error
	for name := range s.files {
		if removed, ok := strings.CutPrefix(name, deletedFolder+"/"); ok && s.files[name] != 0 && ctx.Err() == nil {
			errs = append(errs, v.tidyStone(ctx, s, removed))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func (v *Vault) tidyStone(ctx context.Context, s *survey, name string) error {
	if k, ok := parseVersionName(name); ok && v.hasVersion(k) { // its deletion failed half-way, or is under way
		if s.calledOff(v.place.layout(), name) {
			v.undelete(ctx, k)
			return nil
		}
		if v.o.Leave != nil {
			end, wanted := v.o.Leave(k)
			switch {
			case wanted:
				v.undelete(ctx, k)
				return nil
			case end == nil:
				v.mend.later.Store(true)
				return nil
			}
			defer end()
		}
		if err := v.Delete(ctx, k); !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	defer v.place.locks.lock(name)()
	l := v.place.layout()
	v.place.stones.set(name, true)
	if s.madeAnew(l, name) || v.place.stays(ctx, l, name) || isPack(name) && v.alive(name) {
		v.place.unbury(ctx, l, name)
		v.place.stones.set(name, false) // whatever a place that did not take it still says
		return nil
	}
	all := s.complete(l)
	if isPack(name) && !all {
		return nil
	}
	for _, m := range l.members {
		gone, err := v.removeIn(ctx, m, name)
		if err != nil {
			return err
		}
		all = all && gone
	}
	if all {
		v.place.unbury(ctx, l, name)
		return nil
	}
	return v.place.writeAll(ctx, l, stone(name))
}

// calledOff tells that the deletion of a version that is still there came to nothing: fewer places have a note of it than must before the first copy goes.
func (s *survey) calledOff(l *layout, name string) bool {
	return s.files[stone(name)].shards() < l.need()
}

// undelete takes back the note of a deletion that failed, as the version is needed after all or the deletion was off before: with the note it would lack where it lacks, and go with the loss of a place.
func (v *Vault) undelete(ctx context.Context, k VersionKey) {
	v.records.Lock() // or it may just be deleted
	defer v.records.Unlock()
	if !v.hasVersion(k) {
		return
	}
	defer v.place.locks.lock(k.file())()
	v.place.unbury(ctx, v.place.layout(), k.file())
	v.place.stones.set(k.file(), false) // whatever a place that did not take it still says
	v.log.Warn("a version whose deletion failed stays", "version", k)
}

// madeAnew tells that a file of an instance was written again since it was removed: places that have all they should have it, and none of them has a note of its removal.
func (s *survey) madeAnew(l *layout, name string) bool {
	if _, isVersion := parseVersionName(name); isVersion || isPack(name) || !strings.HasPrefix(name, "instances/") {
		return false // those have a name once
	}
	var current placesSeen
	for _, m := range l.members {
		if m.current() {
			current |= 1 << m.shard
		}
	}
	return s.files[name]&current != 0 && s.files[stone(name)]&current == 0
}

// alive tells that a removed pack is one of the vault's again: it came back with a place.
func (v *Vault) alive(name string) bool {
	_, id, ok := parsePackName(name)
	return ok && v.packByID(id) != nil
}

// removeIn removes a file from a member, and tells whether it is gone there. That one which fails already does not let it go is no error: the others do not wait for that.
func (v *Vault) removeIn(ctx context.Context, m *member, name string) (gone bool, err error) {
	if !m.sheds() {
		return false, nil
	}
	well := m.well()
	p := m.enter()
	defer m.leave()
	if err = p.Remove(ctx, name); err == nil {
		return true, nil
	}
	v.failUnless(ctx, m, err)
	if !well {
		err = nil
	}
	return false, err
}

// all tells whether every place could be listed and is still there.
func (s *survey) all(l *layout) bool {
	return s.listed == 1<<len(l.members)-1 && !slices.ContainsFunc(l.members, func(m *member) bool { return m.reader() == nil })
}

// complete tells whether every place could be listed and lets files go, and none that was replaced may bring anything back.
func (s *survey) complete(l *layout) bool {
	shed := !slices.ContainsFunc(l.members, func(m *member) bool { return !m.sheds() })
	return shed && !l.inheriting() && s.listed == 1<<len(l.members)-1
}
