package store

import (
	"errors"

	"yester/store/pack"
)

// A TroubleKind says what sort of trouble a vault met.
type TroubleKind string

const (
	PlaceFailed TroubleKind = "place failed" // a place is not used for a while; the vault works without it
	PlaceBack   TroubleKind = "place back"   // it is used again and has all that it missed
	Damaged     TroubleKind = "damaged"      // bytes in a place are not what was written there
	Stray       TroubleKind = "stray"        // a record came with a place, and parts of its version are nowhere; it is not listed
)

// A Trouble is what Options.OnTrouble is told.
type Trouble struct {
	Kind   TroubleKind
	Place  string  // a path
	File   string  // the damaged file's name in the place; "" if it is about all of the place
	Pack   pack.ID // zero if that file is no pack
	Offset int64   // of the first damage met in the pack's data region; -1 if it is not known
	Err    error   // what went wrong; nil for PlaceBack; of Damaged ErrNoSpace or ErrReadOnly, if but for that the file would be whole again: it is read around the damage
	Healed bool    // the file is whole again
	Gone   bool    // of PlaceFailed: nor is the place read from
}

// tell hands on a trouble.
func (s *spread) tell(t Trouble) {
	if s.onTrouble != nil {
		s.onTrouble(t)
	}
}

// fail notes an error of a place in writing.
func (s *spread) fail(m *member, err error) { s.note(m, err, offLine(err)) }

// lost notes an error of a place in reading, if it is one of the whole place.
func (s *spread) lost(m *member, err error) {
	if ofPlace(err) {
		s.note(m, err, true)
	}
}

func (s *spread) note(m *member, err error, gone bool) {
	if s.now.Load().alone() {
		return
	}
	if m.fail(err, gone) {
		s.log.Warn("a place fails; the vault goes on without it", "place", m, "err", err)
		s.tell(Trouble{Kind: PlaceFailed, Place: m.String(), Offset: -1, Err: err, Gone: gone})
		s.poke()
	}
}

// tellMissing tells which places lack from the start.
func (s *spread) tellMissing() {
	for _, m := range s.layout().members {
		if m.reader() == nil {
			s.log.Warn("a place is missing; the vault goes on without it", "place", m)
			s.tell(Trouble{Kind: PlaceFailed, Place: m.String(), Offset: -1, Err: m.trouble(), Gone: true})
		}
	}
}

// trouble is what keeps places from being written to; nil if all are well.
func (s *spread) trouble() error {
	var errs []error
	for _, m := range s.layout().members {
		errs = append(errs, m.trouble())
	}
	return errors.Join(errs...)
}
