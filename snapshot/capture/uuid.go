package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// fileSystemUUID returns the UUID of the file system on device, "" if it is not known.
func fileSystemUUID(device, fstype string) string {
	if u := linkedUUID("/dev/disk/by-uuid", device); u != "" {
		return u
	}
	return superblockUUID(device, fstype)
}

// linkedUUID looks for the link that udev made to device.
func linkedUUID(dir, device string) string {
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return ""
	}
	links, _ := os.ReadDir(dir)
	for _, l := range links {
		if to, err := filepath.EvalSymlinks(filepath.Join(dir, l.Name())); err == nil && to == real {
			return l.Name()
		}
	}
	return ""
}

// A superblock says where a file system type keeps its magic and its UUID: offsets from the start of the device.
type superblock struct {
	magic   string
	magicAt int64
	uuidAt  int64
}

var superblocks = map[string]superblock{
	"ext2":  {"\x53\xef", 1024 + 0x38, 1024 + 0x68},
	"ext3":  {"\x53\xef", 1024 + 0x38, 1024 + 0x68},
	"ext4":  {"\x53\xef", 1024 + 0x38, 1024 + 0x68},
	"xfs":   {"XFSB", 0, 32},
	"btrfs": {"_BHRfS_M", 0x10000 + 64, 0x10000 + 32},
}

// superblockUUID reads the UUID from the device itself, where there is no udev.
func superblockUUID(device, fstype string) string {
	sb, ok := superblocks[fstype]
	if !ok || !strings.HasPrefix(device, "/") {
		return ""
	}
	f, err := os.Open(device)
	if err != nil {
		return ""
	}
	defer f.Close()
	magic, u := make([]byte, len(sb.magic)), make([]byte, 16)
	if _, err := f.ReadAt(magic, sb.magicAt); err != nil || string(magic) != sb.magic {
		return ""
	}
	if _, err := f.ReadAt(u, sb.uuidAt); err != nil {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
