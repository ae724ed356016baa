package place

import "sync"

// A Power feeds several Mems, so that a test can cut it for all of them at the same moment.
type Power struct {
	mu   sync.Mutex
	left int // steps until it goes, less than 0 for never
	gone bool
}

// NewPower returns one that goes after n steps of all the Mems it feeds together, or never for n < 0.
func NewPower(n int) *Power { return &Power{left: n} }

// Plug has p feed the place from now on.
func (m *Mem) Plug(p *Power) {
	m.mem.mu.Lock()
	defer m.mem.mu.Unlock()
	m.mem.power = p
}

// on tells whether there is power, for a step that changes a disk or for one that does not. A nil Power never goes.
func (p *Power) on(step bool) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = p.gone || p.left == 0
	if step && p.left > 0 {
		p.left--
	}
	return !p.gone
}
