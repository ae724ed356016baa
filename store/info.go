package store

import (
	"context"
	"time"
)

// Info sums up a vault.
type Info struct {
	Format    int
	ID        string
	KeyCheck  string // tells one master key from another
	Places    []PlaceState
	Instances int // of which there are versions or packs
	Versions  int
	Packs     uint64
	Chunks    uint64 // in packs; one that lies in two counts twice
	Stored    uint64 // bytes of pack files, parity and tables included
	Healed    uint64 // blocks read around damage since the vault was opened
	Mended    uint64 // files written anew because of damage since the vault was opened

	Raw       uint64    // bytes of chunks before compression; Raw/Data is what compression gains
	Data      uint64    // of Stored: bytes of chunks as they are stored
	Parity    uint64    // of Stored: parity, tables and padding
	Dead      uint64    // of Data: what no version needs, as the last collection found
	DeadRaw   uint64    // of Raw, likewise; what versions hold by (Raw-DeadRaw) is what deduplication gains
	Collected time.Time // when the last collection ended; zero: Dead is not known, and zero
}

// Info describes the vault. It waits for no place longer than Places does.
func (v *Vault) Info(ctx context.Context) (Info, error) {
	i := Info{Format: v.desc.Format, ID: v.desc.Vault, KeyCheck: v.desc.KeyCheck, Places: v.Places(ctx), Healed: v.healed.Load(), Mended: v.mended.Load()}
	var err error
	i.Collected, err = v.collected()
	instances := map[string]bool{}
	v.mu.RLock()
	defer v.mu.RUnlock()
	for k := range v.versions {
		instances[k.Instance] = true
	}
	i.Versions, i.Packs = len(v.versions), uint64(len(v.packs))
	for number, p := range v.packs {
		i.Chunks += uint64(p.frames)
		i.Stored += p.size
		i.Data += uint64(p.data)
		i.Parity += p.size - uint64(p.data)
		instances[p.instance] = true
		u := v.uses[number]
		i.Raw, i.Dead, i.DeadRaw = i.Raw+u.raw, i.Dead+u.dead, i.DeadRaw+u.deadRaw
	}
	i.Instances = len(instances)
	return i, err
}

// packMemory is what a pack takes in memory, in bytes: some 240 for good, with maps that have just grown, and 280 more while a check or a collection is under way.
const packMemory = 520

// Memory is how many bytes of memory the vault may need for the packs that there are, beside what all vaults need.
func (v *Vault) Memory() int64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return packMemory * int64(len(v.packs))
}

// A PlaceState says how a place does.
type PlaceState struct {
	ID          string // 16 hex digits
	Name        string // a path; of a missing place, the one where it was last
	Err         error  // why it is not written to; nil if all is well
	Gone        bool   // nor is it read from
	Behind      bool   // it lacks, or may lack, what was written while it failed
	Replaces    bool   // it takes over from another place, and has not everything yet
	Free, Total uint64 // bytes; 0 if it cannot be asked
}

// Places tells how each place does, in the order of their shards. It waits for each some seconds at most, and not at all for one that has not answered the last time: also a
// vault's only place has the trouble then that it does not answer in time.
func (v *Vault) Places(ctx context.Context) []PlaceState {
	var all []PlaceState
	for _, m := range v.place.layout().members {
		p := m.reader()
		s := PlaceState{ID: m.id, Name: m.String(), Err: m.trouble(), Gone: p == nil, Behind: !m.current(), Replaces: m.inherits()}
		if p != nil {
			var err error
			if s.Free, s.Total, err = spaceSoon(ctx, p); err != nil && s.Err == nil {
				s.Err = err
			}
		}
		all = append(all, s)
	}
	return all
}
