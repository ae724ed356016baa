package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"yester/store/pack"
)

// An index tells where chunks lie. Keys and values, integers big-endian in keys and little-endian in values:
//
//	"c" chunk id [32]    u32 number of the pack, u32 frame, u32 offset in the data region,
//	                     u32 stored length | encoding<<28, u32 raw length | kind<<28, u32 length of the group or 0
//	"p" u32 number       pack id [16], u16 meta blocks, u32 length of the data region, u32 frames, u64 size of all files,
//	                     u8 data shards, u8 parity shards, u8 1 if one file holds all of them, instance id
//	"u" u32 number       its use: see index_use.go
//	"n"                  u32: no pack has this number yet, or one above it
//	"v"                  the vault's id and the form of the index: an index of another one is of no use
//
// Numbers are the index's own, to keep the many entries of chunks short. A pack is entered after its chunks are synced, so a pack that is known
// has all its chunks known, whatever a crash took. It may leave entries of chunks in a pack that is not known. No number is given twice, or they would
// come to lie in another pack: "n" is synced before the first entry with a number below it. Nothing here is the truth: see reconcile.go.
type index struct {
	db    *badger.DB
	looks looks
	mu    sync.Mutex   // held while entries are made or removed, so that nobody removes what another has just made
	next  uint32       // "n" as it is synced
	guard *guard       // nil in memory
	temp  *tempIndexes // instead of db, if the vault is only read
	log   *slog.Logger

	broken atomic.Bool // there was an error in it, see failed
}

const (
	chunkValue = 24
	packValue  = 16 + 2 + 4 + 4 + 8 + 3
	reserved   = 1 << 10  // numbers at a time
	indexFull  = 64 << 20 // free bytes below which the index is not written: it is mapped, and a full disk would be SIGBUS
	indexFiles = 64       // inodes, likewise: badger dies when it cannot make the next file
)

// A location is where a chunk lies.
type location struct {
	pack  uint32
	num   uint32 // of the frame
	frame pack.Frame
}

// A packInfo is what the index knows of a pack.
type packInfo struct {
	id       pack.ID
	meta     uint16 // blocks at each end
	data     uint32 // bytes of the data region
	frames   uint32
	size     uint64 // of all files
	shape    pack.Shape
	whole    bool // one file holds all shards
	instance string
}

// shardOf is the shard that a member's file of the pack holds: AllShards for the file of all, -1 if it has none.
func (p *packInfo) shardOf(m *member) int {
	switch {
	case p.whole && m.shard == 0:
		return pack.AllShards
	case p.whole, m.shard >= p.shape.Shards():
		return -1
	}
	return m.shard
}

// readable tells whether n of the pack's files are enough to read all of it.
func (p *packInfo) readable(n int) bool { return p.whole && n > 0 || n >= p.shape.Data }

// mirrored tells whether the second shard is the same as the first: with one data shard the first of parity is its copy.
func (p *packInfo) mirrored() bool { return !p.whole && p.shape.Data == 1 && p.shape.Parity > 0 }

// shardBytes is the length of each shard.
func (p *packInfo) shardBytes() int64 {
	h := pack.Header{Shape: p.shape, DataLen: p.data}
	return max(int64(h.ShardBlocks())*pack.BlockSize, 1)
}

// errOther says that a file holds another pack of the vault than its name says.
var errOther = fmt.Errorf("it holds another pack: %w", pack.ErrDamaged)

// errShape says that a file holds the pack, but says other things of it than the index does. One of them is wrong.
var errShape = fmt.Errorf("it holds the pack in another shape: %w", pack.ErrDamaged)

// matches tells whether a file of the pack says of it what the index does.
func (p *packInfo) matches(m *pack.Meta, vault [16]byte) error {
	h := &m.Header
	switch {
	case h.Pack != p.id && h.Vault == vault:
		return errOther
	case h.Vault != vault:
		return fmt.Errorf("it holds a pack of another vault: %w", pack.ErrDamaged)
	case h.Shape != p.shape || h.DataLen != p.data || h.Frames != p.frames || p.whole != (h.Shard == pack.AllShards):
		return errShape
	}
	return nil
}

// openIndex opens the index of a vault in the guarded folder, or one in memory if there is none, or makes a temporary one that is to be filled. An error means that it is to be made
// anew.
func openIndex(g *guard, vault string, temporary bool, log *slog.Logger) (*index, error) {
	if temporary {
		x := &index{temp: new(tempIndexes), log: log}
		x.temp.begin()
		return x, nil
	}
	if g == nil {
		return newIndex("", vault, log)
	}
	clean, err := g.inspect()
	if err != nil {
		return nil, err
	}
	if err := g.doubt(); err != nil {
		return nil, err
	}
	if !clean {
		if err := errors.Join(g.removeEmpty(), g.tables()); err != nil {
			return nil, err
		}
	}
	x, err := newIndex(g.dir, vault, log)
	if err != nil {
		return nil, err
	}
	x.guard = g
	return x, g.trust()
}

func newIndex(dir, vault string, log *slog.Logger) (*index, error) {
	l := &badgerLog{log: log}
	db, err := badger.Open(indexOptions(dir, l))
	if err != nil {
		return nil, err
	}
	x := &index{db: db, log: log}
	if err := errors.Join(l.first(), x.belongTo(vault)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if x.next, err = x.readNext(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return x, nil
}

// indexOptions keep badger small: its defaults take hundreds of megabytes.
func indexOptions(dir string, log badger.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithInMemory(dir == "").
		WithLogger(log).
		WithDetectConflicts(false).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(32 << 20).
		WithMemTableSize(1 << 20). // five of them are held
		WithNumMemtables(2).
		WithBaseTableSize(256 << 10). // up to ten are built at once, each in twice as much memory
		WithBaseLevelSize(2 << 20).   // is rewritten as a whole, and old and new tables are mapped meanwhile
		WithValueThreshold(1 << 10).
		WithValueLogFileSize(16 << 20).
		WithNumCompactors(2).
		WithCompactL0OnClose(true).
		WithMetricsEnabled(false).
		WithChecksumVerificationMode(options.OnBlockRead) // damage at rest the guard finds; OnTableRead dies of it
}

// close closes the index, and notes that it was closed well unless there was an error in it.
func (x *index) close() error {
	if x.temp != nil {
		return x.temp.close()
	}
	x.looks.wrote()
	err := x.db.Close()
	if err != nil || x.guard == nil || x.broken.Load() {
		return err
	}
	return x.guard.clean()
}

// failed has the index made anew when the vault is opened next, after an error in reading or writing it.
func (x *index) failed(err error) error {
	if err == nil || x.guard == nil {
		return err
	}
	x.broken.Store(true)
	x.log.Error("the index is broken; it is made anew when the vault is opened again", "err", err)
	return errors.Join(err, x.guard.doubt())
}

func chunkKey(id *ID) []byte { return append([]byte{'c'}, id[:]...) }

func packKey(number uint32) []byte { return binary.BigEndian.AppendUint32([]byte{'p'}, number) }

// find returns where a chunk lies.
func (x *index) find(id ID) (l location, found bool, err error) {
	if x.temp != nil {
		return x.temp.find(id)
	}
	k := x.looks.take(x.db)
	defer x.looks.put(k)
	k.key[0] = 'c'
	copy(k.key[1:], id[:])
	item, err := k.txn.Get(k.key[:])
	if errors.Is(err, badger.ErrKeyNotFound) {
		return location{}, false, nil
	}
	if err == nil {
		err = item.Value(func(b []byte) error { return l.parse(b, id) })
	}
	if err != nil {
		return location{}, false, fmt.Errorf("look up chunk in index: %w", x.failed(err))
	}
	return l, true, nil
}

// elsewhere returns where else a chunk lies, in a temporary index: that has all packs, also one of which a part cannot be read, and that a repair has taken out of the other.
func (x *index) elsewhere(than *location) ([]location, error) {
	if x.temp == nil {
		return nil, nil
	}
	all, err := x.temp.all(than.frame.Chunk)
	return slices.DeleteFunc(all, func(l location) bool { return l == *than }), err
}

// add enters a pack and its chunks: first the chunks, synced, then the pack. Chunks that keep tells, if it is not nil, stay where they are found
// already.
func (x *index) add(number uint32, p *packInfo, frames []pack.Frame, u use, keep func(*location) (bool, error)) error {
	if x.temp != nil {
		return x.temp.add(number, frames)
	}
	if err := x.room(); err != nil {
		return fmt.Errorf("enter pack in index: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.reserve(number); err != nil {
		return fmt.Errorf("enter pack in index: %w", x.failed(err))
	}
	w := x.db.NewWriteBatch()
	defer w.Cancel()
	for i := range frames {
		l := location{pack: number, num: uint32(i), frame: frames[i]}
		if keep != nil {
			kept, err := keep(&l)
			if err != nil {
				return err
			}
			if kept {
				continue
			}
		}
		if err := w.Set(chunkKey(&frames[i].Chunk), l.append(nil)); err != nil {
			return fmt.Errorf("enter pack in index: %w", x.failed(err))
		}
	}
	err := w.Flush()
	x.looks.wrote()
	if err == nil {
		err = x.sync()
	}
	if err == nil {
		err = x.set(useKey(number), u.append(nil))
	}
	if err == nil {
		err = x.set(packKey(number), p.append(nil))
	}
	if err != nil {
		return fmt.Errorf("enter pack in index: %w", x.failed(err))
	}
	return nil
}

// reserve sees to it that a number is never given again. x.mu is held.
func (x *index) reserve(number uint32) error {
	if number < x.next {
		return nil
	}
	next := number + reserved
	if err := x.set(nextKey, binary.LittleEndian.AppendUint32(nil, next)); err != nil {
		return err
	}
	if err := x.sync(); err != nil {
		return err
	}
	x.next = next
	return nil
}

var nextKey = []byte{'n'}

// readNext returns the first number that no pack ever had.
func (x *index) readNext() (uint32, error) {
	b, err := x.value(nextKey, 4)
	if b == nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// value returns what stands under a key, which must be so many bytes; nil if nothing does.
func (x *index) value(key []byte, length int) (b []byte, err error) {
	err = x.db.View(func(t *badger.Txn) error {
		item, err := t.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if b, err = item.ValueCopy(nil); err == nil && len(b) != length {
			err = errBadIndex
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// sync makes durable what was written. Badger's own Sync does so only with the log of the table in memory that is being filled; that of one which is full by now,
// and not written out yet, it leaves to the kernel.
func (x *index) sync() error {
	dir := x.db.Opts().Dir
	if dir == "" {
		return nil
	}
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if filepath.Ext(f.Name()) == ".mem" {
			err = errors.Join(err, syncFile(filepath.Join(dir, f.Name())))
		}
	}
	return errors.Join(err, syncFile(dir))
}

// syncFile syncs a file or folder, if it is there.
func syncFile(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) { // a log whose table was written out
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (x *index) set(key, value []byte) error {
	defer x.looks.wrote()
	return x.db.Update(func(t *badger.Txn) error { return t.Set(key, value) })
}

// packs returns all packs by their numbers.
func (x *index) packs() (map[uint32]*packInfo, error) {
	packs, names := map[uint32]*packInfo{}, map[string]string{} // of instances, each once
	err := x.db.View(func(t *badger.Txn) error {
		it := t.NewIterator(badger.IteratorOptions{Prefix: []byte{'p'}, PrefetchValues: true, PrefetchSize: 100})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			key := it.Item().Key()
			p := new(packInfo)
			if err := it.Item().Value(p.parse); err != nil || len(key) != 5 {
				return errors.Join(err, errBadIndex)
			}
			if _, known := names[p.instance]; !known {
				names[p.instance] = p.instance
			}
			p.instance = names[p.instance]
			packs[binary.BigEndian.Uint32(key[1:])] = p
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read packs of index: %w", err)
	}
	return packs, nil
}

// belongTo tells whether the index is of this vault; a new one becomes so.
func (x *index) belongTo(vault string) error {
	vault += indexForm
	return x.db.Update(func(t *badger.Txn) error {
		item, err := t.Get([]byte{'v'})
		if errors.Is(err, badger.ErrKeyNotFound) {
			return t.Set([]byte{'v'}, []byte(vault))
		}
		if err != nil {
			return err
		}
		return item.Value(func(b []byte) error {
			if string(b) != vault {
				return fmt.Errorf("it is of vault %s, wanted is %s: %w", b, vault, errBadIndex)
			}
			return nil
		})
	})
}

// indexForm stands behind the vault's id. It changes when the entries do, so that an older index is made anew.
const indexForm = " 5"

var errBadIndex = errors.New("index makes no sense")

func (l *location) append(b []byte) []byte {
	f := &l.frame
	for _, x := range [...]uint32{l.pack, l.num, f.Offset, f.Stored | uint32(f.Encoding)<<28, f.Raw | uint32(f.Kind)<<28, f.Group} {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return b
}

func (l *location) parse(b []byte, id ID) error {
	if len(b) != chunkValue {
		return errBadIndex
	}
	u := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	const low = 1<<28 - 1
	l.pack, l.num = u(0), u(1)
	l.frame = pack.Frame{
		Chunk: id, Offset: u(2),
		Stored: u(3) & low, Encoding: pack.Encoding(u(3) >> 28),
		Raw: u(4) & low, Kind: pack.Kind(u(4) >> 28), Group: u(5),
	}
	return nil
}

func (p *packInfo) append(b []byte) []byte {
	b = append(b, p.id[:]...)
	b = binary.LittleEndian.AppendUint16(b, p.meta)
	b = binary.LittleEndian.AppendUint32(b, p.data)
	b = binary.LittleEndian.AppendUint32(b, p.frames)
	b = binary.LittleEndian.AppendUint64(b, p.size)
	b = append(b, byte(p.shape.Data), byte(p.shape.Parity), 0)
	if p.whole {
		b[len(b)-1] = 1
	}
	return append(b, p.instance...)
}

func (p *packInfo) parse(b []byte) error {
	if len(b) < packValue {
		return errBadIndex
	}
	le := binary.LittleEndian
	*p = packInfo{
		id: pack.ID(b), meta: le.Uint16(b[16:]), data: le.Uint32(b[18:]), frames: le.Uint32(b[22:]),
		size: le.Uint64(b[26:]), shape: pack.Shape{Data: int(b[34]), Parity: int(b[35])}, whole: b[36] == 1,
		instance: string(b[packValue:]),
	}
	if p.shape.Check() != nil {
		return errBadIndex
	}
	return nil
}

// badgerLog passes on what badger finds worth a warning, and keeps the first error: there are some that badger goes on
// after with entries missing.
type badgerLog struct {
	log *slog.Logger
	mu  sync.Mutex
	err error
}

func (l *badgerLog) Errorf(f string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = errors.New(line(f, a))
	}
	l.log.Warn("index: " + line(f, a))
}

func (l *badgerLog) first() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *badgerLog) Warningf(f string, a ...any) { l.log.Warn("index: " + line(f, a)) }
func (l *badgerLog) Infof(string, ...any)        {}
func (l *badgerLog) Debugf(string, ...any)       {}

func line(format string, a []any) string { return strings.TrimSpace(fmt.Sprintf(format, a...)) }
