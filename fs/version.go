package fs

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"yester/snapshot"
	"yester/store"
)

// A version is one that the mount has shown, and that is not deleted or that the kernel knows something of. Its record is read when someone first looks into it, and only what
// the mount needs of it is kept.
type version struct {
	ord    uint64
	key    store.VersionKey
	parent nodeID
	time   time.Time // its start, or later if the clock was set back: from its name
	opened atomic.Pointer[openVersion]

	slots   versionSlots
	known   atomic.Int64 // how often the kernel was told of nodes in it, less what it forgot
	deleted atomic.Bool
}

type openVersion struct {
	root       snapshot.Entry
	partition  snapshot.Partition
	start, end time.Time
}

func (ver *version) node() nodeID { return kindNode(versionKind, ver.ord) }

// open reads the record, once. Readers that are at it together read it each.
func (ver *version) open(ctx context.Context, vault *store.Vault) (*openVersion, error) {
	if o := ver.opened.Load(); o != nil {
		return o, nil
	}
	if ctx == context.Context(calm) {
		return nil, errMustWait
	}
	b, err := vault.Record(ctx, ver.key)
	if err != nil {
		return nil, err
	}
	record, err := snapshot.ParseVersion(b)
	if err != nil {
		return nil, err
	}
	root, err := record.RootEntry()
	if err != nil {
		return nil, err
	}
	o := &openVersion{root: root, partition: record.Partition, start: record.Start, end: record.End}
	ver.opened.Store(o)
	return o, nil
}

// covers tells whether an entry is a folder that another mount lay on. Nobody but root could look into it then, whatever its mode says.
func (ver *version) covers(e *snapshot.Entry) bool {
	o := ver.opened.Load()
	if o == nil || len(o.partition.Covered) == 0 || !e.IsDir() {
		return false
	}
	_, found := slices.BinarySearch(o.partition.Covered, e.Ino)
	return found
}

// setBack is how far the clock may be set back while a version is made.
const setBack = 24 * time.Hour

// made is from when to when, in Unix seconds, files were born that came to be while the version was made. Of one that nobody knows the start of there are none, and
// where the end is not known, or the clock was set back further, to is the end of time. Nothing in the version but its root is known before its record is read.
func (ver *version) made() (from, to int64) {
	start, end := ver.time, time.Time{}
	if o := ver.opened.Load(); o != nil && !o.start.IsZero() {
		start, end = o.start, o.end
	}
	from, to = start.Unix(), math.MaxInt64
	if start.IsZero() {
		from = math.MaxInt64
	}
	if !end.Before(start) {
		to = end.Add(setBack).Unix()
	}
	return from, to
}

// rootEntry copies the root's entry into e.
func (ver *version) rootEntry(ctx context.Context, vault *store.Vault, e *snapshot.Entry) error {
	o, err := ver.open(ctx, vault)
	if err != nil {
		return err
	}
	*e = o.root
	e.Ino = rootIno
	e.XattrRefs = slices.Clone(o.root.XattrRefs) // e is decoded into again
	return nil
}
