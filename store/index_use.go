package store

import (
	"encoding/binary"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"yester/store/pack"
)

// A use is what a pack is good for: how much of it is of use, as the last collection found. Of a pack written since, all is.
//
//	"u" u32 number of the pack    u64 raw, u64 dead, u64 deadRaw
type use struct {
	raw     uint64 // bytes of its chunks before compression
	dead    uint64 // bytes of frames that no version needs
	deadRaw uint64 // of raw, those of dead frames
}

const useValue = 3 * 8

func newUse(frames []pack.Frame) (u use) {
	for i := range frames {
		u.raw += uint64(frames[i].Raw)
	}
	return u
}

func useKey(number uint32) []byte { return binary.BigEndian.AppendUint32([]byte{'u'}, number) }

func (u use) append(b []byte) []byte {
	for _, x := range [...]uint64{u.raw, u.dead, u.deadRaw} {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

func (u *use) parse(b []byte) error {
	if len(b) != useValue {
		return errBadIndex
	}
	le := binary.LittleEndian
	*u = use{raw: le.Uint64(b), dead: le.Uint64(b[8:]), deadRaw: le.Uint64(b[16:])}
	return nil
}

// known returns all packs and their uses by their numbers.
func (x *index) known() (packs map[uint32]*packInfo, uses map[uint32]use, err error) {
	if packs, err = x.packs(); err != nil {
		return nil, nil, err
	}
	uses = map[uint32]use{}
	err = x.db.View(func(t *badger.Txn) error {
		for number := range packs {
			item, err := t.Get(useKey(number))
			var u use
			if err == nil {
				err = item.Value(u.parse)
			}
			if err != nil {
				return err
			}
			uses[number] = u
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read uses of packs in index: %w", err)
	}
	return packs, uses, nil
}

// setUse notes what a collection found of a pack.
func (x *index) setUse(number uint32, u use) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.set(useKey(number), u.append(nil)); err != nil {
		return fmt.Errorf("enter use of pack in index: %w", x.failed(err))
	}
	return nil
}
