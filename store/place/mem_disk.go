package place

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// memDisk is the disk of a Mem.
type memDisk struct {
	title string // names it in errors of open files

	mu      sync.Mutex // guards all below, the nodes too
	top     *node
	rng     *rand.Rand
	ops     int
	crashAt int // ops at which the power goes, -1 for never
	dead    bool
	power   *Power // nil: its own, see crashAt
	faults  faults
}

// A node is a file or a folder, as it is seen and as it is on the medium. Contents of files are never changed in place,
// so what is seen and what is synced may share bytes.
type node struct {
	data, synced  []byte           // of a file; data starts with synced
	bad           []span           // of a file: what cannot be read
	names, stable map[string]*node // of a folder; nil in a file
}

func newFolder() *node { return &node{names: map[string]*node{}, stable: map[string]*node{}} }

func (n *node) isFolder() bool { return n.names != nil }

func newMemDisk(title string, seed uint64) *memDisk {
	return &memDisk{title: title, top: newFolder(), rng: rand.New(rand.NewPCG(seed, 0)), crashAt: -1}
}

func (d *memDisk) random() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.Uint64()
}

// alive fails once the power is gone. The caller holds mu.
func (d *memDisk) alive() error { return d.powered(false) }

// powered is alive for a step that changes the disk, or one that does not.
func (d *memDisk) powered(step bool) error {
	if d.dead = d.dead || d.crashAt >= 0 && d.ops >= d.crashAt || !d.power.on(step); d.dead {
		return ErrCrashed
	}
	return nil
}

// begin counts a step that changes the disk, or says why it cannot be taken. grows tells whether it adds something
// rather than takes away. The caller holds mu.
func (d *memDisk) begin(grows bool) error {
	if err := d.powered(true); err != nil {
		return err
	}
	d.ops++
	return d.faults.onChange(d.ops, grows)
}

// find returns the file or folder name. The caller holds mu.
func (d *memDisk) find(name string) (*node, error) {
	n := d.top
	if name == "" {
		return n, nil
	}
	for element := range strings.SplitSeq(name, "/") {
		if !n.isFolder() {
			return nil, syscall.ENOTDIR
		}
		if n = n.names[element]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// findFolder is find for a folder.
func (d *memDisk) findFolder(name string) (*node, error) {
	n, err := d.find(name)
	if err == nil && !n.isFolder() {
		return nil, syscall.ENOTDIR
	}
	return n, err
}

// add gives n a name that is free.
func (d *memDisk) add(name string, n *node) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(true); err != nil {
		return err
	}
	in, err := d.findFolder(parent(name))
	if err != nil {
		return err
	}
	if in.names[base(name)] != nil {
		return syscall.EEXIST
	}
	in.names[base(name)] = n
	return nil
}

func (d *memDisk) mkdir(name string) error { return d.add(name, newFolder()) }

func (d *memDisk) create(name string) (tempFile, error) {
	n := &node{}
	if err := d.add(name, n); err != nil {
		return nil, err
	}
	return &memTemp{d, n}, nil
}

func (d *memDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(true); err != nil {
		return err
	}
	n, err := d.find(from)
	if err != nil {
		return err
	}
	in, err := d.findFolder(parent(to))
	if err != nil {
		return err
	}
	if old := in.names[base(to)]; old != nil && old.isFolder() {
		return syscall.EISDIR
	}
	out, err := d.findFolder(parent(from))
	if err != nil {
		return err
	}
	delete(out.names, base(from))
	in.names[base(to)] = n
	return nil
}

func (d *memDisk) remove(name string) error {
	return d.cut(name, func(n *node) error {
		if n.isFolder() {
			return syscall.EISDIR
		}
		return nil
	})
}

func (d *memDisk) rmdir(name string) error {
	return d.cut(name, func(n *node) error {
		if !n.isFolder() {
			return syscall.ENOTDIR
		}
		if len(n.names) > 0 {
			return syscall.ENOTEMPTY
		}
		return nil
	})
}

// cut takes a name away if may allows it.
func (d *memDisk) cut(name string, may func(*node) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(false); err != nil {
		return err
	}
	n, err := d.find(name)
	if err != nil {
		return err
	}
	in, err := d.findFolder(parent(name))
	if err != nil {
		return err
	}
	if err := may(n); err != nil {
		return err
	}
	delete(in.names, base(name))
	return nil
}

func (d *memDisk) syncFolder(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(true); err != nil {
		return err
	}
	n, err := d.findFolder(name)
	if err != nil {
		return err
	}
	n.stable = maps.Clone(n.names)
	return nil
}

func (d *memDisk) syncAll() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults.readOnly { // then nothing is dirty, and syncing it is no change
		return d.alive()
	}
	if err := d.begin(true); err != nil {
		return err
	}
	d.top.sync()
	return nil
}

// sync makes n durable with everything in it. The caller holds the disk's mu.
func (n *node) sync() {
	if !n.isFolder() {
		n.synced = slices.Clip(n.data)
		return
	}
	n.stable = maps.Clone(n.names)
	for _, child := range n.names {
		child.sync()
	}
}

func (d *memDisk) open(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.beginRead(); err != nil {
		return nil, err
	}
	n, err := d.find(name)
	if err != nil {
		return nil, err
	}
	if n.isFolder() {
		return nil, syscall.EISDIR
	}
	return &memFile{disk: d, name: name, node: n, size: int64(len(n.data))}, nil
}

func (d *memDisk) list(name string) ([]Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.beginRead(); err != nil {
		return nil, err
	}
	n, err := d.findFolder(name)
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		list = append(list, Info{Name: name, Size: int64(len(n.names[name].data)), Dir: n.names[name].isFolder()})
	}
	return list, nil
}

// beginRead says why a step that only reads cannot be taken. The caller holds mu.
func (d *memDisk) beginRead() error {
	if err := d.alive(); err != nil {
		return err
	}
	return d.faults.reads
}

// base returns the last element of name.
func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
