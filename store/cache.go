package store

import (
	"container/list"
	"errors"
	"sync"
)

// A cache holds decoded chunks and groups up to a number of bytes, dropping those not used for longest. Many who ask for a chunk at once
// wait for one to get it.
type cache struct {
	mu    sync.Mutex
	room  int64
	items map[ID]*list.Element
	order list.List // of cached, the newest in front
	calls map[ID]*call

	bytes        int64 // that it may hold
	hits, misses uint64
}

type cached struct {
	id ID
	b  []byte
}

type call struct {
	done chan struct{}
	b    []byte
	err  error
}

func newCache(bytes int64) *cache {
	return &cache{room: bytes, bytes: bytes, items: map[ID]*list.Element{}, calls: map[ID]*call{}}
}

// get returns the chunk from the cache, or from load, which says whether it is to be kept.
func (c *cache) get(id ID, load func(ID) (b []byte, keep bool, err error)) ([]byte, error) {
	c.mu.Lock()
	if e, ok := c.items[id]; ok {
		c.hits++
		c.order.MoveToFront(e)
		b := e.Value.(*cached).b
		c.mu.Unlock()
		return b, nil
	}
	if w, ok := c.calls[id]; ok {
		c.hits++
		c.mu.Unlock()
		<-w.done
		return w.b, w.err
	}
	w := &call{done: make(chan struct{}), err: errPanic}
	c.calls[id] = w
	c.mu.Unlock()

	keep := false
	defer func() { c.loaded(id, w, keep) }()
	w.b, keep, w.err = load(id)
	return w.b, w.err
}

// errPanic is what others get who wait for a call that panics.
var errPanic = errors.New("whoever was reading the chunk met a bug")

func (c *cache) loaded(id ID, w *call, keep bool) {
	close(w.done)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
	if w.err != nil || keep {
		c.misses++
	}
	if w.err == nil && keep {
		c.add(id, w.b)
	}
}

// peek returns the chunk if it is in the cache. That it is not is no miss: who may wait will get it.
func (c *cache) peek(id ID) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[id]
	if !ok {
		return nil, false
	}
	c.hits++
	c.order.MoveToFront(e)
	return e.Value.(*cached).b, true
}

// has tells whether a chunk is in the cache, or on its way there.
func (c *cache) has(id ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.items[id] != nil || c.calls[id] != nil
}

// offer puts a chunk into the cache that nobody asked for yet.
func (c *cache) offer(id ID, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.misses++
	c.add(id, b)
}

func (c *cache) add(id ID, b []byte) {
	if c.items[id] != nil {
		return
	}
	c.items[id] = c.order.PushFront(&cached{id, b})
	c.room -= int64(len(b))
	for c.room < 0 && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Back()).(*cached)
		delete(c.items, old.id)
		c.room += int64(len(old.b))
	}
}

// CacheStats tells how the cache of decoded chunks does, since the vault was opened.
type CacheStats struct {
	Hits   uint64 // chunks that were there, or on their way for somebody else
	Misses uint64 // chunks, or groups of small ones, that were read from their packs
	Bytes  int64  // that are there now
}

// CacheStats tells how the cache does that Get reads through.
func (v *Vault) CacheStats() CacheStats {
	c := v.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{Hits: c.hits, Misses: c.misses, Bytes: c.bytes - c.room}
}
