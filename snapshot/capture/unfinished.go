package capture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// An unfinished is a file that says what captures of a partition have read that did not come to be a version, so that the next one need not read it once
// more: the first capture of a large partition may take days at a low rate, and few machines stay up as long. It holds no content but where that lies in
// the vault, and is good for nothing else: without it everything is read anew. A version that is made removes it.
//
// It is a row of records, each
//
//	0  u32     length of the payload, little-endian
//	4  u32     CRC-32C of the payload
//	8          payload: its kind, and
//	           of unfinishedBegin   i64  when the capture began, in ns since the epoch, and whatFileSystem
//	           of unfinishedFile    u32  length of the path, the path from the mount point, and the file's entry as in a tree page
//
// and ends where one is not whole. Files of each capture come after its begin.
type unfinished struct {
	file *os.File
	seed maphash.Seed
	at   map[uint64]int64 // by the hash of a path, where its last record lies; of captures before this one
	runs []unfinishedRun

	mu   sync.Mutex // of what follows
	buf  []byte
	full bool // nothing is added any more
	n    int  // files in it
	size int64
}

// An unfinishedRun is a capture that was cut off.
type unfinishedRun struct {
	at    int64 // where its records begin
	begun time.Time
}

const (
	unfinishedHead = 8
	unfinishedMax  = 1 << 20 // bytes of a payload

	unfinishedBegin = 1
	unfinishedFile  = 2

	// minUnfinished is how large a file must be to be worth a line: all smaller ones of a partition are read in an hour or two.
	minUnfinished = 128 << 10

	// maxUnfinished is how many files are named, in some 20 bytes of memory and 300 of the disk each. Anybody can make many files that seem large, and lie deep.
	maxUnfinished      = 400_000
	maxUnfinishedPath  = unix.PathMax // bytes
	maxUnfinishedBytes = 256 << 20    // of the file
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openUnfinished opens the file, which need not be there. What it says of another file system, and what is not whole at its end, is dropped.
func openUnfinished(name string, p *snapshot.Partition) (*unfinished, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	u := &unfinished{file: f, seed: maphash.MakeSeed(), at: map[uint64]int64{}}
	end, err := u.load(whatFileSystem(p))
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		u.size, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return u, nil
}

// whatFileSystem tells file systems apart, as SameFileSystem does.
func whatFileSystem(p *snapshot.Partition) string {
	return p.FSType + "\x00" + p.UUID + "\x00" + p.MountPoint
}

// load reads what the file has, and returns where it ends.
func (u *unfinished) load(fs string) (end int64, err error) {
	in := bufio.NewReaderSize(u.file, 256<<10)
	var buf []byte
	for {
		payload, err := readUnfinished(in, &buf)
		switch {
		case err != nil:
			return end, err
		case payload == nil:
			return end, nil
		}
		switch {
		case payload[0] == unfinishedBegin && len(payload) >= 9:
			if string(payload[9:]) != fs {
				u.at, u.runs, u.n = map[uint64]int64{}, nil, 0
				return 0, nil
			}
			u.runs = append(u.runs, unfinishedRun{end, time.Unix(0, int64(binary.LittleEndian.Uint64(payload[1:])))})
		case payload[0] == unfinishedFile && len(u.runs) > 0:
			path, _, ok := unfinishedEntry(payload)
			if !ok {
				return end, nil
			}
			u.at[maphash.Bytes(u.seed, path)] = end
			u.n++
		default:
			return end, nil
		}
		end += int64(unfinishedHead + len(payload))
	}
}

// readUnfinished reads the next payload into buf, and returns it; nil if there is no whole one.
func readUnfinished(in io.Reader, buf *[]byte) ([]byte, error) {
	var head [unfinishedHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, notWhole(err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || n > unfinishedMax {
		return nil, nil
	}
	*buf = slices.Grow((*buf)[:0], int(n))[:n]
	payload := *buf
	if _, err := io.ReadFull(in, payload); err != nil {
		return nil, notWhole(err)
	}
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, nil
	}
	return payload, nil
}

func notWhole(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// unfinishedEntry takes the payload of a file apart.
func unfinishedEntry(payload []byte) (path, entry []byte, ok bool) {
	if len(payload) < 5 {
		return nil, nil, false
	}
	n := binary.LittleEndian.Uint32(payload[1:])
	if uint64(n) > uint64(len(payload)-5) {
		return nil, nil, false
	}
	return payload[5 : 5+n], payload[5+n:], true
}

// begin says that a capture begins, which has not looked at anything before the moment. It is called before find and keep, which many walkers may call at
// once.
func (u *unfinished) begin(moment time.Time, p *snapshot.Partition) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open(unfinishedBegin)
	u.buf = binary.LittleEndian.AppendUint64(u.buf, uint64(moment.UnixNano()))
	u.write(append(u.buf, whatFileSystem(p)...))
}

// keep notes a file that was read.
func (u *unfinished) keep(path []byte, e *snapshot.Entry) {
	if u == nil || !worthKeeping(e) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n++; u.n > maxUnfinished || len(path) > maxUnfinishedPath {
		return
	}
	u.open(unfinishedFile)
	u.buf = binary.LittleEndian.AppendUint32(u.buf, uint32(len(path)))
	u.buf = append(u.buf, path...)
	if b, err := e.AppendBinary(u.buf); err == nil {
		u.write(b)
	}
}

// worthKeeping tells whether a file takes long enough to read. Names of a file with others are left to links.
func worthKeeping(e *snapshot.Entry) bool {
	return e.Size >= minUnfinished && e.Nlink == 1 && !e.Racy
}

func (u *unfinished) open(kind byte) {
	u.buf = append(append(u.buf[:0], make([]byte, unfinishedHead)...), kind)
}

// write adds a record with the payload that stands behind its head in b. Where that fails, as the disk is full, no more is added: what follows a part of a
// record would not be found.
func (u *unfinished) write(b []byte) {
	u.buf = b
	payload := b[unfinishedHead:]
	if u.full || len(payload) > unfinishedMax || u.size+int64(len(b)) > maxUnfinishedBytes {
		return
	}
	binary.LittleEndian.PutUint32(b, uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(payload, castagnoli))
	n, err := u.file.Write(b)
	u.size += int64(n)
	u.full = err != nil
}

// find returns what a capture that was cut off had of a path, nil if nothing, and when that one began.
func (u *unfinished) find(path []byte) (*snapshot.Entry, time.Time) {
	if u == nil {
		return nil, time.Time{}
	}
	at, ok := u.at[maphash.Bytes(u.seed, path)]
	if !ok {
		return nil, time.Time{}
	}
	var buf []byte
	payload, err := readUnfinished(io.NewSectionReader(u.file, at, unfinishedHead+unfinishedMax), &buf)
	if err != nil || payload == nil {
		return nil, time.Time{}
	}
	of, entry, ok := unfinishedEntry(payload)
	e := new(snapshot.Entry)
	if !ok || !bytes.Equal(of, path) || e.UnmarshalBinary(entry) != nil {
		return nil, time.Time{}
	}
	run := sort.Search(len(u.runs), func(i int) bool { return u.runs[i].at > at }) - 1
	return e, u.runs[run].begun
}

// close closes the file, and removes it if what it is for came to be a version.
func (u *unfinished) close(done bool) {
	if u == nil {
		return
	}
	if done {
		_ = os.Remove(u.file.Name())
	}
	_ = u.file.Close()
}

// resume makes e, the entry of a file, from what a capture that was cut off has read, and tells whether it could: where the file has not changed since, by
// the rules for a parent version without a memory, and the vault still has all of it.
func (w *walker) resume(ctx context.Context, e *snapshot.Entry) (bool, error) {
	if w.o.unfinished == nil || e.Size < minUnfinished || e.Nlink != 1 {
		return false, nil
	}
	old, begun := w.o.unfinished.find(w.path)
	if !w.unchanged(old, e) || !old.Ctime.Time().Before(begun.Add(-coarseGrain)) {
		return false, nil
	}
	whole, err := snapshot.IsWhole(ctx, w.get, old, w.put.Rely)
	if whole {
		reuse(e, old)
	}
	return whole, err
}
