package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"yester/store/place"
)

// mendSmallFiles brings all copies of the small files to the newest state that there is. No key is changed meanwhile: one of which
// a copy is gone, because it is being removed, must not come back from the other.
func (v *Vault) mendSmallFiles(ctx context.Context) error {
	v.keys.Lock()
	defer v.keys.Unlock()
	names := map[string]bool{}
	err := v.each(ctx, "keys", false, func(name string) error {
		names[path.Join("keys", strings.TrimSuffix(name, copySuffix))] = true
		return nil
	})
	errs := []error{err, v.eachInstance(ctx, func(id string) error {
		names[instanceName(id)], names[policyName(id)], names[ownerName(id)] = true, true, true
		return nil
	})}
	for name := range names {
		errs = append(errs, v.mendSmall(ctx, name))
	}
	return errors.Join(append(errs, v.mendDescriptions(ctx))...)
}

func (v *Vault) mendSmall(ctx context.Context, name string) error {
	defer v.place.locks.lock(name)()
	if v.place.stones.has(name) {
		return nil
	}
	best, err := newestGood(ctx, v.place, name)
	if notThere(err) || ctx.Err() != nil { // reading that was broken off says nothing of the file
		return ctx.Err()
	}
	if err != nil && !ofFile(err) {
		return fmt.Errorf("read %s: %w", name, placeError(err))
	}
	if err != nil {
		v.tooDamaged(&CorruptError{Place: v.place.String(), Offset: -1, Err: fmt.Errorf("%s: %w", name, err)}, name)
		return ctx.Err()
	}
	var errs []error
	for _, m := range v.place.layout().members {
		errs = append(errs, v.mendSmallIn(ctx, m, name, best))
	}
	return errors.Join(errs...)
}

// mendSmallIn writes a small file and its copy to a member where they are not so.
func (v *Vault) mendSmallIn(ctx context.Context, m *member, name string, best envelope) error {
	if !m.well() {
		return nil
	}
	p := m.enter()
	defer m.leave()
	for _, n := range []string{name, name + copySuffix} {
		e, err := readOne(ctx, p, n)
		if err == nil {
			err = misplaced(n, &e)
		}
		if err == nil && (bytes.Equal(e.raw, best.raw) || e.newer(&best)) {
			continue
		}
		if err := errors.Join(ctx.Err(), p.Write(ctx, n, best.raw)); err != nil {
			v.failUnless(ctx, m, err)
			return err
		}
		if errors.Is(err, ErrCorrupt) {
			v.mended.Add(1)
			v.log.Warn("a damaged file was written anew", "place", m, "file", n, "err", err)
			v.place.tell(Trouble{Kind: Damaged, Place: m.String(), File: n, Offset: -1, Err: err, Healed: true})
		}
	}
	return nil
}

// newestGood reads a small file in the state that holds, of those there are in any place that are what the name says.
func newestGood(ctx context.Context, p place.Place, name string) (best envelope, err error) {
	err = fs.ErrNotExist
	found := false
	for _, h := range holders(p) {
		for _, n := range []string{name, name + copySuffix} {
			e, readErr := readOne(ctx, h, n)
			if readErr == nil {
				readErr = misplaced(n, &e)
			}
			switch {
			case readErr == nil && (!found || e.newer(&best)):
				best, found, err = e, true, nil
			case readErr != nil && !found && notThere(err):
				err = readErr
			}
		}
	}
	return best, err
}

// misplaced tells that a key, or the description, policy or owner of a machine, lies under another's name. ErrCorrupt.
func misplaced(name string, e *envelope) error {
	name = strings.TrimSuffix(name, copySuffix)
	if id, ok := strings.CutPrefix(name, keyFolder+"/"); ok {
		if _, err := decodeKeyFile(e.raw, id); err != nil && !errors.Is(err, ErrFormat) {
			return err
		}
		return nil
	}
	if name == vaultFile {
		return nil
	}
	if path.Base(name) == path.Base(policyName("")) {
		var p sealedPolicy
		if err := e.open("policy", &p); err != nil {
			return err
		}
		if policyName(p.Instance) != name {
			return fmt.Errorf("%w: it is the policy of machine %.32q", ErrCorrupt, p.Instance)
		}
		return nil
	}
	if path.Base(name) == path.Base(ownerName("")) {
		var o Owner
		if err := e.open("owner", &o); err != nil {
			return err
		}
		if ownerName(o.Instance) != name {
			return fmt.Errorf("%w: it is about machine %.32q", ErrCorrupt, o.Instance)
		}
		return nil
	}
	var in Instance
	if err := e.open("instance", &in); err != nil {
		return err
	}
	if instanceName(in.ID) != name {
		return fmt.Errorf("%w: it describes machine %.32q", ErrCorrupt, in.ID)
	}
	return nil
}

func (v *Vault) failUnless(ctx context.Context, m *member, err error) {
	if ctx.Err() == nil {
		v.place.fail(m, err)
	}
}

// touch writes vault.json anew in every place, to see whether these answer. The error is that of the vault's only place.
func (v *Vault) touch(ctx context.Context) error {
	v.describe.Lock()
	defer v.describe.Unlock()
	l := v.place.layout()
	for _, m := range l.members {
		if m.reader() == nil {
			continue
		}
		p := m.enter()
		err := writeDescription(ctx, p, v.desc, m.id, v.renewed)
		m.leave()
		if err != nil && l.alone() {
			return placeError(err)
		}
		if err != nil {
			v.failUnless(ctx, m, err)
		}
	}
	return ctx.Err()
}

// mendDescriptions writes vault.json to the members where it, or its copy, is damaged or old.
func (v *Vault) mendDescriptions(ctx context.Context) error {
	v.describe.Lock()
	defer v.describe.Unlock()
	var errs []error
	for _, m := range v.place.layout().members {
		d := v.desc
		d.Place = m.id
		raw, err := sealEnvelope("vault", v.renewed, d)
		if err != nil {
			return err
		}
		errs = append(errs, v.mendSmallIn(ctx, m, vaultFile, envelope{Renewed: v.renewed, raw: raw}))
	}
	return errors.Join(errs...)
}
