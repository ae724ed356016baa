package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"yester/store/cut"
	"yester/store/pack"
	"yester/store/place"
)

// A Vault is an open vault. All methods may be called from many goroutines.
type Vault struct {
	o      Options
	log    *slog.Logger
	place  *spread // all its places, as one
	desc   description
	id     [16]byte
	master *pack.Key
	hash   *idHasher
	index  *index
	guard  *guard // of the index; nil for an index in memory
	cache  *cache
	files  *packFiles
	near   near
	mend   *mender
	again  lookingAgain

	changing sync.Mutex // held while places are added or replaced
	describe sync.Mutex // guards what desc says of places and shards, and renewed
	renewed  uint64     // of vault.json

	mu       sync.RWMutex
	packs    map[uint32]*packInfo
	numbers  map[pack.ID]uint32 // of packs
	uses     map[uint32]use
	nextPack uint32
	versions map[VersionKey]struct{}
	strays   map[VersionKey]bool // see stray.go
	watchers map[int]func(VersionKey, bool)
	watchID  int
	holding  holding

	mostLost int // chunks that a check or a repair holds as lost

	maintain sync.Mutex // held by what moves or removes packs: one at a time
	records  sync.Mutex // held while a record is removed or replaced, so that none comes back

	underway atomic.Uint64 // bytes that each place is to take of packs being written

	keys   sync.Mutex    // held while key files are changed
	healed atomic.Uint64 // blocks decoded around damage since Open
	mended atomic.Uint64 // files written anew because of damage since Open
}

// Open opens the vault and brings its index in line with the packs that are there. ErrNotFound, ErrFormat, ErrKey, ErrLocked,
// ErrCorrupt; a vault in a read-only place opens and can be read. Of a vault in several places as many may lack as it survives, and come in any order;
// ErrMissing if more do. What a place missed is made up in the background. Its key is found before anything else is opened or written.
func Open(ctx context.Context, o Options) (*Vault, error) {
	o = o.withDefaults().withReadOnly()
	v, err := openPlaces(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	if err := v.openIndex(ctx); err != nil {
		return nil, fmt.Errorf("open vault in %s: %w", v.place, err)
	}
	if err := v.loadVersions(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open vault in %s: %w", v.place, err), v.Close())
	}
	if !o.ReadOnly {
		v.mend.start()
	}
	return v, nil
}

// openPlaces reads what the vault is, and its key.
func openPlaces(ctx context.Context, o Options) (*Vault, error) {
	o.Places = slices.Clone(o.Places)
	v := &Vault{o: o, log: o.Log, watchers: map[int]func(VersionKey, bool){}, mostLost: maxLost}
	t := new(patience)
	t.several.Store(len(o.Places) > 1)
	for i, p := range o.Places {
		o.Places[i] = t.with(p)
	}
	if look := o.Look; look != nil {
		o.Look = func() (places []place.Place) {
			for _, p := range look() {
				places = append(places, t.with(p))
			}
			return places
		}
		v.o.Look = o.Look
	}
	newest, seen, err := findVault(ctx, o.places(), o.Known, func(err error) { v.log.Warn("a place is not used", "err", err) })
	if err != nil {
		return nil, err
	}
	if o.Accept != nil {
		if err := o.Accept(newest.desc.Vault, newest.desc.KeyCheck); err != nil {
			return nil, err
		}
	}
	v.desc, v.renewed = newest.desc, newest.renewed
	hex.Decode(v.id[:], []byte(v.desc.Vault)) // was checked
	l := newLayout(&v.desc, seen)
	v.place = newSpread(o, l, t)
	v.mend = newMender(v)
	v.place.poke = v.mend.poke
	if len(l.sources()) < l.need() {
		return nil, v.place.missing(l)
	}
	if err := v.place.loadStones(ctx); err != nil { // a key that was removed opens nothing, wherever it lies
		return nil, err
	}
	if v.master, err = masterKey(ctx, v.place, &v.desc, o.Secret); err != nil {
		return nil, err
	}
	v.hash = newIDHasher(v.master)
	v.cache = newCache(o.Cache)
	v.files = newPackFiles(v.place, v.master)
	v.place.tellMissing()
	if err := v.place.Sweep(ctx); err != nil {
		v.log.Warn("temporary files of an earlier run stay", "err", err)
	}
	return v, v.place.loadStones(ctx)
}

// IndexBroken tells whether there was an error in the index since the vault was opened. It goes wrong again then, until the vault is closed and opened again, which makes it anew.
func (v *Vault) IndexBroken() bool { return v.index.broken.Load() }

// Close ends all use of the vault. Writers must be closed before.
func (v *Vault) Close() error {
	v.mend.stop()
	v.files.close()
	err := v.index.close()
	if v.guard != nil {
		v.guard.release()
	}
	if err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

// Cut returns the vault's cutting parameters.
func (v *Vault) Cut() cut.Params { return v.desc.Cut }
