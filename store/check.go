package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"yester/store/pack"
)

// CheckOptions say how much to check. The zero value checks all but what Mark and reading of data find.
type CheckOptions struct {
	// Mark finds what versions reach, to be looked up in the index; nil: that is not checked.
	Mark Mark

	// ReadData is the part of the packs, 0 to 1, of which every byte is read, against checksums and seals. Packs take turns in the order of
	// their ids, from the one after Cursor on, so that checks which hand on the cursor come round to all.
	ReadData float64
	Cursor   string // from an earlier Checked, "" at first

	Limiter  Limiter
	Progress Progress
}

// A Problem is one thing that is not as it should be.
type Problem struct {
	Version VersionKey // whose record or pages it concerns; zero: none
	Place   string     // where the file is
	Pack    pack.ID    // the pack it concerns; zero: none
	Heals   bool       // nothing is lost: Repair makes it good
	Err     error      // what it is
}

func (p Problem) String() string {
	what := "vault"
	switch {
	case p.Version != VersionKey{}:
		what = "version " + p.Version.String()
	case p.Pack != pack.ID{}:
		what = "pack " + p.Pack.String()
	}
	return fmt.Sprintf("%s: %v", what, p.Err)
}

// Checked tells what a check found. The vault is as it should be if there are no problems.
type Checked struct {
	Versions int
	Packs    int
	Read     int    // packs of which every byte was read
	Bytes    uint64 // of them
	Cursor   string // where the next check goes on
	Problems []Problem

	// Lost are the chunks that were found to be lost, as far as the check went; of very many some, and a problem says so. snapshot.Search says which paths they
	// are part of.
	Lost IDs
}

// Check looks for damage, beside everything else that goes on, and changes nothing. It looks whether every place is there, whether every pack is there, in
// each of its places, with its table as the index has it, whether every record opens, whether every chunk that versions reach is known with the
// right length; and it reads as much of the packs as is asked for. The error is the context's, or that of a place or an index that does not answer;
// the result tells what was found before it, and its Cursor where to go on: packs are read first, so that a check that is cut off over and over comes round to them
// all the same. Damage is no error.
func (v *Vault) Check(ctx context.Context, o CheckOptions) (Checked, error) {
	c := &check{v: v, o: o, result: Checked{Cursor: o.Cursor}, lost: v.newLoss(), unread: v.newLoss(), gone: map[uint32]*packInfo{}}
	err := c.all(ctx)
	for id := range c.unread.ids {
		c.lost.add(id)
	}
	c.lost.more = c.lost.more || c.unread.more
	c.result.Lost = c.lost.ids
	c.result.Problems = append(c.result.Problems, c.lost.problem()...)
	return c.result, err
}

func (c *check) all(ctx context.Context) error {
	steps := []func(context.Context) error{c.v.present, c.places, c.read, c.packs, c.strangers, c.losses, c.versions}
	if c.v.o.ReadOnly { // it learns which packs came and went meanwhile by looking at them
		steps[2], steps[3] = c.packs, c.read
	}
	for _, step := range steps {
		if err := errors.Join(ctx.Err(), step(ctx)); err != nil {
			return fmt.Errorf("check: %w", err)
		}
	}
	return nil
}

// A check under way.
type check struct {
	v      *Vault
	o      CheckOptions
	result Checked
	lost   *loss
	unread *loss                // what reading found lost, of which the pack is told and not each version
	gone   map[uint32]*packInfo // packs without a file or a table
}

func (c *check) progress(step string, done, total int) {
	if c.o.Progress != nil {
		c.o.Progress(step, done, total)
	}
}

func (c *check) problem(p Problem) {
	if p.Place == "" {
		p.Place = c.v.placeName()
	}
	c.result.Problems = append(c.result.Problems, p)
}

// places looks whether each place is there and has what the others have.
func (c *check) places(context.Context) error {
	for _, m := range c.v.place.layout().members {
		if err := m.trouble(); err != nil {
			c.problem(Problem{Place: m.String(), Err: err})
		} else if !m.current() {
			c.problem(Problem{Place: m.String(), Heals: true, Err: errBehind})
		}
	}
	return nil
}

var errBehind = errors.New("it lacks, or may lack, what was written while it was away")

// files tells of what is wrong with single files of a pack or a record. What lacks because its place does is told of the place.
func (c *check) files(p Problem, g *gathering) {
	for _, m := range g.all {
		err := g.errs[m]
		if err == nil || g.absence(m) {
			continue
		}
		p.Place, p.Err = m.String(), asCorrupt(err)
		c.problem(p)
	}
}

// absence tells that a member's file lacks only because the member does, or did.
func (g *gathering) absence(m *member) bool {
	err := g.errs[m]
	return err != nil && (m.reader() == nil || notThere(err) && !m.current())
}

// asCorrupt makes an error about a file ErrCorrupt.
func asCorrupt(err error) error {
	if errors.Is(err, ErrCorrupt) || notThere(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// heals tells whether the files of a pack or a record that are there bring everything back.
func (g *gathering) heals() bool {
	if len(g.sources) == 0 {
		return false
	}
	_, _, err := g.sources.Repair()
	return err == nil
}

// known returns the packs there are now, by their numbers.
func (v *Vault) known() map[uint32]*packInfo {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return maps.Clone(v.packs)
}

// packs looks at the table of every pack.
func (c *check) packs(ctx context.Context) error {
	known := c.v.known()
	c.result.Packs = len(known)
	for i, number := range slices.Sorted(maps.Keys(known)) {
		c.progress("packs", i, len(known))
		p := known[number]
		if err := waitN(ctx, c.o.Limiter, int(p.meta)*pack.BlockSize); err != nil {
			return err
		}
		err := c.table(ctx, number, p)
		if err == nil || c.v.went(ctx, number, p) { // collected meanwhile
			continue
		}
		if !isDamage(err) {
			return err
		}
		c.problem(Problem{Pack: p.id, Err: err})
		c.gone[number] = p
	}
	return nil
}

// isDamage tells whether an error says that a file is damaged or gone, and not that a place does not answer.
func isDamage(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, pack.ErrDamaged) || errors.Is(err, pack.ErrFormat)
}

// table compares the files of a pack with the index. The error says that it cannot be read, or not all of it.
func (c *check) table(ctx context.Context, number uint32, p *packInfo) error {
	g := c.v.gatherPack(ctx, p)
	defer g.close()
	for i, s := range g.sources {
		if m := g.of[i]; s.Meta.Shift != 0 && g.errs[m] == nil {
			g.note(m, g.want(m), fmt.Errorf("%w: its file has %+d bytes too many", ErrCorrupt, s.Meta.Shift))
		}
	}
	frames, err := c.v.tableOf(ctx, p)
	if err == nil {
		err = g.enough(p)
	}
	if errors.Is(err, errBadIndex) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return err
	}
	if g.damage != nil && !c.v.went(ctx, number, p) {
		c.files(Problem{Pack: p.id, Heals: g.heals()}, g)
	}
	return c.entries(number, p, frames)
}

// enough tells whether there are enough files of a pack to read all of it, if they are intact.
func (g *gathering) enough(p *packInfo) error {
	shards := map[uint8]bool{}
	for _, s := range g.sources {
		shards[s.Meta.Header.Shard] = true
	}
	if p.readable(len(shards)) {
		return nil
	}
	err := firstOf(g.damage, pack.ErrDamaged)
	for m := range g.errs {
		if g.absence(m) {
			return fmt.Errorf("%w: too little of it can be read while %s is missing: %w", ErrCorrupt, m, err)
		}
	}
	return asCorrupt(err)
}

// entries compares the table of a pack with the index. That a chunk is not there is no problem unless a version needs it: of two copies one may be
// collected.
func (c *check) entries(number uint32, p *packInfo, frames []pack.Frame) error {
	wrong := 0
	for i := range frames {
		l, found, err := c.v.index.find(frames[i].Chunk)
		if err != nil {
			return err
		}
		if found && l.pack == number && (int(l.num) >= len(frames) || l.frame != frames[l.num]) {
			wrong++
		}
	}
	if wrong > 0 {
		c.problem(Problem{Pack: p.id, Err: fmt.Errorf("the index says wrong things of %d of its %d chunks and must be rebuilt", wrong, len(frames))})
	}
	return nil
}

// strangers looks at packs that the index does not know. Those that can be read were just written or are about to go.
func (c *check) strangers(ctx context.Context) error {
	s, err := c.v.survey(ctx)
	if err != nil {
		return err
	}
	for _, p := range c.v.known() {
		delete(s.packs, p.id)
	}
	for id, seen := range s.packs {
		_, _, err := c.v.readTable(ctx, seen.instance, id)
		switch {
		case err == nil || notThere(err) || c.v.place.stones.has(packName(seen.instance, id)):
		case isDamage(err):
			c.problem(Problem{Pack: id, Err: fmt.Errorf("it cannot be used: %w", err)})
		default:
			return err
		}
	}
	return nil
}

// losses finds the chunks of packs that have no table: without it some may still be read, as the index knows where they are. To find them takes a pass through all of
// the index, so it does that for as many packs at once as there is memory for.
func (c *check) losses(ctx context.Context) error {
	some, chunks := map[uint32][]location{}, 0
	for _, number := range slices.Sorted(maps.Keys(c.gone)) {
		n := int(c.gone[number].frames)
		if len(some) > 0 && chunks+n > c.lost.most {
			if err := c.lossesIn(ctx, some); err != nil || c.lost.more {
				return err
			}
			clear(some)
			chunks = 0
		}
		some[number] = nil
		chunks += n
	}
	return c.lossesIn(ctx, some)
}

// lossesIn is losses for some packs, whose chunks it enters.
func (c *check) lossesIn(ctx context.Context, some map[uint32][]location) error {
	if len(some) == 0 {
		return nil
	}
	err := c.v.index.each(ctx, func(l location) error {
		if list, wanted := some[l.pack]; wanted {
			some[l.pack] = append(list, l)
		}
		return nil
	})
	for number, list := range some {
		if err == nil && len(list) > 0 {
			err = c.lossesOf(ctx, c.gone[number], list)
		}
	}
	return err
}

func (c *check) lossesOf(ctx context.Context, p *packInfo, list []location) error {
	g := c.v.gatherPack(ctx, p)
	defer g.close()
	r, err := c.v.frameReader(p, g.sources)
	if err != nil {
		return err
	}
	defer r.close()
	slices.SortFunc(list, func(a, b location) int { return cmp.Compare(a.num, b.num) })
	for i := range list {
		if i == 0 || !list[i].frame.With(&list[i-1].frame) { // else it was read with that one
			if err := waitN(ctx, c.o.Limiter, int(list[i].frame.Stored)); err != nil {
				return err
			}
			_, err = r.read(&list[i])
		}
		if err != nil {
			c.lost.add(list[i].frame.Chunk)
		}
	}
	return nil
}
