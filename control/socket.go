package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// maxSocketPath is how long a path the kernel takes for a unix socket; a longer one is reached through its folder's descriptor.
const maxSocketPath = 107

// Listen listens on a unix socket that only its owner may open, replacing a socket that a dead process left there. The caller must know that
// no living process uses it. Closing the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	short, free, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer free()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return &listener{l, path}, nil
}

// listener removes the socket by its full path.
type listener struct {
	net.Listener
	path string
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	if rm := os.Remove(l.path); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// dial connects to the socket.
func dial(ctx context.Context, path string) (net.Conn, error) {
	short, free, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer free()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

// shorten returns a name for path that the kernel takes as a socket's address until free is called.
func shorten(path string) (short string, free func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}
