package store

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/argon2"

	"yester/store/pack"
)

// recoveryContext is that of BLAKE3's key derivation of a wrapping key from a recovery key and a salt.
const recoveryContext = "yester 2026-11-23 recovery key 1"

// argonWork is how much work argon2id (version 0x13) makes of a passphrase.
type argonWork struct {
	Time    uint32 `json:"time,omitempty"`    // passes
	Memory  uint32 `json:"memory,omitempty"`  // KiB
	Threads uint8  `json:"threads,omitempty"` // lanes
}

// defaultWork is the second recommendation of RFC 9106, section 4, for where 2 GiB of memory are too much.
var defaultWork = argonWork{Time: 3, Memory: 64 << 10, Threads: 4}

// The most work that a file may ask for.
const (
	maxTime   = 64
	maxMemory = 1 << 20 // KiB, so 1 GiB
)

func (w argonWork) check() error {
	switch {
	case w.Time < 1 || w.Time > maxTime:
		return fmt.Errorf("argon2id in %d passes, not 1 to %d", w.Time, maxTime)
	case w.Threads < 1:
		return fmt.Errorf("argon2id without a lane")
	case w.Memory < 8*uint32(w.Threads) || w.Memory > maxMemory:
		return fmt.Errorf("argon2id with %d KiB for %d lanes, not 8 for each to %d", w.Memory, w.Threads, maxMemory)
	}
	return nil
}

// derive takes a quarter of a second with defaultWork on two processors, and can take a minute with the most work. It cannot be
// interrupted.
func (w argonWork) derive(passphrase string, salt []byte) []byte {
	key := argon2.IDKey([]byte(passphrase), salt, w.Time, w.Memory, w.Threads, 32)
	if w.Memory >= defaultWork.Memory {
		debug.FreeOSMemory() // or the memory stays with the daemon, and makes the next collection come that much later
	}
	return key
}

// newKeyFile returns a key file with the master key wrapped. The secret is a passphrase, the 32 bytes of a recovery key, or
// nothing for an open key; the salt is of saltSize bytes and used for this one file.
func newKeyFile(in KeyInfo, d *description, salt []byte, w argonWork, secret string, master *pack.Key) (*keyFile, error) {
	k := &keyFile{KeyInfo: in, Key: master[:]}
	if in.Kind == KeyOpen {
		return k, nil
	}
	vault, err := hex.DecodeString(d.Vault)
	if err != nil {
		return nil, fmt.Errorf("vault id: %w", err)
	}
	k.Vault, k.Salt = vault, salt
	if in.Kind == KeyPassphrase {
		k.argonWork = w
	}
	c, associated := k.aead(secret)
	k.Key = c.Seal(nil, make([]byte, c.NonceSize()), master[:], associated)
	return k, nil
}

// unwrap returns the master key. False if the secret is not that of this file.
func (k *keyFile) unwrap(secret string) (*pack.Key, bool) {
	if k.Kind == KeyOpen {
		master := pack.Key(k.Key)
		return &master, true
	}
	c, associated := k.aead(secret)
	b, err := c.Open(nil, make([]byte, c.NonceSize()), k.Key, associated)
	if err != nil {
		return nil, false
	}
	master := pack.Key(b)
	return &master, true
}

// aead is what seals the master key in a file that is not open: AES-256-GCM with a nonce of zeros, since its key is used once.
// The key is
//
//	passphrase   argon2id(passphrase, salt), 32 bytes
//	recovery     BLAKE3 key derivation, recoveryContext, of recovery key (32 bytes) and salt (16 bytes)
//
// and the associated data are the vault id (16 bytes), the key id (8 bytes) and the kind in ASCII, so that a file opens only
// as what it was made for.
func (k *keyFile) aead(secret string) (c cipher.AEAD, associated []byte) {
	var key []byte
	if k.Kind == KeyPassphrase {
		key = k.derive(secret, k.Salt)
	} else {
		key = make([]byte, 32)
		blake3.DeriveKey(recoveryContext, append([]byte(secret), k.Salt...), key)
	}
	id, _ := hex.DecodeString(k.ID) // checked by decodeKeyFile
	return newGCM(key), append(append(append(associated, k.Vault...), id...), k.Kind...)
}

// newGCM returns AES-256-GCM under a key of 32 bytes.
func newGCM(key []byte) (c cipher.AEAD) {
	block, err := aes.NewCipher(key)
	if err == nil {
		c, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic("store: " + err.Error()) // a key of another length than 32
	}
	return c
}

// newKeyInfo describes a key that is about to be made.
func newKeyInfo(kind string, now time.Time) KeyInfo {
	return KeyInfo{ID: randomHex(keyIDSize), Kind: kind, Created: now.UTC()}
}
