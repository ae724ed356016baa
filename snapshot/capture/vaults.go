package capture

import (
	"context"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// What another vault has stored that lies in what is backed up, of a second daemon on the machine or of another machine, is left out: what two daemons that back up each other's
// vaults store each day both would store again, without an end. It is taken if its folder, or something in it, is included by name. Its vault.json and its keys are taken, as is a copy of
// them that somebody keeps.

// vaultFile is the file that makes a folder the place of a vault.
var vaultFile = zname("vault.json\x00")

// isVaults tells whether the folder t in d has in it what a vault that is left out has stored.
func (w *walker) isVaults(d *directory, t *target) bool {
	if string(t.name.bytes()) != store.InstanceFolder || d.at.named() || !holdsVault(d.fd, t.stat.uid) {
		return false
	}
	at, _ := w.filter.enter(d.at, w.path[:max(0, len(w.path)-len(t.name))], t.name.bytes())
	return !at.leads()
}

// leaveVault leaves out the folder name in d, and says so unless the parent version has left it out already; old is what that has of it.
func (w *walker) leaveVault(ctx context.Context, d *directory, name zname, old *snapshot.Entry) {
	w.skipped++
	w.passOver(d, name)
	if old != nil || !w.hadVault(ctx, w.path[:max(0, len(w.path)-len(name))]) {
		w.warn("it belongs to another vault and is left out, from now on without a word; it is taken if the vault's folder is a path of its own (--path)")
	}
}

// hadVault tells whether the parent version has a vault.json in a folder.
func (w *walker) hadVault(ctx context.Context, folder []byte) bool {
	root, err := w.parentRoot()
	if err != nil || root == nil {
		return false
	}
	_, err = snapshot.LookupPath(ctx, w.get, *root, string(folder)+"/"+string(vaultFile.bytes()))
	return err == nil
}

// holdsVault tells whether the open folder dir is the place of a vault of that owner: others may have a file of that name, and nobody is to have left out what is another's.
func holdsVault(dir int, owner uint32) bool {
	fd, err := openAt(dir, vaultFile, openFile)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	st, err := statFD(fd, statMask)
	if err != nil || st.kind() != unix.S_IFREG || st.uid != owner || st.size > store.MaxVaultFile {
		return false
	}
	b := make([]byte, st.size)
	whole, _ := readWhole(fd, b)
	return whole && store.IsVaultFile(b)
}

// lookAtVault has the folder with what a vault has stored be looked at if the changes say that there may be one now, or none any more.
func (k *known) lookAtVault() {
	if k.tells(string(vaultFile.bytes())) {
		k.dirty.name(store.InstanceFolder)
	}
}
