package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"yester/store/place"
)

func TestLastKeyStays(t *testing.T) {
	for _, first := range []string{"", "passphrase"} {
		kv := newKeyVault(t, first)
		v := kv.open(passphrase(first))
		id := keysOf(t, v)[0].ID
		if err := v.RemoveKey(t.Context(), id); !errors.Is(err, ErrLastKey) {
			t.Errorf("got %v", err)
		}
		recovery, _ := add(t, v, KeyRecovery, "")
		if err := v.RemoveKey(t.Context(), id); !errors.Is(err, ErrLastKey) {
			t.Errorf("with a recovery key: %v", err)
		}
		if err := v.RemoveKey(t.Context(), recovery.ID); err != nil {
			t.Error(err)
		}
		if err := v.RemoveKey(t.Context(), recovery.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
		kv.open(passphrase(first))
	}
}

func TestLastKeyStaysWhoeverRemoves(t *testing.T) {
	kv := newKeyVault(t, "")
	v := kv.open(nil)
	for range 5 {
		add(t, v, KeyOpen, "")
	}
	var wg sync.WaitGroup
	for _, k := range keysOf(t, v) {
		wg.Go(func() {
			if err := v.RemoveKey(t.Context(), k.ID); err != nil && !errors.Is(err, ErrLastKey) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys := keysOf(t, v); len(keys) != 1 {
		t.Errorf("%d keys are left", len(keys))
	}
	kv.open(nil)
}

func TestChangePassphraseReplacesTheKey(t *testing.T) {
	kv := newKeyVault(t, "one")
	v := kv.open(passphrase("one"))
	first := keysOf(t, v)[0]
	change := func(id, old, next string) KeyInfo {
		t.Helper()
		in, err := v.ChangePassphrase(t.Context(), id, old, next)
		if err != nil {
			t.Fatal(err)
		}
		if keys := keysOf(t, v); !slices.Equal(keys, []KeyInfo{in}) {
			t.Errorf("keys %+v, want %+v", keys, in)
		}
		return in
	}
	second := change(first.ID, "one", "two")
	if second.ID == first.ID {
		t.Error("the same id")
	}
	kv.refuses(passphrase("one"), "wrong passphrase")
	kv.open(passphrase("two"))
	change("", "", "three")
	kv.refuses(passphrase("two"), "wrong passphrase")
	kv.open(passphrase("three"))
}

func TestChangePassphraseRefusedChangesNothing(t *testing.T) {
	kv := newKeyVault(t, "one")
	v := kv.open(passphrase("one"))
	recovery, _ := add(t, v, KeyRecovery, "")
	before := kv.Ops()
	tests := []struct {
		id, old, next string
		want          error
	}{
		{"", "wrong", "two", ErrKey},
		{"", "one", "", errNoPassphrase},
		{recovery.ID, "", "two", ErrNotFound},
		{"0000000000000000", "", "two", ErrNotFound},
	}
	for _, test := range tests {
		if _, err := v.ChangePassphrase(t.Context(), test.id, test.old, test.next); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.ChangePassphrase(ctx, "", "", "two"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if kv.Ops() != before {
		t.Error("something was written")
	}
	add(t, v, KeyPassphrase, "another")
	if _, err := v.ChangePassphrase(t.Context(), "", "one", "two"); err == nil || !strings.Contains(err.Error(), "2 passphrases") {
		t.Errorf("of two: %v", err)
	}
}

func TestAddKeyRefusesWhatMakesNoSense(t *testing.T) {
	kv := newKeyVault(t, "")
	v := kv.open(nil)
	before := kv.Ops()
	for _, test := range [][2]string{{KeyPassphrase, ""}, {KeyOpen, "x"}, {KeyRecovery, "x"}, {"", "x"}, {"hope", ""}} {
		if _, _, err := v.AddKey(t.Context(), test[0], test[1]); err == nil {
			t.Errorf("%q was added", test)
		}
	}
	if kv.Ops() != before {
		t.Error("something was written")
	}
}

func TestKeysOnFullAndReadOnlyPlaces(t *testing.T) {
	for fault, want := range map[error]error{syscall.ENOSPC: ErrNoSpace, syscall.EROFS: ErrReadOnly} {
		kv := newKeyVault(t, "one")
		v := kv.open(passphrase("one"))
		kv.FailWrites(fault)
		if _, recovery, err := v.AddKey(t.Context(), KeyRecovery, ""); !errors.Is(err, want) || recovery != "" {
			t.Errorf("AddKey: %q, %v", recovery, err)
		}
		if _, err := v.ChangePassphrase(t.Context(), "", "one", "two"); !errors.Is(err, want) {
			t.Errorf("ChangePassphrase: %v", err)
		}
		if keys := keysOf(t, v); len(keys) != 1 {
			t.Errorf("keys %+v", keys)
		}
		kv.open(passphrase("one"))
	}
}

func TestKeyCreatedIsTheClocks(t *testing.T) {
	at := time.Date(2026, 11, 23, 4, 5, 6, 0, time.FixedZone("", 3600))
	o := keyOptions(place.NewMem(1), nil)
	o.Now = func() time.Time { return at }
	if err := Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	add(t, v, KeyRecovery, "")
	for _, k := range keysOf(t, v) {
		if !k.Created.Equal(at) || k.Created.Location() != time.UTC {
			t.Errorf("created %v", k.Created)
		}
	}
}
