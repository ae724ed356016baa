package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"yester/store/pack"
	"yester/store/place"
)

// A keyFile is the body of keys/<id>, one of the small files (envelope.go).
//
//	{"id":"4041424344454647","kind":"open","created":"2026-11-23T00:00:00Z","key":"000102…1f"}
//
// In an open key, key is the master key. In the others it is sealed, see keyFile.aead, and there are more fields:
//
//	"vault":"202122…2f","salt":"303132…3f","time":3,"memory":65536,"threads":4,"key":"dfb457…ab"
//
// the three of argonWork in the kind passphrase only.
type keyFile struct {
	KeyInfo
	Vault hexBytes `json:"vault,omitempty"`
	Salt  hexBytes `json:"salt,omitempty"`
	argonWork
	Key hexBytes `json:"key"`

	fault error // nil if the key is good for this vault
}

const (
	keyFolder   = "keys"
	keyIDSize   = 8
	saltSize    = 16
	maxKeyFile  = 4 << 10
	sealedBytes = len(pack.Key{}) + pack.Overhead
)

// hexBytes are bytes that stand as hex digits in JSON.
type hexBytes []byte

// MarshalText implements encoding.TextMarshaler.
func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// decodeKeyFile reads the file keys/<id>. What it returns may be worked with whoever wrote it: lengths are right and the work is
// bounded. ErrCorrupt; ErrFormat for a kind it does not know.
func decodeKeyFile(b []byte, id string) (keyFile, error) {
	var k keyFile
	e, err := parseEnvelope(b)
	if err == nil {
		err = e.open("key", &k)
	}
	if err != nil {
		return keyFile{}, err
	}
	if k.ID != id || !isKeyID(id) {
		return keyFile{}, fmt.Errorf("%w: it is the file of key %.16q", ErrCorrupt, k.ID)
	}
	if err := k.checkFields(); err != nil {
		return keyFile{}, err
	}
	return k, nil
}

func (k *keyFile) checkFields() error {
	wrapped, size := true, sealedBytes
	switch k.Kind {
	case KeyOpen:
		wrapped, size = false, len(pack.Key{})
	case KeyPassphrase:
		if err := k.argonWork.check(); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	case KeyRecovery:
	default:
		return fmt.Errorf("%w: a key of the kind %.20q", ErrFormat, k.Kind)
	}
	if len(k.Key) != size || wrapped && (len(k.Salt) != saltSize || len(k.Vault) != 16) {
		return fmt.Errorf("%w: a field has the wrong length", ErrCorrupt)
	}
	return nil
}

func isKeyID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == keyIDSize
}

// errOtherVault is the fault of a key file that came here from another vault.
var errOtherVault = errors.New("it is of another vault")

// fits tells whether a decoded key file is of the vault.
func (k *keyFile) fits(d *description) error {
	if k.Kind != KeyOpen {
		if hex.EncodeToString(k.Vault) != d.Vault {
			return errOtherVault
		}
		return nil
	}
	if master := pack.Key(k.Key); keyCheck(&master) != d.KeyCheck {
		return errOtherVault
	}
	return nil
}

// readKeys reads the key files of a place, and finds what is wrong with each. The error is that of listing them.
func readKeys(ctx context.Context, p place.Place, d *description) ([]keyFile, error) {
	files, err := p.List(ctx, keyFolder)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var keys []keyFile
	seen := map[string]bool{}
	for _, f := range files {
		id := strings.TrimSuffix(f.Name, copySuffix)
		if f.Dir || seen[id] {
			continue
		}
		seen[id] = true
		k, err := readKey(ctx, p, id)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			err = k.fits(d)
		}
		if err != nil {
			k.ID, k.fault, k.Fault = id, err, err.Error()
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// readKey reads a key file, or its copy, wherever there is one that is whole.
func readKey(ctx context.Context, p place.Place, id string) (k keyFile, err error) {
	err = fs.ErrNotExist
	for _, h := range holders(p) {
		for _, name := range []string{id, id + copySuffix} {
			k, readErr := readOneKey(ctx, h, name, id)
			if readErr == nil {
				return k, nil
			}
			if errors.Is(err, fs.ErrNotExist) {
				err = readErr
			}
		}
	}
	return k, fmt.Errorf("read key %s in %s: %w", id, p, err)
}

func readOneKey(ctx context.Context, p place.Place, name, id string) (keyFile, error) {
	b, err := readFile(ctx, p, path.Join(keyFolder, name), maxKeyFile)
	if err != nil {
		return keyFile{}, err
	}
	return decodeKeyFile(b, id)
}

// writeFirstKey writes the key of a vault that is being made.
func writeFirstKey(ctx context.Context, p place.Place, o Options, d *description, master *pack.Key) error {
	kind := KeyOpen
	if o.Passphrase != "" {
		kind = KeyPassphrase
	}
	k, err := newKeyFile(newKeyInfo(kind, d.Created), d, randomBytes(saltSize), o.work, o.Passphrase, master)
	if err != nil {
		return err
	}
	return writeKey(ctx, p, k)
}

// writeKey writes a new key and its copy. If it fails, it tries to leave neither.
func writeKey(ctx context.Context, p place.Place, k *keyFile) error {
	err := writeSmall(ctx, p, path.Join(keyFolder, k.ID), "key", k)
	if err != nil {
		_ = removeKeyFiles(context.WithoutCancel(ctx), p, k.ID) // the key does no harm: its secret is known to nobody, or was to be added
	}
	return err
}

// removeKeyFiles removes a key and its copy. Should it end between the two, the key is still there.
func removeKeyFiles(ctx context.Context, p place.Place, id string) error {
	for _, name := range []string{id, id + copySuffix} {
		if err := p.Remove(ctx, path.Join(keyFolder, name)); err != nil {
			return fmt.Errorf("remove key %s: %w", id, placeError(err))
		}
	}
	return nil
}

func infos(keys []keyFile) []KeyInfo {
	list := make([]KeyInfo, len(keys))
	for i := range keys {
		list[i] = keys[i].KeyInfo
	}
	return list
}
