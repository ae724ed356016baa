package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"yester/store/pack"
)

// tempIndexes are the temporary index in which is looked up, if there is one yet, and the one that is being made.
type tempIndexes struct {
	now  atomic.Pointer[tempIndex]
	next *tempIndex
}

// begin begins a new one.
func (x *tempIndexes) begin() { x.next = newTempIndex() }

func (x *tempIndexes) add(number uint32, frames []pack.Frame) error {
	return x.next.add(number, frames)
}

// seal has the new one be looked up in. Who is at it reads on in the one before, whose files go with the last of them.
func (x *tempIndexes) seal() error {
	if err := x.next.seal(); err != nil {
		return err
	}
	x.now.Store(x.next)
	return nil
}

func (x *tempIndexes) find(id ID) (l location, found bool, err error) {
	if now := x.now.Load(); now != nil {
		return now.find(id)
	}
	return l, false, nil
}

func (x *tempIndexes) all(id ID) ([]location, error) {
	if now := x.now.Load(); now != nil {
		return now.all(id)
	}
	return nil, nil
}

func (x *tempIndexes) close() error {
	if now := x.now.Load(); now != nil {
		return now.close()
	}
	return x.next.close()
}

// A tempIndex is an index that goes with the process: that of a vault which is opened for reading only. It is made from the tables of all packs, then
// sealed, and after that only looked up in. An entry is
//
//	first bytes of the chunk id [12]    u32 pack, u32 frame, u32 offset, u32 stored length | encoding<<28, u32 raw length | kind<<28,
//	u32 length of the group
//
// as that of index, big-endian in the id and little-endian behind. Ids are random, so twelve bytes tell all chunks apart that there can be; if ever they did not,
// the seal of the frame would.
//
// Entries lie in bins by the first byte of the id. What does not fit into tempMemory goes to a file without a name in the folder for temporary files: while the
// index is made each bin writes a run there when its buffer is full, and sealing it sorts one bin after the other into a second file, of which the first id of
// every page is kept in memory. A look-up reads one page.
type tempIndex struct {
	mu     sync.Mutex // held while entries are made
	memory int        // bytes of entries that may stay in memory
	bins   [tempBins]tempBin
	held   int // bytes that the bins take in memory, until a file is used
	size   int64
	runs   *os.File // unsorted; nil while all is in memory
	sorted *os.File // nil if all is in memory
	sealed bool
}

// A tempBin has the entries whose ids begin with one byte.
type tempBin struct {
	entries []byte          // in memory, sorted when sealed
	runs    []tempRun       // in the file of runs
	at, len int64           // in the sorted file
	fence   [][tempKey]byte // of each page there, the beginning of its first id
}

type tempRun struct{ at, len int64 }

const (
	tempBins   = 256
	tempKey    = 12
	tempEntry  = tempKey + chunkValue
	tempPage   = 128 * tempEntry
	tempMemory = 64 << 20
	tempRunLen = 128 << 10 / tempEntry * tempEntry
)

func newTempIndex() *tempIndex { return &tempIndex{memory: tempMemory} }

// add enters the chunks of a pack. Not after seal.
func (x *tempIndex) add(number uint32, frames []pack.Frame) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sealed {
		return fmt.Errorf("enter a pack in a sealed index: %w", ErrReadOnly)
	}
	for i := range frames {
		l := location{pack: number, num: uint32(i), frame: frames[i]}
		b := &x.bins[l.frame.Chunk[0]]
		before := cap(b.entries)
		b.entries = l.append(append(b.entries, l.frame.Chunk[:tempKey]...))
		x.held += cap(b.entries) - before
		if x.runs != nil && len(b.entries) >= tempRunLen {
			if err := x.spill(b); err != nil {
				return err
			}
		}
	}
	if x.runs == nil && x.held > x.memory {
		return x.begin()
	}
	return nil
}

// begin begins to use a file.
func (x *tempIndex) begin() (err error) {
	if x.runs, err = nameless(); err != nil {
		return err
	}
	for i := range x.bins {
		b := &x.bins[i]
		if err := x.spill(b); err != nil {
			return err
		}
		b.entries = make([]byte, 0, tempRunLen+tempEntry)
	}
	return nil
}

// nameless makes a file that is gone with the process, however that ends.
func nameless() (*os.File, error) {
	f, err := os.CreateTemp("", "yester-index-")
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		return nil, tempError(err)
	}
	return f, nil
}

// tempError says what to do if the folder for temporary files does not do.
func tempError(err error) error {
	return fmt.Errorf("make a temporary index in %s (the variable TMPDIR names another folder): %w", os.TempDir(), err)
}

// spill writes what a bin has in memory.
func (x *tempIndex) spill(b *tempBin) error {
	if len(b.entries) == 0 {
		return nil
	}
	if _, err := x.runs.WriteAt(b.entries, x.size); err != nil {
		return tempError(err)
	}
	b.runs = append(b.runs, tempRun{x.size, int64(len(b.entries))})
	x.size += int64(len(b.entries))
	b.entries = b.entries[:0]
	return nil
}

// seal sorts the entries; from then on there are look-ups only.
func (x *tempIndex) seal() (err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sealed {
		return nil
	}
	x.sealed = true
	if x.runs != nil {
		if x.sorted, err = nameless(); err != nil {
			return err
		}
	}
	var at int64
	group := errgroup.Group{}
	group.SetLimit(runtime.NumCPU())
	for i := range x.bins {
		b := &x.bins[i]
		b.at, b.len = at, int64(len(b.entries))
		for _, r := range b.runs {
			b.len += r.len
		}
		at += b.len
		group.Go(func() error { return x.sealBin(b) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if x.runs != nil {
		return x.runs.Close()
	}
	return nil
}

func (x *tempIndex) sealBin(b *tempBin) error {
	if x.sorted == nil {
		sort.Sort(entries(b.entries))
		return nil
	}
	all := make([]byte, 0, b.len)
	for _, r := range b.runs {
		n := len(all)
		all = all[:n+int(r.len)]
		if _, err := x.runs.ReadAt(all[n:], r.at); err != nil {
			return tempError(err)
		}
	}
	all = append(all, b.entries...)
	b.runs, b.entries = nil, nil
	sort.Sort(entries(all))
	for at := 0; at < len(all); at += tempPage {
		b.fence = append(b.fence, [tempKey]byte(all[at:]))
	}
	if _, err := x.sorted.WriteAt(all, b.at); err != nil {
		return tempError(err)
	}
	return nil
}

// entries sort by their ids.
type entries []byte

func (e entries) Len() int { return len(e) / tempEntry }

func (e entries) at(i int) []byte { return e[i*tempEntry : (i+1)*tempEntry] }

// Less tells whether an entry's id comes before another's.
func (e entries) Less(i, k int) bool {
	a, b := e[i*tempEntry:], e[k*tempEntry:]
	if x, y := binary.BigEndian.Uint64(a), binary.BigEndian.Uint64(b); x != y {
		return x < y
	}
	return binary.BigEndian.Uint32(a[8:]) < binary.BigEndian.Uint32(b[8:])
}

// Swap swaps two entries.
func (e entries) Swap(i, k int) {
	var t [tempEntry]byte
	copy(t[:], e.at(i))
	copy(e.at(i), e.at(k))
	copy(e.at(k), t[:])
}

// find returns where a chunk lies.
func (x *tempIndex) find(id ID) (l location, found bool, err error) {
	b := &x.bins[id[0]]
	page := b.entries
	if x.sorted != nil {
		if page, err = x.page(b, id); err != nil || page == nil {
			return l, false, err
		}
	}
	e := entries(page)
	i, found := sort.Find(e.Len(), func(i int) int { return bytes.Compare(id[:tempKey], e.at(i)[:tempKey]) })
	if !found {
		return l, false, nil
	}
	return l, true, l.parse(e.at(i)[tempKey:], id)
}

// all returns where a chunk lies that may be in several packs.
func (x *tempIndex) all(id ID) (all []location, err error) {
	b := &x.bins[id[0]]
	page := b.entries
	if x.sorted != nil {
		if page, err = x.page(b, id); err != nil {
			return nil, err
		}
	}
	e := entries(page)
	compare := func(i int) int { return bytes.Compare(id[:tempKey], e.at(i)[:tempKey]) }
	for i, _ := sort.Find(e.Len(), compare); i < e.Len() && compare(i) == 0; i++ {
		var l location
		if err := l.parse(e.at(i)[tempKey:], id); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// page reads the page, or the pages, in which an id is if it is there.
func (x *tempIndex) page(b *tempBin, id ID) ([]byte, error) {
	if len(b.fence) == 0 {
		return nil, nil
	}
	compare := func(f [tempKey]byte, id ID) int { return bytes.Compare(f[:], id[:tempKey]) }
	end, _ := slices.BinarySearchFunc(b.fence, id, compare)
	from := int64(max(end-1, 0)) * tempPage
	for end < len(b.fence) && compare(b.fence[end], id) == 0 { // there are several of it
		end++
	}
	buf := make([]byte, min(int64(max(end, 1))*tempPage, b.len)-from)
	if _, err := x.sorted.ReadAt(buf, b.at+from); err != nil {
		return nil, fmt.Errorf("read the temporary index: %w", err)
	}
	return buf, nil
}

// close gives the files back.
func (x *tempIndex) close() (err error) {
	if x.runs != nil && !x.sealed {
		err = x.runs.Close()
	}
	if x.sorted != nil {
		err = errors.Join(err, x.sorted.Close())
	}
	return err
}
