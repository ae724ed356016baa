package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"yester/store/pack"
	"yester/store/place"
)

// packFiles keeps the packs read last open.
type packFiles struct {
	place   *spread
	master  *pack.Key
	detours time.Duration // how long one is taken
	most    int           // are kept open

	mu    sync.Mutex
	files map[pack.ID]*packFile
	clock uint64
}

const maxPackFiles = 128

// A packFile is a pack open for reading: the one file of a whole pack, or those of its shards, which are opened when they are needed.
type packFile struct {
	spread *spread
	info   *packInfo
	sealer *pack.Sealer
	dataAt int64 // where in each file the data, or the shard, starts
	shard  int64 // bytes of a shard; of a whole pack more than there can be

	shards  []atomic.Pointer[shardFile] // by number; of a whole pack one
	opening sync.Mutex
	around  *detour // what is needed to read around damage; guarded by opening

	users int // and one for being in files
	used  uint64
}

// A shardFile is one file of a pack, or the reason why there is none.
type shardFile struct {
	place.File
	err error
}

func newPackFiles(p *spread, master *pack.Key) *packFiles {
	return &packFiles{place: p, master: master, detours: detourLasts, most: maxPackFiles, files: map[pack.ID]*packFile{}}
}

// open returns the pack's file, to be released after use.
func (s *packFiles) open(p *packInfo) (*packFile, error) {
	if f := s.get(p.id); f != nil {
		return f, nil
	}
	f, err := s.fresh(p)
	if err != nil {
		return nil, err
	}
	return s.add(f), nil
}

// fresh returns the pack's file, to be closed after use by the one who has it.
func (s *packFiles) fresh(p *packInfo) (*packFile, error) {
	sealer, err := pack.NewSealer(s.master, p.id)
	if err != nil {
		return nil, err
	}
	f := &packFile{spread: s.place, info: p, sealer: sealer, dataAt: int64(p.meta) * pack.BlockSize, users: 2}
	f.shard, f.shards = math.MaxInt64, make([]atomic.Pointer[shardFile], 1)
	if !p.whole {
		f.shard, f.shards = p.shardBytes(), make([]atomic.Pointer[shardFile], p.shape.Shards())
	}
	return f, nil
}

// file returns the file of a shard, or of the whole pack.
func (f *packFile) file(shard int) *shardFile {
	if s := f.shards[shard].Load(); s != nil {
		return s
	}
	f.opening.Lock()
	defer f.opening.Unlock()
	if s := f.shards[shard].Load(); s != nil {
		return s
	}
	s := f.openShard(shard)
	f.shards[shard].Store(s)
	return s
}

// openShard opens the file of a shard where it should be.
func (f *packFile) openShard(shard int) *shardFile {
	s := &shardFile{err: fmt.Errorf("pack %v: %w", f.info.id, ErrMissing)}
	l := f.spread.layout()
	for _, list := range [...][]*member{l.members, l.former} {
		for _, m := range list {
			if m.shard != shard {
				continue
			}
			file, err := f.spread.openPack(context.Background(), m, f.info)
			if err == nil {
				return &shardFile{File: file}
			}
			s.err = err
		}
	}
	return s
}

// openPack opens a member's file of a pack.
func (s *spread) openPack(ctx context.Context, m *member, p *packInfo) (place.File, error) {
	file, err := s.open(ctx, m, packName(p.instance, p.id))
	return file, placeError(err)
}

// readAt fills b with the bytes of the data region from off on, as they are in the files.
func (f *packFile) readAt(b []byte, off int64) error {
	for len(b) > 0 {
		number, at := int(off/f.shard), off%f.shard
		n := int(min(int64(len(b)), f.shard-at))
		s := f.file(number)
		if s.err != nil && f.info.mirrored() {
			s = f.file(1)
		}
		if s.err != nil {
			return s.err
		}
		if got, err := s.ReadAt(b[:n], f.dataAt+at); got < n && err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// close closes all files, which a place that is gone may let wait: never with packFiles.mu held. Of nil it closes none.
func (f *packFile) close() {
	if f == nil {
		return
	}
	for i := range f.shards {
		if s := f.shards[i].Load(); s != nil && s.err == nil {
			s.Close()
		}
	}
	if f.around != nil {
		f.around.close()
	}
}

func (s *packFiles) get(id pack.ID) *packFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[id]
	if f != nil {
		s.touch(f)
		f.users++
	}
	return f
}

func (s *packFiles) touch(f *packFile) {
	s.clock++
	f.used = s.clock
}

// add takes in f, unless another was faster.
func (s *packFiles) add(f *packFile) *packFile {
	is, idle := s.put(f)
	idle.close()
	return is
}

// put is add, and returns what is to be closed then.
func (s *packFiles) put(f *packFile) (is, idle *packFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.files[f.info.id]; other != nil {
		other.users++
		return other, f
	}
	if len(s.files) >= s.most {
		idle = s.drop(s.oldest())
	}
	s.touch(f)
	s.files[f.info.id] = f
	return f, idle
}

func (s *packFiles) oldest() *packFile {
	var oldest *packFile
	for _, f := range s.files {
		if oldest == nil || f.used < oldest.used {
			oldest = f
		}
	}
	return oldest
}

// drop takes f out, and returns it if it is to be closed.
func (s *packFiles) drop(f *packFile) (idle *packFile) {
	if f == nil || s.files[f.info.id] != f {
		return nil
	}
	delete(s.files, f.info.id)
	return s.unuse(f)
}

func (s *packFiles) unuse(f *packFile) (idle *packFile) {
	if f.users--; f.users > 0 {
		return nil
	}
	return f
}

func (s *packFiles) release(f *packFile) {
	s.mu.Lock()
	idle := s.unuse(f)
	s.mu.Unlock()
	idle.close()
}

// forget has a pack's files opened anew by whoever reads it next, since one of them was replaced.
func (s *packFiles) forget(id pack.ID) {
	s.mu.Lock()
	idle := s.drop(s.files[id])
	s.mu.Unlock()
	idle.close()
}

// close forgets all.
func (s *packFiles) close() {
	s.mu.Lock()
	var idle []*packFile
	for _, f := range s.files {
		idle = append(idle, s.drop(f))
	}
	s.mu.Unlock()
	for _, f := range idle {
		f.close()
	}
}
