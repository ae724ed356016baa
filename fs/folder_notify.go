package fs

import (
	"maps"
	"slices"
	"sync"

	"yester/store"
)

// A notifier collects that versions came or went, for a goroutine that tells the kernel. The kernel may make a notification wait
// for requests under way, so none is ever sent from within a request, from the vault's own call, or under a lock.
type notifier struct {
	wake      chan struct{}
	quit      chan struct{}
	stopWatch func()
	stopOnce  sync.Once

	mu        sync.Mutex
	instances map[string]bool // that changed
	running   sync.WaitGroup
}

func (n *notifier) start(vault *store.Vault) {
	n.wake, n.quit = make(chan struct{}, 1), make(chan struct{})
	n.stopWatch = vault.Watch(func(k store.VersionKey, _ bool) { n.changed(k.Instance) })
}

func (n *notifier) changed(instance string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.instances == nil {
		n.instances = make(map[string]bool)
	}
	n.instances[instance] = true
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := slices.Collect(maps.Keys(n.instances))
	clear(n.instances)
	return ids
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
	changes, err := v.update(v.notifier.take())
	if err != nil {
		v.log.Warn("list of versions in the mount is not up to date", "err", err)
		return
	}
	lists, partitions := make(map[nodeID]bool), make(map[uint64]string)
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
	for id := range lists {
		conn.inodeNotify(id)
	}
}
