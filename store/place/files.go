package place

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
)

// files is the Place on a disk.
type files struct {
	title  string // names the place to a person
	disk   disk
	random func() uint64 // for temporary names

	mu      sync.Mutex
	durable map[string]bool // folders whose own names are synced; guarded by mu, see folders.go
}

func newFiles(title string, d disk, random func() uint64) *files {
	return &files{title: title, disk: d, random: random, durable: map[string]bool{}}
}

// String implements Place.
func (p *files) String() string { return p.title }

// Open implements Place.
func (p *files) Open(ctx context.Context, name string) (File, error) {
	if err := check(ctx, checkName(name)); err != nil {
		return nil, p.failed("open", name, err)
	}
	f, err := p.disk.open(name)
	if err != nil {
		return nil, p.failed("open", name, err)
	}
	return f, nil
}

// List implements Place.
func (p *files) List(ctx context.Context, dir string) ([]Info, error) {
	if err := check(ctx, checkFolder(dir)); err != nil {
		return nil, p.failed("list", dir, err)
	}
	all, err := p.disk.list(dir)
	if err != nil {
		// Only a folder may be missing: that the top is not there is no empty place, but a disk that is not mounted.
		if dir != "" && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, p.failed("list", dir, err)
	}
	shown := all[:0]
	for _, info := range all {
		if !strings.HasPrefix(info.Name, ".") {
			shown = append(shown, info)
		}
	}
	return shown, nil
}

// Remove implements Place, and promises more than it asks for: after it returned nil the file stays away, also after a
// power loss. The order "first the record, then the packs it reaches" holds only so.
func (p *files) Remove(ctx context.Context, name string) error {
	if err := check(ctx, checkName(name)); err != nil {
		return p.failed("remove", name, err)
	}
	// A file that is not there may be one whose removal was not synced, so that is gone on with.
	if err := p.disk.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p.failed("remove", name, err)
	}
	left, err := p.prune(parent(name))
	if err != nil {
		return p.failed("remove folder of", name, err)
	}
	return p.failed("remove", name, p.syncRemaining(left))
}

// Sweep implements Place. Temporary names all lie in one folder, so it reads that one and nothing else.
//
// It also makes durable what it leaves: a process killed between a rename and the sync after it left a file that is seen
// and read, and that a power loss could still take from under a version committed since.
func (p *files) Sweep(ctx context.Context) error {
	left, err := p.disk.list(tempFolder)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, info := range left {
		if info.Dir || ctx.Err() != nil {
			continue
		}
		if stays := p.disk.remove(tempFolder + "/" + info.Name); err == nil {
			err = stays
		}
	}
	if ctx.Err() == nil { // also if a temporary file stays
		err = errors.Join(err, p.disk.syncAll())
	}
	return p.failed("sweep", "", check(ctx, err))
}

// Space implements Place.
func (p *files) Space(ctx context.Context) (free, total uint64, err error) {
	free, total, err = p.disk.space()
	return free, total, p.failed("ask for space", "", check(ctx, err))
}

// check returns err, or that ctx is done.
func check(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return ctx.Err()
}

// failed names the place, what was tried and the file in err. A nil err stays nil.
func (p *files) failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	// The system's paths are left out: the file was named, and of a temporary name nobody wants to hear.
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s: %w", path.Op, path.Err)
	}
	if name == "" {
		return fmt.Errorf("%s: %s: %w", p.title, what, err)
	}
	return fmt.Errorf("%s: %s %s: %w", p.title, what, name, err)
}
