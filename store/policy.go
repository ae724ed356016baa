package store

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/zeebo/blake3"
)

// A Policy is what an instance keeps in the vault of how its versions are treated, so that it is there when the machine is not. It lies sealed in
// its policy.json, see sealedPolicy.
type Policy struct {
	Instance string          `json:"-"`                // id
	Policy   json.RawMessage `json:"policy,omitempty"` // a copy of what the instance's daemon goes by; nothing if it was cancelled
	Pinned   []Pin           `json:"pinned,omitempty"` // versions that do not expire; of these this file has the only word
}

// A Pin names a version of the instance.
type Pin struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
}

// A sealedPolicy is the body of policy.json. Policies name paths, which are nobody's business who has no key. The seal is AES-256-GCM of the Policy as
// JSON, with a nonce of zeros, for its key is used once: it is derived by BLAKE3 with policyContext from master key (32 bytes) and salt (16 bytes). The
// associated data are the vault id (16 bytes) and the instance in ASCII.
type sealedPolicy struct {
	Instance string `json:"instance"`
	Salt     []byte `json:"salt"`
	Sealed   []byte `json:"sealed"`
}

const policyContext = "yester 2026-11-25 policy key 1"

// policySeal is what seals the policy of an instance under a salt.
func (v *Vault) policySeal(instance string, salt []byte) (c cipher.AEAD, associated []byte) {
	key := make([]byte, 32)
	blake3.DeriveKey(policyContext, append(v.master[:len(v.master):len(v.master)], salt...), key)
	return newGCM(key), append(append(associated, v.id[:]...), instance...)
}

func policyName(id string) string { return path.Join("instances", id, "policy.json") }

// PutPolicy writes or renews an instance's policy.
func (v *Vault) PutPolicy(ctx context.Context, p Policy) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write %s: %w", policyName(p.Instance), err)
	}
	s := sealedPolicy{Instance: p.Instance, Salt: make([]byte, saltSize)}
	rand.Read(s.Salt)
	c, associated := v.policySeal(s.Instance, s.Salt)
	s.Sealed = c.Seal(nil, make([]byte, c.NonceSize()), raw, associated)
	return writeSmall(ctx, v.place, policyName(p.Instance), "policy", s)
}

// Policy reads an instance's policy. ErrNotFound if it never had one; any other error says nothing about what is in it.
func (v *Vault) Policy(ctx context.Context, instance string) (p Policy, err error) {
	var s sealedPolicy
	if err := readSmall(ctx, v.place, policyName(instance), "policy", &s); err != nil {
		return p, err
	}
	c, associated := v.policySeal(instance, s.Salt)
	raw, err := c.Open(nil, make([]byte, c.NonceSize()), s.Sealed, associated)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return Policy{}, fmt.Errorf("read %s: %w: it is not one that this vault sealed for the machine", policyName(instance), ErrCorrupt)
	}
	p.Instance = instance
	return p, nil
}

// RemoveInstance removes what the vault says of an instance of which it holds nothing any more. A place that is away, and would bring the files back,
// keeps them everywhere, for they might be written again before it returns; then they say nothing, and it is not gone.
func (v *Vault) RemoveInstance(ctx context.Context, id string) (gone bool, err error) {
	for _, p := range v.Places(ctx) {
		if p.Err != nil || p.Behind {
			return false, v.PutPolicy(ctx, Policy{Instance: id})
		}
	}
	v.keys.Lock() // one of which a copy is gone must not come back from the other
	defer v.keys.Unlock()
	var errs []error
	for _, name := range []string{policyName(id), ownerName(id), instanceName(id)} {
		for _, n := range []string{name, name + copySuffix} {
			if err := v.place.Remove(ctx, n); err != nil {
				errs = append(errs, placeError(err))
			}
		}
	}
	return len(errs) == 0, errors.Join(errs...)
}
