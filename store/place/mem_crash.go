package place

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// tornBlock is the unit in which the medium takes a file's bytes.
const tornBlock = 4 << 10

// An ending is what puts an end to the use of a disk.
type ending int

const (
	powerLoss ending = iota // of what is not synced, chance decides
	kill                    // everything stays, and stays as synced or not as it was
)

// after ends the use of d and returns the disk that is found by whoever comes next.
func (d *memDisk) after(how ending) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	next := newMemDisk(d.title, d.rng.Uint64())
	next.faults.capacity = d.faults.capacity
	s := survivors{rng: d.rng, how: how, of: map[*node]*node{}}
	next.top = s.node(d.top)
	return next
}

// survivors copies what an ending leaves of a tree.
type survivors struct {
	rng *rand.Rand
	how ending
	of  map[*node]*node // as a file may be left under two names: the one it was renamed from, and to
}

func (s *survivors) node(n *node) *node {
	if n == nil {
		return nil
	}
	if s.of[n] == nil {
		if n.isFolder() {
			s.of[n] = s.folder(n)
		} else {
			s.of[n] = s.file(n)
		}
	}
	return s.of[n]
}

func (s *survivors) folder(n *node) *node {
	left := newFolder()
	all := maps.Clone(n.stable)
	maps.Copy(all, n.names)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		seen, stable := n.names[name], n.stable[name]
		if s.how == powerLoss {
			if s.rng.IntN(2) == 0 {
				seen = stable
			}
			stable = seen
		}
		put(left.names, name, s.node(seen))
		put(left.stable, name, s.node(stable))
	}
	return left
}

func put(names map[string]*node, name string, n *node) {
	if n != nil {
		names[name] = n
	}
}

func (s *survivors) file(n *node) *node {
	left := &node{data: slices.Clip(n.data), synced: n.synced, bad: n.bad}
	if s.how == powerLoss {
		left.data = s.tear(n)
		left.synced = left.data
	}
	return left
}

// tear returns the bytes of n that a power loss leaves.
func (s *survivors) tear(n *node) []byte {
	kept := len(n.data)
	if s.rng.IntN(3) > 0 {
		kept = len(n.synced) + s.rng.IntN(len(n.data)-len(n.synced)+1)
	}
	torn := slices.Clone(n.data[:kept])
	for from := len(n.synced); from < kept; {
		to := min(kept, from-from%tornBlock+tornBlock)
		switch s.rng.IntN(3) {
		case 0:
			clear(torn[from:to])
		case 1:
			for i := range torn[from:to] {
				torn[from+i] = byte(s.rng.Uint32()) // another file's, removed long ago
			}
		}
		from = to
	}
	return torn
}
