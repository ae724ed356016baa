package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"yester/control"
)

// A backup that is cut off notes what it has read for the next one, and nothing is left of that once there is a version.
func TestBackupThatIsCancelledLeavesANoteOfWhatItHasRead(t *testing.T) {
	s := newStill(t)
	noted := func() (size int64) {
		for _, name := range mustNot[[]string](t)(filepath.Glob(s.o.Home.Unfinished + "/*")) {
			size += mustNot[os.FileInfo](t)(os.Stat(name)).Size()
		}
		return size
	}
	put := func(path string) {
		if err := os.WriteFile(path, bytes.Repeat([]byte("much "), 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(s.dir + "/a large")
	leased := mustNot[*os.File](t)(os.OpenFile(s.dir+"/b leased", os.O_CREATE|os.O_WRONLY, 0o600))
	defer leased.Close()
	const setLease = 1024 // F_SETLEASE
	if _, _, err := syscall.Syscall(syscall.SYS_FCNTL, leased.Fd(), setLease, syscall.F_WRLCK); err != 0 {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // of a file that is younger nothing is noted
	id := mustNot[control.Task](t)(s.startBackup(nil)).ID
	for range 1000 {
		if noted() > 150 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	mustNot[control.Task](t)(s.tasks.cancel(t.Context(), id))
	if end := wait(t, s.tasks, id); end.State != control.Cancelled || noted() <= 150 {
		t.Fatalf("%s, %d bytes are noted", end.State, noted())
	}
	leased.Close()
	left, old := filepath.Join(s.o.Home.Unfinished, "left"), time.Now().Add(-unfinishedStays)
	put(left)
	put(left + " of late")
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	s.backedUp()
	if n := noted(); n != 500_000 {
		t.Errorf("%d bytes are noted, want those of late", n)
	}
	os.Remove(left + " of late")
	if end := s.backedUp(); end.State != control.Completed || noted() != 0 {
		t.Errorf("%s (%s), %d bytes are noted", end.State, end.Error, noted())
	}
	put(left)
	if _, err := s.cancelAndWait(); err != nil {
		t.Fatal(err)
	}
	if n := noted(); n != 0 {
		t.Errorf("%d bytes are noted after the end of the service", n)
	}
}
