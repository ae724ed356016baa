package integration

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A clock that is set makes times of files mean something else, so what a journal knows is not believed once. The clock is that of the whole machine:
// this test is not run beside others.
func TestSetClockMakesTheNextBackupLookAtEverything(t *testing.T) {
	p := newPartition(t, "ext4", 64*mib)
	must(t, os.WriteFile(p.path("file"), []byte("1"), 0o644))
	d := start(t, newHome(t))
	d.activate("max", p)
	d.backup(p)
	method := func() string {
		var all []struct{ Method, Because string }
		d.backup(p)
		d.json(&all, "versions")
		v := all[len(all)-1]
		return v.Method + " " + v.Because
	}
	if got := method(); got != "journal " {
		t.Fatalf("before: %q", got)
	}
	now := unix.NsecToTimespec(time.Now().UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		t.Skip("the clock cannot be set: ", err)
	}
	if got := method(); got != "walk the clock was set" {
		t.Errorf("after: %q", got)
	}
	if got := method(); got != "journal " {
		t.Errorf("later: %q", got)
	}
}
