package restore

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// Who may write in a folder can put what belongs to somebody else in the place of what was just made there.
func TestAttributesGoToWhatWasMadeAlone(t *testing.T) {
	dir := t.TempDir()
	d, err := os.Open(dir)
	must(t, err)
	defer d.Close()
	fifo := &snapshot.Entry{Mode: unix.S_IFIFO | 0o666, UID: 1000}
	link := &snapshot.Entry{Mode: unix.S_IFLNK | 0o777, Target: []byte("theirs"), UID: 1000}
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte("x"), 0o600))
	must(t, os.Symlink("secret", filepath.Join(dir, "other")))
	for name, e := range map[string]*snapshot.Entry{"secret": fifo, "other": link} {
		if _, _, err := openNode(int(d.Fd()), name, e); err != errSwapped {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i, e := range []*snapshot.Entry{fifo, link} {
		name := []string{"made", "link"}[i]
		must(t, makeNode(int(d.Fd()), name, e))
		fd, _, err := openNode(int(d.Fd()), name, e)
		must(t, err)
		must(t, os.Rename(secret, filepath.Join(dir, name))) // now
		h := &holder{fd: fd, node: true}
		must(t, h.chown(1000, 1000))
		must(t, h.utimes(snapshot.Time{Sec: 1}))
		if e == fifo {
			must(t, h.chmod(0o666))
		} else {
			must(t, h.setXattr("trusted.x", []byte("y")))
			must(t, h.removeXattr("trusted.x"))
		}
		unix.Close(fd)
		must(t, os.Rename(filepath.Join(dir, name), secret))
	}
	var st unix.Stat_t
	must(t, unix.Stat(secret, &st))
	if st.Uid != 0 || st.Mode&0o7777 != 0o600 || st.Mtim.Sec == 1 {
		t.Errorf("the file of somebody else has got owner %d, mode %o, time %d", st.Uid, st.Mode, st.Mtim.Sec)
	}
}

// A filesOnly folder holds neither symlinks nor fifos or devices, as vfat and exfat do.
type filesOnly struct {
	memory
	why syscall.Errno
}

func (f *filesOnly) Symlink(context.Context, string, string, *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	return nil, f.why
}

func (f *filesOnly) Mknod(context.Context, string, uint32, uint32, *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	return nil, f.why
}

// What no file of the target can be is told once for each kind; but not for a folder in which nothing can be made, nor where something is in the way.
func TestSymlinksFifosAndDevicesThatTheTargetCannotHoldAreToldOnce(t *testing.T) {
	g := newRig(t)
	kids := append(names(g.symlink("", "to"), "k", "l"), g.symlink("m", "f"), g.entry("p", unix.S_IFIFO|0o600), g.entry("q", unix.S_IFIFO|0o600),
		g.entry("c", unix.S_IFCHR|0o600), g.entry("b", unix.S_IFBLK|0o600), g.file("f", "x"))
	v := g.version(kids...)
	for _, why := range []syscall.Errno{syscall.EPERM, syscall.EOPNOTSUPP, syscall.ENOSYS} {
		dir := t.TempDir()
		server, err := gofuse.Mount(dir, &filesOnly{why: why}, &gofuse.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
		must(t, err)
		t.Cleanup(func() { must(t, server.Unmount()) })
		r := g.restore(v, dir)
		wantLeft(t, "failed", r.Failed)
		noted := map[string]int{}
		for _, i := range r.Notes.Items {
			kind, _, _ := strings.Cut(i.What, " ")
			noted[kind]++
		}
		if r.Files != 1 || noted["symlinks"] != 1 || noted["fifos"] != 1 || noted["devices"] != 1 {
			t.Errorf("%v: %d were restored, noted %+v", why, r.Files, r.Notes)
		}
		write(t, filepath.Join(dir, "m"), "in the way")
		wantLeft(t, "failed", g.restore(v, dir, overwrite, func(o *Options) { o.Paths = []string{"m"} }).Failed, "m")
	}
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	sub := openDir(t, filepath.Join(dir, "d"))
	if err := unix.IoctlSetPointerInt(sub, unix.FS_IOC_SETFLAGS, 0x10); err != nil {
		t.Skipf("nothing can be made immutable here: %v", err)
	}
	defer func() { must(t, unix.IoctlSetPointerInt(sub, unix.FS_IOC_SETFLAGS, 0)) }()
	r := g.restore(g.version(g.dir("d", kids...)), dir)
	for _, kind := range []string{"k", "p", "c", "b"} {
		if !slices.ContainsFunc(r.Failed.Items, func(i Left) bool { return i.Path == "d/"+kind }) {
			t.Errorf("%s did not fail: %+v", kind, r)
		}
	}
}
