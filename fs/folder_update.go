package fs

import (
	"context"
	"time"

	"yester/store"
)

// A change is what the kernel may have kept and is not true any more.
type change struct {
	folder nodeID
	name   string // in the folder: it came, went, or is another one now
	link   nodeID // it is the link "latest", and leads elsewhere
}

// update brings the folders in line with the vault, and returns what changed. It is called by one at a time. seen are instances
// that have versions, whether the vault describes them or not.
func (v *view) update(seen []string) ([]change, error) {
	described, err := v.vault.Instances(context.Background())
	if err != nil && len(seen) == 0 {
		return nil, err
	}
	if err != nil {
		v.log.Warn("names of instances cannot be read", "err", err)
	}
	hosts := v.folders.hosts()
	for _, id := range seen {
		if _, ok := hosts[id]; !ok {
			hosts[id] = ""
		}
	}
	for _, in := range described {
		if in.Name != "" || hosts[in.ID] == "" { // what cannot be read just now is as it was
			hosts[in.ID] = in.Name
		}
	}
	var keys []store.VersionKey
	for id := range hosts {
		keys = append(keys, v.vault.Versions(id)...)
	}
	changes, deleted := v.folders.update(hosts, keys, v.now())
	for _, ver := range deleted {
		v.dropUnknown(ver)
	}
	return changes, nil
}

// hosts returns the ids of all instances that were ever there, and their host names as far as they are known.
func (f *folders) hosts() map[string]string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	hosts := make(map[string]string)
	for _, in := range f.instances {
		hosts[in.id] = in.host
	}
	return hosts
}

// update makes the versions those of keys, and names the instances after their hosts. It returns what changed, and which versions went.
func (f *folders) update(hosts map[string]string, keys []store.VersionKey, now time.Time) ([]change, []*version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := updater{folders: f, now: now, first: len(f.instances) == 0}
	for id, host := range hosts {
		f.instance(id).host = host
	}
	u.versions(keys)
	u.names()
	return u.changes, u.deleted
}

// An updater collects changes while it makes them.
type updater struct {
	*folders
	now     time.Time
	first   bool
	changes []change
	deleted []*version
}

// versions takes away those that are not in keys and adds those that are not there.
func (u *updater) versions(keys []store.VersionKey) {
	there := make(map[store.VersionKey]bool, len(keys))
	for _, k := range keys {
		there[k] = true
	}
	before := make(map[*partition]*version)
	for _, p := range u.partitions {
		before[p] = p.newest
		for _, ver := range p.keep(func(ver *version) bool { return there[ver.key] }) {
			u.changed(p, ver)
			ver.deleted.Store(true)
			u.deleted = append(u.deleted, ver)
		}
	}
	for _, k := range keys {
		if ver := u.add(k); ver != nil {
			u.changed(at(u.partitions, ver.parent.ord()), ver)
		}
	}
	for _, p := range u.partitions {
		if p.newest != before[p] {
			u.moved(p, before[p])
		}
	}
}

func (u *updater) changed(p *partition, ver *version) {
	u.changes = append(u.changes, change{folder: p.node(), name: ver.key.Version})
	u.touch(&p.mtime, ver.time)
	p.generation++
}

// moved notes that a partition has another newest version than before, and so, if it had or has none, that it came or went.
func (u *updater) moved(p *partition, before *version) {
	u.changes = append(u.changes, change{folder: p.node(), name: latest, link: p.link()})
	if before == nil || p.newest == nil {
		u.changes = append(u.changes, change{folder: p.in.node(), name: p.name})
		u.touch(&p.in.mtime, p.mtime)
	}
}

// names names the instances that have versions.
func (u *updater) names() {
	hosts := make(map[string]string)
	for _, in := range u.instances {
		for _, p := range in.partitions {
			if p.newest != nil {
				hosts[in.id] = in.host
			}
		}
	}
	names := folderNames(hosts)
	for _, in := range u.instances {
		if name := names[in.id]; name != in.shown {
			u.rename(in, name)
		}
	}
}

func (u *updater) rename(in *instance, name string) {
	for _, n := range []string{in.shown, name} {
		if n != "" {
			u.changes = append(u.changes, change{folder: rootNode, name: n})
		}
	}
	in.shown = name
	u.touch(&u.mtime, in.mtime)
}

// touch sets the time of a folder that changed: to now, or, when the folders are first listed, to that of the newest thing in it.
func (u *updater) touch(mtime *time.Time, thing time.Time) {
	switch {
	case !u.first:
		*mtime = u.now
	case thing.After(*mtime):
		*mtime = thing
	}
}
