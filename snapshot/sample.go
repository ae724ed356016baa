package snapshot

import (
	"context"

	"yester/store"
)

// Sample calls visit for some of the names of a version that are no folders: those of the given numbers, which count from 0 in the order of a walk and
// must ascend. It goes only into folders that have one of them. The entry is visit's until it returns.
func Sample(ctx context.Context, g Getter, v *Version, numbers []uint64, visit func(path string, e *Entry)) error {
	root, err := v.RootEntry()
	if err != nil {
		return err
	}
	s := sampler{get: g, left: numbers, visit: visit}
	return s.folder(ctx, root.Tree, "", nil)
}

type sampler struct {
	get   Getter
	left  []uint64 // numbers not met
	at    uint64   // of the next name
	visit func(path string, e *Entry)
}

// folder goes through a folder. Above are the trees of those above it: one that holds itself, as a forged version may have it, is not gone into.
func (s *sampler) folder(ctx context.Context, tree store.ID, path string, above []store.ID) error {
	for _, t := range above {
		if t == tree {
			return nil
		}
	}
	above = append(above, tree)
	rd := NewReader(s.get, tree)
	var e Entry
	for len(s.left) > 0 && rd.Next(ctx, &e) {
		here := path + string(e.Name)
		if !e.IsDir() {
			if s.skip(s.at); len(s.left) > 0 && s.left[0] == s.at {
				s.visit(here, &e)
			}
			s.at++
			continue
		}
		end := s.at + e.Totals.Files
		if s.skip(s.at); len(s.left) > 0 && s.left[0] < end {
			if err := s.folder(ctx, e.Tree, here+"/", above); err != nil {
				return err
			}
		}
		s.at = end // whatever was below
	}
	return rd.Err()
}

// skip passes over numbers before at.
func (s *sampler) skip(at uint64) {
	for len(s.left) > 0 && s.left[0] < at {
		s.left = s.left[1:]
	}
}
