package capture

import (
	"context"
	"strings"
	"sync"
	"time"

	"yester/snapshot"
	"yester/store"
)

// An audit is a walk that sees whether the changes told all that it finds.
type audit struct {
	told     *resolver
	mu       sync.Mutex
	suspects []string // paths that differ from the parent version and were not told
	count    uint64
}

const (
	// maxSuspects is how many paths an audit looks at again. Of more it cannot tell.
	maxSuspects = 1000
	// settling is how long a change may be seen before it is told.
	settling = 300 * time.Millisecond
)

// differs is told that the name in the folder that is being walked is not what it was in the parent version.
func (w *walker) differs(name []byte) {
	a := w.audit
	if a == nil {
		return
	}
	path := string(name)
	if len(w.path) > 0 {
		path = string(w.path) + "/" + path
	}
	if a.told.covers(path) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count++; len(a.suspects) < maxSuspects {
		a.suspects = append(a.suspects, path)
	}
}

// covers tells whether a capture by these changes would have looked at a path.
func (r *resolver) covers(path string) bool {
	d, born := r.root, !r.src.root.btime.IsZero() // without times of birth, a folder in the place of another may have its number
	for rest := path; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if d == nil {
			return false
		}
		if r.w.o.ExcludeCaches && (&known{d}).tells(snapshot.CacheTag) {
			return true // all that is in the folder may have come or gone with its tag
		}
		if name == store.InstanceFolder && (&known{d}).tells(string(vaultFile.bytes())) {
			return true // likewise
		}
		b := d.names[name]
		switch {
		case b == nil:
			return d.all && (rest == "" || !born)
		case b.unsure, !born && (b.fresh || d.all):
			return true
		}
		d = b.folder
	}
	return true
}

// verdict says what the changes did not tell, but for what changed since they were cut off; nil if that cannot be said.
func (w *walker) verdict(ctx context.Context) (*snapshot.Audit, error) {
	a := w.audit
	if a == nil {
		return nil, nil
	}
	v := &snapshot.Audit{}
	if a.count == 0 {
		return v, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(settling):
	}
	later := w.o.Later()
	if later == nil {
		return nil, nil
	}
	held, err := heldFiles(ctx, w.src, heldPatience)
	if err != nil {
		return nil, ctx.Err()
	}
	w.held = held
	since, err := w.resolve(ctx, w.src, later)
	if isUnsure(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, path := range a.suspects {
		if since.covers(path) {
			continue
		}
		if v.Missed++; len(v.Paths) < maxMissed {
			v.Paths = append(v.Paths, printable([]byte(path)))
		}
	}
	if v.Missed == 0 && a.count > uint64(len(a.suspects)) {
		return nil, nil // the others are as likely to have changed since
	}
	return v, nil
}

// maxMissed is how many paths a record lists that a journal missed.
const maxMissed = 100
