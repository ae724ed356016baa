package capture

import "strings"

// ownType is the file system type of our own mount.
const ownType = "fuse.yester"

// network are the types whose files lie on other machines, or are shared with them.
var network = typeSet("nfs nfs4 cifs smb3 smbfs ncpfs 9p virtiofs vboxsf vmhgfs ceph lustre afs coda orangefs pvfs2 beegfs gpfs " +
	"glusterfs davfs ocfs2 gfs gfs2 panfs")

// images are the types of read-only images: what is in them came from a file that is backed up, or from a disc.
var images = typeSet("squashfs iso9660 udf erofs cramfs romfs")

func typeSet(names string) map[string]bool {
	set := map[string]bool{}
	for _, n := range strings.Fields(names) {
		set[n] = true
	}
	return set
}

// anonymous are the types that lie on block devices and yet have a device number of their own making.
var anonymous = typeSet("btrfs")

// unsupported are the types of which not everything can be told: on bcachefs a file and those in snapshots that were made of it are alike in all that tells files apart.
var unsupported = typeSet("zfs bcachefs")

// renumbered are the types that keep no inode numbers: the kernel draws new ones whenever it looks at a file anew. None of them has hard links.
var renumbered = typeSet("vfat msdos exfat")

// excludedType tells why a mount of this kind is never backed up, "" if it can be.
func excludedType(m *mountLine) string {
	switch {
	case m.fstype == ownType:
		return "yester's own mount"
	case network[m.fstype]:
		return "network file system (" + m.fstype + ")"
	case m.fstype == "fuse" || strings.HasPrefix(m.fstype, "fuse."):
		return "network or user-space file system (" + m.fstype + ")"
	case images[m.fstype]:
		return "read-only image (" + m.fstype + ")"
	case unsupported[m.fstype]:
		return "file system that is not supported (" + m.fstype + ")"
	case anonymous[m.fstype]:
		if !strings.HasPrefix(m.source, "/") {
			return "no block device (" + m.fstype + ")"
		}
		return ""
	case m.major == 0:
		return "pseudo or memory file system (" + m.fstype + ")"
	}
	return ""
}
