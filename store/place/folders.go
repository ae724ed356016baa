package place

import (
	"errors"
	"io/fs"
	"syscall"
)

// A folder holds durable files only if its own name in its parent is durable, and so on up. That a folder is there does
// not tell: another Write, or a process that was killed, may have made it and not yet have synced its parent. So each
// place remembers for which folders it saw that sync succeed, and does it for the others at their first use.

// ensure makes folder and those above it, durably.
func (p *files) ensure(folder string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ensureLocked(folder)
}

func (p *files) ensureLocked(folder string) error {
	if folder == "" || p.durable[folder] {
		return nil
	}
	if err := p.ensureLocked(parent(folder)); err != nil {
		return err
	}
	if err := p.disk.mkdir(folder); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Before anything lies in the folder, as prune counts on.
	if err := p.disk.syncFolder(parent(folder)); err != nil {
		return err
	}
	p.durable[folder] = true
	return nil
}

// forget makes ensure look again at folder and those above it, one of which was found missing.
func (p *files) forget(folder string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; folder != ""; folder = parent(folder) {
		delete(p.durable, folder)
	}
}

// prune removes folder and those above it, as far as they are empty, and returns the lowest that stays. Once that one is
// synced, what went from below it stays away: either it is folder itself, which lost a name, or it lost the folder
// with everything in it. A folder that went and was made anew is synced in its parent before it can be found in use.
func (p *files) prune(folder string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; folder != ""; folder = parent(folder) {
		err := p.disk.rmdir(folder)
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			delete(p.durable, folder)
		case errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EBUSY): // in use, or a mount point
			return folder, nil
		default:
			return folder, err
		}
	}
	return "", nil
}

// syncRemaining syncs folder or, if a concurrent Remove took that, the next one above. Then what lay in it was removed
// too, and there is nothing of it to keep.
func (p *files) syncRemaining(folder string) error {
	for {
		err := p.disk.syncFolder(folder)
		if folder == "" || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		folder = parent(folder)
	}
}
