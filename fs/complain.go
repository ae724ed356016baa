package fs

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/snapshot"
)

// errNoNode answers for a node that this mount never gave out.
const errNoNode = syscall.ESTALE

const (
	complainEvery = time.Minute
	maxComplaints = 1000
	maxPathDepth  = 4096
)

// answer turns an error into what the program sees. The operator sees it too when it means damage, for each file once a minute. What is not
// found of a version that is still there is lost: EIO, as of all other damage.
func (v *view) answer(ctx context.Context, id nodeID, ver *version, err error) fuse.Status {
	st := errno(err)
	if st != fuse.EIO && st != fuse.Status(syscall.ESTALE) || ver == nil {
		return st
	}
	if errors.Is(err, errNoNode) || st == fuse.Status(syscall.ESTALE) && v.gone(ver) {
		return st
	}
	if v.complaints.allow(id, v.now()) {
		v.log.Error("a file cannot be read", "instance", ver.key.Instance, "partition", ver.key.Partition,
			"version", ver.key.Version, "path", v.path(ctx, id), "err", err)
	}
	return fuse.EIO
}

// gone tells whether a version was deleted, or is being deleted. The folders hear of it a moment after it is so.
func (v *view) gone(ver *version) bool {
	return v.folders.gone(ver) || !v.vault.Remains(ver.key)
}

// complaints remember what was complained about within the last minute.
type complaints struct {
	mu   sync.Mutex
	last map[nodeID]time.Time
}

func (c *complaints) allow(id nodeID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.last[id]; ok && now.Sub(t) < complainEvery {
		return false
	}
	if c.last == nil || len(c.last) >= maxComplaints {
		c.last = make(map[nodeID]time.Time)
	}
	c.last[id] = now
	return true
}

// path returns the path of a node in its version for a message: as much of it as can be read.
func (v *view) path(ctx context.Context, id nodeID) string {
	var e snapshot.Entry
	path := ""
	for range maxPathDepth {
		if id.kind() == versionKind {
			return "/" + path
		}
		s, ok := v.slots.get(id.slot())
		if !ok {
			break
		}
		name := "?"
		if _, err := v.load(ctx, id, &e); err == nil {
			name = string(e.Name)
		}
		if path != "" {
			name += "/"
		}
		path = name + path
		id = s.dir
	}
	return path
}
