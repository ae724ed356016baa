package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// removePack removes the entries of the chunks that lie in a pack, and then the pack's own; ids are all that it holds, or more. It is durable
// when it returns nil: a pack's file must not be gone while the index knows the pack, or all of it is made anew.
func (x *index) removePack(number uint32, ids []ID) error {
	if err := x.removeChunks(number, ids); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.db.Update(func(t *badger.Txn) error {
		return errors.Join(t.Delete(useKey(number)), t.Delete(packKey(number)))
	})
	x.looks.wrote()
	if err == nil {
		err = x.sync()
	}
	return x.removed(err)
}

// removeChunks removes the entries of those of the chunks that lie in the pack, and syncs that.
func (x *index) removeChunks(number uint32, ids []ID) error {
	if err := x.room(); err != nil {
		return fmt.Errorf("remove pack from index: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	w := x.db.NewWriteBatch()
	defer w.Cancel()
	for i := range ids {
		l, found, err := x.find(ids[i])
		if err != nil {
			return err
		}
		if !found || l.pack != number {
			continue
		}
		if err := w.Delete(chunkKey(&ids[i])); err != nil {
			return x.removed(err)
		}
	}
	err := w.Flush()
	x.looks.wrote()
	if err == nil {
		err = x.sync()
	}
	return x.removed(err)
}

func (x *index) removed(err error) error {
	if err != nil {
		return fmt.Errorf("remove pack from index: %w", x.failed(err))
	}
	return nil
}

// enterChunk makes a chunk be found at l.
func (x *index) enterChunk(l location) error {
	if err := x.room(); err != nil {
		return fmt.Errorf("enter chunk in index: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.set(chunkKey(&l.frame.Chunk), l.append(nil)); err != nil {
		return fmt.Errorf("enter chunk in index: %w", x.failed(err))
	}
	return nil
}

// chunksIn returns where the index believes the chunks to lie that wanted asks for, by the numbers of their packs. It reads the
// whole index.
func (x *index) chunksIn(ctx context.Context, wanted func(number uint32) bool) (all []location, err error) {
	err = x.each(ctx, func(l location) error {
		if wanted(l.pack) {
			all = append(all, l)
		}
		return nil
	})
	return all, err
}

// each calls f for every chunk, in the order of their ids. A temporary index knows only the beginnings of ids, and calls it for none.
func (x *index) each(ctx context.Context, f func(location) error) error {
	if x.temp != nil {
		return nil
	}
	err := x.db.View(func(t *badger.Txn) error {
		it := t.NewIterator(badger.IteratorOptions{Prefix: []byte{'c'}, PrefetchValues: true, PrefetchSize: 100})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := eachItem(it.Item(), f); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("read chunks of index: %w", err)
	}
	return err
}

func eachItem(item *badger.Item, f func(location) error) error {
	key := item.Key()
	if len(key) != 1+len(ID{}) {
		return errBadIndex
	}
	var l location
	err := item.Value(func(b []byte) error { return l.parse(b, ID(key[1:])) })
	if err != nil {
		return err
	}
	return f(l)
}

// collectedKey holds when the last collection ended, in seconds since 1970.
var collectedKey = []byte{'g'}

func (x *index) setCollected(unix int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.set(collectedKey, binary.LittleEndian.AppendUint64(nil, uint64(unix))); err != nil {
		return fmt.Errorf("enter time in index: %w", x.failed(err))
	}
	return nil
}

// collected tells when the last collection ended, 0 if there was none since the index was made.
func (x *index) collected() (unix int64, err error) {
	if x.temp != nil {
		return 0, nil
	}
	b, err := x.value(collectedKey, 8)
	if b == nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint64(b)), nil
}
