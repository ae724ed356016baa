package daemon

import (
	"errors"
	"fmt"
	"path/filepath"

	"yester/control"
	"yester/fs"
	"yester/store"
)

// tryMount mounts the vault unless it is mounted. Where that fails the daemon goes on without: what matters is the backup.
func (d *Daemon) tryMount() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.vault == nil || d.mounted() {
		return
	}
	if d.o.Home.Mount == "" {
		d.mountErr = errors.New("the settings name no mount folder")
		return
	}
	d.mount, d.mountErr = fs.Serve(fs.Options{Dir: d.o.Home.Mount, Vault: d.vault, Own: d.instance.ID, Log: d.log, Now: d.o.Now})
	if d.mountErr != nil {
		d.mount = nil
		d.log.Error("the vault is not mounted, backups go on", "dir", d.o.Home.Mount, "err", d.mountErr)
		return
	}
	d.log.Info("mounted", "dir", d.o.Home.Mount)
}

// mounted tells whether the mount is served. d.mu is held.
func (d *Daemon) mounted() bool {
	if d.mount == nil {
		return false
	}
	select {
	case <-d.mount.Done():
		d.mount, d.mountErr = nil, d.unmounted(d.mount)
		return false
	default:
		return true
	}
}

// errCut is why nothing is mounted if nobody wanted that.
var errCut = errors.New("its connection to the kernel was cut")

// unmounted tells why a mount is served no more. What is left of it is taken away.
func (d *Daemon) unmounted(m *fs.Mount) error {
	if !m.IsCut() {
		return errors.New("it was unmounted by hand: `yester activate` mounts it again")
	}
	d.log.Error("the connection of the mount to the kernel was cut", "dir", d.o.Home.Mount)
	if err := m.Unmount(); err != nil {
		return fmt.Errorf("%w, and it cannot be unmounted: %w", errCut, err)
	}
	return errCut
}

// mountAgain mounts the vault if its mount was cut off.
func (d *Daemon) mountAgain() {
	d.mu.Lock()
	cut := !d.mounted() && errors.Is(d.mountErr, errCut)
	d.mu.Unlock()
	if cut {
		d.tryMount()
	}
}

// unmount ends the mount. d.mu is held.
func (d *Daemon) unmount() error {
	if d.mount == nil {
		return nil
	}
	m := d.mount
	d.mount = nil
	return m.Unmount()
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
