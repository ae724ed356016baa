package daemon

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"time"
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

// unfinishedStays is how long what was noted of a partition stays that is not backed up any more, or not mounted.
const unfinishedStays = 30 * 24 * time.Hour

// keepUnfinished removes what was noted of partitions that are no targets, unless it was of late.
func (d *Daemon) keepUnfinished(targets []target) {
	noted, _ := os.ReadDir(d.o.Home.Unfinished) // there may be none
	for _, f := range noted {
		isOf := func(t target) bool { return t.partition.Name == f.Name() }
		if info, err := f.Info(); err != nil || slices.ContainsFunc(targets, isOf) || time.Since(info.ModTime()) < unfinishedStays {
			continue
		}
		if err := os.Remove(filepath.Join(d.o.Home.Unfinished, f.Name())); err != nil {
			d.log.Warn("remove what was noted of a backup that was cut off", "err", err)
		}
	}
}

// forgetUnfinished removes what was noted of all partitions.
func (d *Daemon) forgetUnfinished() {
	if err := os.RemoveAll(d.o.Home.Unfinished); err != nil {
		d.log.Warn("remove what was noted of backups that were cut off", "err", err)
	}
}
