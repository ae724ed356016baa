package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
	"yester/store"
)

// forever is how long the kernel may keep what it was told. What changes is taken back by notify.
const forever = 365 * 24 * time.Hour

// A view answers the kernel's requests. A method of fuse.RawFileSystem that is not here is not implemented on purpose: the
// kernel then stops asking. That saves OPEN, OPENDIR, RELEASE and RELEASEDIR, and the kernel keeps what it has read when a file is
// opened again.
type view struct {
	fuse.RawFileSystem
	vault  *store.Vault
	chunks chunkReader
	dead   chan struct{} // closed when nobody waits for answers any more: the mount is gone, or cut
	log    *slog.Logger
	now    func() time.Time

	folders    folders
	slots      slots
	byFiles    byFiles
	pages      pageCache
	ahead      ahead
	wide       wideDirs
	fullNames  uint64    // fullNames, but for tests
	entries    sync.Pool // *snapshot.Entry
	complaints complaints
	notifier   notifier
	bare       atomic.Uint64 // see isBare
	requests   atomic.Uint64 // about versions and what is in them
	generation uint64        // tells file handles of this mount from those of an earlier one
}

// newView lists the vault's versions, and watches for changes until close.
func newView(o Options) (*view, error) {
	v := &view{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		vault:         o.Vault, chunks: chunkReader{o.Vault}, dead: make(chan struct{}), log: o.Log, now: o.Now,
		entries:    sync.Pool{New: func() any { return new(snapshot.Entry) }},
		ahead:      ahead{heat: aheadHeat},
		fullNames:  fullNames,
		generation: uint64(uint32(o.Now().Unix())),
	}
	v.folders.own = o.Own
	v.byFiles.start()
	v.notifier.start(o.Vault)
	if _, err := v.update(nil); err != nil {
		v.close()
		return nil, fmt.Errorf("list versions: %w", err)
	}
	return v, nil
}

func (v *view) close() { v.notifier.stop() }

// String names the file system in go-fuse's messages.
func (v *view) String() string { return mountSource }

// Open is not implemented; see view.
func (v *view) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

// Flush is not implemented: there is nothing to flush, and the kernel stops asking at each close.
func (v *view) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }

// panicked makes a broken promise in our own code an error of one request.
func (v *view) panicked(p any) fuse.Status {
	v.log.Error("a request to the mount failed: this is a bug", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return fuse.EIO
}

// entry runs f with the entry of a node in a version and answers with what its error means. The entry is f's only while it runs.
func (v *view) entry(cancel <-chan struct{}, id nodeID, f func(context.Context, *version, *snapshot.Entry) error) fuse.Status {
	v.requests.Add(1)
	ctx := newInterrupt(cancel, v.dead)
	defer ctx.end()
	e := v.entries.Get().(*snapshot.Entry)
	defer v.entries.Put(e)
	ver, err := v.load(ctx, id, e)
	if err == nil {
		err = f(ctx, ver, e)
	}
	if ctx == calm && err != nil {
		return v.answerInline(err)
	}
	return v.answer(ctx, id, ver, err)
}

// answerInline is answer for a request that must not wait: what wants to be told to the operator is left to one that may.
func (v *view) answerInline(err error) fuse.Status {
	st := errno(err)
	if errors.Is(err, errMustWait) || st == fuse.EIO || st == fuse.Status(syscall.ESTALE) {
		return mustWait
	}
	return st
}

// load decodes the entry of a node in a version into e. syscall.ESTALE for an id that was never given; the version is
// returned with errors too, if it is known.
func (v *view) load(ctx context.Context, id nodeID, e *snapshot.Entry) (*version, error) {
	if id.kind() == versionKind {
		ver := v.folders.version(id.ord())
		if ver == nil {
			return nil, errNoNode
		}
		return ver, ver.rootEntry(ctx, v.vault, e)
	}
	s, ver := v.slots.find(id.slot())
	if ver == nil || id.kind() != entryKind {
		return nil, errNoNode
	}
	p, err := v.pages.get(ctx, v.chunks, s.page)
	if err != nil {
		return ver, err
	}
	if !p.Leaf() || id.pos() >= p.Len() {
		return ver, errNoNode
	}
	return ver, p.Entry(id.pos(), e)
}
