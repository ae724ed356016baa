// Package restore puts files of a version back into a folder.
//
// It walks the version's tree, collects files in batches, and has workers read them straight from the vault in the order in which they lie there. What is
// new is made without a name (O_TMPFILE) or under a temporary one, gets its content and all it has, and then its name; so whatever stops a restore, there are
// whole files only, and the next one that skips what is there goes on; but for a power cut, after which it compares what is there. Folders get what they have when
// everything in them is done.
//
// Every chunk opens under its seal and is checked against its id, so what is written is what the version has.
//
// Nothing outside the target is touched, whatever the version says and whoever changes the target meanwhile: names are single, folders are opened
// one by one beneath the target, and neither symlinks nor mount points are gone through.
package restore

import (
	"context"
	"errors"
	"fmt"

	"yester/snapshot"
	"yester/store"
)

// A Conflict is what becomes of a file that is in the way.
type Conflict string

const (
	Skip      Conflict = "skip"      // it stays
	Overwrite Conflict = "overwrite" // it becomes what the version has
)

// A Limiter slows the restore down: WaitN is called before n bytes are read from the vault, or from the target to compare it.
type Limiter interface {
	WaitN(ctx context.Context, n int) error
}

// Progress is told what was done, from any goroutine.
type Progress interface {
	Add(files, bytes uint64) // entries done with, and bytes of their sizes
}

// Options say what to restore, where to and how. Vault, Version and Target are needed.
type Options struct {
	Vault   *store.Vault
	Version *snapshot.Version
	Target  int // open folder that the version's root comes to; stays the caller's

	// What is restored. Paths are below the version's root, without a slash in front; none is all of it. Of these, Includes take only what matches one, with all
	// below it, and Excludes leave out. Patterns see absolute paths at the source: one with a slash in front matches from there, one with a slash in it
	// at any depth, one without any slash names.
	Paths, Includes, Excludes []string

	OnConflict  Conflict // default Skip
	DryRun      bool     // change nothing, say what would be done
	VerifyOnly  bool     // change nothing, say what differs from the version
	ContentOnly bool     // with VerifyOnly: only of what kind files are, and what is in them
	NoLocks     bool     // make nothing immutable or append only
	NoOwner     bool     // leave owners to whoever runs this, and so set-id bits and capabilities
	NoMetadata  bool     // likewise with all but permission bits and times: attributes, ACLs and inode flags stay as they are; it means NoOwner and NoLocks too
	Delete      bool     // remove what the version has not from folders that are restored as a whole
	Others      bool     // with VerifyOnly: tell of what is in such folders and not in the version, too
	Keep        []string // patterns of what Delete leaves alone, and VerifyOnly does not tell of
	Own         []string // absolute paths of what Delete and Overwrite leave alone, by whatever name it is met: the vault, say
	KeepCaches  bool     // likewise what is in a folder that is tagged as a cache (snapshot.CacheTag), in the target or in the version
	KeepNodump  bool     // likewise what has the inode flag "no dump", and what is below such a folder
	Named       []string // absolute paths of folders at the source of which such marks mean nothing
	Limiter     Limiter  // nil: none
	Progress    Progress // nil: none
	Workers     int      // default: a thread for each core
}

// A Left is a path and what is to be said of it.
type Left struct {
	Path string // below the version's root
	What string // one sentence
}

// maxListed is how many bytes of each list a Result keeps; the counts are complete.
const maxListed = 256 << 10

// A List counts, and lists as much as fits.
type List struct {
	Count uint64
	Items []Left
	size  int
}

func (l *List) add(path, what string) {
	l.Count++
	if l.size += len(path) + len(what); l.size <= maxListed {
		l.Items = append(l.Items, Left{path, what})
	}
}

// A Result tells what a restore did, or would do.
type Result struct {
	Files   uint64 // restored: names that are not folders
	Dirs    uint64 // made
	Bytes   uint64 // sizes of the restored files
	Written uint64 // of those, what came from the vault; the rest was in the files that were overwritten
	Equal   uint64 // files that were there as the version has them, but perhaps for owner, mode, times and attributes, which they have got
	Deleted uint64

	Skipped List // were there
	Failed  List
	Lost    uint64 // of those, files and folders that the vault has not all of
	Differs List   // of VerifyOnly
	Notes   List   // what the target cannot hold, once for each kind
}

// Run restores. The result tells what was done also when there is an error, which is the context's, or one that leaves no hope for the other files:
// store.ErrMissing, and ENOSPC, EDQUOT and EROFS of the target as a whole. snapshot.ErrNotExist and snapshot.ErrNotDir if the version has not one of the paths, before anything is done.
func Run(ctx context.Context, o Options) (*Result, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	if err := r.checkPaths(ctx); err != nil {
		return nil, err
	}
	err = r.run(ctx)
	if r.writes() { // also if it was broken off: then one that goes on need not doubt what is there
		switch syncErr := r.sync(err == nil); {
		case syncErr == nil:
			r.end(err == nil)
		case err == nil:
			err = fmt.Errorf("sync what was restored: %w", syncErr)
		case !errors.Is(syncErr, errNotSynced) && !errors.Is(syncErr, ctx.Err()): // whoever ended it is told nothing but that
			r.noteOnce("sync", "", fmt.Sprintf("the target could not keep all that was restored so far (%v); the same command compares what is there", syncErr))
		}
	}
	return &r.result, err
}

// writes tells whether anything is changed.
func (r *run) writes() bool { return !r.o.DryRun && !r.o.VerifyOnly }

// Totals tells how much there is to restore, as far as the version tells without a walk: exact unless something is included or excluded by pattern.
// snapshot.ErrNotExist, snapshot.ErrNotDir.
func Totals(ctx context.Context, g snapshot.Getter, v *snapshot.Version, paths []string) (files, bytes uint64, err error) {
	root, err := v.RootEntry()
	if err != nil {
		return 0, 0, err
	}
	if len(paths) == 0 {
		paths = []string{""}
	}
	for _, p := range paths {
		e, err := snapshot.LookupPath(ctx, g, root, p)
		switch {
		case err != nil:
			return 0, 0, err
		case e.IsDir():
			files, bytes = files+e.Totals.Files+e.Totals.Dirs+1, bytes+e.Totals.Bytes
		default:
			files, bytes = files+1, bytes+e.Size
		}
	}
	return files, bytes, nil
}
