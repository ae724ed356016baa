package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"yester/control"
	"yester/fs"
	"yester/store"
)

// tryMount mounts the vault unless it is mounted, or the daemon stops. Where that fails the daemon goes on without: what matters is the backup.
func (d *Daemon) tryMount() {
	d.mounting.Lock()
	defer d.mounting.Unlock()
	if d.tasks.stopping() {
		return
	}
	d.mu.Lock()
	v, dir, needless := d.vault, d.o.Home.Mount, d.vault == nil || d.mounted()
	d.mu.Unlock()
	if needless {
		return
	}
	own := d.instance.ID
	if d.ownership() != "" { // the users of another machine have the numbers now
		own = ""
	}
	m, err := (*fs.Mount)(nil), errors.New("the settings name no mount folder")
	if dir != "" {
		m, err = fs.Serve(fs.Options{Dir: dir, Vault: v, Own: own, Log: d.log, Now: d.o.Now})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.mountErr
	d.mount, d.mountErr, d.mountAlone = m, err, own == ""
	switch {
	case err == nil:
		d.mountCut = false
		d.log.Info("mounted", "dir", dir)
	case dir != "" && (before == nil || before.Error() != err.Error()): // once, however often it is tried
		d.log.Error("the vault is not mounted, backups go on", "dir", dir, "err", err)
	}
}

// mounted tells whether the mount is served. d.mu is held.
func (d *Daemon) mounted() bool {
	if d.mount == nil {
		return false
	}
	select {
	case <-d.mount.Ended():
		d.unmounted(d.mount)
		return false
	default:
		return true
	}
}

// unmounted takes in that a mount is served no more. What is left of one that was cut is taken away. d.mu is held.
func (d *Daemon) unmounted(m *fs.Mount) {
	d.mount = nil
	d.retire(m)
	if d.mountCut = m.IsCut(); !d.mountCut {
		d.mountErr = errors.New("it was unmounted by hand: `yester activate` mounts it again")
		return
	}
	d.mountErr = errors.New("its connection to the kernel was cut")
	d.log.Error("the connection of the mount to the kernel was cut", "dir", d.o.Home.Mount)
	if err := fs.Detach(d.o.Home.Mount); err != nil {
		d.mountErr = fmt.Errorf("%w, and it cannot be unmounted: %w", d.mountErr, err)
	}
}

// mountAgain mounts the vault if its mount was cut off, and was not mounted since, or if it is for root alone and no longer has to be: the instance is the daemon's again.
// The other way round it stays as it is until the daemon is started again.
func (d *Daemon) mountAgain() {
	if d.isCutOrAlone() {
		d.tryMount()
	}
}

func (d *Daemon) isCutOrAlone() bool {
	d.mounting.Lock()
	defer d.mounting.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mounted() {
		return d.mountCut
	}
	if !d.mountAlone || d.ownership() != "" {
		return false
	}
	d.retire(d.mount)
	if err := d.unmount(); err != nil {
		d.log.Error("the mount that is for root alone cannot be ended", "err", err)
	}
	return true
}

// unmount ends the mount. d.mounting and d.mu are held.
func (d *Daemon) unmount() error {
	if d.mount == nil {
		return nil
	}
	m := d.mount
	d.mount = nil
	return m.Unmount()
}

// retire keeps a mount that is served no more, as requests to it may still wait for the vault, and none of those before for which none does. d.mu is held.
func (d *Daemon) retire(m *fs.Mount) {
	d.isRead()
	d.ended = append(d.ended, m)
}

// isRead tells whether requests to a mount that is served no more still wait for the vault. d.mu is held.
func (d *Daemon) isRead() bool {
	d.ended = slices.DeleteFunc(d.ended, func(m *fs.Mount) bool {
		select {
		case <-m.Done():
			return true
		default:
			return false
		}
	})
	return len(d.ended) > 0
}

// mountStatus tells where to browse, or why one can't.
func (d *Daemon) mountStatus() control.Mount {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := control.Mount{Dir: d.o.Home.Mount, Mounted: d.mounted()}
	switch {
	case s.Mounted:
	case d.mountErr != nil:
		s.Because = sentence(d.mountErr)
	case d.unopened != nil:
		s.Because = "the vault is not open"
	default:
		s.Because = "there is no vault yet"
	}
	return s
}

// browse is the folder that shows a version, "" if nothing is mounted.
func (d *Daemon) browse(k store.VersionKey) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mounted() {
		return ""
	}
	return filepath.Join(d.o.Home.Mount, d.shownName(k.Instance, d.instance.Name), k.Partition, k.Version)
}

// shownAs is the name of the folder in the mount that has the versions of an instance.
func (d *Daemon) shownAs(id, name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shownName(id, name)
}

// shownName is shownAs with d.mu held. Before there is a version it is taken to be the instance's name.
func (d *Daemon) shownName(id, name string) string {
	if d.mounted() {
		if shown := d.mount.InstanceFolder(id); shown != "" {
			return shown
		}
	}
	return name
}
