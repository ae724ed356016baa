package store

import (
	"context"
	"encoding/hex"
	"math/bits"
	"path"
	"strings"

	"yester/store/pack"
)

// A survey is what lies where. Places are bits: those of members by their shard, and above them those of places that were replaced.
type survey struct {
	listed uint64                // members that could be listed
	packs  map[pack.ID]packSeen  //
	files  map[string]placesSeen // everything else, by name
}

type placesSeen uint64

type packSeen struct {
	instance string
	in       placesSeen
}

const formerBit = maxPlaces

// shards is how many different shards there are in the places.
func (p placesSeen) shards() int { return bits.OnesCount32(uint32(p) | uint32(p>>formerBit)) }

// survey lists all places. ErrMissing if too few can be listed.
func (v *Vault) survey(ctx context.Context) (*survey, error) {
	s := &survey{packs: map[pack.ID]packSeen{}, files: map[string]placesSeen{}}
	l := v.place.layout()
	for _, m := range l.members {
		err := v.surveyPlace(ctx, s, m, 1<<m.shard)
		if err != nil && (l.alone() || ctx.Err() != nil) {
			return nil, err
		}
		if err == nil {
			s.listed |= 1 << m.shard
		}
	}
	for _, m := range l.former {
		_ = v.surveyPlace(ctx, s, m, 1<<(m.shard+formerBit)) // it serves as long as it does
	}
	if bits.OnesCount64(s.listed) < l.need() {
		return nil, v.place.missing(l)
	}
	return s, nil
}

// surveyPlace adds what lies in one place; all of it, or after an error nothing.
func (v *Vault) surveyPlace(ctx context.Context, s *survey, m *member, bit placesSeen) error {
	p := m.reader()
	if p == nil {
		return ErrMissing
	}
	var err error
	for _, dir := range []string{"keys", "instances", deletedFolder} {
		if err = walk(ctx, p, dir, func(name string) { v.see(s, name, bit) }); err != nil {
			break
		}
	}
	if err == nil {
		return nil
	}
	s.without(bit)
	if ctx.Err() == nil {
		v.place.note(m, err, true)
	}
	return err
}

func (v *Vault) see(s *survey, name string, bit placesSeen) {
	if !isPack(name) {
		s.files[name] |= bit
		return
	}
	instance, id, ok := parsePackName(name)
	if !ok {
		v.log.Warn("not a pack, left alone", "file", name)
		return
	}
	seen, again := s.packs[id]
	if !again {
		seen.instance = instance
	}
	seen.in |= bit
	s.packs[id] = seen
}

// without takes a place out again.
func (s *survey) without(bit placesSeen) {
	for name := range s.files {
		s.files[name] &^= bit
	}
	for id, seen := range s.packs {
		seen.in &^= bit
		s.packs[id] = seen
	}
}

func packName(instance string, id pack.ID) string {
	hex := id.String()
	return path.Join("instances", instance, "packs", hex[:2], hex)
}

// isPack tells whether a file is among an instance's packs.
func isPack(name string) bool {
	rest, ok := strings.CutPrefix(name, "instances/")
	_, rest, _ = strings.Cut(rest, "/")
	return ok && strings.HasPrefix(rest, "packs/")
}

// parsePackName is the reverse of packName.
func parsePackName(name string) (instance string, id pack.ID, ok bool) {
	part := strings.Split(name, "/")
	if len(part) != 5 {
		return "", id, false
	}
	b, err := hex.DecodeString(part[4])
	if err != nil || len(b) != len(id) {
		return "", id, false
	}
	id = pack.ID(b)
	return strings.Clone(part[1]), id, packName(part[1], id) == name
}

// parseVersionName is the reverse of VersionKey.file.
func parseVersionName(name string) (k VersionKey, ok bool) {
	part := strings.Split(name, "/")
	if len(part) != 5 || part[0] != "instances" || part[2] != "versions" {
		return k, false
	}
	return VersionKey{strings.Clone(part[1]), part[3], part[4]}, true
}
