package fs

import (
	"context"
	"errors"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/store"
)

// A chunkReader gives chunks of the vault. To a request that must not wait it gives those in the vault's cache, and errMustWait for others.
type chunkReader struct{ vault *store.Vault }

var errMustWait = errors.New("this would have to wait")

// mustWait answers a request that must not wait and would have to. No request is ever answered so to the kernel.
const mustWait = fuse.EAGAIN

// Get returns a chunk.
func (c chunkReader) Get(ctx context.Context, id store.ID) ([]byte, error) {
	if ctx != context.Context(calm) {
		return c.vault.Get(ctx, id)
	}
	if b, ok := c.vault.Cached(id); ok {
		return b, nil
	}
	return nil, errMustWait
}
