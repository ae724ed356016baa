// Package state keeps what a daemon must remember: its policy, its tasks, who it is, and where its vault lies.
//
// It is a small badger database, written through to the disk at every change. Values are JSON under these keys:
//
//	policy         the instance's policy
//	schedule       which turns of its backup were decided
//	begun          the scheduled backup that has not made its versions yet
//	wanted         since when each partition is to be backed up
//	service        whether it is ready, paused or being cancelled
//	instance       its id, once it was activated, or if it is not the one that the machine gives
//	machine        what the machine said of itself
//	holder         what this daemon is called as the owner of an instance
//	vault          the vault that was last opened
//	watch          what is known of the time
//	drill          when restoring was tried last, and what came of it
//	upkeep         how far the reading of all packs is, and what is to be done
//	task/<id>      one task in brief
//	whole/<id>     the same with its lists
//	message/<id>   one message
//	channel/<name>            one way by which alerts leave, without its secret
//	delivery/<channel>/<id>   one alert that waits for it
//	hook           the hook after that a running backup owes
//	metering       the day that was metered last, unless the service was paused since
//	usage/<day>/<instance>   what was metered on a day
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Errors of this package.
var (
	ErrNotFound = errors.New("not found")
	ErrNoSpace  = errors.New("no space left")
	ErrLocked   = errors.New("in use")
)

// reserve is how many bytes of the disk must be free for a write: badger writes to mapped files, where a full disk is no error but a signal
// that ends the process.
const reserve = 16 << 20

// inodes is how many must be free, likewise: badger ends the process when it cannot make its next file.
const inodes = 64

// A DB is an open state. Its methods may be called from many goroutines.
type DB struct {
	dir string // "" in memory
	b   *badger.DB
}

// Open opens the state in dir, making it if there is none. "" keeps it in memory. One process may have it open at a time. ErrNoSpace, ErrLocked.
func Open(dir string, log *slog.Logger) (*DB, error) {
	db := &DB{dir: dir}
	if err := db.room(); err != nil {
		return nil, err
	}
	b, err := badger.Open(settings(dir, log))
	if err != nil && isLocked(dir) {
		err = ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	db.b = b
	return db, nil
}

// isLocked tells whether somebody has the state open: badger locks its folder, and does not say by its error that another has.
func isLocked(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// settings are those of a database of some hundred small values: little memory, every write synced, every checksum looked at. Nothing is
// compacted until Close, for badger's compactors wake up twenty times a second even when there is nothing to do; the little that is
// written meanwhile may lie about in as many tables as it likes.
func settings(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithInMemory(dir == "").
		WithSyncWrites(true).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithMemTableSize(8 << 20).
		WithNumMemtables(2).
		WithValueLogFileSize(16 << 20).
		WithNumCompactors(0).
		WithNumLevelZeroTablesStall(math.MaxInt32).
		WithCompactL0OnClose(true).
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithLogger(logger{log})
}

// Close closes the state. On a disk too full to tidy up it only lets go: everything was on the disk before.
func (db *DB) Close() error {
	if db.room() != nil {
		return nil
	}
	return db.b.Close()
}

// room is ErrNoSpace when the disk has no room for a write.
func (db *DB) room() error {
	var st syscall.Statfs_t
	if db.dir == "" || syscall.Statfs(db.dir, &st) != nil {
		return nil
	}
	const ext4 = 0xef53 // its magic number
	available, free := st.Bavail*uint64(st.Bsize), st.Bfree*uint64(st.Bsize)
	// Of what it calls free it keeps 2 % even from root, 4096 clusters at most (fs/ext4/super.c, ext4_set_resv_clusters); those have 64 KiB at most, as far as anybody makes them.
	ofExt4 := min(st.Blocks/50*uint64(st.Bsize), 4096*64<<10) + reserve
	isFull := available < reserve && (st.Type != ext4 || free < reserve+ofExt4) // what that keeps for root is ours
	if isFull || st.Files > 0 && st.Ffree < inodes {                            // some file systems have no such bound
		return fmt.Errorf("write %s: %w", db.dir, ErrNoSpace)
	}
	return nil
}

// get decodes the value of a key. ErrNotFound.
func (db *DB) get(key string, v any) error {
	err := db.b.View(func(tx *badger.Txn) error {
		item, err := tx.Get([]byte(key))
		if err != nil {
			return err
		}
		return item.Value(func(b []byte) error { return json.Unmarshal(b, v) })
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return fmt.Errorf("read %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

// put writes a value; it is on the disk when put returns. ErrNoSpace.
func (db *DB) put(key string, v any) error { return db.putAll(map[string]any{key: v}) }

// putAll writes the values of some keys, all or none. ErrNoSpace.
func (db *DB) putAll(values map[string]any) error {
	if err := db.room(); err != nil {
		return err
	}
	return db.b.Update(func(tx *badger.Txn) error {
		for key, v := range values {
			b, err := json.Marshal(v)
			if err == nil {
				err = tx.Set([]byte(key), b)
			}
			if err != nil {
				return fmt.Errorf("write %s: %w", key, err)
			}
		}
		return nil
	})
}

// delete removes keys, all or none. It writes too, what says that they are gone. ErrNoSpace.
func (db *DB) delete(keys ...string) error {
	if err := db.room(); err != nil {
		return err
	}
	return db.b.Update(func(tx *badger.Txn) error {
		for _, key := range keys {
			if err := tx.Delete([]byte(key)); err != nil {
				return fmt.Errorf("delete %s: %w", key, err)
			}
		}
		return nil
	})
}

// each calls f with the values of the keys that begin with prefix, in their order.
func (db *DB) each(prefix string, f func(key string, value []byte) error) error {
	return db.b.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix), PrefetchValues: true, PrefetchSize: 100})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if err := item.Value(func(b []byte) error { return f(string(item.Key()), b) }); err != nil {
				return fmt.Errorf("read %s: %w", item.Key(), err)
			}
		}
		return nil
	})
}
