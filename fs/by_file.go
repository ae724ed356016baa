package fs

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"path"
	"slices"
	"strings"
	"sync"
)

// byFileName is the folder of a partition in which a path leads to all that it ever was:
//
//	<partition>/.by-file/<path…>/<version>
//
// For a path that was a file, a link or a device, its folder has an entry for each content it ever had, under the name of the first version with it. That entry
// is the file in that version, the same node. For a path that was a folder, its folder has one of this kind for each name that it ever had; one that
// is called as a version with an entry is not to be seen.
//
// The folder is found by name but not listed, so that what goes through all of a partition does not go through everything once more.
const byFileName = ".by-file"

// maxPastPath is the length of the longest path whose past is shown: that of the longest that a program can say at once. Going on from folder to folder one gets
// deeper, as far as one likes, and each would take as much memory as its path is long.
const maxPastPath = 4096

// A pastKey says of which path in which partition a folder shows the past. It is "" for .by-file itself, else like "/etc/hosts".
type pastKey struct {
	partition uint64 // ordinal
	path      string
}

func (k pastKey) child(name string) pastKey { return pastKey{k.partition, k.path + "/" + name} }

func (k pastKey) parent() pastKey {
	return pastKey{k.partition, k.path[:max(strings.LastIndexByte(k.path, '/'), 0)]}
}

// ino is what stat tells as the inode number: one that no file has, because versions use no bit that high (node_ino.go). It is the
// same for as long as the mount is there.
func (k pastKey) ino() uint64 {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64(nil, k.partition))
	h.Write([]byte(k.path))
	return 1<<63 | binary.LittleEndian.Uint64(h.Sum(nil))>>1
}

// A byFile is a folder below .by-file that the kernel knows.
type byFile struct {
	ord   uint64
	key   pastKey
	guard guard
	dir   nodeID // the folder in which it was last found
	count uint64 // how often the kernel was told of it, less what it forgot
	used  uint64 // by byFiles.clock
}

func (n *byFile) node() nodeID { return kindNode(byFileKind, n.ord) }

// byFiles are the folders below .by-file that the kernel knows. Unlike other nodes they are forgotten when it forgets them, for there are as many as paths; and when
// they are many, it is made to forget those that were not used of late. No ordinal is given twice.
type byFiles struct {
	mu    sync.Mutex
	last  uint64
	clock uint64
	byID  map[uint64]*byFile
	at    map[pastKey]*byFile // the newest of each path
	most  int                 // maxByFiles, but for tests
	full  chan struct{}       // there are more

	pasts pastCache
	lists byFileLists
}

// maxByFiles is how many folders are kept: some 2 MB.
const maxByFiles = 1 << 13

func (f *byFiles) start() {
	f.byID, f.at = make(map[uint64]*byFile), make(map[pastKey]*byFile)
	f.most, f.full = maxByFiles, make(chan struct{}, 1)
}

// tell returns the folder of a path, which the kernel will be told of once more, in the folder dir; 0 if it did not ask there. When others may come there
// than before, it is another one: who sits in the old one, or has it open, was let in by what is not so any more.
func (f *byFiles) tell(dir nodeID, k pastKey, p *past) nodeID {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.at[k]
	if n == nil || n.guard != p.guard {
		f.last++
		n = &byFile{ord: f.last, key: k, guard: p.guard}
		f.at[k], f.byID[n.ord] = n, n
	}
	n.count++
	if dir != 0 {
		n.dir = dir
	}
	f.use(n)
	if len(f.byID) > f.most {
		select {
		case f.full <- struct{}{}:
		default:
		}
	}
	return n.node()
}

// use is called under the lock.
func (f *byFiles) use(n *byFile) {
	f.clock++
	n.used = f.clock
}

// get returns the path of a folder and who may come there; false if the kernel does not know it.
func (f *byFiles) get(id nodeID) (k pastKey, g guard, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.byID[id.ord()]
	if n == nil {
		return k, g, false
	}
	f.use(n)
	return n.key, n.guard, true
}

// forget notes that the kernel forgot a folder so many times.
func (f *byFiles) forget(id nodeID, times uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.byID[id.ord()]
	if n == nil {
		return
	}
	if n.count -= min(times, n.count); n.count == 0 {
		delete(f.byID, n.ord)
		if f.at[n.key] == n {
			delete(f.at, n.key)
		}
	}
}

// unused returns the folders that were not used of late, oldest first, if there are too many.
func (f *byFiles) unused() []byFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.byID) <= f.most {
		return nil
	}
	var all []byFile
	for _, n := range f.byID {
		if n.dir.kind() == byFileKind {
			all = append(all, *n)
		}
	}
	slices.SortFunc(all, func(a, b byFile) int { return cmp.Compare(a.used, b.used) })
	return all[:max(len(all)-f.most/2, 0)]
}

// trim makes the kernel forget folders below .by-file if it knows too many. Those in use it keeps, without their names until they are looked up again.
func (v *view) trim(c *conn) {
	for _, n := range v.byFiles.unused() {
		c.entryNotify(n.dir, path.Base(n.key.path))
	}
}

// of lists the folders of a partition.
func (f *byFiles) of(partition uint64) (all []nodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.byID {
		if n.key.partition == partition {
			all = append(all, n.node())
		}
	}
	return all
}
