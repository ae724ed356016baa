package cut

// A Cutter finds cuts. It never changes, so many goroutines may use one.
type Cutter struct {
	p      Params
	normal int
	strict uint64 // a hash below it cuts up to normal
	loose  uint64 // a hash below it cuts after normal
}

// New returns a cutter, or what p.Check has against p.
func New(p Params) (*Cutter, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	return &Cutter{
		p:      p,
		normal: p.normal(),
		strict: startsWithZeros(p.meanBits() + 2),
		loose:  startsWithZeros(p.meanBits() - 2),
	}, nil
}

// startsWithZeros returns the number that a hash is below if and only if its first n bits are zero.
func startsWithZeros(n int) uint64 { return 1 << (64 - n) }

// Next returns the length of the chunk at the front of b, or 0 when more bytes are needed to tell. b starts where the
// chunk before ended, or with the file; final says that the file ends with b. With Max bytes or more, or with final and
// one byte or more, the answer is never 0, so who always fills a buffer of Max bytes is always served.
//
// The answer depends on the file's bytes alone, never on how many of them are in b.
func (c *Cutter) Next(b []byte, final bool) int {
	if len(b) >= c.p.Max {
		return c.find(b[:c.p.Max])
	}
	if !final {
		return 0
	}
	return c.find(b)
}

// find returns the length of the chunk at the front of b, which is all of it if no byte is fit for a cut.
func (c *Cutter) find(b []byte) int {
	if len(b) <= c.p.Min {
		return len(b)
	}
	normal := min(c.normal, len(b))
	h := roll(0, b[c.p.Min-window:c.p.Min])
	h, n := scan(h, b[c.p.Min:normal], c.strict)
	if n > 0 {
		return c.p.Min + n
	}
	if _, n = scan(h, b[normal:], c.loose); n > 0 {
		return normal + n
	}
	return len(b)
}
