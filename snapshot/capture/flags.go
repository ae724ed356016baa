package capture

import "golang.org/x/sys/unix"

// settableFlags are the inode flags that chattr can set and a restore so can bring back (linux/fs.h). Not among them are those that tell
// how the file system keeps the file: extents, index, inline data, verity, encryption.
const settableFlags = 0x1 | // secure deletion
	0x2 | // undelete
	0x4 | // compress
	0x8 | // synchronous
	0x10 | // immutable
	0x20 | // append only
	0x40 | // no dump
	0x80 | // no access time
	0x400 | // do not compress
	0x4000 | // journal data
	0x8000 | // no tail merging
	0x10000 | // synchronous folder
	0x20000 | // top of hierarchy
	0x800000 | // no copy on write
	0x2000000 | // direct access
	0x20000000 | // project of the folder for what is made in it; to be seen only, for the project is not kept
	0x40000000 // names without regard to case

// caseless is the flag of a folder in which names are found without regard to case. The kernel tells of changes there by the names that programs use, which need not be
// those that the folder has.
const caseless = 0x40000000

// inodeFlags returns the flags of an open file or folder, none where the file system has none.
func inodeFlags(fd int) uint32 {
	f, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0
	}
	return f & settableFlags
}
