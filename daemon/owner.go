package daemon

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/store"
)

// An instance's versions belong to one daemon at a time: the one that the vault names as their owner (store.Owner). A daemon takes an instance that is nobody's, and
// one that it had before; another's only by `yester vault adopt --as-instance`. Whoever finds that it is no longer the owner adds no versions, deletes none and collects
// nothing. Of two daemons that believe to be the same, on a machine that was cloned say, the one that began later holds.

const holderConstant = "yester holder, version 1"

// holder is what a daemon is called in the vault: it is kept, and the same for a home on a machine that lost it.
func holder(db *state.DB, home, machineIDFile string) (string, error) {
	h, err := db.Holder()
	if !errors.Is(err, state.ErrNotFound) {
		return h, err
	}
	h = randomID()
	if b, _ := os.ReadFile(machineIDFile); len(bytes.TrimSpace(b)) > 0 {
		m := hmac.New(sha256.New, bytes.TrimSpace(b))
		m.Write([]byte(holderConstant + "\x00" + home))
		h = hex.EncodeToString(m.Sum(nil)[:idBytes])
	}
	return h, db.PutHolder(h)
}

// owned is what a daemon knows of whether its instance is its own. It is guarded by Daemon.registering; lost may be read without, as that is held while a place is waited for.
type owned struct {
	holder, run string
	taken       bool                          // by this process
	since       time.Time                     // when it was
	lost        atomic.Pointer[control.Error] // why it is another's; nil: it is not
}

// take notes that the vault names this process.
func (w *owned) take(since time.Time) {
	w.taken, w.since = true, since
	w.lost.Store(nil)
}

// yields tells whether an owner is this daemon, and no process of it that began later than this one.
func (w *owned) yields(o *store.Owner) bool {
	return o.Holder == w.holder && (o.Run == w.run || !w.taken || o.Since.Before(w.since)) // what is older came with a place
}

// owner is what the vault is to say of this daemon.
func (d *Daemon) owner(instance string) store.Owner {
	return store.Owner{
		Instance: instance, Holder: d.owned.holder, Run: d.owned.run, Name: d.instance.Name, Home: d.o.Home.Dir, Since: d.o.Now().UTC().Truncate(time.Second),
	}
}

// mine is nil unless the instance is another daemon's. d.registering is held.
func (d *Daemon) mine(ctx context.Context, v *store.Vault) (free bool, err error) {
	o, err := v.Owner(ctx, d.instance.ID)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrCorrupt): // what says nothing keeps nobody off
		d.owned.taken = false
		d.owned.lost.Store(nil)
		return true, nil
	case err != nil:
		return false, err
	case o.Run == d.owned.run: // also if writing it failed
		d.owned.take(o.Since)
		return false, nil
	case d.owned.yields(&o):
		d.owned.lost.Store(nil)
		return true, nil
	}
	lost := notMine(d.instance.Name, &o) // what it took stays taken: of another that is the same it would not notice that it holds
	d.owned.lost.Store(lost)
	return false, lost
}

// isOther tells whether an owner of an instance is another daemon.
func (d *Daemon) isOther(o *store.Owner) bool {
	d.registering.Lock()
	defer d.registering.Unlock()
	return o.Holder != d.owned.holder || o.Instance == d.instance.ID && !d.owned.yields(o)
}

func notMine(instance string, o *store.Owner) *control.Error {
	where := o.Name
	if o.Home != "" {
		where += " with the home " + o.Home
	}
	return control.Errorf(control.Conflict, "the versions of %s belong to another daemon, that of %s, since %s", instance, where, o.Since.Format("2006-01-02 15:04:05 MST")).
		WithHint("nothing was changed; `yester vault adopt --as-instance %s` takes them over, when the other one is gone", short(o.Instance))
}

// claim makes the instance this daemon's, if it is nobody's or was its own. d.registering is held.
func (d *Daemon) claim(ctx context.Context, v *store.Vault) error {
	free, err := d.mine(ctx, v)
	if err != nil || !free {
		return err
	}
	o := d.owner(d.instance.ID)
	if err := v.PutOwner(ctx, o); err != nil {
		return err
	}
	d.owned.take(o.Since)
	return nil
}

// keepOff is an error if the instance is another daemon's.
func (d *Daemon) keepOff(ctx context.Context, v *store.Vault) error {
	d.registering.Lock()
	defer d.registering.Unlock()
	_, err := d.mine(ctx, v)
	return err
}

// goOnOwning claims what was this daemon's before it was started, so that one that began earlier keeps off.
func (d *Daemon) goOnOwning(ctx context.Context, v *store.Vault) {
	d.registering.Lock()
	defer d.registering.Unlock()
	if o, err := v.Owner(ctx, d.instance.ID); err != nil || o.Holder != d.owned.holder {
		_, _ = d.mine(ctx, v) // status will say it
		return
	}
	if err := d.claim(ctx, v); err != nil { // on a disk that takes nothing, say; the next backup tries again
		d.log.Info("the vault is not told that this daemon goes on", "err", err)
	}
}

// ownership is what status says of it, "" if all is well.
func (d *Daemon) ownership() string {
	lost := d.owned.lost.Load()
	if lost == nil {
		return ""
	}
	return sentence(lost) + "; no version is made or deleted here"
}
