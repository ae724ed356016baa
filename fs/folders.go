package fs

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"yester/snapshot"
	"yester/store"
)

// folders are what lies above the versions: instances, their partitions, and in each the list of versions. What was shown
// keeps its ordinal, and so its node, when it goes: someone may sit in it. A folder is shown while there is a
// version below it.
type folders struct {
	mu         sync.RWMutex
	mtime      time.Time // of the root
	instances  []*instance
	partitions []*partition
	versions   []*version // nil for one that was dropped

	byID map[string]*instance
	own  string // id of the instance whose users this machine's are
}

type instance struct {
	ord        uint64
	id         string
	host       string // host name, "" if not known
	shown      string // name of its folder; "" if it has no versions
	mtime      time.Time
	partitions []*partition // by ordinal
}

type partition struct {
	ord      uint64
	name     string
	in       *instance
	mtime    time.Time
	byName   map[string]*version
	versions []*version // by ordinal
	newest   *version   // nil if there is none

	generation uint64 // of versions: how often some came or went

	said atomic.Pointer[bool] // whether it is closed, by the last version that knew
}

func (in *instance) node() nodeID { return kindNode(instanceKind, in.ord) }
func (p *partition) node() nodeID { return kindNode(partitionKind, p.ord) }
func (p *partition) link() nodeID { return kindNode(latestKind, p.ord) }

// latest is the name of the link to a partition's newest version.
const latest = "latest"

// version returns the version of that ordinal, nil if there is none, or none any more.
func (f *folders) version(ord uint64) *version {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return at(f.versions, ord)
}

// gone tells whether a version was deleted.
func (f *folders) gone(ver *version) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p := at(f.partitions, ver.parent.ord())
	return p.byName[ver.key.Version] != ver
}

// generation tells how often versions of a partition came or went.
func (f *folders) generation(partition uint64) uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if p := at(f.partitions, partition); p != nil {
		return p.generation
	}
	return 0
}

// said is what is known of whether a partition, which must be there, is closed.
func (f *folders) said(partition uint64) *atomic.Pointer[bool] {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return &at(f.partitions, partition).said
}

// history returns the versions of a partition, oldest first, and their generation.
func (f *folders) history(partition uint64) (generation uint64, versions []*version) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	p := at(f.partitions, partition)
	if p == nil {
		return 0, nil
	}
	byTime := func(a, b *version) int { return strings.Compare(a.key.Version, b.key.Version) }
	return p.generation, slices.SortedFunc(slices.Values(p.versions), byTime)
}

// at returns the item of an ordinal, nil if there is none.
func at[T any](all []*T, ord uint64) *T {
	if ord == 0 || ord > uint64(len(all)) {
		return nil
	}
	return all[ord-1]
}

// instance returns the instance of that id, a new one if need be.
func (f *folders) instance(id string) *instance {
	if in := f.byID[id]; in != nil {
		return in
	}
	if f.byID == nil {
		f.byID = make(map[string]*instance)
	}
	in := &instance{ord: uint64(len(f.instances)) + 1, id: id}
	f.instances = append(f.instances, in)
	f.byID[id] = in
	return in
}

// partition returns the partition of that name, a new one if need be.
func (f *folders) partition(in *instance, name string) *partition {
	for _, p := range in.partitions {
		if p.name == name {
			return p
		}
	}
	p := &partition{ord: uint64(len(f.partitions)) + 1, name: name, in: in, byName: make(map[string]*version)}
	f.partitions = append(f.partitions, p)
	in.partitions = append(in.partitions, p)
	return p
}

// add takes in a version, and returns nil if it is there.
func (f *folders) add(k store.VersionKey) *version {
	p := f.partition(f.instance(k.Instance), k.Partition)
	if p.byName[k.Version] != nil || k.Version == latest {
		return nil
	}
	start, _ := time.Parse(snapshot.NameLayout, k.Version)
	ver := &version{ord: uint64(len(f.versions)) + 1, key: k, parent: p.node(), time: start}
	f.versions = append(f.versions, ver)
	p.versions = append(p.versions, ver)
	p.byName[k.Version] = ver
	if p.newest == nil || k.Version > p.newest.key.Version {
		p.newest = ver
	}
	return ver
}

// keep drops the versions of p for which there is false, and returns them.
func (p *partition) keep(there func(*version) bool) (dropped []*version) {
	p.versions = slices.DeleteFunc(p.versions, func(ver *version) bool {
		if there(ver) {
			return false
		}
		dropped = append(dropped, ver)
		delete(p.byName, ver.key.Version)
		return true
	})
	if len(dropped) > 0 {
		p.newest = nil
		for _, ver := range p.versions {
			if p.newest == nil || ver.key.Version > p.newest.key.Version {
				p.newest = ver
			}
		}
	}
	return dropped
}
