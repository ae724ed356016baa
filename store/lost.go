package store

import "fmt"

// maxLost bounds the memory for chunks that are lost: of a large disk that is gone there would be millions.
const maxLost = 1 << 19

// IDs are a set of chunks.
type IDs map[ID]struct{}

// Has tells whether the chunk is one of them.
func (s IDs) Has(id ID) bool {
	_, has := s[id]
	return has
}

// A loss is the chunks that are lost, or as many of them as are held.
type loss struct {
	ids  IDs
	most int
	more bool // there are others
}

func (v *Vault) newLoss() *loss { return &loss{ids: IDs{}, most: v.mostLost} }

// add adds a chunk, and tells whether it was not there yet.
func (l *loss) add(id ID) (added bool) {
	switch {
	case l.ids.Has(id):
		return false
	case len(l.ids) >= l.most:
		l.more = true
	default:
		l.ids[id] = struct{}{}
	}
	return true
}

// problem says that not all that is lost is told. It names no place: then it would be one of that.
func (l *loss) problem() []Problem {
	if !l.more {
		return nil
	}
	err := fmt.Errorf("more than %d pieces are %w: what the others are part of is not told", l.most, ErrLost)
	return []Problem{{Err: err}}
}
