// Package capture makes a version of a partition: it walks the partition against the parent version, reads what changed, and stores it.
//
// It needs root: the partition is opened as a detached, non-recursive clone of its mount, so the walk sees what other mounts
// cover and can enter none of them. All steps in it are relative to open directories, one descriptor a level, so the
// length of a path does not matter; the process's limit of open files should be at its hard limit (Go's runtime sees to that). A folder that is
// too deep for that or for the memory it takes, which is past 4,096 others or 128 KiB of path, gets a warning like any other that cannot be opened.
//
// The parent's chunks and pages are referred to, not copied: gc must leave the parent alone while Run is at work.
package capture

import (
	"context"
	"strings"
	"time"

	"yester/snapshot"
	"yester/store"
)

// A Mount is a partition that can be captured, or a reason why it can't.
type Mount struct {
	snapshot.Partition
	Excluded string // empty if eligible; else why not: "network file system (nfs4)"
	Broken   bool   // it would be eligible, and is excluded because nothing of it can be reached: its disk or server fails

	same string // the mount point of the one that shows all that this one shows and no more, for which it is left out
}

// IsThere tells whether the mount shows a partition, or folder of one, that can be backed up, or is left out for good as it is backed up elsewhere or belongs to the vault. It is false of what
// was mounted over a partition, or keeps it from being reached: that is no reason why the partition should be away.
func (m *Mount) IsThere() bool {
	return m.Excluded == "" || m.Excluded == isOurs || strings.HasPrefix(m.Excluded, backedUpAs)
}

// A Limiter makes reads wait their turn. *rate.Limiter with a burst of at least 1 MiB fits.
type Limiter interface {
	WaitN(ctx context.Context, n int) error
}

// Progress is told what was done, from any goroutine.
type Progress interface {
	Add(files, bytes uint64) // entries visited and bytes of their sizes
}

// Options of one capture. Zero fields get defaults where one makes sense.
type Options struct {
	Partition snapshot.Partition
	Instance  store.Instance
	Parent    *snapshot.Version // nil: everything is read

	Includes []string // absolute paths; when any, only they and the folders on the way
	Excludes []string // doublestar globs: with a slash at the front against the absolute path, else against any tail of it
	System   bool     // take the system folders of SERVICE.md too (the root partition only)
	Never    []string // absolute paths of folders never entered: the vault, our home, our mount

	// But for what Includes name:
	ExcludeCaches bool // of a folder that is tagged as a cache (snapshot.CacheTag), take itself and its tag only
	ExcludeNodump bool // take nothing that has the inode flag "no dump", nor what is below such a folder

	// Changes since the parent version was begun, if it was captured with this memory; nil for a walk, and Because says why. Certificate says who
	// gathered them, or gathers them from now on.
	Changes     Changes
	Because     string
	Certificate *snapshot.Certificate
	Audit       bool           // walk all the same, and see whether the changes told all
	Later       func() Changes // what changed since Changes ended, nil if that is not known
	Until       func() Changes // Changes and what changed since they ended, nil if that is not known
	Memory      *Memory        // to go by at the next capture; nil: it will be a walk

	Damaged bool // of what did not change, what the vault has lost is read again; to find it takes a look-up for each chunk of it

	// Unfinished is a file in which a capture notes what it has read, for the next one if it does not come to a version; "" for none. It may be of
	// another partition, or not be there.
	Unfinished string

	Walkers  int // folders that are walked at once; 0 is 1
	Limiter  Limiter
	Progress Progress
	Now      func() time.Time
	Tool     string // for the record

	// For tests: the clock that file times are compared with, which is the machine's even where Now is not; what is called before a file
	// is opened ("open") and after each read ("read"), by whichever walker; and how long is waited for leases.
	clock    func() time.Time
	trace    func(op, path string)
	patience time.Duration

	unfinished *unfinished
}
