package daemon

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
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

// identify returns the machine's instance. One that got a random id keeps it.
func identify(db *state.DB, machineIDFile string) (control.Instance, error) {
	in := control.Instance{Platform: runtime.GOOS + "/" + runtime.GOARCH}
	var err error
	if in.Name, err = os.Hostname(); err != nil || in.Name == "" {
		in.Name = "localhost"
	}
	in.ID, err = db.Instance()
	if !errors.Is(err, state.ErrNotFound) {
		return in, err
	}
	b, _ := os.ReadFile(machineIDFile) // none is as good as an empty one
	id, ok := deriveID(b)
	if !ok {
		id = randomID()
		err = db.PutInstance(id)
	} else {
		err = nil
	}
	in.ID = id
	return in, err
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
