package restore

import (
	"os"
	"path/filepath"
	"testing"

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
