package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yester/store/pack"
)

// The golden key files are of one vault and hold one master key. They are the examples of docs/FORMAT.md.
const goldenKeyID = "4041424344454647"

var (
	goldenMaster  = pack.Key(numbered(0x00, 32))
	goldenVault   = description{Vault: "202122232425262728292a2b2c2d2e2f", KeyCheck: keyCheck(&goldenMaster)}
	goldenSecrets = map[string]Secret{
		KeyOpen:       {},
		KeyPassphrase: {KeyPassphrase, "correct horse battery staple"},
		KeyRecovery:   {KeyRecovery, numberedRecoveryText},
	}
)

// little work, so that tests need not wait for it
var testWork = argonWork{Time: 1, Memory: 64, Threads: 1}

func goldenKeyFile(t *testing.T, kind string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "keys", kind))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenKeyFiles pins the format: if it fails, keys in the world no longer open their vaults.
func TestGoldenKeyFiles(t *testing.T) {
	for kind, s := range goldenSecrets {
		secret := s.Text
		if kind == KeyRecovery {
			secret = string(numberedRecovery[:])
		}
		in := KeyInfo{ID: goldenKeyID, Kind: kind, Created: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
		k, err := newKeyFile(in, &goldenVault, numbered(0x30, saltSize), defaultWork, secret, &goldenMaster)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sealEnvelope("key", 0, k)
		if want := goldenKeyFile(t, kind); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: not the file of testdata/keys but\n%s%v", kind, got, err)
		}
	}
}

func TestGoldenKeyFilesOpen(t *testing.T) {
	for kind, s := range goldenSecrets {
		k, err := decodeKeyFile(goldenKeyFile(t, kind), goldenKeyID)
		if err != nil || k.fits(&goldenVault) != nil {
			t.Fatalf("%s: %v, %v", kind, err, k.fits(&goldenVault))
		}
		if s.Text == "" {
			s.Text = "nothing"
		}
		if master, err := s.open(t.Context(), []keyFile{k}, &goldenVault); err != nil || *master != goldenMaster {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestKeyFileOpensOnlyAsWhatItWasMadeFor changes one thing after the other.
func TestKeyFileOpensOnlyAsWhatItWasMadeFor(t *testing.T) {
	in := newKeyInfo(KeyPassphrase, time.Now())
	secret := string(numberedRecovery[:])
	made, err := newKeyFile(in, &goldenVault, randomBytes(saltSize), testWork, secret, &goldenMaster)
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(k *keyFile){
		"id":     func(k *keyFile) { k.ID = goldenKeyID },
		"kind":   func(k *keyFile) { k.Kind = KeyRecovery },
		"vault":  func(k *keyFile) { k.Vault = randomBytes(16) },
		"salt":   func(k *keyFile) { k.Salt = randomBytes(saltSize) },
		"time":   func(k *keyFile) { k.Time++ },
		"memory": func(k *keyFile) { k.Memory *= 2 },
		"lanes":  func(k *keyFile) { k.Threads++ },
		"key":    func(k *keyFile) { k.Key = append(hexBytes{1}, k.Key[1:]...) },
	}
	for name, change := range changes {
		k := *made
		if _, ok := k.unwrap(secret); !ok {
			t.Fatal("does not open")
		}
		change(&k)
		if _, ok := k.unwrap(secret); ok {
			t.Errorf("opens with another %s", name)
		}
	}
}

// keyBody is a key file with some fields replaced.
func keyBody(t testing.TB, fields map[string]any) []byte {
	t.Helper()
	body := map[string]any{
		"id": goldenKeyID, "kind": KeyPassphrase, "created": "2026-11-23T00:00:00Z", "vault": goldenVault.Vault,
		"salt": fmt.Sprintf("%032x", 1), "time": 1, "memory": 64, "threads": 1, "key": fmt.Sprintf("%096x", 1),
	}
	for name, value := range fields {
		body[name] = value
	}
	b, err := sealEnvelope("key", 0, body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeyFileWithHostileFieldsIsRefused(t *testing.T) {
	tests := []struct {
		fields map[string]any
		want   error
	}{
		{nil, nil},
		{map[string]any{"time": maxTime, "memory": maxMemory, "threads": 255}, nil},
		{map[string]any{"time": 0}, ErrCorrupt},
		{map[string]any{"time": maxTime + 1}, ErrCorrupt},
		{map[string]any{"time": -1}, ErrCorrupt},
		{map[string]any{"time": 1 << 32}, ErrCorrupt},
		{map[string]any{"memory": 7}, ErrCorrupt},
		{map[string]any{"memory": maxMemory + 1}, ErrCorrupt},
		{map[string]any{"threads": 0}, ErrCorrupt},
		{map[string]any{"threads": 256}, ErrCorrupt},
		{map[string]any{"threads": 9}, ErrCorrupt}, // needs 72 KiB
		{map[string]any{"salt": ""}, ErrCorrupt},
		{map[string]any{"salt": "0g"}, ErrCorrupt},
		{map[string]any{"vault": "00"}, ErrCorrupt},
		{map[string]any{"key": fmt.Sprintf("%064x", 1)}, ErrCorrupt},
		{map[string]any{"kind": KeyOpen}, ErrCorrupt}, // the key is too long
		{map[string]any{"kind": KeyRecovery, "time": 0, "memory": 1 << 31}, nil},
		{map[string]any{"kind": "quantum"}, ErrFormat},
		{map[string]any{"id": "5041424344454647"}, ErrCorrupt},
		{map[string]any{"created": "yesterday"}, ErrCorrupt},
	}
	for _, test := range tests {
		if _, err := decodeKeyFile(keyBody(t, test.fields), goldenKeyID); !errors.Is(err, test.want) {
			t.Errorf("%v: got %v, want %v", test.fields, err, test.want)
		}
	}
	if _, err := decodeKeyFile(keyBody(t, map[string]any{"id": "../vault.json"}), "../vault.json"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("id that is a path: %v", err)
	}
}

func FuzzKeyFile(f *testing.F) {
	for kind := range goldenSecrets {
		b, err := os.ReadFile(filepath.Join("testdata", "keys", kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		var e envelope
		if err := json.Unmarshal(b, &e); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(e.Body))
	}
	f.Add(keyBody(f, map[string]any{"memory": 1 << 31}))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKeyFile(b, goldenKeyID)
		if err != nil {
			// A right checksum lets the fuzzer past it.
			if b, err = sealEnvelope("key", 0, json.RawMessage(b)); err != nil {
				return
			}
			if k, err = decodeKeyFile(b, goldenKeyID); err != nil {
				return
			}
		}
		if k.fits(&goldenVault) != nil || k.Kind == KeyPassphrase && (k.Time > 2 || k.Memory > 1<<10 || k.Threads > 4) {
			return
		}
		if master, ok := k.unwrap("nothing"); ok && *master != goldenMaster {
			t.Fatalf("opens with nothing: %+v", k)
		}
	})
}

func BenchmarkPassphrase(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		defaultWork.derive("correct horse battery staple", numbered(0x30, saltSize))
	}
}
