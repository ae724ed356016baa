package store

import (
	"context"
	"encoding/hex"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"yester/store/pack"
)

// Keys derived from the master key, by BLAKE3's key derivation with these contexts.
const (
	chunkIDContext  = "yester 2026-11-23 chunk id key 1"
	keyCheckContext = "yester 2026-11-23 key check 1"
)

// The kinds of keys. Each key file holds the same master key, so any one of them opens the vault, and adding or removing one
// touches no pack.
const (
	KeyOpen       = "open"       // the master key as it is: who can read the vault's files can read the vault
	KeyPassphrase = "passphrase" // wrapped under a passphrase
	KeyRecovery   = "recovery"   // wrapped under a random key that was shown once, to be kept on paper
)

// A KeyInfo describes one key file without its secret.
type KeyInfo struct {
	ID      string    `json:"id"` // 16 hex digits
	Kind    string    `json:"kind"`
	Created time.Time `json:"created"`

	// Fault says why the file is of no use for this vault: it is damaged, of another vault, or of a newer yester. "" if
	// nothing is wrong. A file that cannot be read has an ID only.
	Fault string `json:"-"`
}

// keyCheck is what vault.json holds to tell a wrong key.
func keyCheck(master *pack.Key) string {
	var out [16]byte
	blake3.DeriveKey(keyCheckContext, master[:], out[:])
	return hex.EncodeToString(out[:])
}

// Keys lists the vault's keys, those with a Fault too.
func (v *Vault) Keys(ctx context.Context) ([]KeyInfo, error) {
	keys, err := readKeys(ctx, v.place, &v.desc)
	return infos(keys), err
}

// An idHasher computes chunk ids: BLAKE3-256 keyed with a key derived from the master key, over the raw bytes.
type idHasher struct{ pool sync.Pool }

func newIDHasher(master *pack.Key) *idHasher {
	var key [32]byte
	blake3.DeriveKey(chunkIDContext, master[:], key[:])
	return &idHasher{sync.Pool{New: func() any {
		h, err := blake3.NewKeyed(key[:])
		if err != nil {
			panic("store: " + err.Error()) // a key of another length than 32
		}
		return h
	}}}
}

func (i *idHasher) id(raw []byte) (id ID) {
	h := i.pool.Get().(*blake3.Hasher)
	defer i.pool.Put(h)
	h.Reset()
	h.Write(raw)
	h.Sum(id[:0])
	return id
}
