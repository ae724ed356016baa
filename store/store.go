// Package store is the vault: it keeps chunks by id, deduplicated, sealed and protected by parity, and commits versions.
//
// A vault lies in places (store/place) as packs (store/pack), version records, and a few small files in the clear:
//
//	vault.json                                          see description
//	keys/<id>                                           see KeyInfo
//	instances/<id>/instance.json                        see Instance
//	instances/<id>/policy.json                          see Policy
//	instances/<id>/owner.json                           see Owner
//	instances/<id>/packs/<xx>/<id>                      a pack; xx are the first two digits of its id
//	instances/<id>/versions/<partition>/<version>       a version record, the only commit point
//	deleted/<name of a file>                            what was removed while a place was away, see tombstone.go
//
// A pack lies in one place as a whole, or in several as one file for each shard; everything else lies in each place, see spread.go.
//
// The small files are JSON in an envelope with a checksum, each written twice (envelope.go). A version record is a pack of
// its own with one frame, so it is sealed and healed like everything else.
//
// The index (index.go) knows where each chunk lies. It is a cache: Open brings it in line with the packs that are there, and makes
// it anew when it is gone or broken.
//
// The order of writes is: a pack complete and synced; its chunks in the index, synced; that the index knows the pack; and, when all packs
// of a version are so, its record. Whatever dies in between leaves complete packs, which the next backup finds and uses.
package store

import (
	"context"
	"log/slog"
	"time"

	"yester/store/cut"
	"yester/store/pack"
	"yester/store/place"
)

// ID names a chunk. The zero ID names none.
type ID = pack.ChunkID

// Kind tells what a chunk is.
type Kind = pack.Kind

// Encoding is how a writer compresses what it stores.
type Encoding = pack.Encoding

// Options say how to make or open a vault. Zero fields get working defaults.
type Options struct {
	Places   []place.Place    // where it lies, in any order
	IndexDir string           // folder of the index, made if it is not there; "" keeps it in memory
	Log      *slog.Logger     // default: slog.Default()
	Now      func() time.Time // default: time.Now
	Cache    int64            // bytes of decoded chunks to keep; default 64 MiB
	Reserve  uint64           // bytes of free space to leave in each place; default 1 %, at least 256 MB

	// ReadOnly has nothing written in the places, not even what was found damaged; others may write there meanwhile. The index is
	// a temporary one then: in memory, or, of more than some two million chunks, in the folder for temporary files. IndexDir is not used.
	ReadOnly bool

	// Known, if not "", is the id of the vault that is meant where as many of the places hold another one.
	Known string

	// Accept, if not nil, is told the vault's id and KeyCheck before anything but its description is read, or anything written; its error is Open's.
	Accept func(id, keyCheck string) error

	// Leave, if not nil, is asked for leave to delete a version whose deletion had failed half-way. It must not block; if the version may go, nobody may come to need it until
	// end is called; if it is wanted, it stays until it is deleted anew; if it is neither (nil, false), that cannot be told just now, and Leave is asked again later. It is asked from
	// any goroutine.
	Leave func(VersionKey) (end func(), wanted bool)

	// Marker, if not nil, makes the Mark of a vault. A record that lies in fewer places than everything must may be that of a version which was never committed, or
	// deleted long ago, and chunks of it may have been collected: it is listed, and spread, only once the Mark found all of it, in the background. Without Marker it is listed as it is.
	Marker func(*Vault) Mark

	// OnTrouble, if not nil, is told of failing places and of damage, from any goroutine. It must not block. What a repair heals, Repaired tells.
	OnTrouble func(Trouble)

	// Look, if not nil, is asked now and then, while a place is missing, which places there are to be seen: a disk that
	// was mounted again may have to be opened anew.
	Look func() []place.Place

	// Secret is asked for a passphrase or recovery key when a vault has no open key, and told the keys it may be for. It is asked
	// once; its error is Open's. Without it such a vault does not open.
	Secret func(context.Context, []KeyInfo) (Secret, error)

	Cut        cut.Params // of a vault that is made; default cut.Default
	Shape      pack.Shape // of a vault that is made in one place; default 32+2
	Survive    int        // of a vault that is made in several places: how many of them may be lost; default 1
	Passphrase string     // of a vault that is made, for its first key; default: an open key

	work argonWork // of passphrases; default defaultWork
}

// DefaultShape protects a vault in one place: 6 % more bytes heal any burst of 2 MiB in a pack.
var DefaultShape = pack.Shape{Data: 32, Parity: 2}

const (
	defaultCache = 64 << 20
	minReserve   = 256e6
)

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	if o.Cut == (cut.Params{}) {
		o.Cut = cut.Default
	}
	if o.Shape == (pack.Shape{}) {
		o.Shape = DefaultShape
	}
	if o.Survive == 0 && len(o.Places) > 1 {
		o.Survive = 1
	}
	if o.work == (argonWork{}) {
		o.work = defaultWork
	}
	return o
}

// places are all places there are to be seen.
func (o *Options) places() []place.Place {
	if o.Look == nil {
		return o.Places
	}
	return append(o.Look(), o.Places...)
}

// A VersionKey names a version in the vault.
type VersionKey struct {
	Instance  string // id
	Partition string // name: "root", "var-lib"
	Version   string // UTC start, "2026-11-22T031705Z"
}
