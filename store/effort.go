package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"yester/store/place"
)

// An effort is what came of changing something in several places.
type effort struct {
	layout *layout
	least  int       // how many places must do it, if those are more than need
	done   []*member // that did it
	errs   []error   // of the others
	late   bool      // some are still at it
}

// missed tells whether any of the places has not done it.
func (e *effort) missed() bool { return len(e.errs) > 0 }

// err is nil if enough places did it.
func (e *effort) err() error {
	if len(e.done) >= e.need() {
		return nil
	}
	return &fewError{len(e.done), e.need(), len(e.layout.members), e.errs}
}

// need is how many places must do it.
func (e *effort) need() int { return max(e.layout.need(), e.least) }

// A fewError says that too few places did something. It is of the kinds of all their errors.
type fewError struct {
	done, need, all int
	errs            []error
}

func (e *fewError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of the vault's %d places took it, %d must", e.done, e.all, e.need)
	for _, err := range e.errs {
		fmt.Fprintf(&b, "; %v", err)
	}
	return b.String()
}

func (e *fewError) Unwrap() []error { return e.errs }

// try changes something in some members at once. It waits for all of them, or, once enough have done it, for the grace time. Those
// that fail or are too slow are left alone for a while; those that are left alone already are tried only if the others are too few.
func (s *spread) try(l *layout, members []*member, do func(*member, place.Place) error) effort {
	return s.tryLeast(l, 0, members, do)
}

// tryLeast is try for what at least so many must do.
func (s *spread) tryLeast(l *layout, least int, members []*member, do func(*member, place.Place) error) effort {
	return s.tryThose(effort{layout: l, least: least}, members, (*member).well, do)
}

// tryRemove is try for a removal from all members.
func (s *spread) tryRemove(ctx context.Context, l *layout, name string) effort {
	return s.tryThose(effort{layout: l}, l.members, (*member).sheds, func(_ *member, p place.Place) error { return p.Remove(ctx, name) })
}

// tryThose is try for those members that may be asked.
func (s *spread) tryThose(e effort, members []*member, may func(*member) bool, do func(*member, place.Place) error) effort {
	targets := make([]*member, 0, len(members))
	for _, m := range members {
		if may(m) {
			targets = append(targets, m)
		}
	}
	if len(targets) < e.need() {
		targets = targets[:0]
		for _, m := range members {
			if m.reader() != nil {
				targets = append(targets, m)
			}
		}
	}
	var left []*member
	for _, m := range members {
		if !slices.Contains(targets, m) {
			left = append(left, m)
			e.errs = append(e.errs, m.trouble())
		}
	}
	s.wait(&e, s.start(targets, do), targets)
	for _, m := range left { // not before: one that came back meanwhile may have made up what it missed till then
		m.miss()
		if m.well() {
			s.poke()
		}
	}
	return e
}

// A result is one member's.
type result struct {
	m   *member
	err error
}

func (s *spread) start(targets []*member, do func(*member, place.Place) error) <-chan result {
	results := make(chan result, len(targets))
	for _, m := range targets {
		go func() {
			err := do(m, m.enter())
			m.leave()
			results <- result{m, err}
		}()
	}
	return results
}

// wait collects the results of targets.
func (s *spread) wait(e *effort, results <-chan result, targets []*member) {
	var timeout <-chan time.Time
	open := map[*member]bool{}
	for _, m := range targets {
		open[m] = true
	}
	for len(open) > 0 {
		select {
		case r := <-results:
			delete(open, r.m)
			s.settle(e, r)
		case <-timeout:
			for m := range open {
				s.settle(e, result{m, fmt.Errorf("%s: %w", m, errSlow)})
			}
			e.late = true
			return
		}
		if timeout == nil && len(e.done) >= e.need() && len(open) > 0 {
			t := time.NewTimer(s.grace)
			defer t.Stop()
			timeout = t.C
		}
	}
}

func (s *spread) settle(e *effort, r result) {
	if r.err == nil {
		e.done = append(e.done, r.m)
		return
	}
	e.errs = append(e.errs, r.err)
	s.fail(r.m, r.err)
}
