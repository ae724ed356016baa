package fs

import (
	"maps"
	"slices"
	"sync"

	"yester/store"
)

// A notifier collects that versions came or went, and what else the kernel is not to keep, for a goroutine that tells the kernel. The kernel may make a notification wait
// for requests under way, so none is ever sent from within a request, from the vault's own call, or under a lock.
type notifier struct {
	wake      chan struct{}
	quit      chan struct{}
	stopWatch func()
	stopOnce  sync.Once

	mu        sync.Mutex
	instances map[string]bool // that changed
	lacking   map[nodeID]bool // folders of which the kernel has a list that lacks names
	running   sync.WaitGroup
}

func (n *notifier) start(vault *store.Vault) {
	n.wake, n.quit = make(chan struct{}, 1), make(chan struct{})
	n.instances, n.lacking = make(map[string]bool), make(map[nodeID]bool)
	n.stopWatch = vault.Watch(func(k store.VersionKey, _ bool) { n.changed(k.Instance) })
}

func (n *notifier) changed(instance string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.instances[instance] = true
	n.ring()
}

// lacks is told that names may be missing at the end of a list of a folder. The kernel would keep it, and what is missing may be there again.
func (n *notifier) lacks(folder nodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lacking[folder] = true
	n.ring()
}

func (n *notifier) ring() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) take() (instances []string, lacking map[nodeID]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	instances, lacking = slices.Collect(maps.Keys(n.instances)), n.lacking
	clear(n.instances)
	n.lacking = make(map[nodeID]bool)
	return instances, lacking
}

// stop ends the watch and waits for the goroutine. The connection must be closed, or a notification could wait for good.
func (n *notifier) stop() {
	n.stopOnce.Do(func() {
		n.stopWatch()
		close(n.quit)
		n.running.Wait()
	})
}

// notify starts the goroutine that follows the vault.
func (v *view) notify(c *conn) {
	v.notifier.running.Go(func() {
		for {
			select {
			case <-v.notifier.quit:
				return
			case <-v.notifier.wake:
				v.follow(c)
			case <-v.byFiles.full:
				v.trim(c)
			}
		}
	})
}

// follow brings the folders in line with the vault and then tells the kernel. First each name: that waits until whoever
// reads the folder with the old list is done. Then the folder's own cached list and times, which nobody can fill with old
// news any more. What is told when it is looked up for the first time the kernel keeps however late it comes: so it is waited, likewise, for who looks up a partition.
//
// A version that went is not marked as deleted to who sits in it: what the kernel has and the vault still has can be read on.
func (v *view) follow(conn *conn) {
	instances, lists := v.notifier.take()
	if len(instances) > 0 {
		v.followVersions(conn, instances, lists)
	}
	for id := range lists {
		conn.inodeNotify(id)
	}
}

// followVersions tells the kernel of names, and adds to lists.
func (v *view) followVersions(conn *conn, instances []string, lists map[nodeID]bool) {
	changes, err := v.update(instances)
	if err != nil {
		v.log.Warn("list of versions in the mount is not up to date", "err", err)
		return
	}
	partitions := make(map[uint64]string)
	for _, c := range changes {
		conn.entryNotify(c.folder, c.name)
		lists[c.folder] = true
		if c.link != 0 {
			lists[c.link] = true
		}
		if c.folder.kind() == partitionKind {
			partitions[c.folder.ord()] = c.name
		}
	}
	for partition, name := range partitions {
		conn.entryNotify(v.folders.parent(kindNode(partitionKind, partition)), name) // which is none there
		for _, id := range v.byFiles.of(partition) {
			conn.entryNotify(id, name)
		}
		for _, id := range v.byFiles.of(partition) { // who looked there meanwhile may have been told old news of others
			lists[id] = true
		}
	}
}
