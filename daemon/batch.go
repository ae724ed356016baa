package daemon

import "time"

// A batch sends values many at a time, so that a long listing is not as many writes; none waits long behind others.
type batch[T any] struct {
	send  func([]T) error
	items []T
	begun time.Time
}

const (
	batchLen  = 256
	batchWait = 100 * time.Millisecond
)

func (b *batch[T]) add(it T) error {
	if len(b.items) == 0 {
		b.begun = time.Now()
	}
	b.items = append(b.items, it)
	if len(b.items) < batchLen && time.Since(b.begun) < batchWait {
		return nil
	}
	return b.flush()
}

func (b *batch[T]) flush() error {
	if len(b.items) == 0 {
		return nil
	}
	err := b.send(b.items)
	b.items = b.items[:0]
	return err
}
