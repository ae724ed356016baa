package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Collecting gives back the space of chunks that no version needs any more. It is the only thing that removes what a backup stored, so what it
// may remove is fixed here.
//
// A collection begins at one moment, under Vault.mu: it notes the packs that are known then (the candidates), the versions, and from
// then on what every writer that is open now or later relies on (reliance.go). Then it marks, in the candidates, every chunk that
// one of the versions reaches, and every chunk that a held version does, one deleted while a writer is open. Last it sweeps: of the
// candidates, each pack that has no marked frame, and on which nobody relies, is dropped; one with few is repacked, that is, its live frames go
// to a new pack first.
//
// Why nothing is lost. Let a version be committed after the beginning, by a writer W, and c be one of its chunks.
//
//   - W put c, and it was stored then: its pack is no candidate, or an own pack of W.
//   - W put c, and the vault had it: it is a hit of W. When a pack is taken out (takeOut) hits are looked at under Vault.mu; whoever looks c up
//     later does not find it there, and stores it again.
//   - W did not put c, but took it over from a version B, which was there after W was opened. If B was there at the beginning, it is
//     marked. If it was deleted before, then with W open, so it is held, and marked. If it was committed later, c was not lost to B, by
//     the same argument, and what protected it then does so until the end of this collection; in the next one B is there, or held.
//
// And a version that is committed before the beginning is marked. On any doubt about what one reaches, a record or a page that cannot
// be read, nothing is removed at all. A chunk that is reached and that the index does not know is looked for in the table of each pack
// before that goes; of one that lies elsewhere too, that copy is read first.
//
// In several places. While one is missing, or lacks something, nothing is moved: a new pack would not have there the protection that the old one
// has, and one that stayed as its successor lacks somewhere goes when every place has everything. What no version needs goes all the same, and a
// tombstone says so to the place that is missing. That may have versions that nobody here knows:
// then it has, with others that made them, enough of each pack that they need, and these are taken up again when it is back (tombstone.go). It
// is not taken in while a collection is under way, which began without its versions.
//
// Order, so that no crash loses anything: new pack complete and synced; its chunks in the index; old pack out of Vault.packs (new
// look-ups find the new place, or nothing); out of the index, synced; its file removed, or first its tombstone written and then each of its
// files removed. A crash before the last step leaves a file, or enough of them, that Open enters in the index again; what is left of too few is
// removed, as the tombstone says. A reader who has looked up the old place and finds no file looks again (Vault.load); one
// who has the file open reads on. What is read is checked against the chunk's id by its seal, so nobody ever gets other bytes.

// A Mark calls visit for every chunk that a version's record reaches: pages, and what they list. It goes below a page only where visit says
// that it was seen first. What is lost it passes over, and says so in the error it returns at the end, which is ErrLost then. snapshot.Marker
// makes one.
type Mark func(ctx context.Context, record []byte, visit Visit) error

// A Visit is told of a chunk, and how many bytes it must have, -1 if that is not known.
type Visit func(id ID, length int64) (first bool, err error)

// A Limiter makes bytes wait their turn.
type Limiter interface {
	WaitN(ctx context.Context, n int) error
}

// A Progress is told how far a step of a task is: of total things, done are done.
type Progress func(step string, done, total int)

// CollectOptions say how to collect. Mark is needed; the others may be nil.
type CollectOptions struct {
	Mark     Mark
	Limiter  Limiter // of what is read and written
	Progress Progress
}

// Collected tells what a collection did.
type Collected struct {
	Versions  int    // that were marked
	Dropped   int    // packs that no version needed
	Repacked  int    // packs that were sparse or small, and are gone now
	Written   int    // packs made of them
	Kept      int    // packs that should have gone and stay for now: they are damaged, a backup began to use them, or a place is missing
	Freed     int64  // bytes of files removed, less those written
	Live      uint64 // bytes of frames that versions need
	Dead      uint64 // bytes of frames that stay and that no version needs
	Missing   int    // chunks that versions need and that are in no pack known: see Check
	Recovered int    // chunks that would be Missing, and were found in packs about to go, and kept
}

// ErrBusy is the answer to who wants to collect, repair or rebuild while another does.
var ErrBusy = errors.New("vault is being collected or repaired, or its places are changed")

// Collect gives back the space of chunks that no version needs, beside backups and readers. A cancelled context stops it within a second; what was
// done is done, and the next run does the rest. The result tells what was done in case of an error too. ErrBusy; ErrLost, ErrCorrupt and
// whatever else Mark said, when it cannot be told what a version needs: then nothing was removed; ErrNoSpace, when there is no room for
// a pack to move chunks to: then only whole packs were dropped.
func (v *Vault) Collect(ctx context.Context, o CollectOptions) (Collected, error) {
	if o.Mark == nil {
		return Collected{}, errors.New("collect: nobody who marks")
	}
	end, err := v.beginMaintenance(ctx)
	if err != nil {
		return Collected{}, fmt.Errorf("collect: %w", err)
	}
	defer end()
	if err := v.present(ctx); err != nil {
		return Collected{}, fmt.Errorf("collect: %w", err)
	}
	if v.someBehind() { // above all, a version that was deleted in one place only must be so in enough of them
		if err := v.catchUp(ctx, nil); err != nil {
			return Collected{}, fmt.Errorf("collect: nothing is removed before all places are up to date: %w", err)
		}
	}
	c := v.beginCollection(o)
	defer v.endCollection()
	if err := c.markAll(ctx); err != nil {
		return c.result, fmt.Errorf("collect: nothing is removed, as it cannot be told what is needed: %w", err)
	}
	err = errors.Join(c.sweep(ctx), c.pay(), c.leftovers(ctx), c.settle())
	c.result.Written, c.result.Freed = c.written, c.freed
	if err != nil {
		return c.result, fmt.Errorf("collect: %w", err)
	}
	return c.result, nil
}

// A collection under way.
type collection struct {
	mover
	o      CollectOptions
	result Collected

	versions map[VersionKey]struct{} // at the beginning
	held     []*heldVersion          // at the beginning
	marks    map[uint32]*packMarks   // of the packs at the beginning
	young    map[uint32]*packMarks   // of packs that came since and were met
	missing  map[ID]struct{}         // reached, and in no pack known

	found, here trial // of frames where the index finds a chunk, and in the pack that is about to go
}

func (v *Vault) beginCollection(o CollectOptions) *collection {
	c := &collection{
		o: o, mover: mover{v: v, limiter: o.Limiter},
		marks: map[uint32]*packMarks{}, young: map[uint32]*packMarks{}, missing: map[ID]struct{}{},
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for number, p := range v.packs {
		c.marks[number] = newPackMarks(p)
	}
	c.versions = maps.Clone(v.versions)
	c.held = slices.Clone(v.holding.deleted)
	v.holding.collection = c
	return c
}

func (v *Vault) endCollection() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.holding.collection = nil
	v.holding.forget()
}

func (c *collection) progress(step string, done, total int) {
	if c.o.Progress != nil {
		c.o.Progress(step, done, total)
	}
}

// waitN waits for n bytes to pass; a nil limiter lets everything pass.
func waitN(ctx context.Context, l Limiter, n int) error {
	if l == nil {
		return ctx.Err()
	}
	return l.WaitN(ctx, n)
}

// settle notes what is of use of the packs that stay. Where the index has no room the next collection does.
func (c *collection) settle() error {
	room := c.v.index.room() == nil
	for number, m := range c.marks {
		c.result.Live += m.live
		if err := c.settlePack(number, m, room); err != nil {
			return err
		}
	}
	for _, m := range c.young {
		c.result.Live += m.live
	}
	if !room {
		return nil
	}
	return c.v.index.setCollected(c.v.o.Now().Unix())
}

func (c *collection) settlePack(number uint32, m *packMarks, room bool) error {
	v := c.v
	v.mu.Lock()
	u, there := v.uses[number]
	old := u
	if there {
		u.dead, u.deadRaw = uint64(m.pack.data)-min(m.live, uint64(m.pack.data)), u.raw-min(m.liveRaw, u.raw)
		if c.relied(number, nil) == relyAll {
			u.dead, u.deadRaw = 0, 0
		}
		if room {
			v.uses[number] = u
		}
		c.result.Dead += u.dead
	}
	v.mu.Unlock()
	if !there || u == old || !room {
		return nil
	}
	return v.index.setUse(number, u)
}

// collected tells when the last collection ended, the zero time if there was none since the index was made.
func (v *Vault) collected() (time.Time, error) {
	unix, err := v.index.collected()
	if err != nil || unix == 0 {
		return time.Time{}, err
	}
	return time.Unix(unix, 0).UTC(), nil
}
