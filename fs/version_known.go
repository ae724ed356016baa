package fs

// What the mount remembers of a version goes when it was deleted and the kernel knows no node in it any more. It asks for no other then but by a file handle, as
// NFS has them, and that is stale.

// versionOf returns the version that a node is in, nil if it is in none that there is.
func (v *view) versionOf(id nodeID) *version {
	switch {
	case id.kind() == versionKind:
		return v.folders.version(id.ord())
	case id.inVersion():
		_, ver := v.slots.find(id.slot())
		return ver
	}
	return nil
}

// tell notes that the kernel is about to be told so many times of nodes in the version of a node. Folders below .by-file are counted where they are made.
func (v *view) tell(id nodeID, times uint64) {
	if ver := v.versionOf(id); ver != nil {
		ver.known.Add(int64(times))
	}
}

// forget takes in that the kernel forgot a node so many times, or was not told of it after all.
func (v *view) forget(id nodeID, times uint64) {
	if id.kind() == byFileKind {
		v.byFiles.forget(id, times)
		return
	}
	if ver := v.versionOf(id); ver != nil && ver.known.Add(-int64(times)) <= 0 {
		v.dropUnknown(ver)
	}
}

// dropUnknown drops what is remembered of a version if it was deleted and the kernel knows nothing in it.
func (v *view) dropUnknown(ver *version) {
	if ver.deleted.Load() && ver.known.Load() <= 0 {
		v.slots.drop(ver)
		v.folders.drop(ver)
	}
}

// drop drops a version that was deleted. No other gets its ordinal.
func (f *folders) drop(ver *version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.versions[ver.ord-1] = nil
}
