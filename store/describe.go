package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"yester/store/cut"
	"yester/store/pack"
	"yester/store/place"
)

// Format is the number of the vault format this package reads and writes.
const Format = 1

// A description is the body of vault.json.
type description struct {
	Format   int        `json:"format"`
	Vault    string     `json:"vault"` // 32 hex digits
	Created  time.Time  `json:"created"`
	Cut      cut.Params `json:"cut"`
	Shards   pack.Shape `json:"shards"`    // of new packs
	Places   placeList  `json:"places"`    // all of the vault, by the number of their shard
	Place    string     `json:"place"`     // which of them this file lies in
	KeyCheck string     `json:"key_check"` // tells a wrong key: derived from the master key
}

type placeInVault struct {
	ID       string `json:"id"` // 16 hex digits
	Kind     string `json:"kind"`
	Name     string `json:"name,omitempty"`     // where it was seen last, of a vault in several places
	Replaces string `json:"replaces,omitempty"` // id of the place it takes over from, until it has everything
}

// A placeList decodes no more places than show that there are too many.
type placeList []placeInVault

// UnmarshalJSON implements json.Unmarshaler.
func (l *placeList) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t == nil {
		return err
	}
	for d.More() && len(*l) <= maxPlaces {
		var p placeInVault
		if err := d.Decode(&p); err != nil {
			return err
		}
		*l = append(*l, p)
	}
	return nil
}

const vaultFile = "vault.json"

// MaxVaultFile is the most bytes that vault.json can have.
const MaxVaultFile = maxSmallFile

// IsVaultFile tells whether b is all of the vault.json of some vault, undamaged and of whatever format.
func IsVaultFile(b []byte) bool {
	e, err := parseEnvelope(b)
	return err == nil && e.What == "vault"
}

func (d *description) check() error {
	if d.Format != Format {
		return fmt.Errorf("%w: it is of format %d, this yester knows format %d; use the yester it was made with, or a newer one",
			ErrFormat, d.Format, Format)
	}
	if b, err := hex.DecodeString(d.Vault); err != nil || len(b) != 16 {
		return fmt.Errorf("%w: vault id %q", ErrCorrupt, d.Vault)
	}
	if n := len(d.Places); n == 0 || n > maxPlaces || n > 1 && (d.Shards.Shards() != n || d.Shards.Parity == 0) {
		return fmt.Errorf("%w: %d+%d shards in %d places", ErrCorrupt, d.Shards.Data, d.Shards.Parity, n)
	}
	if err := errors.Join(d.Cut.Check(), d.Shards.Check()); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// number returns which of the vault's places an id is that of, -1 for none. Former tells that it was replaced.
func (d *description) number(id string) (n int, former bool) {
	for i, p := range d.Places {
		if p.ID == id || p.Replaces == id && id != "" {
			return i, p.ID != id
		}
	}
	return -1, false
}

// A seenPlace is a place and what its vault.json says.
type seenPlace struct {
	place   place.Place
	desc    description
	renewed uint64
}

func seePlace(ctx context.Context, p place.Place) (seenPlace, error) {
	s := seenPlace{place: p}
	e, err := readEither(ctx, p, vaultFile)
	if err == nil {
		err = e.open("vault", &s.desc)
	}
	if notThere(err) {
		err = ErrNotFound
	}
	if err == nil {
		err = s.desc.check()
	}
	s.renewed = e.Renewed
	if err != nil {
		return s, fmt.Errorf("%s in %s: %w", vaultFile, p, err)
	}
	return s, nil
}

// findVault reads what the places say. A place that has no vault.json is none of the vault's, whatever else lies there; nor is one of
// another vault, which is that of the fewer places, or not the known one. The newest description is returned, and all places that are the vault's.
func findVault(ctx context.Context, places []place.Place, known string, warn func(error)) (seenPlace, []seenPlace, error) {
	var all []seenPlace
	var errs []error
	for _, p := range places {
		s, err := seePlace(ctx, p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return seenPlace{}, nil, worst(errs)
	}
	ours, err := ofOneVault(all, known)
	if err != nil {
		return seenPlace{}, nil, err
	}
	for _, s := range all {
		if s.desc.Vault != ours[0].desc.Vault {
			errs = append(errs, fmt.Errorf("%s holds another vault, %s", s.place, s.desc.Vault))
		}
	}
	for _, err := range errs {
		warn(err)
	}
	return slices.MaxFunc(ours, compareSeen), ours, nil
}

// worst is the error that says most: that there is no vault only if all say so.
func worst(errs []error) error {
	for _, err := range errs {
		if !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("%w: no place is there", ErrNotFound)
	}
	return errs[0]
}

// ofOneVault picks the places of the vault that has most of them. Of several that have as many it is the known one.
func ofOneVault(all []seenPlace, known string) ([]seenPlace, error) {
	of := map[string][]seenPlace{}
	for _, s := range all {
		of[s.desc.Vault] = append(of[s.desc.Vault], s)
	}
	var ours []seenPlace
	for _, s := range all { // in their order, so that the error is always the same
		if list := of[s.desc.Vault]; len(list) > len(ours) {
			ours = list
		}
	}
	tie := false
	for vault, list := range of {
		tie = tie || vault != ours[0].desc.Vault && len(list) == len(ours)
	}
	if tie && len(of[known]) == len(ours) {
		return of[known], nil
	}
	if tie {
		return nil, fmt.Errorf("%w: %s and others hold different vaults; name the places of one", ErrExists, ours[0].place)
	}
	return ours, nil
}

// compareSeen orders descriptions of a vault by how new they are.
func compareSeen(a, b seenPlace) int {
	if c := cmp.Compare(a.renewed, b.renewed); c != 0 {
		return c
	}
	places := func(s seenPlace) string { j, _ := json.Marshal(s.desc.Places); return string(j) }
	return cmp.Compare(places(a), places(b))
}

// newLayout assigns places to a description's members.
func newLayout(d *description, seen []seenPlace) *layout {
	l := &layout{shape: d.Shards, members: make([]*member, len(d.Places))}
	for _, s := range seen {
		n, former := d.number(s.desc.Place)
		switch {
		case n < 0:
		case former:
			l.former = append(l.former, newMember(placeInVault{ID: s.desc.Place}, n, s.place))
		case l.members[n] == nil:
			l.members[n] = newMember(d.Places[n], n, s.place)
		}
	}
	for i, m := range l.members {
		if m == nil {
			l.members[i] = newMember(d.Places[i], i, nil)
		}
	}
	return l
}

// writeDescription writes vault.json to one place, for good measure only if it is not there already.
func writeDescription(ctx context.Context, p place.Place, d description, id string, renewed uint64) error {
	d.Place = id
	return writeEnvelope(ctx, p, vaultFile, "vault", renewed, d)
}
