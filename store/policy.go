package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
)

// A Policy is what an instance keeps in the vault of how its versions are treated, so that it is there when the machine is not: the body of
// its policy.json.
type Policy struct {
	Instance string          `json:"instance"`         // id
	Policy   json.RawMessage `json:"policy,omitempty"` // a copy of what the instance's daemon goes by; nothing if it was cancelled
	Pinned   []Pin           `json:"pinned,omitempty"` // versions that do not expire; of these this file has the only word
}

// A Pin names a version of the instance.
type Pin struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
}

func policyName(id string) string { return path.Join("instances", id, "policy.json") }

// PutPolicy writes or renews an instance's policy.
func (v *Vault) PutPolicy(ctx context.Context, p Policy) error {
	return writeSmall(ctx, v.place, policyName(p.Instance), "policy", p)
}

// Policy reads an instance's policy. ErrNotFound if it never had one; any other error says nothing about what is in it.
func (v *Vault) Policy(ctx context.Context, instance string) (p Policy, err error) {
	err = readSmall(ctx, v.place, policyName(instance), "policy", &p)
	if err == nil && p.Instance != instance {
		err = fmt.Errorf("read %s: %w: it is that of machine %.32q", policyName(instance), ErrCorrupt, p.Instance)
	}
	return p, err
}

// RemoveInstance removes what the vault says of an instance that has no versions any more. A place that is away, and would bring the files back,
// keeps them everywhere, for they might be written again before it returns; then they say nothing.
func (v *Vault) RemoveInstance(ctx context.Context, id string) error {
	for _, p := range v.Places(ctx) {
		if p.Err != nil || p.Behind {
			return v.PutPolicy(ctx, Policy{Instance: id})
		}
	}
	v.keys.Lock() // one of which a copy is gone must not come back from the other
	defer v.keys.Unlock()
	var errs []error
	for _, name := range []string{policyName(id), instanceName(id)} {
		for _, n := range []string{name, name + copySuffix} {
			if err := v.place.Remove(ctx, n); err != nil {
				errs = append(errs, placeError(err))
			}
		}
	}
	return errors.Join(errs...)
}
