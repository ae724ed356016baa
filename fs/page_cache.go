package fs

import (
	"context"
	"sync/atomic"

	"yester/snapshot"
	"yester/store"
)

const (
	pageCacheLen  = 256
	maxCachedPage = 64 << 10 // bytes
)

// A pageCache keeps the tree pages read last, checked, apart from the vault's cache: otherwise copying a folder of large files would push
// out the very page that lists them. Each place takes the pages that hash to it. At most 16 MiB, usually some 5.
type pageCache [pageCacheLen]atomic.Pointer[cachedPage]

type cachedPage struct {
	id   store.ID
	page snapshot.Page
}

// get returns page id, from the cache or from the vault.
func (c *pageCache) get(ctx context.Context, g snapshot.Getter, id store.ID) (snapshot.Page, error) {
	place := &c[id[0]]
	if p := place.Load(); p != nil && p.id == id {
		return p.page, nil
	}
	p, err := snapshot.GetPage(ctx, g, id)
	if err != nil {
		return nil, err
	}
	if len(p) <= maxCachedPage {
		place.Store(&cachedPage{id, p})
	}
	return p, nil
}
