package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"yester/store/pack"
)

// RepairOptions say what to repair.
type RepairOptions struct {
	Packs []pack.ID // only these, as Check named them; nil: all

	// Mark finds what versions reach and is lost; nil: Repaired.Lost has all that was lost in packs, needed or not.
	Mark Mark

	Limiter  Limiter
	Progress Progress
}

// Repaired tells what a repair did.
type Repaired struct {
	Packs    int          // looked at
	Healed   []pack.ID    // that are as they were written again
	Records  []VersionKey // whose records are
	Blocks   int          // computed from parity for that
	Salvaged []pack.ID    // damaged beyond that: what can be read of them lies in new packs now
	Found    int          // chunks that seemed lost and were found in another pack
	Problems []Problem    // that stay

	// Lost are the chunks that are lost; of very many some, and a problem says so. They are in the index no more: a backup that meets the same content stores them again, and heals what
	// needs them. snapshot.Search says which paths that are.
	Lost IDs
}

// Repair makes good what can be, pack by pack, beside everything else that goes on. What places missed is made up for. A damaged file is replaced by a
// whole one if parity, or what lies in other places, allows. If not, the chunks that can be read are moved to a new pack; then the damaged one is
// removed, unless it is the medium that does not let it be read, and may one day, or its file holds another pack. While a place is missing that may have what heals
// it, it stays as it is. If a place lets nothing be read nor written, the repair ends. The error is as of Check, and ErrNoSpace, ErrReadOnly, ErrBusy; the next run does what is left.
func (v *Vault) Repair(ctx context.Context, o RepairOptions) (Repaired, error) {
	end, err := v.beginMaintenance(ctx)
	if err != nil {
		return Repaired{}, fmt.Errorf("repair: %w", err)
	}
	defer end()
	r := &repair{mover: mover{v: v, limiter: o.Limiter}, o: o, lost: v.newLoss()}
	err = r.all(ctx)
	r.result.Lost = r.lost.ids
	r.result.Problems = append(r.result.Problems, r.lost.problem()...)
	return r.result, err
}

func (r *repair) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.v.present, r.places, r.records, r.packs, r.reach} {
		if err := errors.Join(ctx.Err(), step(ctx)); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
	}
	return r.pay()
}

// A repair under way.
type repair struct {
	mover
	o      RepairOptions
	result Repaired
	lost   *loss
}

func (r *repair) progress(step string, done, total int) {
	if r.o.Progress != nil {
		r.o.Progress(step, done, total)
	}
}

func (r *repair) problem(p Problem) {
	if p.Place == "" {
		p.Place = r.v.placeName()
	}
	r.result.Problems = append(r.result.Problems, p)
}

// places takes in those that are back, and makes up what they missed.
func (r *repair) places(ctx context.Context) error {
	err := r.v.mend.tend(ctx, 0)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.problem(Problem{Heals: true, Err: err})
	}
	for _, m := range r.v.place.layout().members {
		if err := m.trouble(); err != nil {
			r.problem(Problem{Place: m.String(), Err: err})
		}
	}
	return nil
}

// records heals the files of records.
func (r *repair) records(ctx context.Context) error {
	keys := r.v.allVersions()
	for i, k := range keys {
		r.progress("records", i, len(keys))
		if err := errors.Join(ctx.Err(), r.record(ctx, k)); err != nil {
			return err
		}
	}
	return nil
}

func (r *repair) record(ctx context.Context, k VersionKey) error {
	r.v.records.Lock()
	defer r.v.records.Unlock()
	if !r.v.hasVersion(k) {
		return nil
	}
	g, err := r.v.gather(ctx, k.file())
	if err != nil {
		return err
	}
	if g == nil {
		r.problem(Problem{Version: k, Err: fmt.Errorf("its record: %w", g.why())})
		return nil
	}
	defer g.close()
	if err := g.failed(); err != nil {
		return err
	}
	done, past, err := r.heal(ctx, k.file(), g)
	if past != nil {
		r.problem(Problem{Version: k, Err: fmt.Errorf("its record: %w", asCorrupt(past))})
	}
	if done.files > 0 {
		r.result.Records = append(r.result.Records, k)
		r.result.Blocks += done.blocks
	}
	return err
}

// heal replaces those files of a pack or a record that are damaged, or lack, by what they should be. Past is why it cannot be. A place that
// does not take its file is told.
func (r *repair) heal(ctx context.Context, name string, g *gathering) (done mended, past, err error) {
	defer r.v.place.locks.lock(name)()
	done, past, err = r.v.mendGathered(ctx, damagedFile{name: name, offset: -1, quiet: true}, g, true)
	if err != nil && ctx.Err() == nil && !r.v.place.layout().alone() {
		r.problem(Problem{Pack: g.id, Heals: true, Err: err})
		err = nil
	}
	return done, past, err
}

// packs heals packs, and saves what can be read of those that cannot be healed.
func (r *repair) packs(ctx context.Context) error {
	known := r.v.known()
	maps.DeleteFunc(known, func(_ uint32, p *packInfo) bool { return r.o.Packs != nil && !slices.Contains(r.o.Packs, p.id) })
	for i, number := range slices.Sorted(maps.Keys(known)) {
		r.progress("packs", i, len(known))
		p := known[number]
		r.result.Packs++
		if err := errors.Join(waitN(ctx, r.limiter, int(p.size)), r.v.mend.meanwhile(ctx)); err != nil {
			return err
		}
		if err := r.pack(ctx, number, p); err != nil {
			return err
		}
	}
	return nil
}

// errSilent says that the medium lets nothing of a pack be read.
var errSilent = errors.New("nothing of the pack can be read")

// pack looks after one pack. One of which nothing can be read may be well, and the whole disk not answer for a while, though the kernel still has some of it: so that is believed only
// if the disk takes something and the pack cannot be read even then.
func (r *repair) pack(ctx context.Context, number uint32, p *packInfo) error {
	err := r.packOf(ctx, number, p, false)
	if !errors.Is(err, errSilent) {
		return err
	}
	if err := r.v.touch(ctx); errors.Is(err, ErrNoSpace) { // whether it answers is for a repair when there is room again
		r.problem(Problem{Pack: p.id, Err: fmt.Errorf("it is kept as it is, as it can be told only by writing whether the disk answers: %w: %w", errSilent, err)})
		return nil
	} else if err != nil {
		return fmt.Errorf("pack %v: %w, nor anything be written: %w", p.id, errSilent, err)
	}
	return r.packOf(ctx, number, p, true)
}

// packOf is pack. Unless it is sure that the places answer, it does nothing about a pack of which nothing can be read, and says errSilent.
func (r *repair) packOf(ctx context.Context, number uint32, p *packInfo, sure bool) error {
	g := r.v.gatherPack(ctx, p)
	defer g.close()
	if err := g.failed(); err != nil {
		return err
	}
	_, err := r.v.tableOf(ctx, p)
	if errors.Is(g.unread, errBadIndex) {
		err = g.unread
	}
	if errors.Is(err, errBadIndex) {
		r.problem(Problem{Pack: p.id, Err: fmt.Errorf("the index says wrong things of it and must be rebuilt: %w", err)})
		return nil
	}
	done, past, err := r.heal(ctx, packName(p.instance, p.id), g)
	if done.files > 0 {
		r.result.Healed = append(r.result.Healed, p.id)
		r.result.Blocks += done.blocks
	}
	if err == nil && past == nil {
		past, err = r.opens(ctx, number, p, g)
		if past != nil && err == nil {
			if forged, err := r.forged(ctx, number, p, g); forged || err != nil {
				return err
			}
		}
	}
	if err != nil || past == nil {
		return err
	}
	return r.salvage(ctx, number, p, g, past, sure)
}

// forged finds the one file of a pack in several places that keeps its seals from opening, though its checksums are right: whoever can write in a place can make it so. It is
// healed from the others.
func (r *repair) forged(ctx context.Context, number uint32, p *packInfo, g *gathering) (bool, error) {
	if p.whole || len(g.sources) <= p.shape.Data {
		return false, nil // nothing to compare with
	}
	for i, m := range g.of {
		rest := slices.Delete(slices.Clone(g.sources), i, i+1)
		if past, err := r.opensFrom(ctx, number, p, rest); err != nil || past != nil {
			if err != nil {
				return false, err
			}
			continue
		}
		defer r.v.place.locks.lock(packName(p.instance, p.id))()
		g.sources, g.of = rest, slices.Delete(slices.Clone(g.of), i, i+1)
		g.note(m, p.shardOf(m), errForged)
		done, past, err := r.v.mendGathered(ctx, damagedFile{name: packName(p.instance, p.id), offset: -1, quiet: true}, g, false)
		if done.files > 0 {
			r.v.log.Error("a file of a pack was forged, and is written anew", "place", m, "pack", p.id)
		}
		if done.files > 0 && !slices.Contains(r.result.Healed, p.id) {
			r.result.Healed = append(r.result.Healed, p.id)
		}
		if err = firstOf(err, past); err != nil && ctx.Err() == nil {
			r.problem(Problem{Pack: p.id, Heals: true, Place: m.String(), Err: asCorrupt(err)})
			err = nil
		}
		return true, err
	}
	return false, nil
}

// opens tells whether all seals of a pack without damage open. They do unless the pack was written so, or a file of it was forged.
func (r *repair) opens(ctx context.Context, number uint32, p *packInfo, g *gathering) (past, err error) {
	return r.opensFrom(ctx, number, p, g.sources)
}

func (r *repair) opensFrom(ctx context.Context, number uint32, p *packInfo, sources pack.Sources) (past, err error) {
	frames, err := r.v.tableOf(ctx, p)
	if isDamage(err) {
		return err, nil
	}
	if err != nil {
		return nil, err
	}
	reader, err := r.v.frameReader(p, sources)
	if err != nil {
		return nil, err
	}
	defer reader.close()
	bad, err := reader.unreadable(ctx, number, frames)
	if err == nil && len(bad) > 0 {
		past = r.v.corrupt(p.id, int64(bad[0].frame.Offset), pack.ErrSeal)
	}
	return past, err
}
