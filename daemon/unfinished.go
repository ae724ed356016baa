package daemon

import (
	"cmp"
	"os"
	"path/filepath"
)

// unfinished is the file in which a backup of a partition notes what it has read, for the next one if it is cut off; "" if there can be none: then the
// next one reads everything anew.
func (d *Daemon) unfinished(partition string) string {
	dir := d.o.Home.Unfinished
	made := mkdir(dir, 0o700)
	if err := cmp.Or(made, own(dir)); err != nil {
		d.log.Warn("have a folder for what backups that are cut off have read", "err", err)
		return ""
	}
	return filepath.Join(dir, partition)
}

// forgetUnfinished removes what was noted of all partitions.
func (d *Daemon) forgetUnfinished() {
	if err := os.RemoveAll(d.o.Home.Unfinished); err != nil {
		d.log.Warn("remove what was noted of backups that were cut off", "err", err)
	}
}
