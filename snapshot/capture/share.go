package capture

import (
	"context"

	"yester/snapshot"
)

// maxQueue is how many names of a directory may be under way, or captured and waiting for those before them.
const maxQueue = 64

// A queue holds the names of a directory that cannot be added to its tree yet, because one before them is a folder that another walker is
// at work in. Its items are used again.
type queue struct {
	items    [maxQueue]*item
	first, n int
}

// An item is a name, or one that only the parent version has.
type item struct {
	entry snapshot.Entry
	old   snapshot.Entry
	had   bool // old is there: the parent version has the name
	there bool // entry is there
	err   error

	walker   walker        // whose work it is, if it is shared
	shared   bool          // and was not awaited yet
	done     chan struct{} // tells that the walker has ended
	panicked any
}

func (q *queue) empty() bool { return q.n == 0 }

func (q *queue) full() bool { return q.n == maxQueue }

func (q *queue) head() *item { return q.items[q.first] }

func (q *queue) drop() { q.first, q.n = (q.first+1)%maxQueue, q.n-1 }

// push appends an item with a copy of old, which is nil if there is none.
func (q *queue) push(old *snapshot.Entry) *item {
	at := &q.items[(q.first+q.n)%maxQueue]
	q.n++
	if *at == nil {
		*at = &item{done: make(chan struct{}, 1)}
	}
	it := *at
	it.had, it.there, it.err = old != nil, false, nil
	if it.had {
		content, refs := it.old.Content[:0], it.old.XattrRefs[:0]
		it.old = *old
		it.old.Content, it.old.XattrRefs = append(content, old.Content...), append(refs, old.XattrRefs...)
	}
	return it
}

// before is what the parent version has of the item, nil for nothing.
func (it *item) before() *snapshot.Entry {
	if it.had {
		return &it.old
	}
	return nil
}

// share has another walker with hands h capture name into it.
func (w *walker) share(ctx context.Context, d directory, name zname, it *item, h *hands) {
	it.walker = walker{survey: w.survey, path: append(it.walker.path[:0], w.path...), ready: notOpened}
	it.walker.take(h)
	it.shared = true
	go it.work(ctx, d, name)
}

// work captures the item's name. An error stops all walkers.
func (it *item) work(ctx context.Context, d directory, name zname) {
	defer func() {
		it.panicked = recover()
		it.walker.layDown()
		it.done <- struct{}{}
	}()
	it.there, it.err = it.walker.capture(ctx, d, name, &it.entry, it.before())
	if it.err != nil {
		it.walker.fail(it.err)
	}
}

// ended tells whether nobody is at work at the item any more.
func (it *item) ended() bool { return !it.shared || len(it.done) > 0 }

// await waits for the item, letting others work meanwhile, and takes over what its walker met. A panic there is one here.
func (w *walker) await(it *item) {
	if !it.shared {
		return
	}
	if !it.ended() {
		w.layDown()
		<-it.done
		w.take(<-w.free)
	} else {
		<-it.done
	}
	it.shared = false
	w.tally.add(&it.walker.tally)
	if it.panicked != nil {
		panic(it.panicked)
	}
}

// spare returns hands that nobody uses, nil if there are none.
func (s *survey) spare() *hands {
	select {
	case h := <-s.free:
		return h
	default:
		return nil
	}
}

func (w *walker) take(h *hands) {
	w.hands = h
	h.reader.onRead = w.read
}

func (w *walker) layDown() {
	h := w.hands
	w.hands = nil
	w.free <- h
}
