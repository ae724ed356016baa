// Package fs shows the vault as a read-only FUSE file system:
//
//	<dir>/<instance>/<partition>/<version>/…     and     <dir>/<instance>/<partition>/latest → <version>
//	<dir>/<instance>/<partition>/.by-file/<path…>/<version>: each content that a path ever had (by_file.go)
//
// A version never changes, so the kernel is told to keep everything below a version folder; only the folders above
// (folders.go) change, and the kernel is notified when they do (notify.go). Owner, mode and ACL are enforced by the kernel.
//
// Nodes are computed, not remembered: a page of a directory gets a slot when it is first read (slots.go), and a file is
// its page's slot and its position there (node_id.go). So memory grows with pages touched, not with files looked at. Only folders below
// .by-file are remembered, for as long as the kernel knows them.
//
// The process that serves a mount must not touch files below it.
package fs

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"yester/store"
)

// Options of a mount.
type Options struct {
	Dir   string           // an empty folder; made if it is not there
	Vault *store.Vault     // must stay open until the mount is done
	Own   string           // id of the instance whose users this machine's are; what others have is root's alone. "": none is
	Log   *slog.Logger     // default: slog.Default()
	Now   func() time.Time // default: time.Now

	trace io.Writer // every request and answer, for tests
}

// endsWithin is how long Unmount waits once the mount is gone. It takes longer only if a copy of the mount went on elsewhere.
const endsWithin = 5 * time.Second

// A Mount is a mounted vault.
type Mount struct {
	at   mountPoint
	view *view
	conn *conn

	done chan struct{}

	unmount sync.Mutex
}

// Serve mounts the vault and serves it in the background until Unmount. A stale mount of ours is detached first. It fails
// with a sentence for the user when the folder cannot serve: it is not empty, no folder, or a mount point in use.
func Serve(o Options) (*Mount, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := Detach(o.Dir); err != nil {
		return nil, err
	}
	if err := prepareFolder(o.Dir); err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.EvalSymlinks(o.Dir); err != nil {
		return nil, fmt.Errorf("find mount folder: %w", err)
	}
	return serve(o)
}

func (o Options) withDefaults() (Options, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("find mount folder %s: %w", o.Dir, err)
	}
	o.Dir = dir
	return o, nil
}

func serve(o Options) (*Mount, error) {
	v, err := newView(o)
	if err != nil {
		return nil, err
	}
	at, fd, err := mountFuse(o.Dir)
	if err != nil {
		v.close()
		return nil, err
	}
	c, err := connect(v, fd, o.trace)
	if err != nil {
		v.close()
		err = joinUnmount(err, at)
		unix.Close(fd)
		return nil, fmt.Errorf("serve %s: %w", o.Dir, err)
	}
	m := &Mount{at: at, view: v, conn: c, done: make(chan struct{})}
	v.notify(c)
	go m.run()
	if err := at.setReadAhead(readAheadKB); err != nil {
		o.Log.Debug("large read-ahead not set, reading will be slower", "dir", o.Dir, "err", err)
	}
	return m, nil
}

func (m *Mount) run() {
	m.conn.serve()
	m.conn.work.Wait()
	m.view.close()
	unix.Close(m.conn.fd) // not before, or news could go to whatever got the number
	close(m.done)
}

// Ended is closed when the mount is served no more, be it through Unmount, because someone unmounted it by hand, or because its connection was cut.
func (m *Mount) Ended() <-chan struct{} { return m.view.dead }

// Done is closed after Ended, when nothing reads the vault for it any more: a request that nobody waits for, or reading ahead, goes on until the vault has answered.
func (m *Mount) Done() <-chan struct{} { return m.done }

// IsCut tells whether a mount that is served no more is still there: someone cut its connection to the kernel, and whoever looks into it gets ENOTCONN. One that
// looks the same and answers is another process's, made after ours was unmounted by hand.
func (m *Mount) IsCut() bool {
	there, err := m.at.isThere()
	if err != nil || !there {
		return false
	}
	top, err := topMount(m.at.dir)
	return err == nil && (top != m.at || dead(m.at.dir)) // one that another covers cannot be asked
}

// Requests is how many requests about versions and what is in them the kernel has sent. Many more are answered from what it keeps.
func (m *Mount) Requests() uint64 { return m.view.requests.Load() }

// InstanceFolder is the name of the folder that has the versions of an instance, "" while it has none.
func (m *Mount) InstanceFolder(id string) string { return m.view.folders.shownName(id) }

// Unmount detaches the mount, even if it is in use, and waits until it is done. Whoever still uses it gets
// ENOTCONN from then on. Unmounting twice is no error, nor is it when someone unmounted it by hand, or cut its connection.
func (m *Mount) Unmount() error {
	m.unmount.Lock()
	defer m.unmount.Unlock()
	served := true
	select {
	case <-m.Ended():
		served = false
	default:
	}
	if served || m.IsCut() {
		if err := m.at.unmount(); err != nil {
			return err
		}
	}
	select {
	case <-m.done:
		return nil
	case <-time.After(endsWithin):
	}
	select {
	case <-m.Ended():
		return fmt.Errorf("%s is unmounted, but the vault has not answered all that was asked for it", m.at.dir)
	default:
		return fmt.Errorf("%s is unmounted, but still in use from a container; that ends with this process", m.at.dir)
	}
}
