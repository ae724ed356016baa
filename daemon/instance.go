package daemon

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/store"
)

// idConstant makes the instance id one of ours: the machine id itself is confidential, and other programs' ids must not be comparable.
const idConstant = "yester instance id, version 1"

// idBytes is the length of an instance id before it is written in hex.
const idBytes = 16

// deriveID makes the instance id of the content of /etc/machine-id. ok is false for one that was never set.
func deriveID(machineID []byte) (id string, ok bool) {
	key, err := hex.DecodeString(string(bytes.TrimSpace(machineID)))
	if err != nil || len(key) != 16 {
		return "", false
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte(idConstant))
	return hex.EncodeToString(m.Sum(nil)[:idBytes]), true
}

// machine is what the machine says of itself.
func (o *Options) machine() (m state.Machine, err error) {
	b, err := os.ReadFile(o.MachineID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, control.Errorf(control.Internal, "the machine's id cannot be read (%s)", sentence(err)).
			WithHint("without it nobody can tell whose versions are this machine's; see to %s and start again", o.MachineID)
	}
	m.Instance, _ = deriveID(b)
	b, _ = os.ReadFile(filepath.Join(o.Sys, "class/dmi/id/product_uuid")) // many have none
	m.Hardware = string(bytes.TrimSpace(b))
	return m, nil
}

// identify returns the machine's instance. One that was activated keeps its id, and so does one that got a random id. changed is what somebody should know if the
// machine has another id than before.
func identify(db *state.DB, o *Options) (in control.Instance, changed string, err error) {
	in.Platform = runtime.GOOS + "/" + runtime.GOARCH
	if in.Name, err = os.Hostname(); err != nil || in.Name == "" {
		in.Name = "localhost"
	}
	now, err := o.machine()
	if err != nil {
		return in, "", err
	}
	kept, err := db.Instance()
	was, err2 := db.Machine()
	_, err3 := db.Policy()
	for _, err := range []error{err, err2, err3} {
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return in, "", err
		}
	}
	keep := kept != "" || err3 == nil // also the id of one that an earlier version of the program activated
	now.Hardware = cmp.Or(now.Hardware, was.Hardware)
	if kept != "" && (now.Instance == "" || now.Instance == was.Instance) { // a copy may get its own id only later, and is told by both
		now.Hardware = cmp.Or(was.Hardware, now.Hardware)
	}
	switch {
	case kept != "":
		in.ID, changed = goesOnAs(kept, was, now)
	case now.Instance != "":
		in.ID = now.Instance
	case keep:
		return in, "", control.Errorf(control.Conflict, "the versions of this machine are kept by its id, and %s gives none", o.MachineID).
			WithHint("write it there again as it was; if nobody knows it, move %s away, start again and run `yester vault adopt --as-instance`", o.Home.State)
	default:
		in.ID, keep = randomID(), true
	}
	now.Instance = cmp.Or(now.Instance, was.Instance)
	switch {
	case kept != "" && in.ID != kept: // what the original has is not the copy's by its name in the vault
		err = db.PutMachine(now, in.ID, randomID())
	case keep && in.ID != kept:
		err = db.PutMachine(now, in.ID, "")
	case now != was:
		err = db.PutMachine(now, "", "")
	default:
		err = nil
	}
	return in, changed, err
}

// goesOnAs is the id of an instance that had one, and what somebody should know. A machine whose id became another is still the same; but with other hardware too it is a copy, and what
// it was may go on elsewhere.
func goesOnAs(id string, was, now state.Machine) (as, changed string) {
	switch {
	case now.Instance == "" || was.Instance == "" || now.Instance == was.Instance:
		return id, ""
	case was.Hardware == "" || was.Hardware == now.Hardware:
		return id, fmt.Sprintf("this machine has another machine id than before; it goes on as the instance %s, under which its versions are", short(id))
	}
	return now.Instance, fmt.Sprintf("this machine is a copy of another one, with a machine id and hardware of its own: it begins its own versions, as the instance %s. If there is no other one, "+
		"`yester cancel` and then `yester vault adopt --as-instance %s` go on with those that it had", short(now.Instance), short(id))
}

func randomID() string {
	b := make([]byte, idBytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// registerInstance writes who we are into the vault, keeping when it first saw us. Conflict if what the vault has of us belongs to another daemon.
func (d *Daemon) registerInstance(ctx context.Context, v *store.Vault) (store.Instance, error) {
	d.registering.Lock() // a description that is being written looks like one that is missing
	defer d.registering.Unlock()
	in := store.Instance{ID: d.instance.ID, Name: d.instance.Name, Platform: d.instance.Platform, FirstSeen: d.o.Now().UTC().Truncate(time.Second)}
	if _, err := d.mine(ctx, v); err != nil {
		return in, err
	}
	all, err := v.Instances(ctx)
	if err != nil {
		return in, err
	}
	for _, old := range all {
		if old.ID != in.ID {
			continue
		}
		if in.FirstSeen = old.FirstSeen; old.Name == in.Name && old.Platform == in.Platform {
			return old, d.claim(ctx, v)
		}
	}
	if err := v.PutInstance(ctx, in); err != nil {
		return in, err
	}
	return in, d.claim(ctx, v)
}
