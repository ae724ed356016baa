package fs

const (
	inoBits     = 44
	maxVersions = 1<<(63-inoBits) - 1 // the highest bit is for folders of paths' pasts (by_file.go)

	// rootIno stands for the inode number of a version's root, which is known without reading the version's record. No file has it.
	rootIno = 0
)

// inodeNumber is what stat tells of a file: the ordinal of its version in 19 of the upper 20 bits, and below the inode number it
// had at the source. So a file has another number in each version, which diff and tar rely on, and the names of a
// hard-link group have one. After half a million versions in one mount the ordinals come round.
func inodeNumber(version, ino uint64) uint64 {
	return ((version-1)%maxVersions+1)<<inoBits | foldIno(ino)
}

// foldIno brings an inode number down to 44 bits. Those below 2^44 stay what they are; of larger ones, which only file systems
// of many terabytes have, the upper 20 bits are laid over the lower.
func foldIno(ino uint64) uint64 { return (ino ^ ino>>inoBits) & (1<<inoBits - 1) }

// folderIno is the inode number of a folder above the versions: ordinal 0, and the kind of folder as the upper bits.
func folderIno(id nodeID) uint64 {
	if id == rootNode {
		return uint64(rootNode)
	}
	return uint64(id.kind())<<(inoBits-4) | id.ord()
}
