package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// A nodeID names a file to the kernel, for as long as the mount is there; no id is ever used for two files.
//
//	bits 60–63  kind
//	bits 12–59  of an entry: the slot of its page, from 1
//	bits  0–11  of an entry: its position in the page
//	bits  0–59  of other kinds: the ordinal of the instance, partition, version or folder of a path's past, from 1
//
// The kernel wants the top folder to be 1, which is an entry of slot 0.
type nodeID uint64

type nodeKind uint8

const (
	entryKind     nodeKind = iota // something in a version
	instanceKind                  // a folder of partitions
	partitionKind                 // a folder of versions
	latestKind                    // a partition's link to its newest version
	versionKind                   // the root of a version
	byFileKind                    // a folder of what a path was in all versions
)

const (
	rootNode = nodeID(fuse.FUSE_ROOT_ID)

	kindShift = 60
	slotShift = 12
	posMask   = 1<<slotShift - 1
	ordMask   = 1<<kindShift - 1
)

func entryNode(slot uint64, pos int) nodeID { return nodeID(slot<<slotShift | uint64(pos)) }

func kindNode(k nodeKind, ord uint64) nodeID { return nodeID(uint64(k)<<kindShift | ord) }

func (id nodeID) kind() nodeKind { return nodeKind(id >> kindShift) }

func (id nodeID) slot() uint64 { return uint64(id&ordMask) >> slotShift }

func (id nodeID) pos() int { return int(id & posMask) }

func (id nodeID) ord() uint64 { return uint64(id & ordMask) }

// inVersion tells whether the node is the root of a version or below; otherwise it is one of the folders above, a link there, or a
// folder of a path's past.
func (id nodeID) inVersion() bool {
	return id.kind() == versionKind || id.kind() == entryKind && id != rootNode
}
