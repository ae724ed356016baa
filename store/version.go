package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"yester/store/pack"
)

// An Instance is a machine whose versions the vault holds: the body of its instance.json.
type Instance struct {
	ID        string    `json:"id"`       // 32 hex digits, derived from the machine id
	Name      string    `json:"name"`     // host name
	Platform  string    `json:"platform"` // "linux/amd64"
	FirstSeen time.Time `json:"first_seen"`
}

func instanceName(id string) string { return path.Join("instances", id, "instance.json") }

// PutInstance writes or renews an instance's description.
func (v *Vault) PutInstance(ctx context.Context, in Instance) error {
	return writeSmall(ctx, v.place, instanceName(in.ID), "instance", in)
}

// Instances lists the instances, sorted by id. One whose description cannot be read has its id only. One that has none, and no versions, is none: there are packs of it, if anything,
// which others need.
func (v *Vault) Instances(ctx context.Context) ([]Instance, error) {
	var all []Instance
	err := v.eachInstance(ctx, func(id string) error {
		var in Instance
		err := readSmall(ctx, v.place, instanceName(id), "instance", &in)
		if errors.Is(err, ErrNotFound) && len(v.Versions(id)) == 0 {
			return nil
		}
		if err != nil {
			v.log.Warn("description of an instance cannot be read", "instance", id, "err", err)
			in = Instance{}
		}
		in.ID = id
		all = append(all, in)
		return nil
	})
	return all, err
}

func (k VersionKey) String() string { return path.Join(k.Instance, k.Partition, k.Version) }

func (k VersionKey) file() string {
	return path.Join("instances", k.Instance, "versions", k.Partition, k.Version)
}

// folder is where the records of an instance's versions lie.
func (k VersionKey) folder() string { return path.Join("instances", k.Instance, "versions") }

func compareKeys(a, b VersionKey) int {
	return cmp.Or(
		strings.Compare(a.Instance, b.Instance), strings.Compare(a.Partition, b.Partition), strings.Compare(a.Version, b.Version),
	)
}

// loadVersions lists the version records, beside those whose deletion failed.
func (v *Vault) loadVersions(ctx context.Context) error {
	if v.versions == nil {
		v.versions = map[VersionKey]struct{}{}
	}
	return v.eachRecord(ctx, func(k VersionKey) {
		if _, stray := v.strays[k]; !stray {
			v.versions[k] = struct{}{}
		}
	})
}

// eachRecord calls f for every file that has a version's name.
func (v *Vault) eachRecord(ctx context.Context, f func(VersionKey)) error {
	return v.eachInstance(ctx, func(instance string) error {
		top := VersionKey{Instance: instance}.folder()
		return v.each(ctx, top, true, func(partition string) error {
			return v.each(ctx, path.Join(top, partition), false, func(version string) error {
				f(VersionKey{instance, partition, version})
				return nil
			})
		})
	})
}

// Versions lists the committed versions of an instance, sorted by partition, then by version. It reads memory only.
func (v *Vault) Versions(instance string) []VersionKey {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var keys []VersionKey
	for k := range v.versions {
		if k.Instance == instance {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

// Holds tells whether there are versions or packs of an instance.
func (v *Vault) Holds(instance string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for k := range v.versions {
		if k.Instance == instance {
			return true
		}
	}
	for k := range v.strays {
		if k.Instance == instance {
			return true
		}
	}
	for _, p := range v.packs {
		if p.instance == instance {
			return true
		}
	}
	return false
}

func (v *Vault) hasVersion(k VersionKey) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	_, ok := v.versions[k]
	return ok
}

func (v *Vault) newPack() (pack.ID, *pack.Sealer, error) {
	var id pack.ID
	rand.Read(id[:])
	sealer, err := pack.NewSealer(v.master, id)
	return id, sealer, err
}

// Delete deletes a version for good. Its chunks stay until they are collected. ErrNotFound.
func (v *Vault) Delete(ctx context.Context, k VersionKey) error {
	v.records.Lock()
	defer v.records.Unlock()
	if !v.hasVersion(k) {
		return fmt.Errorf("delete version %v: %w", k, ErrNotFound)
	}
	record, tell, err := v.record(ctx, k)
	if tell != nil {
		tell()
	}
	held := v.hold(k, record, err)
	err = v.place.Remove(ctx, k.file())
	v.release(held, err == nil)
	if err != nil {
		return fmt.Errorf("delete version %v: %w", k, placeError(err))
	}
	v.announce(k, false)
	return nil
}

// Remains tells whether a version is there, for who did not find something of it: one that is just being deleted does not remain. It may
// wait for the deletion.
func (v *Vault) Remains(k VersionKey) bool {
	v.records.Lock()
	defer v.records.Unlock()
	if v.o.ReadOnly && v.hasVersion(k) { // another may have deleted it
		g, err := v.gather(context.Background(), k.file())
		if g != nil {
			g.close()
		} else if err == nil {
			v.announce(k, false)
		}
	}
	return v.hasVersion(k)
}

// announce takes in a version that came or went, and tells the watchers.
func (v *Vault) announce(k VersionKey, there bool) {
	v.mu.Lock()
	if there {
		v.versions[k] = struct{}{}
	} else {
		delete(v.versions, k)
	}
	delete(v.strays, k)
	watchers := make([]func(VersionKey, bool), 0, len(v.watchers))
	for _, f := range v.watchers {
		watchers = append(watchers, f)
	}
	v.mu.Unlock()
	for _, f := range watchers {
		f(k, there)
	}
}

// Watch calls f, from any goroutine, after a version was committed or deleted; f must not block. stop ends it, but calls that have begun
// may still be under way.
func (v *Vault) Watch(f func(k VersionKey, there bool)) (stop func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	id := v.watchID
	v.watchID++
	v.watchers[id] = f
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.watchers, id)
	}
}
