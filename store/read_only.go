package store

import (
	"context"
	"fmt"
	"syscall"

	"yester/store/place"
)

// A readOnly is a place in which nothing is changed, whatever is asked of it.
type readOnly struct{ place.Place }

// withReadOnly has nothing written in the places, if that was asked for.
func (o Options) withReadOnly() Options {
	if !o.ReadOnly {
		return o
	}
	places := make([]place.Place, len(o.Places))
	for i, p := range o.Places {
		places[i] = readOnly{p}
	}
	o.Places, o.Look = places, nil
	return o
}

func (p readOnly) refuse(what, name string) error {
	return fmt.Errorf("%s %s in %s, which is opened for reading only: %w", what, name, p, syscall.EROFS)
}

// Write implements place.Place.
func (p readOnly) Write(_ context.Context, name string, _ ...[]byte) error {
	return p.refuse("write", name)
}

// Remove implements place.Place.
func (p readOnly) Remove(_ context.Context, name string) error { return p.refuse("remove", name) }

// Sweep implements place.Place: what others left is theirs.
func (p readOnly) Sweep(context.Context) error { return nil }
