package store

import (
	"math"
	"slices"
	"sync"
)

// What writers rely on
//
// A backup relies on chunks that no record reaches yet: those it put, those it put and the vault had, and, since it takes over whole folders of
// its parent version, everything that one reaches. None of them may be collected before its own record is there. So the vault knows
// of each open writer
//
//   - its own packs: those it wrote
//   - its hits: the frames that a Put of it found stored already, one bit for each
//
// and holds the record of a version that was deleted until all writers that were open then are closed, because it may be the parent of one of
// them. The contract that follows: a writer is opened before the record of the parent is read.
//
// A hit is recorded, and a pack is taken out of Vault.packs, under Vault.mu: whoever takes a pack out has seen every hit on it, and
// who comes after does not find its chunks and stores them again.
//
// A chunk may lie in two packs, if two writers stored it at the same time. What counts is where the index finds it: there it is marked, and there it
// must be relied on by all who do. So the first copy stays the one that is found, and the writer of the second has a hit on it. Only who
// holds Vault.maintain changes where a chunk is found, and has who relies on it do so at the new place.
//
// What a repair cannot read is lost whoever relies on it, and so is what a rebuilt index does not know any more. It is noted as doubted, and a commit looks
// whether what its writer relied on there is found elsewhere.
//
// See gc.go for what is done with all this.
type reliance struct {
	opened uint64 // when the writer was opened, by holding.moment
	shares bool   // others were open at the same time; guarded by Vault.mu

	mu   sync.Mutex
	own  map[uint32]struct{} // numbers of packs that are relied on as a whole
	hits map[uint32]bitmap   // by number of the pack
}

// hit notes that a frame is relied on. The caller holds Vault.mu, for reading at least.
func (r *reliance) hit(l *location, p *packInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hits == nil {
		r.hits = map[uint32]bitmap{}
	}
	b := r.hits[l.pack]
	if b == nil {
		b = newBitmap(p.frames)
		r.hits[l.pack] = b
	}
	b.set(l.num)
}

// owns notes that a whole pack is relied on. The caller holds Vault.mu.
func (r *reliance) owns(number uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own == nil {
		r.own = map[uint32]struct{}{}
	}
	r.own[number] = struct{}{}
}

// on tells what is relied on of a pack: all of it, or the frames of a bitmap, nil for none. The caller holds Vault.mu for writing, so that
// nothing is added meanwhile, and does not keep the bitmap beyond that.
func (r *reliance) on(number uint32) (all bool, frames bitmap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, all = r.own[number]
	return all, r.hits[number]
}

// allRelyOn makes all open writers rely on a pack: a chunk is found there now that one of them may have found elsewhere.
func (v *Vault) allRelyOn(number uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for r := range v.holding.writers {
		r.owns(number)
	}
}

// takeOver adds what another relied on. The caller holds Vault.mu for writing.
func (r *reliance) takeOver(other *reliance) {
	for number := range other.own {
		r.owns(number)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hits == nil {
		r.hits = map[uint32]bitmap{}
	}
	for number, b := range other.hits {
		if have := r.hits[number]; have != nil {
			have.or(b)
			continue
		}
		r.hits[number] = b
	}
}

// A holding is what is kept alive beside the committed versions. Vault.mu guards it; its zero value is ready.
type holding struct {
	moment     uint64 // counts the openings of writers
	writers    map[*reliance]struct{}
	deleted    []*heldVersion // in the order of their deletion
	doubted    []doubtedChunk // in the order of their being found
	collection *collection    // under way; nil: none is
}

// A heldVersion is one that was deleted, or is about to be.
type heldVersion struct {
	key    VersionKey
	record []byte
	err    error  // why there is no record
	until  uint64 // writers opened before this moment may rely on it
}

// A doubtedChunk is one that cannot be read from where it was found, and may be lost with that.
type doubtedChunk struct {
	at    location
	until uint64 // writers opened before this moment may rely on it
}

// enlist makes the vault know of an opened writer.
func (v *Vault) enlist(w *Writer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := &v.holding
	if h.writers == nil {
		h.writers = map[*reliance]struct{}{}
	}
	w.relies.opened = h.moment
	h.moment++
	h.writers[&w.relies] = struct{}{}
	for r := range h.writers {
		r.shares = r.shares || len(h.writers) > 1
	}
}

// dismiss ends a writer's relying on anything. A collection under way has not seen the record that it may have committed, and goes on
// counting what it relied on as live.
func (v *Vault) dismiss(w *Writer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := &v.holding
	if _, open := h.writers[&w.relies]; !open {
		return
	}
	delete(h.writers, &w.relies)
	if h.collection != nil {
		h.collection.ended.takeOver(&w.relies)
	}
	h.forget()
}

// hold keeps the record of a version that is about to be deleted. The result is for release.
func (v *Vault) hold(k VersionKey, record []byte, err error) *heldVersion {
	v.mu.Lock()
	defer v.mu.Unlock()
	d := &heldVersion{key: k, record: record, err: err, until: math.MaxUint64}
	v.holding.deleted = append(v.holding.deleted, d)
	return d
}

// release tells that a held version is deleted now, or still there: writers opened from here on need no holding of it. Of one that is there and could not be read nothing is held.
func (v *Vault) release(d *heldVersion, deleted bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if h := &v.holding; !deleted && d.err != nil {
		h.deleted = slices.DeleteFunc(h.deleted, func(o *heldVersion) bool { return o == d })
	}
	d.until = v.holding.moment
	v.holding.forget()
}

// doubt notes chunks that cannot be read from where they are found.
func (v *Vault) doubt(all []location) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if h := &v.holding; len(h.writers) > 0 {
		for _, l := range all {
			h.doubted = append(h.doubted, doubtedChunk{l, h.moment})
		}
	}
}

// doubted returns those of the doubted chunks that somebody relies on.
func (v *Vault) doubted(r *reliance) (all []location) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, d := range v.holding.doubted {
		if whole, hits := r.on(d.at.pack); r.opened < d.until && (whole || hits.has(d.at.num)) {
			all = append(all, d.at)
		}
	}
	return all
}

// held returns the version of that name that was deleted last, nil if none is held. The caller holds Vault.mu, for reading at least.
func (h *holding) held(k VersionKey) *heldVersion {
	for _, d := range slices.Backward(h.deleted) {
		if d.key == k {
			return d
		}
	}
	return nil
}

// forget drops the records and chunks that nobody can rely on any more. The caller holds Vault.mu.
func (h *holding) forget() {
	if h.collection != nil {
		return
	}
	oldest := h.moment
	for w := range h.writers {
		oldest = min(oldest, w.opened)
	}
	h.deleted = slices.DeleteFunc(h.deleted, func(d *heldVersion) bool { return d.until <= oldest })
	h.doubted = slices.DeleteFunc(h.doubted, func(d doubtedChunk) bool { return d.until <= oldest })
}
