package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// dial connects to the socket. Denied if it is neither root nor the user of this process who listens there: that one would be told passphrases.
func dial(ctx context.Context, path string) (net.Conn, error) {
	short, free, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer free()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", short)
	if err != nil {
		return nil, err
	}
	uid, err := listens(conn.(*net.UnixConn))
	if err == nil && uid != 0 && int(uid) != os.Geteuid() {
		err = Errorf(Denied, "user %d listens at %s, and not root", uid, path).WithHint("nothing was sent; if that daemon is meant, run this as that user")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// listens is the user whose process listens at the other end.
func listens(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var cred *syscall.Ucred
		if cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); failed == nil {
			uid = cred.Uid
		}
	})
	return uid, errors.Join(err, failed)
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

// LockFile is the name of the file, beside the socket unless that was moved, that a daemon has locked from its beginning to its end, and that has its process id.
const LockFile = "yester.pid"

// holder is the process id of the daemon that has the file beside a socket locked, "" if there is none. It takes no lock to find out, which would be in the way of one that starts.
func holder(socket string) (pid string) {
	f, err := os.Open(filepath.Join(filepath.Dir(socket), LockFile))
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 32)
	n, _ := f.Read(b)
	info, err := f.Stat()
	locks, readErr := os.ReadFile("/proc/locks")
	if err != nil || readErr != nil {
		return ""
	}
	pid = strings.TrimSpace(string(b[:n]))
	inode := fmt.Sprintf(":%d", info.Sys().(*syscall.Stat_t).Ino)
	for line := range strings.Lines(string(locks)) { // "1: FLOCK  ADVISORY  WRITE 4711 00:1a:1234 0 EOF"
		if l := strings.Fields(line); len(l) > 5 && l[1] == "FLOCK" && l[4] == pid && strings.HasSuffix(l[5], inode) {
			return pid
		}
	}
	return ""
}
