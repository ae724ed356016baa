package fs

import (
	"math/bits"

	"yester/snapshot"
)

const (
	inoBits     = 44
	maxVersions = 1<<(63-inoBits) - 1 // the highest bit is for folders of paths' pasts (by_file.go)

	// rootIno stands for the inode number of a version's root, which is known without reading the version's record. No file has it.
	rootIno = 0

	large = 1 << (inoBits - 1) // the highest bit that is left for what foldIno makes of an inode number
)

// inodeNumber is what stat tells of a file: the ordinal of its version in 19 of the upper 20 bits, and below the inode number it
// had at the source. So a file has another number in each version, which diff and tar rely on, and the names of a
// hard-link group have one. After half a million versions in one mount the ordinals come round.
func inodeNumber(version, ino uint64) uint64 {
	return ((version-1)%maxVersions+1)<<inoBits | foldIno(ino)
}

// ino is what stat tells of an entry of the version. The file system may have given a number to another file while the version was made, so those that were born
// then, which are few, have others: of the number and the time of birth. Where there is none, as on ext4 with inodes of 128 bytes, two files may have one number.
func (ver *version) ino(e *snapshot.Entry) uint64 {
	from, to := ver.made()
	if e.Ino == rootIno || e.Btime.Sec < from || e.Btime.Sec > to || e.Btime.IsZero() {
		return inodeNumber(ver.ord, e.Ino)
	}
	born := uint64(e.Btime.Sec)*1e9 + uint64(e.Btime.Nsec)
	return inodeNumber(ver.ord, large|snapshot.Mix(snapshot.Mix(e.Ino)^born)%large)
}

// foldIno brings an inode number down to 44 bits. Those below 2^43 stay what they are. Larger ones keep the highest bit, and below it their upper 21 bits are
// laid over the others in reverse. In these, captures keep the id of a subvolume that is nested in the partition: reversed, it grows downwards as the numbers in
// subvolumes grow upwards, so no two files have one number as long as the longest id and the longest number have 42 bits together.
func foldIno(ino uint64) uint64 {
	if ino < large {
		return ino
	}
	upper := bits.Reverse64(ino>>(inoBits-1)) >> (64 - (inoBits - 1))
	return large | (ino^upper)&(large-1)
}

// folderIno is the inode number of a folder above the versions: ordinal 0, and the kind of folder as the upper bits.
func folderIno(id nodeID) uint64 {
	if id == rootNode {
		return uint64(rootNode)
	}
	return uint64(id.kind())<<(inoBits-4) | id.ord()
}
