package store

import (
	"context"
	"errors"

	"yester/store/pack"
)

// Read is Get for who reads much and each chunk once, as a restore does: it decodes into buf if that is large enough (pack.MaxRaw and a few bytes always
// is; the length of buf does not matter), leaves the cache alone, and checks the chunk against its id. The bytes are the caller's. ErrNotFound, ErrCorrupt.
func (v *Vault) Read(ctx context.Context, id ID, buf []byte) ([]byte, error) {
	raw, err := v.GetInto(ctx, id, buf)
	if err == nil && v.hash.id(raw) != id {
		l, p, whereErr := v.locate(id)
		if whereErr != nil {
			return nil, whereErr
		}
		return nil, v.corrupt(p.id, int64(l.frame.Offset), errors.New("the chunk is not what its id says"))
	}
	return raw, err
}

// Identify returns the id that raw has, or would have, in this vault.
func (v *Vault) Identify(raw []byte) ID { return v.hash.id(raw) }

// A Position orders chunks by where they lie: reading them in this order reads each pack from its front to its end.
type Position uint64

// Position tells where a chunk lies now. What is not found lies at zero; reading it says why.
func (v *Vault) Position(id ID) Position {
	l, found, err := v.index.find(id)
	if err != nil || !found {
		return 0
	}
	return Position(l.pack)<<32 | Position(l.frame.Offset)
}

// ReadRoom is how large a buffer for Read must be to hold any chunk of a file that this vault cuts.
func (v *Vault) ReadRoom() int { return v.desc.Cut.Max + pack.DecodeSlack }
