package capture

import (
	"bytes"
	"context"

	"yester/snapshot"
	"yester/store"
)

// A merge goes through the names of a directory and the parent version's entries of it side by side.
type merge struct {
	w    *walker
	l    *level
	old  *snapshot.Reader
	have bool // l.old is the next of the parent's entries
}

func (m *merge) begin(ctx context.Context, old *snapshot.Entry) {
	m.old = snapshot.NewReader(m.w.get, store.ID{})
	if old != nil {
		m.old = snapshot.NewReader(m.w.get, old.Tree)
	}
	m.next(ctx)
}

func (m *merge) next(ctx context.Context) { m.have = m.old.Next(ctx, &m.l.old) }

// name captures one name and counts it.
func (m *merge) name(ctx context.Context, d directory, name zname) error {
	for m.have && bytes.Compare(m.l.old.Name, name.bytes()) < 0 {
		if err := m.gone(ctx); err != nil {
			return err
		}
	}
	if !m.have || !bytes.Equal(m.l.old.Name, name.bytes()) {
		there, err := m.w.capture(ctx, d, name, &m.l.entry, nil)
		if err != nil || !there {
			return err
		}
		m.w.added++
		m.differs(name.bytes())
		return m.l.folder.add(ctx, &m.l.entry, nil)
	}
	there, err := m.w.capture(ctx, d, name, &m.l.entry, &m.l.old)
	if err != nil {
		return err
	}
	if !there {
		return m.gone(ctx)
	}
	if !alike(&m.l.entry, &m.l.old) {
		m.w.changed++
		m.differs(name.bytes())
	}
	if !m.l.entry.IsDir() {
		m.w.lost(&m.l.old)
	}
	if err := m.l.folder.add(ctx, &m.l.entry, &m.l.old); err != nil {
		return err
	}
	m.next(ctx)
	return nil
}

// gone counts the next of the parent's entries as deleted, with all below it.
func (m *merge) gone(ctx context.Context) error {
	m.differs(m.l.old.Name)
	m.w.deleted++
	m.w.lost(&m.l.old)
	m.next(ctx)
	return m.l.folder.diverge(ctx)
}

// differs tells the audit, if there is one, of a name that is not what it was.
func (m *merge) differs(name []byte) {
	if m.l.audit {
		m.w.differs(name)
	}
}

// rest ends the merge. A parent version that cannot be read any further costs time, not this version: what it would have told is read again.
func (m *merge) rest(ctx context.Context) error {
	for m.have {
		if err := m.gone(ctx); err != nil {
			return err
		}
	}
	err := m.old.Err()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if !isLost(err) {
		return err
	}
	m.w.warn("the earlier version cannot be read here, everything is read again: %v", err)
	return m.l.folder.diverge(ctx)
}
