package store

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"yester/store/pack"
)

// A vault that is only read knows the packs that were there when it was opened. Who writes to it meanwhile may collect it: then some are gone, and what is needed of them lies in new
// ones. So who cannot read a pack looks again, see Vault.went.
type lookingAgain struct {
	mu     sync.Mutex
	saw    map[pack.ID]packSeen  // the last time
	looked time.Time             // when that was
	vain   map[pack.ID]time.Time // when that was done for a pack, and it was still there
}

// lookAfter is how long a pack that is still there, and cannot be read, is taken for damaged without looking again.
const lookAfter = time.Minute

// went tells whether a pack that could not be read is none of the vault's any more. Of a vault that is only read it makes the index anew if packs came or went.
func (v *Vault) went(ctx context.Context, number uint32, p *packInfo) bool {
	at := &location{pack: number}
	if v.index.temp == nil || v.packOf(at, nil) != p {
		return v.packOf(at, nil) == nil
	}
	a := &v.again
	a.mu.Lock()
	defer a.mu.Unlock()
	if since, in := a.vain[p.id]; v.packOf(at, nil) != p || in && time.Since(since) < lookAfter {
		return v.packOf(at, nil) == nil
	}
	if time.Since(a.looked) < lookAfter && v.isSomewhere(ctx, p) { // it takes long to list all places for each of many damaged packs
		return false
	}
	if err := v.lookAgain(ctx, a); err != nil {
		v.log.Warn("the packs of the vault cannot be looked at again", "err", err)
		return false
	}
	if a.vain == nil {
		a.vain = map[pack.ID]time.Time{}
	}
	a.looked = time.Now()
	a.vain[p.id] = a.looked
	return v.packOf(at, nil) == nil
}

// isSomewhere tells whether a place has a file of a pack. Of one that was collected none has.
func (v *Vault) isSomewhere(ctx context.Context, p *packInfo) bool {
	f, err := v.place.Open(ctx, packName(p.instance, p.id))
	if err == nil {
		f.Close()
	}
	return err == nil
}

// lookAgain brings the temporary index in line with the packs that are there now.
func (v *Vault) lookAgain(ctx context.Context, a *lookingAgain) error {
	s, err := v.survey(ctx)
	if err != nil || maps.Equal(a.saw, s.packs) {
		return err
	}
	unknown, gone := maps.Clone(s.packs), []uint32{}
	v.index.temp.begin()
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for number, p := range v.known() {
		delete(unknown, p.id)
		if s.packs[p.id].in == 0 {
			gone = append(gone, number)
			continue
		}
		group.Go(func() error {
			_, frames, err := v.readTable(all, p.instance, p.id)
			if err != nil { // it is found no more, and gone or damaged
				v.log.Warn("a pack cannot be used", "instance", p.instance, "pack", p.id, "err", err)
				return all.Err()
			}
			return v.index.temp.add(number, frames)
		})
	}
	if err = group.Wait(); err == nil {
		err = v.enter(ctx, unknown)
	}
	if err == nil {
		err = v.index.temp.seal()
	}
	if err != nil {
		return err
	}
	v.mu.Lock()
	for _, number := range gone {
		v.drop(number)
	}
	v.mu.Unlock()
	v.files.close()
	a.saw = s.packs
	clear(a.vain)
	return nil
}
