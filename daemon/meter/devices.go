package meter

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"yester/control"
)

// Devices lists the block devices of the machine, by name, as the sysfs that is mounted at sys shows them: its disks, mounted or not. What is made of
// others (partitions, RAID, volumes, caches, loop devices), of memory, or takes discs that come and go is none, and a disk that is reached by several
// paths is one.
func Devices(sys string) ([]control.BlockDevice, error) {
	dir := filepath.Join(sys, "block")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	var all []control.BlockDevice
	paths := map[string]bool{}
	for _, e := range entries {
		b := block(filepath.Join(dir, e.Name()))
		n := b.size()
		if n == 0 || !b.isDisk() {
			continue
		}
		if many := b.multipath(); many != "" {
			if paths[many] {
				continue
			}
			paths[many] = true
		}
		all = append(all, control.BlockDevice{Name: strings.ReplaceAll(e.Name(), "!", "/"), Capacity: n}) // a slash in a name is written so
	}
	slices.SortFunc(all, func(a, b control.BlockDevice) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// A block is the folder of a block device in sysfs.
type block string

// read is what a file of it says, "" if there is none.
func (b block) read(name string) string {
	s, _ := os.ReadFile(filepath.Join(string(b), name))
	return strings.TrimSpace(string(s))
}

func (b block) has(name string) bool {
	_, err := os.Stat(filepath.Join(string(b), name))
	return err == nil
}

// size is in bytes; sysfs counts sectors of 512 bytes whatever those of the device are. A device that is gone meanwhile has none.
func (b block) size() uint64 {
	n, _ := strconv.ParseUint(b.read("size"), 10, 54)
	return n * 512
}

// A driver of one of these names makes devices of memory or of files; a zd is a volume of a ZFS.
var notDisks = []string{"ram", "zram", "loop", "zd", "fd"}

func (b block) isDisk() bool {
	name := strings.TrimRight(filepath.Base(string(b)), "0123456789")
	const rom = "5" // the SCSI type
	switch slaves, _ := os.ReadDir(filepath.Join(string(b), "slaves")); {
	case slices.Contains(notDisks, name), len(slaves) > 0, b.has("dm"), b.has("md"), b.has("bcache"), b.has("loop"):
		return false
	case b.read("device/type") == rom, b.read("hidden") == "1":
		return false
	}
	return true
}

// multipath is the device that joins the paths of one disk, if b is such a path.
func (b block) multipath() string {
	holders, _ := os.ReadDir(filepath.Join(string(b), "holders"))
	for _, h := range holders {
		if uuid := b.read("holders/" + h.Name() + "/dm/uuid"); strings.HasPrefix(uuid, "mpath-") {
			return uuid
		}
	}
	return ""
}
