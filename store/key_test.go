package store

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"strings"
	"testing"

	"yester/store/place"
)

// a keyVault is a vault in memory, to be opened in several ways
type keyVault struct {
	t *testing.T
	*place.Mem
}

func newKeyVault(t *testing.T, passphrase string) *keyVault {
	t.Helper()
	kv := &keyVault{t, place.NewMem(1)}
	o := keyOptions(kv.Mem, nil)
	o.Passphrase = passphrase
	if err := Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return kv
}

// keyOptions are those of opening with a secret, or without one.
func keyOptions(p place.Place, s *Secret) Options {
	o := Options{Places: []place.Place{p}, Log: slog.New(slog.DiscardHandler), Reserve: 1, work: testWork}
	if s != nil {
		o.Secret = func(context.Context, []KeyInfo) (Secret, error) { return *s, nil }
	}
	return o
}

func passphrase(text string) *Secret { return &Secret{KeyPassphrase, text} }

// open opens the vault and closes it when the test ends. It mends nothing any more when open returns.
func (kv *keyVault) open(s *Secret) *Vault {
	kv.t.Helper()
	v, err := Open(kv.t.Context(), keyOptions(kv.Mem, s))
	if err != nil {
		kv.t.Fatal(err)
	}
	v.mend.stop()
	kv.t.Cleanup(func() {
		if err := v.Close(); err != nil {
			kv.t.Error(err)
		}
	})
	return v
}

// opens tells why a secret does not open the vault in a place.
func opens(t *testing.T, p place.Place, s *Secret) error {
	t.Helper()
	v, err := Open(t.Context(), keyOptions(p, s))
	if err != nil {
		return err
	}
	return v.Close()
}

func (kv *keyVault) refuses(s *Secret, says string) {
	kv.t.Helper()
	if err := opens(kv.t, kv.Mem, s); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), says) {
		kv.t.Errorf("got %v, want ErrKey saying %q", err, says)
	}
}

func add(t *testing.T, v *Vault, kind, passphrase string) (in KeyInfo, recovery string) {
	t.Helper()
	in, recovery, err := v.AddKey(t.Context(), kind, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return in, recovery
}

func keysOf(t *testing.T, v *Vault) []KeyInfo {
	t.Helper()
	keys, err := v.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// removeOpen removes the open keys.
func removeOpen(t *testing.T, v *Vault) {
	t.Helper()
	for _, k := range keysOf(t, v) {
		if k.Kind != KeyOpen {
			continue
		}
		if err := v.RemoveKey(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// keyNames are the names of all files of keys.
func keyNames(t *testing.T, p place.Place) (names []string) {
	t.Helper()
	files, err := p.List(t.Context(), keyFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, path.Join(keyFolder, f.Name))
	}
	return names
}

func fileOf(t *testing.T, p place.Place, name string) []byte {
	t.Helper()
	b, err := readFile(t.Context(), p, name, maxSmallFile)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func copyFile(t *testing.T, to place.Place, name string, from place.Place, fromName string) {
	t.Helper()
	if err := to.Write(t.Context(), name, fileOf(t, from, fromName)); err != nil {
		t.Fatal(err)
	}
}

func damage(t *testing.T, p place.Place, name string) {
	t.Helper()
	b := fileOf(t, p, name)
	b[len(b)/2] ^= 4
	if err := p.Write(t.Context(), name, b); err != nil {
		t.Fatal(err)
	}
}
