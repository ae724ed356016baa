package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"yester/store/pack"
	"yester/store/place"
)

// A survey is what lies where. Places are bits: those of members by their shard, and above them those of places that were replaced.
type survey struct {
	listed uint64                 // members that could be listed
	packs  map[pack.ID]packSeen   //
	others map[pack.ID][]packSeen // that are seen in the folders of more instances
	files  map[string]placesSeen  // everything else, by name
}

type placesSeen uint64

type packSeen struct {
	instance string
	in       placesSeen
}

const formerBit = maxPlaces

// readsAtOnce is how many folders of a place are listed, and how many tables of packs are read, beside each other. It is the wait for the medium that is
// shortened so, not a processor's work: on a virtual disk a cold folder takes some 0.3 ms, and a cold table some 0.7 ms. A table takes 40 kB for a pack full of chunks of a megabyte, and 120 MB at the very most.
const readsAtOnce = 8

// shards is how many different shards there are in the places.
func (p placesSeen) shards() int { return bits.OnesCount32(uint32(p) | uint32(p>>formerBit)) }

// survey lists all places. ErrMissing if too few can be listed.
func (v *Vault) survey(ctx context.Context) (*survey, error) {
	s := &survey{packs: map[pack.ID]packSeen{}, others: map[pack.ID][]packSeen{}, files: map[string]placesSeen{}}
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
	s.settle()
	for id := range s.others {
		v.log.Warn("a pack lies in the folders of several instances; what is not in this one's is left alone", "pack", id, "instance", s.packs[id].instance)
	}
	return s, nil
}

// settle has of a pack that lies in several folders that one count in which most places have it: in one place anybody may have put it anywhere.
func (s *survey) settle() {
	for id, others := range s.others {
		for _, o := range others {
			if o.in.shards() > s.packs[id].in.shards() {
				s.packs[id] = o
			}
		}
	}
}

// InstanceFolder is the folder of a place that packs and versions are in.
const InstanceFolder = "instances"

// Folders are those that a place has all in but vault.json, which IsVaultFile knows.
func Folders() []string { return []string{keyFolder, InstanceFolder, deletedFolder} }

// Left lists the folders of instances that a place has with packs or versions in them, as one has that was replaced: "instances/<id>". It goes by names only, so that
// what somebody else has put into a folder that was a place is not taken for it.
func Left(ctx context.Context, p place.Place) (dirs []string, err error) {
	isOurs := func(i place.Info) bool { return i.Dir && (i.Name == "packs" || i.Name == "versions") }
	top, err := p.List(ctx, "")
	if !slices.ContainsFunc(top, func(i place.Info) bool { return i.Dir && i.Name == "instances" }) {
		return nil, err
	}
	all, err := p.List(ctx, "instances")
	for _, i := range all {
		if id, bad := hex.DecodeString(i.Name); !i.Dir || bad != nil || len(id) != instanceBytes {
			continue
		}
		dir := join("instances", i.Name)
		in, listErr := p.List(ctx, dir)
		if err = errors.Join(err, listErr); slices.ContainsFunc(in, isOurs) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, err
}

// instanceBytes is how many the id of an instance has.
const instanceBytes = 16

// surveyPlace adds what lies in one place; all of it, or after an error nothing.
func (v *Vault) surveyPlace(ctx context.Context, s *survey, m *member, bit placesSeen) error {
	p := m.reader()
	if p == nil {
		return ErrMissing
	}
	var err error
	for _, dir := range Folders() {
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

// walk calls f for every file below a folder of one place, one after the other. All folders of one depth are listed beside each other.
func walk(ctx context.Context, p place.Place, dir string, f func(name string)) error {
	for level := []string{dir}; len(level) > 0; {
		lists := make([][]place.Info, len(level))
		group, all := errgroup.WithContext(ctx)
		group.SetLimit(readsAtOnce)
		for i, dir := range level {
			group.Go(func() (err error) {
				if lists[i], err = p.List(all, dir); err != nil {
					return fmt.Errorf("list %s: %w", dir, err)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		var below []string
		for i, list := range lists {
			for _, entry := range list {
				name := join(level[i], entry.Name)
				if entry.Dir {
					below = append(below, name)
				} else {
					f(name)
				}
			}
		}
		level = below
	}
	return nil
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
	switch {
	case !again:
		seen.instance = instance
	case seen.instance != instance:
		s.seeElsewhere(id, packSeen{instance, bit})
		return
	}
	seen.in |= bit
	s.packs[id] = seen
}

func (s *survey) seeElsewhere(id pack.ID, seen packSeen) {
	for i, o := range s.others[id] {
		if o.instance == seen.instance {
			s.others[id][i].in |= seen.in
			return
		}
	}
	s.others[id] = append(s.others[id], seen)
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
	for _, others := range s.others {
		for i := range others {
			others[i].in &^= bit
		}
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
