package store

import (
	"context"
	"errors"
	"fmt"
)

var errNoPassphrase = errors.New("the passphrase is empty")

// AddKey adds a key of the kind to those of the vault. A passphrase is for the kind KeyPassphrase only, and not empty. For KeyRecovery,
// recovery is the text to be written down, as FormatRecovery makes it: nothing can show it again. ErrNoSpace, ErrReadOnly.
func (v *Vault) AddKey(ctx context.Context, kind, passphrase string) (in KeyInfo, recovery string, err error) {
	v.keys.Lock()
	defer v.keys.Unlock()
	in, recovery, err = v.addKey(ctx, kind, passphrase)
	if err != nil {
		return KeyInfo{}, "", fmt.Errorf("add key: %w", err)
	}
	return in, recovery, nil
}

func (v *Vault) addKey(ctx context.Context, kind, secret string) (in KeyInfo, recovery string, err error) {
	switch {
	case kind != KeyOpen && kind != KeyPassphrase && kind != KeyRecovery:
		return in, "", fmt.Errorf("there is no kind of key %q", kind)
	case kind != KeyPassphrase && secret != "":
		return in, "", fmt.Errorf("a key of the kind %s has no passphrase", kind)
	case kind == KeyPassphrase && secret == "":
		return in, "", errNoPassphrase
	case kind == KeyRecovery:
		key := [32]byte(randomBytes(32))
		secret, recovery = string(key[:]), FormatRecovery(key)
	}
	if err := ctx.Err(); err != nil {
		return in, "", err
	}
	in = newKeyInfo(kind, v.o.Now())
	k, err := newKeyFile(in, &v.desc, randomBytes(saltSize), v.o.work, secret, v.master)
	if err != nil {
		return in, "", err
	}
	return in, recovery, writeKey(ctx, v.place, k)
}

// RemoveKey removes a key of the vault; one with a Fault too. When the last open key goes, the vault is closed: from then on it opens
// with a passphrase or recovery key only. Whoever has a copy of the file, or read it, still has what it held.
//
// An open key or a passphrase always stays. Recovery keys are not enough: one that was added just before the power went is
// there, and nobody has seen it. ErrNotFound; ErrLastKey; ErrReadOnly. If it fails, the key may be there or not.
func (v *Vault) RemoveKey(ctx context.Context, id string) error {
	v.keys.Lock()
	defer v.keys.Unlock()
	if err := v.removeKey(ctx, id); err != nil {
		return fmt.Errorf("remove key %s: %w", id, err)
	}
	return nil
}

func (v *Vault) removeKey(ctx context.Context, id string) error {
	keys, err := readKeys(ctx, v.place, &v.desc)
	if err != nil {
		return err
	}
	found, others := false, 0
	for _, k := range keys {
		switch {
		case k.ID == id:
			found = true
		case k.fault == nil && k.Kind != KeyRecovery:
			others++
		}
	}
	switch {
	case !found:
		return ErrNotFound
	case others == 0:
		return fmt.Errorf("%w: none but recovery keys would be left; add a passphrase or an open key first", ErrLastKey)
	}
	return removeKeyFiles(ctx, v.place, id)
}

// ChangePassphrase puts a new passphrase in place of an old one. The id is that of its key, and may be "" if there is just one
// of the kind. Old is checked unless it is "", for the vault is open already: that is how a forgotten one is replaced after opening
// with a recovery key. It returns the new key, which has another id.
//
// The new key is there before the old one goes, so when it fails or the power does, one of them or both are there. ErrNotFound; ErrKey if
// old is wrong, and then nothing has changed; ErrNoSpace, ErrReadOnly.
func (v *Vault) ChangePassphrase(ctx context.Context, id, old, next string) (KeyInfo, error) {
	v.keys.Lock()
	defer v.keys.Unlock()
	in, err := v.changePassphrase(ctx, id, old, next)
	if err != nil {
		return KeyInfo{}, fmt.Errorf("change passphrase: %w", err)
	}
	return in, nil
}

func (v *Vault) changePassphrase(ctx context.Context, id, old, next string) (in KeyInfo, err error) {
	k, err := v.passphraseKey(ctx, id)
	if err != nil {
		return in, err
	}
	if old != "" {
		if _, err := (Secret{KeyPassphrase, old}).open(ctx, []keyFile{k}, &v.desc); err != nil {
			return in, err
		}
	}
	if in, _, err = v.addKey(ctx, KeyPassphrase, next); err != nil {
		return in, err
	}
	if err := v.removeKey(context.WithoutCancel(ctx), k.ID); err != nil {
		return in, fmt.Errorf("the new one opens the vault, and the old one, key %s, still does: %w", k.ID, err)
	}
	return in, nil
}

// passphraseKey finds the passphrase's key with the id, or the only one if that is "".
func (v *Vault) passphraseKey(ctx context.Context, id string) (found keyFile, err error) {
	keys, err := readKeys(ctx, v.place, &v.desc)
	if err != nil {
		return found, err
	}
	n := 0
	for _, k := range keys {
		if k.fault == nil && k.Kind == KeyPassphrase && (id == "" || id == k.ID) {
			found = k
			n++
		}
	}
	switch {
	case n == 0 && id == "":
		return found, fmt.Errorf("key of a passphrase: %w", ErrNotFound)
	case n == 0:
		return found, fmt.Errorf("key %s of a passphrase: %w", id, ErrNotFound)
	case n > 1:
		return found, fmt.Errorf("there are %d passphrases: say the id of the key", n)
	}
	return found, nil
}

// CanOpen is nil if Open would find the vault's key, with the secret that ask gives if there is no open one: after keys were changed it may not be the one that opened it. ErrKey, and the
// errors of ask.
func (v *Vault) CanOpen(ctx context.Context, ask func(context.Context, []KeyInfo) (Secret, error)) error {
	v.keys.Lock()
	defer v.keys.Unlock()
	_, err := masterKey(ctx, v.place, &v.desc, ask)
	return err
}
