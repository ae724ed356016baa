package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKeyOfEveryKindOpens(t *testing.T) {
	kv := newKeyVault(t, "")
	v := kv.open(nil)
	_, none := add(t, v, KeyPassphrase, "correct horse")
	_, recovery := add(t, v, KeyRecovery, "")
	if none != "" || len(recovery) != 69 {
		t.Errorf("recovery texts %q and %q", none, recovery)
	}
	removeOpen(t, v)
	for _, s := range []Secret{
		{KeyPassphrase, "correct horse"}, {"", "correct horse"}, {KeyRecovery, recovery}, {"", recovery}, {"", strings.ToLower(recovery)},
	} {
		if again := kv.open(&s); *again.master != *v.master {
			t.Errorf("another master key")
		}
	}
}

func TestKeyOfInitMayBeAPassphrase(t *testing.T) {
	kv := newKeyVault(t, "correct horse")
	kv.refuses(nil, "passphrase")
	keys := keysOf(t, kv.open(passphrase("correct horse")))
	if len(keys) != 1 || keys[0].Kind != KeyPassphrase || keys[0].Fault != "" {
		t.Errorf("keys %+v", keys)
	}
}

func TestKeySecretIsAskedOnlyWithoutAnOpenKey(t *testing.T) {
	kv := newKeyVault(t, "")
	var asked []KeyInfo
	stop := errors.New("stop")
	o := keyOptions(kv.Mem, nil)
	o.Secret = func(_ context.Context, keys []KeyInfo) (Secret, error) {
		asked = keys
		return Secret{}, stop
	}
	v, err := Open(t.Context(), o)
	if err != nil || asked != nil {
		t.Fatalf("asked for %v, %v", asked, err)
	}
	defer v.Close()
	in, _ := add(t, v, KeyPassphrase, "x")
	removeOpen(t, v)
	if _, err := Open(t.Context(), o); !errors.Is(err, stop) || !slices.Equal(asked, []KeyInfo{in}) {
		t.Errorf("asked for %v, want %v; %v", asked, in, err)
	}
}

func TestWrongKeyIsToldBeforeAnythingElse(t *testing.T) {
	tv := newVault(t)
	add(t, tv.Vault, KeyPassphrase, "right")
	removeOpen(t, tv.Vault)
	o := tv.options()
	o.IndexDir = filepath.Join(t.TempDir(), "index")
	o.Secret = keyOptions(nil, passphrase("wrong")).Secret
	temporary := filepath.Join(tv.vaultDir(), ".tmp", "left")
	if err := os.WriteFile(temporary, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrKey) || err.Error() != "open vault: wrong passphrase" {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(o.IndexDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an index was made: %v", err)
	}
	if _, err := os.Stat(temporary); err != nil {
		t.Errorf("the vault was swept: %v", err)
	}
	o.Secret = keyOptions(nil, passphrase("right")).Secret
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestWrongKeyTellsWhatToLookAt(t *testing.T) {
	both := newKeyVault(t, "right")
	_, recovery := add(t, both.open(passphrase("right")), KeyRecovery, "")
	mistyped := "Z" + recovery[1:]
	if recovery[0] == 'Z' {
		mistyped = "Y" + recovery[1:]
	}
	other := FormatRecovery([32]byte{1})
	tests := []struct {
		s    Secret
		says string
	}{
		{Secret{"", ""}, "no passphrase"},
		{Secret{"", "wrong"}, "wrong passphrase"},
		{Secret{KeyPassphrase, recovery}, "wrong passphrase"},
		{Secret{KeyPassphrase, "Right"}, "wrong passphrase"},
		{Secret{"", mistyped}, "look at group 1"},
		{Secret{"", recovery[:64]}, "52 characters"},
		{Secret{KeyRecovery, "right"}, "mistyped"},
		{Secret{"", other}, "wrong recovery key"},
		{Secret{KeyRecovery, other}, "wrong recovery key"},
	}
	for _, test := range tests {
		both.refuses(&test.s, test.says)
	}
	newKeyVault(t, "right").refuses(&Secret{"", other}, "wrong passphrase")
}

func TestKeyFileOfAnotherVaultIsTold(t *testing.T) {
	kv, other := newKeyVault(t, "same"), newKeyVault(t, "same")
	v := kv.open(passphrase("same"))
	theirs := keyNames(t, other.Mem)
	for _, name := range keyNames(t, kv.Mem) {
		if err := kv.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range theirs {
		copyFile(t, kv.Mem, name, other.Mem, name)
	}
	kv.refuses(passphrase("same"), "opens this vault")
	keys := keysOf(t, v)
	if len(keys) != 1 || keys[0].Kind != KeyPassphrase || !strings.Contains(keys[0].Fault, "another vault") {
		t.Fatalf("keys %+v", keys)
	}
	if err := v.RemoveKey(t.Context(), keys[0].ID); !errors.Is(err, ErrLastKey) {
		t.Errorf("no good key is left: %v", err)
	}
	add(t, v, KeyPassphrase, "again")
	if err := v.RemoveKey(t.Context(), keys[0].ID); err != nil {
		t.Error(err)
	}
	kv.open(passphrase("again"))
}

func TestKeyFileUnderAnotherNameIsDamage(t *testing.T) {
	kv := newKeyVault(t, "one")
	v := kv.open(passphrase("one"))
	one := keysOf(t, v)[0]
	two, _ := add(t, v, KeyPassphrase, "two")
	file := func(id string) string { return path.Join(keyFolder, id) }
	copyFile(t, kv.Mem, file(one.ID), kv.Mem, file(two.ID))
	kv.open(passphrase("one")) // from its copy
	copyFile(t, kv.Mem, file(one.ID), kv.Mem, file(two.ID))
	copyFile(t, kv.Mem, file(one.ID)+copySuffix, kv.Mem, file(two.ID))
	kv.refuses(passphrase("one"), "cannot be used")
	kv.open(passphrase("two"))
}

func TestDamagedKeyFileIsListedAndRemoved(t *testing.T) {
	kv := newKeyVault(t, "one")
	v := kv.open(passphrase("one"))
	one := keysOf(t, v)[0]
	two, _ := add(t, v, KeyPassphrase, "two")
	file := path.Join(keyFolder, one.ID)
	damage(t, kv.Mem, file)
	bad := fileOf(t, kv.Mem, file)
	kv.open(passphrase("one")) // from its copy, and may mend it
	for _, name := range []string{file, file + copySuffix} {
		if err := kv.Write(t.Context(), name, bad); err != nil {
			t.Fatal(err)
		}
	}
	kv.refuses(passphrase("one"), "wrong passphrase; but one more key")
	kv.open(passphrase("two"))
	keys := keysOf(t, v)
	i := slices.IndexFunc(keys, func(k KeyInfo) bool { return k.ID == one.ID })
	if len(keys) != 2 || !strings.Contains(keys[i].Fault, "damaged") {
		t.Fatalf("keys %+v", keys)
	}
	if err := v.RemoveKey(t.Context(), two.ID); !errors.Is(err, ErrLastKey) {
		t.Errorf("the last good key: %v", err)
	}
	if err := v.RemoveKey(t.Context(), one.ID); err != nil {
		t.Error(err)
	}
	if keys := keysOf(t, v); !slices.Equal(keys, []KeyInfo{two}) {
		t.Errorf("keys %+v", keys)
	}
}

func TestKeyFileTooLongIsNotRead(t *testing.T) {
	kv := newKeyVault(t, "one")
	in, _ := add(t, kv.open(passphrase("one")), KeyPassphrase, "two")
	for _, name := range []string{in.ID, in.ID + copySuffix} {
		if err := kv.Write(t.Context(), keyFolder+"/"+name, make([]byte, maxKeyFile+1)); err != nil {
			t.Fatal(err)
		}
	}
	kv.open(passphrase("one"))
	kv.refuses(passphrase("two"), "4097 bytes")
}

func TestKeySecretsDoNotShowThemselves(t *testing.T) {
	var b bytes.Buffer
	s := Secret{KeyPassphrase, "hunter2"}
	fmt.Fprintf(&b, "%v %+v %#v %s %q %v\n", s, s, s, s, s, struct{ S any }{s})
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", s)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", s)
	if strings.Contains(b.String(), "hunter2") {
		t.Error(b.String())
	}
	kv := newKeyVault(t, "hunter2")
	for _, name := range keyNames(t, kv.Mem) {
		if b := fileOf(t, kv.Mem, name); bytes.Contains(b, []byte("hunter2")) {
			t.Errorf("%s", b)
		}
	}
}
