package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"yester/store/place"
)

// A keyRun changes the keys of a vault until the power goes, and knows which secrets must and which may open it afterwards.
type keyRun struct {
	t    *testing.T
	disk *place.Mem
	v    *Vault

	opens map[Secret]answer // what is not in it does not open the vault
}

type answer int

const (
	yes answer = iota + 1
	maybe
)

// noSecret stands for open keys.
var noSecret = Secret{Text: "none is needed"}

// work returns nil when it came to its end.
func (r *keyRun) work() error {
	steps := []func() error{
		func() error { return r.add("one") },
		func() error { return r.remove(KeyOpen, noSecret) },
		func() error { return r.change("one", "two") },
		func() error { return r.add("three") },
		r.addRecovery,
		func() error { return r.change("three", "four") },
		func() error { return r.add("five") },
		func() error { return r.change("five", "six") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (r *keyRun) add(text string) error {
	s := *passphrase(text)
	r.opens[s] = maybe
	if _, _, err := r.v.AddKey(r.t.Context(), KeyPassphrase, text); err != nil {
		return err
	}
	r.opens[s] = yes
	return nil
}

func (r *keyRun) addRecovery() error {
	_, text, err := r.v.AddKey(r.t.Context(), KeyRecovery, "")
	if err == nil {
		r.opens[Secret{KeyRecovery, text}] = yes
	}
	return err
}

// idOf finds the key of a secret.
func (r *keyRun) idOf(kind string, s Secret) (string, error) {
	keys, err := readKeys(r.t.Context(), r.disk, &r.v.desc)
	for _, k := range keys {
		if k.Kind != kind {
			continue
		}
		if _, ok := k.unwrap(s.Text); ok {
			return k.ID, nil
		}
	}
	return "", errors.Join(err, ErrNotFound)
}

func (r *keyRun) remove(kind string, s Secret) error {
	id, err := r.idOf(kind, s)
	if err != nil {
		return err
	}
	r.opens[s] = maybe
	if err := r.v.RemoveKey(r.t.Context(), id); err != nil {
		return err
	}
	delete(r.opens, s)
	return nil
}

func (r *keyRun) change(old, next string) error {
	id, err := r.idOf(KeyPassphrase, *passphrase(old))
	if err != nil {
		return err
	}
	r.opens[*passphrase(old)], r.opens[*passphrase(next)] = maybe, maybe
	if _, err := r.v.ChangePassphrase(r.t.Context(), id, old, next); err != nil {
		return err
	}
	delete(r.opens, *passphrase(old))
	r.opens[*passphrase(next)] = yes
	return nil
}

// check tries all secrets on what a crash left.
func (r *keyRun) check(disk *place.Mem) {
	r.t.Helper()
	secrets := map[Secret]answer{noSecret: 0}
	for _, text := range []string{"one", "two", "three", "four", "five", "six"} {
		secrets[*passphrase(text)] = 0
	}
	maps.Copy(secrets, r.opens)
	some := false
	for s, a := range secrets {
		err := r.try(disk, s)
		some = some || err == nil
		switch {
		case err != nil && !errors.Is(err, ErrKey):
			r.t.Errorf("%q: %v", s.Text, err)
		case err != nil && a == yes:
			r.t.Errorf("%q does not open the vault any more: %v", s.Text, err)
		case err == nil && a == 0:
			r.t.Errorf("%q opens the vault", s.Text)
		}
	}
	if !some {
		r.t.Error("nothing opens the vault")
	}
}

// try tells why a secret does not open the vault, or would not if there were no open key.
func (r *keyRun) try(disk *place.Mem, s Secret) error {
	ask := func(context.Context, []KeyInfo) (Secret, error) { return s, nil }
	if s == noSecret {
		ask = nil
	}
	keys, err := readKeys(r.t.Context(), disk, &r.v.desc)
	if err == nil && ask != nil && slices.ContainsFunc(keys, func(k keyFile) bool { return k.Kind == KeyOpen }) {
		_, err = s.open(r.t.Context(), keys, &r.v.desc) // nobody would ask
		return err
	}
	_, err = masterKey(r.t.Context(), disk, &r.v.desc, ask)
	return err
}

func TestKeyPowerLossLeavesOneThatOpens(t *testing.T) {
	seed := newSeed(t)
	for cut := 1; !keyPowerLoss(t, seed, cut); cut++ {
		if cut > 1000 {
			t.Fatal("never ends")
		}
	}
}

// keyPowerLoss cuts the power after some operations. True if that was after the end.
func keyPowerLoss(t *testing.T, seed uint64, cut int) (done bool) {
	disk := place.NewMem(seed + uint64(cut))
	if err := Init(t.Context(), keyOptions(disk, nil)); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), keyOptions(disk, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	r := &keyRun{t: t, disk: disk, v: v, opens: map[Secret]answer{noSecret: yes}}
	disk.CrashAfter(disk.Ops() + cut)
	err = r.work()
	if err != nil && !errors.Is(err, place.ErrCrashed) {
		t.Fatalf("cut after %d operations: %v", cut, err)
	}
	for range 3 {
		r.check(disk.Crash())
	}
	if t.Failed() {
		t.Fatalf("cut after %d operations, seed %d", cut, seed)
	}
	return err == nil
}
