package integration

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probeEnv says which probe this test program is, if it is no test; its arguments are the probe's.
const probeEnv = "YESTER_TEST_PROBE"

// probes run as programs of their own, by whatever user. What one returns is printed as JSON.
var probes = map[string]func(args []string) (any, error){
	"look": func(args []string) (any, error) { return lookAt(args[0]), nil },
	"try":  func(args []string) (any, error) { return tryAll(args[0]) },
	"read": func(args []string) (any, error) { return readVersion(args) },
}

// probe is the whole of this program when it is a probe.
func probe() int {
	out, err := probes[os.Getenv(probeEnv)](os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		return 1
	}
	return 0
}

// A user looks at a tree.
type user struct {
	name     string
	uid, gid uint32
	groups   []uint32
}

// probe runs a probe as u and decodes what it returned.
func (u user) probe(t testing.TB, into any, name string, args ...string) {
	t.Helper()
	must(t, u.tryProbe(t, into, name, args...))
}

// tryProbe is probe for a goroutine that may not end the test.
func (u user) tryProbe(t testing.TB, into any, name string, args ...string) error {
	cmd := exec.Command(probeProgram(), args...)
	cmd.Env = []string{probeEnv + "=" + name}
	cmd.Dir = "/"
	cmd.SysProcAttr = u.credential()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("probe %s: %w", name, err)
	}
	return json.Unmarshal(out, into)
}

func (u user) credential() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.uid, Gid: u.gid, Groups: u.groups}}
}

// sees returns what u gets to see of each path below root: attributes, names and contents, or the error in their stead.
func (u user) sees(t testing.TB, root string) (seen map[string]string) {
	t.Helper()
	u.probe(t, &seen, "look", root)
	return seen
}

// makeProbe puts this test program where every user can run it. That is done before any test begins: a program that is still open for
// writing in a child that another test forks cannot be run.
func makeProbe() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return os.WriteFile(probeProgram(), b, 0o755)
}

func probeProgram() string { return filepath.Join(work, "probe") }

// lookAt looks at the whole tree as whoever it runs as.
func lookAt(root string) map[string]string {
	seen := map[string]string{}
	look(root, ".", seen)
	return seen
}

func look(root, rel string, seen map[string]string) {
	path := filepath.Join(root, rel)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		seen[rel] = err.Error()
		return
	}
	lines := []string{fmt.Sprintf("mode %o owner %d:%d", st.Mode, st.Uid, st.Gid), attributesSeen(path), accessSeen(path)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		lines = append(lines, fmt.Sprint("link ", target, reason(err)))
	case unix.S_IFREG:
		lines = append(lines, "content "+contentSeen(path), "flags "+flagsSeen(path))
	case unix.S_IFDIR:
		entries, err := os.ReadDir(path)
		lines = append(lines, "list"+reason(err))
		for _, e := range entries {
			lines = append(lines, e.Name())
			look(root, filepath.Join(rel, e.Name()), seen)
		}
		// Names that are known can be tried where they can't be listed.
		for _, name := range []string{"known", "known-folder/known"} {
			if err != nil {
				look(root, filepath.Join(rel, name), seen)
			}
		}
	}
	seen[rel] = strings.Join(lines, "\n")
}

// accessSeen tells what access says to each way of using a file.
func accessSeen(path string) string {
	said := "access"
	for mode := uint32(0); mode <= unix.R_OK|unix.W_OK|unix.X_OK; mode++ {
		said += fmt.Sprintf(" %o%s;", mode, reason(unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)))
	}
	return said
}

func contentSeen(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return reason(err)
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x%s", h.Sum(nil), reason(err))
}

// flagsSeen tells what chattr set, as each of the two ways of asking has it, but for what the file system sets itself.
func flagsSeen(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return reason(err)
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	var x [7]uint32 // struct fsxattr
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), 0x801c581f, uintptr(unsafe.Pointer(&x)))
	return fmt.Sprintf("%x%s %x: %v", flags&(flagImmutable|flagAppendOnly|flagNoDump), reason(err), x[0]&(0x8|0x10|0x80), errno)
}

// attributesSeen tells the attributes that can be read, and how trying those that may not be ends. (btrfs lists root's own to everybody,
// but lets nobody read them.)
func attributesSeen(path string) string {
	list := make([]byte, 64*kib)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		return "attributes" + reason(err)
	}
	var seen []string
	value := make([]byte, 64*kib)
	for _, name := range strings.Split(string(list[:n]), "\x00") {
		if n, err := unix.Lgetxattr(path, name, value); err == nil {
			seen = append(seen, fmt.Sprintf("%s=%x", name, value[:n]))
		}
	}
	slices.Sort(seen)
	_, user := unix.Lgetxattr(path, "user.yester", value)
	_, trusted := unix.Lgetxattr(path, "trusted.yester", value)
	return fmt.Sprintf("attributes %s; user%s; trusted%s", seen, reason(user), reason(trusted))
}

// reason is the error number's text without the path, which differs.
func reason(err error) string {
	if err == nil {
		return ""
	}
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok {
			return ": " + err.Error()
		}
		err = inner.Unwrap()
	}
}
