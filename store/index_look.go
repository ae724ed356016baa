package store

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// looks are transactions that read the index. To begin and end one costs badger more than to look up a chunk in it, for a goroutine keeps account of
// who reads as of when; so they are used again until something is written. None is kept beyond that: badger could not drop what was overwritten.
type looks struct {
	mu   sync.Mutex
	era  uint64 // counts what was written
	free []*look
}

// A look is used by one goroutine at a time.
type look struct {
	txn *badger.Txn
	era uint64
	key [1 + len(ID{})]byte // scratch
}

// take returns a look that sees all that was written before.
func (s *looks) take(db *badger.DB) *look {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		k := s.free[n-1]
		s.free = s.free[:n-1]
		s.mu.Unlock()
		return k
	}
	era := s.era
	s.mu.Unlock()
	return &look{txn: db.NewTransaction(false), era: era} // it may see more than its era, never less
}

func (s *looks) put(k *look) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.era == s.era {
		s.free = append(s.free, k)
		return
	}
	k.txn.Discard()
}

// wrote is told that something was written, and before the index is closed.
func (s *looks) wrote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.era++
	for _, k := range s.free {
		k.txn.Discard()
	}
	s.free = s.free[:0]
}
