package daemon

import (
	"context"
	"errors"

	"yester/control"
	"yester/store"
)

func (d *Daemon) vaultKeys(ctx context.Context, _ control.None) (control.KeyList, error) {
	v, err := d.openedVault()
	if err != nil {
		return control.KeyList{}, err
	}
	keys, err := v.Keys(ctx)
	out := control.KeyList{Keys: []control.Key{}}
	for _, k := range keys {
		out.Keys = append(out.Keys, key(k))
	}
	return out, err
}

func key(k store.KeyInfo) control.Key {
	return control.Key{ID: k.ID, Kind: k.Kind, Created: k.Created, Fault: k.Fault}
}

func (d *Daemon) keyAdd(ctx context.Context, r control.KeyAddRequest) (out control.AddedKey, err error) {
	v, err := d.openedVault()
	if err != nil {
		return out, err
	}
	switch {
	case r.Kind != control.KeyOpen && r.Kind != control.KeyPassphrase && r.Kind != control.KeyRecovery:
		return out, control.Errorf(control.BadRequest, "there is no kind of key %q", r.Kind).WithHint("there are passphrase, recovery and open")
	case r.Kind == control.KeyPassphrase && r.Passphrase == "":
		return out, errEmptyPassphrase()
	case r.Kind != control.KeyPassphrase && r.Passphrase != "":
		return out, control.Errorf(control.BadRequest, "a key of the kind %s has no passphrase", r.Kind)
	}
	in, recovery, err := v.AddKey(ctx, r.Kind, r.Passphrase)
	if err != nil {
		return out, err
	}
	d.site.give(r.Passphrase)
	d.log.Info("added a key", "key", in.ID, "kind", in.Kind)
	return control.AddedKey{Key: key(in), Recovery: recovery}, nil
}

func (d *Daemon) keyRemove(ctx context.Context, r control.KeyRemoveRequest) (out control.RemovedKey, err error) {
	v, err := d.openedVault()
	if err != nil {
		return out, err
	}
	err = v.RemoveKey(ctx, r.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return out, control.Errorf(control.NotFound, "there is no key %q", r.ID).WithHint("`yester vault key list` lists them")
	case err != nil:
		return out, err
	}
	d.log.Info("removed a key", "key", r.ID)
	out.Warnings = d.site.closed(ctx, v)
	return out, nil
}

func (d *Daemon) keyChange(ctx context.Context, r control.KeyChangeRequest) (out control.ChangedKey, err error) {
	v, err := d.openedVault()
	if err != nil {
		return out, err
	}
	switch {
	case r.New == "":
		return out, errEmptyPassphrase()
	case r.Forgotten:
		r.Old = ""
	case r.Old == "":
		return out, control.Errorf(control.BadRequest, "the old passphrase is missing").WithHint("if nobody knows it, say --forgotten")
	}
	if r.ID == "" {
		if r.ID, err = onlyPassphrase(ctx, v); err != nil {
			return out, err
		}
	}
	in, err := v.ChangePassphrase(ctx, r.ID, r.Old, r.New)
	switch {
	case errors.Is(err, store.ErrKey):
		return out, control.Errorf(control.BadRequest, "the old passphrase is wrong; nothing was changed")
	case errors.Is(err, store.ErrNotFound):
		return out, control.Errorf(control.NotFound, "there is no passphrase with the key %q", r.ID).WithHint("`yester vault key list` lists them")
	case err != nil:
		return out, err
	}
	d.site.give(r.New)
	d.log.Info("changed a passphrase", "old", r.ID, "key", in.ID)
	return control.ChangedKey{Key: key(in), Warnings: d.site.closed(ctx, v)}, nil
}

// onlyPassphrase is the key of the only passphrase there is.
func onlyPassphrase(ctx context.Context, v *store.Vault) (id string, err error) {
	keys, err := v.Keys(ctx)
	if err != nil {
		return "", err
	}
	n := 0
	for _, k := range keys {
		if k.Kind == store.KeyPassphrase && k.Fault == "" {
			id = k.ID
			n++
		}
	}
	switch n {
	case 0:
		return "", control.Errorf(control.NotFound, "the vault has no passphrase").WithHint("`yester vault key add --kind passphrase` adds one")
	case 1:
		return id, nil
	}
	return "", control.Errorf(control.BadRequest, "there are %d passphrases", n).WithHint("say the ID of the key; `yester vault key list` lists them")
}

func errEmptyPassphrase() error {
	return control.Errorf(control.BadRequest, "the passphrase is empty")
}
