package capture

import (
	"slices"
	"sync"

	"yester/snapshot"
)

// maxLinks bounds the memory for hard links. Past it a file may be read once more for another of its names, which stores nothing new.
const maxLinks = 1 << 15

// links keeps what was read of files with several names until all of these were met, so that such a file is read once and all its names
// have one content. Many goroutines may use it.
type links struct {
	mu      sync.Mutex
	open    map[fileID]*linked
	reading map[fileID]*turn
}

// A turn is somebody's to look at a file with several names.
type turn struct {
	mu    sync.Mutex
	users int
}

type linked struct {
	entry snapshot.Entry
	left  uint32 // names not met yet
}

// turn waits until nobody looks at the file by another of its names; end lets the next one do so.
func (l *links) turn(id fileID) (end func()) {
	l.mu.Lock()
	if l.reading == nil {
		l.reading = map[fileID]*turn{}
	}
	t := l.reading[id]
	if t == nil {
		t = new(turn)
		l.reading[id] = t
	}
	t.users++
	l.mu.Unlock()
	t.mu.Lock()
	return func() {
		t.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(l.reading, id)
		}
	}
}

// find returns what was read of the file by an earlier name, nil if nothing. The file may have changed since: it is one file, and its names
// must not differ; the next version has the change. Its birth tells it from another file that got its number.
func (l *links) find(id fileID, st *stat) *snapshot.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.open[id]
	if k == nil {
		return nil
	}
	e := &k.entry
	same := e.Btime == st.btime && (!e.Btime.IsZero() || e.Size == st.size && e.Mtime == st.mtime && e.Ctime == st.ctime)
	if !same {
		delete(l.open, id)
		return nil
	}
	l.count(id)
	return e
}

// met counts one more name of a file.
func (l *links) met(id fileID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(id)
}

func (l *links) count(id fileID) {
	if k := l.open[id]; k != nil {
		if k.left--; k.left == 0 {
			delete(l.open, id)
		}
	}
}

// keep remembers e, just read.
func (l *links) keep(id fileID, e *snapshot.Entry) {
	if e.Nlink < 2 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[fileID]*linked{}
	}
	if len(l.open) >= maxLinks {
		for any := range l.open {
			delete(l.open, any)
			break
		}
	}
	k := &linked{entry: *e, left: e.Nlink - 1}
	k.entry.Name = nil
	k.entry.Content, k.entry.XattrRefs = slices.Clone(e.Content), slices.Clone(e.XattrRefs)
	l.open[id] = k
}
