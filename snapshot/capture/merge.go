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

// name captures name i of the directory.
func (m *merge) name(ctx context.Context, d directory, i int) error {
	name := m.l.names.at(i)
	for m.have && bytes.Compare(m.l.old.Name, name.bytes()) < 0 {
		if err := m.gone(ctx); err != nil {
			return err
		}
	}
	var old *snapshot.Entry
	if m.have && bytes.Equal(m.l.old.Name, name.bytes()) {
		old = &m.l.old
	}
	if err := m.capture(ctx, d, i, old); err != nil {
		return err
	}
	if old != nil {
		m.next(ctx)
	}
	return nil
}

// capture has name i captured, by another walker if it is a folder and hands are free.
func (m *merge) capture(ctx context.Context, d directory, i int, old *snapshot.Entry) error {
	if err := m.settleEnded(ctx); err != nil {
		return err
	}
	name, q := m.l.names.at(i), &m.l.queue
	if m.l.names.folder(i) && m.w.changes == nil { // what changed is found by one walker
		if h := m.w.spare(); h != nil {
			m.w.share(ctx, d, name, q.push(old), h)
			return nil
		}
	}
	if q.empty() {
		there, err := m.w.capture(ctx, d, name, &m.l.entry, old)
		if err != nil {
			return err
		}
		return m.settle(ctx, &m.l.entry, old, there)
	}
	it := q.push(old)
	it.there, it.err = m.w.capture(ctx, d, name, &it.entry, it.before())
	return it.err
}

// gone has the next of the parent's entries counted as deleted, with all below it.
func (m *merge) gone(ctx context.Context) error {
	if err := m.settleEnded(ctx); err != nil {
		return err
	}
	if q := &m.l.queue; !q.empty() {
		q.push(&m.l.old)
		m.next(ctx)
		return nil
	}
	err := m.settle(ctx, nil, &m.l.old, false)
	m.next(ctx)
	return err
}

// settleEnded settles what was captured, up to the first name that is still under way; for this one it waits if the queue is full.
func (m *merge) settleEnded(ctx context.Context) error {
	for q := &m.l.queue; !q.empty() && (q.full() || q.head().ended()); {
		if err := m.settleHead(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settleHead waits for the first name of the queue and settles it.
func (m *merge) settleHead(ctx context.Context) error {
	q := &m.l.queue
	it := q.head()
	m.w.await(it)
	q.drop()
	if it.err != nil {
		return it.err
	}
	return m.settle(ctx, &it.entry, it.before(), it.there)
}

// settle counts a name, of which old is what the parent version has, nil for nothing, and adds it to the tree if it is there.
func (m *merge) settle(ctx context.Context, e, old *snapshot.Entry, there bool) error {
	switch {
	case old == nil && !there:
		return nil
	case old == nil:
		m.w.added++
		m.differs(e.Name)
	case !there:
		m.w.deleted++
		m.differs(old.Name)
		m.w.lost(old)
		return m.l.folder.diverge(ctx)
	default:
		if !alike(e, old) {
			m.w.changed++
			o := *old
			if o.Ctime = e.Ctime; !alike(e, &o) { // to set a time of access, say, is not told, and changes nothing else
				m.differs(e.Name)
			}
		}
		if !e.IsDir() {
			m.w.lost(old)
		}
	}
	return m.l.folder.add(ctx, e, old)
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
	for !m.l.queue.empty() {
		if err := m.settleHead(ctx); err != nil {
			return err
		}
	}
	err := m.old.Err()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if !snapshot.IsLost(err) {
		return err
	}
	m.w.warn("the earlier version cannot be read here, everything is read again: %v", err)
	return m.l.folder.diverge(ctx)
}

// abandon waits for all that is under way, for walkers use the open directory.
func (m *merge) abandon() {
	for q := &m.l.queue; !q.empty(); q.drop() {
		m.w.await(q.head())
	}
}
